"""Several candidates on several streams, side by side: an order in each measure, no score that hides a trade.

Images are measured in lockstep: exact, and the same every time. Time is measured at TR, in turns (`timing`).
The images that a candidate shows at TR are held against those of lockstep, so that both are of one thing, and
what is on display at each instant follows from both (`on_display`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.candidates.build import candidate_builder
from harness.candidates.objects import Given, name_of
from harness.candidates.seen import check_seen
from harness.comparison.on_display import Row, compare_displays, displays_of
from harness.comparison.order import (
    BY_NAME,
    OF_TARGET,
    ON_DISPLAY,
    TIMED,
    Difference,
    of_intervals,
    paired,
)
from harness.comparison.plan import ComparisonPlan
from harness.comparison.result import Comparison, Measured, first_broken, pooled_lag
from harness.comparison.scans import load_scan, segments
from harness.comparison.series import compare_series
from harness.comparison.single_pass import Ground, Pass, play
from harness.comparison.timing import Times, interleave
from harness.console import Report
from harness.measure.image_quality import Quality, judge_frames
from harness.measure.timing import default_warmup
from harness.realtime.copies import OneProcess
from harness.workers import executors
from harness.workers.remote import UNTIMED, check_shared_file, send
from mrsim.argument_types import checked
from mrsim.errors import Option, OptionError
from mrsim.seeds import check_seed
from mrsim.stream import Stream

Task = tuple[Given, Stream | str | Path, tuple[int, ...]]
"""Candidate, stream, and the frames whose pixels are handed back."""


@checked
@OneProcess()
def compare(
    candidates: Sequence[Given],
    on: Stream | str | Path | Sequence[Stream | str | Path],
    *,
    frames: int | None = None,
    lockstep: bool = False,
    repeat: int = 3,
    segment_s: float = 5.0,
    seed: int = 0,
    isolate: bool = False,
    limit_s: float | None = None,
    allow_seen: bool = False,
    cluster: str | None = None,
    progress: Report | None = None,
) -> Comparison:
    """Set candidates side by side on streams.

    Parameters
    ----------
    candidates
        2 to 16 of them, as for `harness.replay`.
    on
        A stream with truth, or the folder of one, or up to 256 of them.
    frames
        Only so many first frames of each stream; None for all.
    lockstep
        Whether to leave time out: images alone, in virtual time, in which computing takes none.
    repeat
        Rounds of replays at TR.
    segment_s
        Candidates take turns after so much of a scan, seconds.
    seed
        Seed of who plays when.
    isolate
        Whether candidates run in processes of their own.
    limit_s
        Limit, seconds: for one line in a process of its own, else for one replay.
    allow_seen
        Whether candidates may be judged on lines that they were made from.
    cluster
        Address of a Dask scheduler, such as tcp://127.0.0.1:8786, whose workers play in lockstep; None for
        this process.
    progress
        Told how much is done.

    Raises
    ------
    InputError
        If a number is out of its range, a stream or a candidate is not usable, or the cluster cannot do it.
    MissingExtraError
        If scikit-image is not installed.
    """
    if isinstance(candidates, str) or not isinstance(candidates, Sequence):
        raise OptionError("{}: expected a list of 2 to 16", Option("candidates"))
    check_seed(seed)
    on = [on] if isinstance(on, Stream | str | Path) else list(on)
    named = tuple(map(name_of, candidates)), tuple(map(_path_of, on))
    plan = ComparisonPlan(*named, frames, lockstep, repeat, segment_s, seed, isolate, limit_s)
    if cluster is not None and not lockstep:
        raise OptionError("{}: add {}: {}", Option("cluster"), Option("lockstep", True), UNTIMED)
    if cluster is not None and isolate:
        raise OptionError(
            "{} and {}: a worker starts no processes; give one of the two",
            Option("cluster"),
            Option("isolate"),
        )
    if cluster is not None and not all(isinstance(one, str | Path) for one in (*candidates, *on)):
        raise OptionError("{}: workers take candidates and streams by name", Option("cluster"))
    scans = tuple(load_scan(scan, plan.frames) for scan in on)
    overlaps = tuple(
        check_seen(given, scan, allow=allow_seen) for given, scan in itertools.product(candidates, scans)
    )
    builders = [candidate_builder(given, isolate, limit_s, (), seed) for given in candidates]
    tell = progress or (lambda done, total, now="": None)
    tasks, workers = _tasks(plan, candidates, on, scans), None
    if cluster is None:
        passes = _passes(plan, map(partial(lockstep_pass, plan), tasks), tell)
    else:
        with executors.engine(cluster=cluster) as engine:
            for path in plan.streams:
                check_shared_file(engine, Path(path) / "header.json")
            passes = _passes(plan, send(engine, partial(lockstep_pass, plan), tasks), tell)
        workers = engine.workers
    times = None
    if not lockstep and not any(map(first_broken, passes)):
        images = [
            {(s, f): pixels for s, one in enumerate(row) for f, pixels in one.pixels.items()}
            for row in passes
        ]
        times = interleave(plan, scans, builders, images, tell)
    quality = tuple(tuple(_quality(scans[s], one) for s, one in enumerate(row)) for row in passes)
    displays: tuple[Row, ...] | None = None
    if plan.lockstep or (times is not None and not times.reason and not times.broken):
        displays = displays_of(scans, [[one.emissions for one in row] for row in passes], times)
    found = Measured(scans, passes, times, quality, displays)
    differences = {
        two: {name: _difference(name, two, found) for name in plan.measures}
        for two in itertools.combinations(range(len(plan.candidates)), 2)
    }
    return Comparison(plan, *found, differences, workers, overlaps)


def _path_of(scan: Stream | str | Path) -> str:
    return str(scan.path or "stream") if isinstance(scan, Stream) else str(scan)


def _tasks(
    plan: ComparisonPlan,
    candidates: Sequence[Given],
    on: Sequence[Stream | str | Path],
    scans: Sequence[Stream],
) -> list[Task]:
    """Return each candidate on each stream; one that is named twice is played twice."""
    first = {part.stream: part.frames for part in reversed(segments(scans, plan.segment_s))}
    return [
        (given, scan, () if plan.lockstep else tuple(sorted({0, first[s] // 2, first[s] - 1})))
        for given, (s, scan) in itertools.product(candidates, enumerate(on))
    ]


def lockstep_pass(plan: ComparisonPlan, task: Task) -> Pass:
    """Play a stream to a fresh candidate in virtual time, nothing ever late, and judge its images.

    It is exact and the same every time. Where both are given by name, an executor can send it elsewhere.

    Parameters
    ----------
    plan
        How it is played.
    task
        Candidate, stream, and the frames whose pixels are handed back, too.

    Raises
    ------
    InputError
        If the stream or the candidate is not usable, or an image is not one.
    MissingExtraError
        If scikit-image is not installed.
    """
    given, scan, kept = task
    stream = load_scan(scan, plan.frames)
    ground = Ground(stream, default_warmup(stream.frames), stream.frames)
    candidate = candidate_builder(given, plan.isolate, plan.limit_s, (), plan.seed)()
    return play(ground, candidate, name_of(given), service_ms=0.0, kept=kept)


def _passes(plan: ComparisonPlan, coming: Iterable[Pass], tell: Report) -> tuple[tuple[Pass, ...], ...]:
    """Gather the passes as they come, a row for each candidate."""
    found: list[Pass] = []
    width = len(plan.streams)
    for one in coming:
        found.append(one)
        tell(len(found), len(plan.candidates) * width, "lockstep")
    return tuple(tuple(found[i : i + width]) for i in range(0, len(found), width))


def _quality(stream: Stream, one: Pass) -> Quality | None:
    """Return the measures of one candidate's images; in lockstep each is shown when its last line is due."""
    if not len(one.series):
        return None
    due_ns = (one.series.frame + 1) * stream.header.frame_ns
    return judge_frames(stream, one.series.frame, due_ns, list(one.scores), combination=one.combination)


