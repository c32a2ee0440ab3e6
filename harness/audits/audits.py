"""Audits: what a reconstructor must not do, found by playing it scans that differ in one thing only.

Images alone do not show whether a reconstructor looks ahead, leaves lines out or remembers the answer. Each
audit plays scans whose images must be equal (or must differ), bit for bit, and states the line, the frame and
the seed of its finding. It also states how much it saw: a comparison of nothing shows nothing, and whoever
shows too little does not pass. Everything is seeded, and all audits but those of load and memory run in
virtual time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harness.audits import memory
from harness.audits.bench import FRAMES, SHORT, Bench, differing
from harness.audits.course import Course
from harness.audits.dependence import audit_dependence
from harness.audits.finding import AuditReport, Finding, Seen, State
from harness.audits.invariants import Evidence, check_invariants, recovered
from harness.audits.memory import audit_memory
from harness.audits.probes import TimingProbe, WriteProbe
from harness.audits.reach import audit_causality, audit_consumption
from harness.console import Report
from harness.realtime.clock import Clock, RealClock
from harness.realtime.faults import apply_faults, parse_faults
from harness.realtime.feed import Feed
from harness.realtime.run import Run
from harness.realtime.scenarios import burst_schedule
from harness.realtime.schedule import Schedule
from mrsim.errors import InputError
from mrsim.stream import Stream
from recon.protocol import Builder

LOADED = 16
# A scan is remembered if its second play takes less than this share of the time of a slightly different one.
CACHE_SHARE, CACHE_FLOOR_NS, CACHE_TRIES = 1 / 3, 50_000, 4
# Images that are compared after a fault: at least two for each of the two kinds.
RECOVERED = 4


def audit_candidate(
    stream: Stream, build: Builder, candidate: str, seed: int = 0, progress: Report | None = None
) -> AuditReport:
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
    progress
        Told how far it is, and which audit runs.

    Raises
    ------
    InputError
        If the scan is too short, or the candidate refuses it.
    """
    if stream.frames < SHORT:
        raise InputError(f"{stream.path or 'stream'}: {stream.frames} frames, an audit takes {SHORT} or more")
    stream = stream.first_frames(min(stream.frames, FRAMES))
    stream.check_finite()
    course = Course(
        progress, stream.frames, stream.header.lines_per_frame, SHORT, memory.FRAMES, memory.LIMIT_S
    )
    bench = Bench(stream, build, seed, played=course.note)
    findings = []
    for audit, check in AUDITS.items():
        course.begin(audit)
        before = len(bench.raised)
        seen = check(bench)
        if seen.state is State.KEPT:
            evidence = f"{_examined(audit, bench.isolated)} ({seen.told})"
            findings.append(Finding(audit, seen.state, evidence, seen))
        else:  # of the run before all audits, if it did not raise in this one
            raised = bench.raised[before:] or bench.raised
            found = seen.fault or seen.told
            findings.append(Finding(audit, seen.state, found, seen, raised[0] if raised else None))
    course.end()
    return AuditReport(candidate, seed, tuple(findings), bench.isolation)


def _conformance(bench: Bench) -> Seen:
    run = bench.play(bench.stream, keep_images=False)
    return Seen(int(run.images.shown.sum()), SHORT, "images", _breach_of(run))


def _breach_of(run: Run) -> str | None:
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


def _determinism(bench: Bench) -> Seen:
    pairs, what = bench.pairs(bench.base, bench.again), "pairs of images"
    frame = differing(bench.base, bench.again, range(SHORT))
    if frame is not None:
        fault = f"frame {frame}: two fresh reconstructors gave different images of one scan"
        return Seen(pairs, SHORT, what, fault)
    used = bench.build()
    bench.images(bench.altered(np.arange(len(bench.short)), "before"), used)
    reopened = bench.images(bench.short, used)
    frame = differing(bench.base, reopened, range(SHORT))
    remembers = (
        None
        if frame is None
        else f"frame {frame}: opened again, it remembers the scan before; forget it in `open`"
    )
    return Seen(pairs + bench.pairs(bench.base, reopened), SHORT, what, remembers)


def _under_load(bench: Bench) -> Seen:
    loaded = bench.stream.first_frames(min(bench.stream.frames, LOADED))
    still = bench.images(loaded)
    runs: dict[str, tuple[Clock, Schedule]] = {
        "at its pace": (RealClock(), Schedule.of(loaded)),
        "as fast as possible": (RealClock(), burst_schedule(loaded)),
    }
    pairs, what = 0, "pairs of images"
    for how, (clock, schedule) in runs.items():
        run = bench.play(loaded, clock=clock, schedule=schedule)
        pairs += bench.pairs(still, run)
        frame = differing(still, run, range(loaded.frames))
        if frame is not None:
            line = int(schedule.completing[frame])
            fault = f"{run.named(line)}: played {how}, it shows another image than in lockstep"
            return Seen(pairs, SHORT, what, fault)
    return Seen(pairs, SHORT, what)


