"""Audits: what a reconstructor must not do, found by playing it scans that differ in one thing only.

Images alone do not show whether a reconstructor looks ahead, leaves lines out or remembers the answer. Each
audit plays two scans whose images must be equal (or must differ), bit for bit, and states the line, the frame
and the seed of its finding. Everything is seeded, and all audits but those of load run in virtual time.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.audits.bench import FRAMES, SHORT, Bench
from harness.audits.invariants import Evidence, check_invariants
from harness.audits.probes import MemoryProbe, TimingProbe, WriteProbe
from harness.judge.outcome import Outcome, Verdict
from harness.realtime.clock import Clock, RealClock
from harness.realtime.faults import apply_faults, parse_faults
from harness.realtime.feed import Feed
from harness.realtime.raised import Traceback, traceback_json
from harness.realtime.run import Run
from harness.realtime.scenarios import burst_schedule
from harness.realtime.schedule import Schedule
from mrsim.errors import InputError
from mrsim.stream import Stream
from mrsim.summary import Summarised
from recon.protocol import Builder

SCHEMA = "mrsim-audit/1"
LOADED = 16
PROBED_LINES = 8
# Growth in the second half of a long run that is no leak: the interpreter's, and a little for each line.
MEMORY_SLACK_BYTES, MEMORY_LINE_BYTES = 16 << 10, 32
RESIDENT_SLACK_BYTES = 32 << 20
# A scan is remembered if its second play takes less than this share of the time of a slightly different one.
CACHE_SHARE, CACHE_FLOOR_NS, CACHE_TRIES = 1 / 3, 50_000, 4


@dataclass(frozen=True, slots=True)
class Finding:
    """Hold the outcome of one audit.

    Parameters
    ----------
    audit
        Its name.
    kept
        Whether the candidate passed.
    evidence
        What was found, with line and frame; or what was examined.
    traceback
        Where the candidate raised in its own code while it was audited; None if it did not, or passed.
    """

    audit: str
    kept: bool
    evidence: str
    traceback: Traceback | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        found = {"audit": self.audit, "kept": self.kept, "evidence": self.evidence}
        return found | traceback_json(self.traceback)


@dataclass(frozen=True, repr=False)
class AuditReport(Summarised):
    """Hold the findings on one candidate.

    Parameters
    ----------
    candidate
        Its name.
    seed
        Seed of all alterations.
    findings
        One for each audit.
    """

    candidate: str
    seed: int
    findings: tuple[Finding, ...]

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        facts = [(f.audit, f"{'kept' if f.kept else 'BROKEN'}: {f.evidence}") for f in self.findings]
        return f"Audit of {self.candidate}: {self.verdict.outcome.name} (seed {self.seed})", facts

    @property
    def broken(self) -> tuple[str, ...]:
        """Return the names of the audits that found something."""
        return tuple(f.audit for f in self.findings if not f.kept)

    @property
    def tracebacks(self) -> list[Traceback]:
        """Return where the candidate raised in its own code, of every audit that found something."""
        return [f.traceback for f in self.findings if f.traceback is not None]

    @property
    def verdict(self) -> Verdict:
        """Return PASS, or INVALID: what a probe run says of such a candidate means nothing."""
        if not self.broken:
            return Verdict(Outcome.PASS, f"{len(self.findings)} audits found nothing (seed {self.seed})")
        return Verdict(Outcome.INVALID, f"broken: {', '.join(self.broken)} (seed {self.seed})")

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "schema": SCHEMA,
            "candidate": self.candidate,
            "seed": self.seed,
            "verdict": self.verdict.outcome.name,
            "reason": self.verdict.reason,
            "audits": [f.to_json() for f in self.findings],
        }


def audit_candidate(stream: Stream, build: Builder, candidate: str, seed: int = 0) -> AuditReport:
    """Audit a candidate.

    Parameters
    ----------
    stream
        A scan of 12 frames or more; its first 130 frames are used.
    build
        Makes a fresh reconstructor.
    candidate
        Its name for the report.
    seed
        Seed of all alterations.

    Raises
    ------
    InputError
        If the scan is too short, or the candidate refuses it.
    """
    if stream.frames < SHORT:
        raise InputError(f"{stream.path or 'stream'}: {stream.frames} frames, an audit takes {SHORT} or more")
    stream = stream.first_frames(min(stream.frames, FRAMES))
    stream.check_finite()
    bench = Bench(stream, build, seed)
    findings = []
    for audit, check in AUDITS.items():
        before = len(bench.raised)
        fault = check(bench)
        if fault is None:
            findings.append(Finding(audit, True, _examined(audit, bench.isolated)))
        else:  # of the run before all audits, if it did not raise in this one
            raised = bench.raised[before:] or bench.raised
            findings.append(Finding(audit, False, fault, raised[0] if raised else None))
    return AuditReport(candidate, seed, tuple(findings))


def _differing(run: Run, other: Run, frames: range) -> int | None:
    """Return the first frame whose images in two runs are not equal bit for bit."""
    first, second = run.images, other.images
    for frame in frames:
        if first.shown[frame] != second.shown[frame]:
            return frame
        if first.content(frame) != second.content(frame):
            return frame
    return None


def _conformance(bench: Bench) -> str | None:
    run = bench.play(bench.stream, keep_images=False)
    if run.failure is not None:
        return f"it {run.failure}"
    if run.violation is not None:
        return f"{run.named(run.violation.line)}: {run.violation.message}"
    if run.images.first_nonfinite is not None:
        frame, line = run.images.first_nonfinite
        return f"{run.named(line)}: an image of frame {frame} has pixels that are not finite"
    missing = np.flatnonzero(~run.images.shown)
    if len(missing):
        line = int(run.schedule.completing[missing[0]])
        count = f"{len(missing)} of {len(run.images.shown)}"
        return f"{run.named(line)}: no image came ({count})"
    claimed = run.images.last_line - run.schedule.completing
    if (claimed != 0).any():
        frame = int(np.argmax(claimed != 0))
        return f"frame {frame}: it says that its newest is {run.named(int(run.images.last_line[frame]))}"
    return None


def _determinism(bench: Bench) -> str | None:
    frame = _differing(bench.base, bench.again, range(SHORT))
    if frame is not None:
        return f"frame {frame}: two fresh reconstructors gave different images of one scan"
    used = bench.build()
    bench.images(bench.altered(np.arange(len(bench.short)), "before"), used)
    frame = _differing(bench.base, bench.images(bench.short, used), range(SHORT))
    return None if frame is None else f"frame {frame}: opened again, it remembers the scan before"


def _causality(bench: Bench) -> str | None:
    if _differing(bench.base, bench.again, range(SHORT)) is not None:
        return "cannot be told: its images are not the same from run to run"
    per_frame = bench.short.header.lines_per_frame
    for cut in (1, SHORT // 2, SHORT - 1):
        later = np.arange(cut * per_frame, len(bench.short))
        frame = _differing(bench.base, bench.images(bench.altered(later, "causality", cut)), range(cut))
        if frame is not None:
            return f"frame {frame} changed when {bench.base.named(int(later[0]))} and later ones did"
    return None


def _consumption(bench: Bench) -> str | None:
    per_frame, frame = bench.short.header.lines_per_frame, SHORT // 2
    first = frame * per_frame
    inner = bench.rng("consumption").permutation(np.arange(first + 1, first + max(per_frame - 1, 1)))
    lines = sorted({first, first + per_frame - 1, *inner[: PROBED_LINES - 2].tolist()})
    for line in lines:
        changed = bench.images(bench.altered(np.array([line]), "consumption", line))
        if _differing(bench.base, changed, range(frame, frame + 1)) is None:
            return f"{bench.base.named(line)}: the image of its frame is the same whatever it holds"
    return None


def _under_load(bench: Bench) -> str | None:
    loaded = bench.stream.first_frames(min(bench.stream.frames, LOADED))
    still = bench.images(loaded)
    runs: dict[str, tuple[Clock, Schedule]] = {
        "at its pace": (RealClock(), Schedule.of(loaded)),
        "as fast as possible": (RealClock(), burst_schedule(loaded)),
    }
    for how, (clock, schedule) in runs.items():
        run = bench.play(loaded, clock=clock, schedule=schedule)
        frame = _differing(still, run, range(loaded.frames))
        if frame is not None:
            line = int(schedule.completing[frame])
            return f"{run.named(line)}: played {how}, it shows another image than in lockstep"
    return None


def _caching(bench: Bench) -> str | None:
    other = bench.altered(np.arange(len(bench.short)), "caching")
    run = bench.images(other)
    for frame in range(SHORT):
        both = bench.base.images.shown[frame] and run.images.shown[frame]
        if both and _differing(bench.base, run, range(frame, frame + 1)) is None:
            return f"frame {frame}: another scan with the same header shows the image of the one before"
    times = ""
    for attempt in range(CACHE_TRIES):
        # A memory shows in every attempt; a busy host does not.
        known_ns = _service_ns(bench, bench.short)
        new_ns = _service_ns(bench, bench.disturbed("never seen", attempt))
        if new_ns <= CACHE_FLOOR_NS or known_ns >= CACHE_SHARE * new_ns:
            return None
        times = f"takes {known_ns / 1e3:.0f} us an image, a new one {new_ns / 1e3:.0f} us"
    return f"a scan that it has seen {times}"


def _service_ns(bench: Bench, stream: Stream) -> float:
    """Return the median time of the pushes that complete an image, nanoseconds; 0 if there was none."""
    probe = TimingProbe(bench.build())
    bench.images(stream, probe)
    per_frame = stream.header.lines_per_frame
    took_ns = probe.took_ns[per_frame - 1 :: per_frame]
    return float(np.median(took_ns)) if took_ns else 0.0


def _input(bench: Bench) -> str | None:
    probe = WriteProbe(bench.build())
    bench.images(bench.short, probe)
    if probe.written is None:
        return None
    return f"{bench.base.named(probe.written)}: its samples were written into"


def _memory(bench: Bench) -> str | None:
    lines = len(bench.stream)
    probe = MemoryProbe(bench.build(), lines)
    started_here = not tracemalloc.is_tracing()
    if started_here:
        tracemalloc.start()
    try:
        run = bench.play(bench.stream, probe, keep_images=False)
    finally:
        if started_here:
            tracemalloc.stop()
    if len(probe.weights) < 2:
        return f"cannot be told: it stopped at {run.named(run.handed)}"
    (traced, resident), (traced_end, resident_end) = probe.weights
    half = lines - lines // 2
    grown, resident_grown = traced_end - traced, resident_end - resident
    if grown > MEMORY_SLACK_BYTES + MEMORY_LINE_BYTES * half:
        return (
            f"k-space lines {lines // 2} to {lines}: {grown >> 10} KiB more, {grown / half:.0f} bytes a line"
        )
    if resident_grown > RESIDENT_SLACK_BYTES:
        return f"k-space lines {lines // 2} to {lines}: the process grew by {resident_grown >> 20} MiB"
    return None


def _recovery(bench: Bench) -> str | None:
    per_frame = bench.stream.header.lines_per_frame
    stream = bench.stream.first_frames(min(bench.stream.frames, 4 * SHORT))
    schedule = Schedule.of(stream)
    clean = bench.images(stream)
    bad = SHORT // 2 * per_frame + per_frame // 2
    for kind in ("nan", "drop"):
        text = f"{kind}:at={bad}"
        feed = apply_faults(Feed.of(stream, schedule), parse_faults(text), bench.seed)
        run = bench.play(stream, schedule=schedule, feed=feed)
        broken = check_invariants(Evidence(feed, run, clean), [kind])
        if broken:
            return f"{text}: {broken[0]}"
    return None


# Each audit returns what it found, or None.
AUDITS: dict[str, Callable[[Bench], str | None]] = {
    "conformance": _conformance,
    "determinism": _determinism,
    "causality": _causality,
    "consumption": _consumption,
    "accuracy under load": _under_load,
    "no caching": _caching,
    "no write into the input": _input,
    "flat memory": _memory,
    "recovery after a bad line": _recovery,
}

_EXAMINED = {
    "conformance": "every frame has one finite image, of its own last line",
    "determinism": "two fresh ones and one opened again agree bit for bit",
    "causality": f"later lines were changed after frames 1, {SHORT // 2} and {SHORT - 1}",
    "consumption": f"{PROBED_LINES} lines of a frame were changed one by one, first and last among them",
    "accuracy under load": "at its pace and as fast as possible it shows what it shows in lockstep",
    "no caching": "another scan has other images, and one seen before takes as long",
    "no write into the input": "every line was compared after its push and until its frame's end",
    "flat memory": "probe in the middle and at the end of the scan",
    "recovery after a bad line": "a NaN and a lost line were put in; then every row was taken anew",
}

_EXAMINED_FROM_OUTSIDE = {
    "no write into the input": "in a process of its own it has a copy only",
    "flat memory": f"its process grew by less than {RESIDENT_SLACK_BYTES >> 20} MiB; smaller is not seen",
}


def _examined(audit: str, isolated: bool) -> str:
    """Return what an audit examines; less can be observed of a candidate in a process of its own."""
    return (_EXAMINED_FROM_OUTSIDE if isolated else _EXAMINED).get(audit, _EXAMINED[audit])