def _difference(name: str, two: tuple[int, int], found: Measured) -> Difference:
    measure = BY_NAME[name]
    with_target = found.with_target
    if name in OF_TARGET and not with_target:
        return Difference(None, None, "none", "the target is in no frame of these streams")
    if name in ON_DISPLAY:
        if found.displays is None:
            return Difference(None, None, "undecided", "no valid time was measured")
        one, other = (found.displays[i] for i in two)
        return compare_displays(name, one, other)
    if name == "lag_ms":
        (first, low), (second, high) = (pooled_lag([found.quality[i][s] for s in with_target]) for i in two)
        return of_intervals(measure, first, second, low, high)
    if name in TIMED:
        times = found.times
        if times is None or times.reason or times.broken:
            return Difference(None, None, "undecided", "no valid time was measured")
        return paired(measure, *timed_pairs(name, times, two), "block")
    judged = with_target if name in OF_TARGET else range(len(found.streams))
    mine, others = ([found.passes[i][s].series for s in judged] for i in two)
    return compare_series(name, mine, others)


def timed_pairs(
    name: str, times: Times, two: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return two candidates' values of the same images of the same blocks, shape (n, 2), and the blocks.

    Parameters
    ----------
    name
        "missed", or "response_ms": nanoseconds then.
    times
        Replays at TR.
    two
        Numbers of the candidates.
    """
    pairs, blocks = [], []
    for number, block in enumerate(times.blocks):
        if name == "missed":
            both = block.missed[list(two)].T.astype(np.float64)
        else:
            response = block.response_ns[list(two)].T
            both = np.maximum(response[(response >= 0).all(axis=1)], 1).astype(np.float64)
        pairs.append(both)
        blocks.append(np.full(len(both), number, np.int64))
    return np.concatenate(pairs), np.concatenate(blocks)