def _caching(bench: Bench) -> Seen:
    """Play scans that are new from the first line on, from the second, and from the second frame."""
    pairs, what, per_frame = 0, "pairs of images", bench.short.header.lines_per_frame
    for first in dict.fromkeys((0, 1, per_frame)):
        run = bench.images(bench.altered(np.arange(first, len(bench.short)), "caching", first))
        pairs += bench.pairs(bench.base, run)
        both = bench.base.images.shown & run.images.shown
        for frame in range(first // per_frame + (per_frame == 1 and first == 1), SHORT):
            if both[frame] and differing(bench.base, run, range(frame, frame + 1)) is None:
                known = f" and the same first {'line' if first == 1 else 'frame'}" if first else ""
                fault = f"frame {frame}: another scan with the same header{known} shows the image of the one"
                return Seen(pairs, SHORT, what, f"{fault} before")
    times = ""
    for attempt in range(CACHE_TRIES):
        # A memory shows in every attempt; a busy host does not.
        known_ns = _service_ns(bench, bench.short)
        new_ns = _service_ns(bench, bench.disturbed("never seen", attempt))
        if new_ns <= CACHE_FLOOR_NS or known_ns >= CACHE_SHARE * new_ns:
            return Seen(pairs, SHORT, what)
        times = f"takes {known_ns / 1e3:.0f} us an image, a new one {new_ns / 1e3:.0f} us"
    return Seen(pairs, SHORT, what, f"a scan that it has seen {times}")


def _service_ns(bench: Bench, stream: Stream) -> float:
    """Return the median time of the pushes that complete an image, nanoseconds; 0 if there was none."""
    probe = TimingProbe(bench.build())
    bench.images(stream, probe)
    per_frame = stream.header.lines_per_frame
    took_ns = probe.took_ns[per_frame - 1 :: per_frame]
    return float(np.median(took_ns)) if took_ns else 0.0


def _input(bench: Bench) -> Seen:
    probe, per_frame = WriteProbe(bench.build()), bench.short.header.lines_per_frame
    run = bench.images(bench.short, probe)
    written = probe.written
    fault = None if written is None else f"{bench.base.named(written)}: its samples were written into"
    # Lines of frames that show nothing were perhaps not even looked at.
    return Seen(int(bench.telling(run).sum()) * per_frame, SHORT // 2 * per_frame, "lines", fault)


def _recovery(bench: Bench) -> Seen:
    stream = bench.recovering
    schedule, clean = Schedule.of(stream), bench.undisturbed
    compared, what = 0, "images after a fault"
    for kind in ("nan", "drop"):
        text = f"{kind}:at={bench.struck}"
        feed = apply_faults(Feed.of(stream, schedule), parse_faults(text), bench.seed)
        run = bench.play(stream, schedule=schedule, feed=feed)
        evidence = Evidence(feed, run, clean)
        broken = check_invariants(evidence, [kind])
        if broken:
            return Seen(compared, RECOVERED, what, f"{text}: {broken[0]}")
        after = recovered(evidence) & bench.telling(clean) & bench.telling(run)
        compared += int(after[bench.struck // stream.header.lines_per_frame :].sum())
    return Seen(compared, RECOVERED, what)


# Each audit returns what it saw and what was wrong.
AUDITS: dict[str, Callable[[Bench], Seen]] = {
    "conformance": _conformance,
    "determinism": _determinism,
    "causality": audit_causality,
    "consumption": audit_consumption,
    "dependence": audit_dependence,
    "accuracy under load": _under_load,
    "no caching": _caching,
    "no write into the input": _input,
    "flat memory": audit_memory,
    "recovery after a bad line": _recovery,
}

_EXAMINED = {
    "conformance": "every frame has one finite image, of its own last line",
    "determinism": "two fresh ones and one opened again agree bit for bit",
    "causality": "later lines were changed, and none was to be found before it came",
    "consumption": "each line of a frame was changed alone",
    "dependence": "what it shows moved by 10 mm; images followed contrast, other anatomy and a spot",
    "accuracy under load": "at its pace and as fast as possible it shows what it shows in lockstep",
    "no caching": "another scan has other images, and one seen before takes as long",
    "no write into the input": "every line was compared after its push, and to the end of the scan",
    "flat memory": "weighed over the scan, played again and again",
    "recovery after a bad line": "a NaN and a lost line were put in; then every row was taken anew",
}

_EXAMINED_FROM_OUTSIDE = {
    "no write into the input": "in a process of its own it has a copy only",
    "flat memory": "its process was weighed from outside",
}


def _examined(audit: str, isolated: bool) -> str:
    """Return what an audit examines; less can be observed of a candidate in a process of its own."""
    return (_EXAMINED_FROM_OUTSIDE if isolated else _EXAMINED).get(audit, _EXAMINED[audit])
