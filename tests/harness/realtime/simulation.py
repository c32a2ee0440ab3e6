"""A scan drawn from one number: its lines, what goes wrong, how slow the candidate is, and what must hold."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from harness.audits.invariants import Breach, Evidence, check_invariants
from harness.realtime.clock import VirtualClock
from harness.realtime.faults import STREAM_KINDS, Fault, apply_faults, parse_faults
from harness.realtime.feed import Feed
from harness.realtime.replay import replay
from harness.realtime.run import Run
from harness.realtime.schedule import Policy, Schedule
from harness.realtime.service import ConstantService, TableService
from mrsim.stream import Header, Readout, Stream
from recon.protocol import Emit, Image
from tests.harness.synthetic import make_header, make_stream

POLICIES = ("keep-all", "latest", "bounded:2", "bounded:7")
LINES = 224
TR_NS = 1000
STREAMS = 8


class Keeper:
    """Keep the newest value of every row, and leave out what is not a number: the least that promises so."""

    def open(self, header: Header, emit: Emit) -> None:
        self._rows = np.zeros(header.matrix, np.complex64)
        self._emit, self._lines, self._half = emit, header.lines_per_frame, header.matrix[0] // 2
        self._nx = header.matrix[1]

    def push(self, readout: Readout) -> None:
        # The sum is not a number if one of them is not, and is had in one call.
        if abs(complex(readout.samples.sum())) < np.inf:
            self._rows[readout.ky + self._half] = readout.samples[0]
        if readout.index % self._lines == self._lines - 1:
            self._emit(Image(self._rows, readout.frame, readout.index))

    def close(self) -> None:
        pass


@lru_cache(maxsize=STREAMS)
def scan(number: int, lines: int = LINES) -> tuple[Stream, Schedule, Run]:
    """Return one of a few scans, and its undisturbed replay."""
    per_frame = (4, 8, 1, 4)[number % 4]
    header = make_header(lines_per_frame=per_frame, tr_ns=TR_NS, matrix=(8, 4))
    stream = make_stream(lines, seed=number, header=header)
    schedule = Schedule.of(stream)
    return stream, schedule, replay(stream, Keeper(), VirtualClock(), ConstantService(0), schedule)


@dataclass(frozen=True)
class Drawn:
    """Hold what a seed stands for."""

    seed: int
    number: int
    policy: Policy
    faults: tuple[Fault, ...]
    service_ns: np.ndarray

    def play(self) -> tuple[Evidence, list[Breach]]:
        stream, schedule, clean = scan(self.number, len(self.service_ns))
        feed = apply_faults(Feed.of(stream, schedule), self.faults, self.seed)
        service = TableService(self.service_ns)
        run = replay(stream, Keeper(), VirtualClock(), service, schedule, policy=self.policy, feed=feed)
        evidence = Evidence(feed, run, clean)
        return evidence, check_invariants(evidence, [fault.kind for fault in self.faults])


def draw(seed: int) -> Drawn:
    """Draw a scan; every fault meets every policy within 40 seeds in a row."""
    rng = np.random.default_rng(seed)
    first = STREAM_KINDS[seed % len(STREAM_KINDS)]
    policy = POLICIES[seed // len(STREAM_KINDS) % len(POLICIES)]
    kinds = [first, *rng.choice(STREAM_KINDS, size=int(rng.integers(0, 3)))]
    faults = parse_faults(";".join(_fault(kind, rng) for kind in kinds))
    # From idle to twice too slow, with stalls of up to a tenth of the scan.
    service = rng.integers(0, int(rng.choice([10, 900, 1100, 4000])), LINES)
    stalls = rng.integers(0, LINES, size=int(rng.integers(0, 3)))
    service[stalls] += rng.integers(1, LINES // 10, size=len(stalls)) * TR_NS
    return Drawn(seed, int(rng.integers(STREAMS)), Policy.parse(policy), faults, service)


def _fault(kind: str, rng: np.random.Generator) -> str:
    if kind == "wrap":
        return f"wrap:bits={rng.integers(4, 8)}"
    where = (
        f"p={rng.uniform(0.005, 0.1):.4f}",
        f"every={rng.integers(20, 100)}",
        f"at={rng.integers(LINES)}",
    )
    text = f"{kind}:{where[int(rng.integers(3))]}"
    if kind == "disconnect":
        return f"disconnect:at={rng.integers(LINES // 2, LINES)}"
    if rng.random() < 0.4:
        text += f",burst={rng.integers(2, 12)}"
    options = {
        "duplicate": f",span={rng.integers(1, 12)}",
        "reorder": f",span={rng.integers(1, 12)}",
        "late": f",ms={rng.uniform(0, 0.04):.5f}",
        "truncate": f",keep={rng.uniform(0, 0.9):.2f}",
        "saturate": f",level={rng.uniform(0, 0.9):.2f}",
    }
    return text + options.get(kind, "")


def log_hash(evidence: Evidence) -> str:
    """Return a hash of all that happened: every stamp, fate, refusal and image."""
    run, digest = evidence.run, hashlib.sha256()
    for name in ("fate", "arrived_ns", "delivered_ns", "started_ns", "finished_ns", "dropped_ns"):
        digest.update(getattr(run, name).tobytes())
    digest.update(run.images.completed_ns.tobytes())
    if run.images.pixels is not None:
        digest.update(run.images.pixels.tobytes())
    digest.update(repr((sorted(run.rejected.items()), run.images.extra, run.images.early)).encode())
    return digest.hexdigest()
