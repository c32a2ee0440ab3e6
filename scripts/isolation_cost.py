"""Measure what isolation adds to a line: the same lines in process and isolated, in turns.

`python -m scripts.isolation_cost [--candidate NAME] [--lines N] [--coils N] [--back-to-back]`. Each line is
pushed to both, in a random order, when its TR is over, as in a replay. Only the push is timed. Beside it
stands what this host needs for a bare message to another process and back, at the same pace.
"""

from __future__ import annotations

import argparse
import gc
import socket
import subprocess
import sys
import time

import numpy as np
from numpy.typing import NDArray

from harness.candidates.isolation import Isolated, told
from harness.candidates.registry import builder
from harness.realtime.clock import RealClock
from mrsim.anatomy.phantom import load_phantom
from mrsim.scanner.acquisition import scan
from mrsim.scanner.protocol import ScanProtocol
from mrsim.stream import Stream
from recon.protocol import Reconstructor

PROMISED_MS = 0.3
WARMUP = 256  # lines
SEED = 1
MESSAGE = bytes(64)
ECHO = """
import socket, sys
with socket.socket(fileno=int(sys.argv[1])) as end:
    while said := end.recv(64):
        end.send(said)
"""


def processor_ns(process: int | None) -> int:
    """Return the processor time of another process; of this thread for None."""
    return time.thread_time_ns() if process is None else time.clock_gettime_ns((~process << 3) | 2)


def measured(stream: Stream, candidate: str, paced: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return real and processor time of each push, here and isolated, shape (lines, 2), nanoseconds."""
    isolated = Isolated(candidate)
    both: tuple[Reconstructor, Reconstructor] = (builder(candidate)(), isolated)
    for one in both:
        one.open(stream.header, lambda image: None)
    real, used = np.zeros((2, len(stream), 2), np.int64)
    rng, clock = np.random.default_rng(SEED), RealClock()
    gc.collect()
    due_ns = clock.now_ns()
    for line in range(len(stream)):
        for which in (0, 1) if rng.random() < 0.5 else (1, 0):
            readout, process = stream.readout(line), isolated.pid if which else None
            due_ns = max(due_ns + stream.header.tr_ns, clock.now_ns())
            if paced:
                clock.sleep_until_ns(due_ns)
            before = processor_ns(None) + (processor_ns(process) if which else 0)
            began = time.perf_counter_ns()
            both[which].push(readout)
            real[line, which] = time.perf_counter_ns() - began
            used[line, which] = processor_ns(None) + (processor_ns(process) if which else 0) - before
    for one in both:
        one.close()
    print(told(isolated.isolation))
    return real[WARMUP:], used[WARMUP:]


def message_ns(count: int, pace_ns: int) -> NDArray[np.int64]:
    """Return the times of a short message to another process and its return, nanoseconds."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with (
        ours,
        subprocess.Popen([sys.executable, "-c", ECHO, str(theirs.fileno())], pass_fds=[theirs.fileno()]),
    ):
        theirs.close()
        took, clock = np.zeros(count, np.int64), RealClock()
        for number in range(-WARMUP, count):
            clock.sleep_until_ns(clock.now_ns() + pace_ns)
            began = time.perf_counter_ns()
            ours.send(MESSAGE)
            ours.recv(len(MESSAGE))
            took[max(number, 0)] = time.perf_counter_ns() - began
        ours.shutdown(socket.SHUT_RDWR)
    return took


def main() -> None:
    """Measure and print."""
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--candidate", default="view-sharing")
    command.add_argument("--lines", type=int, default=8000)
    command.add_argument("--coils", type=int, default=1)
    command.add_argument("--back-to-back", action="store_true", help="without waiting for the scanner's pace")
    asked = command.parse_args()
    protocol = ScanProtocol(acceleration=4.0, coils=asked.coils)
    frames = -(-(asked.lines + WARMUP) // protocol.header().lines_per_frame)
    stream = scan(load_phantom("quasar"), protocol, seed=SEED, frames=frames)
    real, used = measured(stream, asked.candidate, not asked.back_to_back)
    last = np.arange(WARMUP, len(stream)) % stream.header.lines_per_frame == stream.header.lines_per_frame - 1
    for lines, chosen in (
        ("all lines", np.ones_like(last)),
        ("lines with an image", last),
        ("others", ~last),
    ):
        for what, times in (("real", real[chosen]), ("processor", used[chosen])):
            added = times[:, 1] - times[:, 0]
            figures = [
                f"{name} {np.quantile(of, 0.5) / 1e6:.3f} / {np.quantile(of, 0.99) / 1e6:.3f}"
                for name, of in (("here", times[:, 0]), ("isolated", times[:, 1]), ("added", added))
            ]
            print(f"{lines} ({len(added)}), {what} time, p50 / p99 in ms: {', '.join(figures)}")
    p99_ms = float(np.quantile(real[:, 1] - real[:, 0], 0.99)) / 1e6
    bare = message_ns(len(real), 2 * stream.header.tr_ns) / 1e6
    p50, p99 = np.quantile(bare, (0.5, 0.99))
    print(f"a bare message there and back, p50 / p99: {p50:.3f} / {p99:.3f} ms")
    print(f"isolation adds {p99_ms:.3f} ms to a line (p99), promised {PROMISED_MS:g}")


if __name__ == "__main__":
    main()
