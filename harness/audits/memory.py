"""Flat memory: what a reconstructor's process holds must not grow with the length of the scan.

A cheap scan is played: the lines of the scan again and again, as a longer scan of the same protocol. At equal
steps everything is weighed that a process can hold: what Python allocated, the process's own memory whoever
allocated it, shared memory, descriptors and threads. What grows once (a cache that fills, a pool of threads)
is no leak; what grows with every step is.
"""

from __future__ import annotations

import gc
import math
import time
import tracemalloc

import numpy as np
from numpy.typing import NDArray

from harness.audits.bench import Bench
from harness.audits.finding import Seen
from harness.candidates.isolation import Isolated
from harness.measure.failures import is_blank
from harness.realtime.copies import OneProcess
from harness.realtime.process_memory import counts, malloced, resident_bytes
from harness.realtime.raised import is_the_users, traceback_of
from mrsim.errors import MrsimError
from mrsim.stream import Readout
from recon.protocol import Emission, Image, Reconstructor

FRAMES, LEAST_FRAMES, LIMIT_S = 2_000, 64, 8.0
"""Frames that are played, if the time suffices; how many at least; and that time, of processors."""
MOST_WALL = 4
"""How many times that time may pass at most: who sleeps, or waits for an accelerator, uses no processor."""
STEPS = 12
FIRST_STEP = 4  # frames
CONFIDENCE = 0.99
LINE_BYTES = 32
"""Growth a line that is no leak, of Python's memory and of the process's own."""
SLACK = {
    "Python's bytes": 16 << 10,
    "malloc's bytes": 256 << 10,
    "the process's bytes": 4 << 20,
    "descriptors": 4,
    "threads": 4,
}
"""Growth over all steps that is no leak: the interpreter's own, and the allocator's."""


def audit_memory(bench: Bench) -> Seen:
    """Check that what the candidate holds does not grow with the scan.

    Parameters
    ----------
    bench
        The bench.
    """
    candidate = bench.build()
    inside = not isinstance(candidate, Isolated)
    started_here = inside and not tracemalloc.is_tracing()
    if started_here:
        tracemalloc.start()
    # What was there before is not looked at by the collector, whose every pass would take half a second.
    gc.collect()
    frozen_here = gc.get_freeze_count() == 0
    if frozen_here:
        gc.freeze()
    try:
        weighed = _Weighed(bench, candidate)
        weighed.play()
    finally:
        if frozen_here:
            gc.unfreeze()
        if started_here:
            tracemalloc.stop()
    return weighed.seen()


class _Weighed:
    """Play the scan again and again, and weigh at equal steps."""

    def __init__(self, bench: Bench, candidate: Reconstructor) -> None:
        self._bench, self._candidate = bench, candidate
        self._apart = candidate if isinstance(candidate, Isolated) else None
        self._images, self._newest = 0, 0
        self._weights: list[tuple[int, ...]] = []
        self._at: list[int] = []  # number of lines at each weighing

    def play(self) -> None:
        stream, per_frame = self._bench.stream, self._bench.stream.header.lines_per_frame
        samples, ky = np.asarray(stream.samples), np.asarray(stream.ky).tolist()
        header, lines, tr_ns = stream.header, len(stream), stream.header.tr_ns
        began, frame, step, ours = time.monotonic(), 0, FIRST_STEP, OneProcess()
        try:
            used_before_s = self._used_s()
            self._candidate.open(header.private(), self._take)
            while frame < FRAMES:
                for index in range(frame * per_frame, (frame + 1) * per_frame):
                    at = index % lines
                    t_ns = index * tr_ns + header.te_ns
                    # Each time a little stronger: a memory of what was seen grows as in a scan that goes on.
                    line = samples[at] * np.float32(1 + 1e-3 * (index // lines))
                    self._candidate.push(Readout(index, frame, ky[at], t_ns, line))
                ours.check()
                frame += 1
                self._bench.played(1)
                if frame % step == 0:
                    self._weigh(frame * per_frame)
                    if len(self._weights) == 2 * STEPS:  # half as often from now on
                        del self._weights[::2], self._at[::2]
                        step *= 2
                # By processor time: on a busy host it takes longer, and sees as much.
                used_s, took_s = self._used_s() - used_before_s, time.monotonic() - began
                if frame >= LEAST_FRAMES and max(used_s, took_s / MOST_WALL) > LIMIT_S:
                    break
        except MrsimError:
            raise
        except BaseException as error:  # a stranger may raise anything
            if is_the_users(error):
                raise
            found = traceback_of(error)
            if found is not None:
                self._bench.raised.append(found)
        finally:
            self._close()

    def _used_s(self) -> float:
        """Return the processor time that the bench and the candidate's process have used, seconds."""
        apart_ns = 0
        if self._apart is not None:  # by the system's number for the clock of a process
            apart_ns = time.clock_gettime_ns((~self._apart.pid << 3) | 2)
        return time.process_time() + apart_ns / 1e9

    def _close(self) -> None:
        try:
            self._candidate.close()
        except BaseException as error:  # what it raises in `close` is for the audit of conformance to tell
            if is_the_users(error):
                raise

    def _take(self, image: Emission) -> None:
        if isinstance(image, Image):
            pixels = np.asarray(image.pixels)
            if pixels.dtype.kind not in "fiuc" or not pixels.size or is_blank(np.abs(pixels)):
                return
            content = hash(pixels.tobytes())
        else:
            content = hash((image.x_mm, image.y_mm))
        self._images += content != self._newest
        self._newest = content

    def _weigh(self, lines: int) -> None:
        pid = None
        if self._apart is None:
            gc.collect()
            python, native = tracemalloc.get_traced_memory()[0], malloced()
        else:  # its own word for what is small; what it holds in all is weighed from outside
            pid, (python, native) = self._apart.pid, self._apart.weigh()
        self._weights.append((python, native, resident_bytes(pid), *counts(pid)))
        self._at.append(lines)

    def seen(self) -> Seen:
        what, least = "images while it was weighed", LEAST_FRAMES // 2
        weights, at = np.array(self._weights, np.float64), np.array(self._at, np.float64)
        if len(weights) < STEPS:
            return Seen(0, least, what)
        # The first third is left out: that is where caches fill.
        weights, at = weights[len(weights) // 3 :], at[len(at) // 3 :]
        lines = float(at[-1] - at[0])
        fault = None
        for (kind, slack), weight in zip(SLACK.items(), weights.T, strict=True):
            allowed = slack + (LINE_BYTES * lines if kind.endswith("bytes") else 0)
            grown = _sure_growth(weight)
            if grown > allowed:
                each = f"{(weight[-1] - weight[0]) / lines:.3g} a line"
                fault = f"k-space lines {at[0]:.0f} to {at[-1]:.0f}: {kind} grow by {each}"
                break
        return Seen(self._images, least, what, fault)


def _sure_growth(weight: NDArray[np.float64]) -> float:
    """Return the lower bound of the typical step's growth, times the steps: a few jumps are no growth."""
    steps = np.sort(np.diff(weight))
    count = len(steps)
    # The distribution-free bound of a median: fewer than so many of the steps lie below it by chance.
    below, chance = 0, 0.5**count
    while chance + 0.5**count * math.comb(count, below + 1) <= 1 - CONFIDENCE:
        below += 1
        chance += 0.5**count * math.comb(count, below)
    return float(count * steps[below]) if 0.5**count <= 1 - CONFIDENCE else 0.0
