"""Several candidates on several streams, side by side: an order in each measure, no score that hides a trade.

Accuracy is measured in lockstep: exact, and the same every time. Time is measured at TR, in turns
(`compare_timing`). The images that a candidate shows at TR are held against those of lockstep, so that both
are of one thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.candidates.build import candidate_builder
from harness.comparison.accuracy import Accuracy, Mapper, Task, accuracies, load_scan
from harness.comparison.order import BY_NAME, MEASURES, TIMED, Difference, of_intervals, paired, ranks
from harness.comparison.timing import Times, interleave, segments
from harness.console import Report
from harness.judge.verdict import Outcome, Verdict
from harness.measure.bootstrap import Interval, breath_blocks, breath_starts
from harness.measure.image_quality import Quality, judge_frames
from mrsim.errors import InputError
from mrsim.seeds import child
from mrsim.stream import Stream

MIN_CANDIDATES, MAX_CANDIDATES, MAX_STREAMS, MAX_ROUNDS = 2, 16, 256, 100
SEGMENT_RANGE_S = (0.5, 600.0)


@dataclass(frozen=True, slots=True)
class Plan:
    """Say what is compared, on what, and how.

    Parameters
    ----------
    candidates, streams
        Names, and folders.
    frames
        Only so many first frames of each stream; None for all.
    lockstep
        Whether to leave time out.
    repeat, segment_s
        Rounds, and the length of a segment, seconds.
    seed
        Seed of who plays when, and of the intervals.
    isolate, limit_s
        Whether candidates run in processes of their own, and a limit, seconds: for one line there, else for
        one replay.
    """

    candidates: tuple[str, ...]
    streams: tuple[str, ...]
    frames: int | None = None
    lockstep: bool = False
    repeat: int = 3
    segment_s: float = 5.0
    seed: int = 0
    isolate: bool = False
    limit_s: float | None = None

    def __post_init__(self) -> None:
        low, high = SEGMENT_RANGE_S
        checks = [
            (
                MIN_CANDIDATES <= len(self.candidates) <= MAX_CANDIDATES,
                f"{len(self.candidates)} candidates: expected {MIN_CANDIDATES} to {MAX_CANDIDATES}",
            ),
            (
                1 <= len(self.streams) <= MAX_STREAMS,
                f"{len(self.streams)} streams: expected 1 to {MAX_STREAMS}",
            ),
            (1 <= self.repeat <= MAX_ROUNDS, f"--repeat {self.repeat}: expected 1 to {MAX_ROUNDS}"),
            (low <= self.segment_s <= high, f"--segment-s {self.segment_s}: expected {low} to {high:g} s"),
            (
                self.limit_s is None or 0 < self.limit_s <= 86_400,
                f"--limit-s {self.limit_s}: expected seconds, above 0 to 86400",
            ),
        ]
        for holds, message in checks:
            if not holds:
                raise InputError(message)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the candidates' names; one that stands there twice is numbered."""
        seen: dict[str, int] = {}
        names = []
        for candidate in self.candidates:
            seen[candidate] = seen.get(candidate, 0) + 1
            names.append(candidate if seen[candidate] == 1 else f"{candidate} ({seen[candidate]})")
        return tuple(names)

    @property
    def measures(self) -> tuple[str, ...]:
        """Return the names of the measures that are taken."""
        return tuple(m.name for m in MEASURES if not (self.lockstep and m.name in TIMED))


@dataclass(frozen=True)
class Comparison:
    """Hold what was measured, and who is ahead of whom.

    Parameters
    ----------
    plan
        What was compared.
    streams
        The scans.
    accuracy
        Of each candidate (row) on each stream.
    times
        Replays at TR; None in lockstep.
    quality
        Of each candidate (row) on each stream; None where no image came.
    differences
        For each two candidates, lower number first, by measure.
    """

    plan: Plan
    streams: tuple[Stream, ...]
    accuracy: tuple[tuple[Accuracy, ...], ...]
    times: Times | None
    quality: tuple[tuple[Quality | None, ...], ...]
    differences: dict[tuple[int, int], dict[str, Difference]]

    def rank(self, measure: str) -> list[int] | None:
        """Return the candidates' ranks in a measure, shared where level; None where a pair is undecided."""
        if any(found[measure].standing == "undecided" for found in self.differences.values()):
            return None

        def ahead(one: int, other: int) -> bool:
            difference = self.differences[min(one, other), max(one, other)][measure]
            return (difference.standing if one < other else difference.reversed_standing) == "ahead"

        return ranks(len(self.plan.candidates), ahead)

    @property
    def verdict(self) -> Verdict:
        """Return INVALID, FAIL where a candidate broke off, INSUFFICIENT of too few blocks, or PASS."""
        names, times = self.plan.names, self.times
        broken = {i: row_broken for i, row in enumerate(self.accuracy) for row_broken in _broken(row)}
        if times is not None:
            broken |= times.broken
            if times.reason:
                return Verdict(Outcome.INVALID, times.reason)
        if broken:
            index = min(broken)
            return Verdict(Outcome.FAIL, f"{names[index]}: {broken[index]}")
        if times is not None and times.other_images:
            index, where = min(times.other_images.items())
            told = f"{names[index]} shows another image at TR than in lockstep ({where})"
            return Verdict(Outcome.INVALID, f"{told}: what is it? mrsim audit {self.plan.candidates[index]}")
        open_ = [
            f"{measure} of {names[a]} and {names[b]}: {found.note}"
            for (a, b), measures in self.differences.items()
            for measure, found in measures.items()
            if found.standing == "undecided"
        ]
        if open_:
            return Verdict(Outcome.INSUFFICIENT, f"{open_[0]}; take longer streams, more of them or --repeat")
        return Verdict(
            Outcome.PASS, f"{len(names)} candidates, ordered in {len(self.plan.measures)} measures"
        )


def _broken(row: Sequence[Accuracy]) -> list[str]:
    return [one.broken for one in row if one.broken][:1]


def compare(plan: Plan, mapper: Mapper = map, progress: Report | None = None) -> Comparison:
    """Compare.

    Parameters
    ----------
    plan
        What, on what, and how.
    mapper
        Does the lockstep part, such as `concurrent.futures.Executor.map`.
    progress
        Told how much is done.

    Raises
    ------
    InputError
        If a stream or a candidate is not usable.
    MissingExtraError
        If scikit-image is not installed.
    """
    scans = tuple(load_scan(path, plan.frames) for path in plan.streams)
    builders = [
        candidate_builder(name, plan.isolate, plan.limit_s, (), plan.seed) for name in plan.candidates
    ]
    parts = segments(scans, plan.segment_s)  # refuses a scan that is too short before anything runs
    tell = progress or (lambda done, total, now="": None)
    accuracy = _accuracy(plan, [next(p.frames for p in parts if p.stream == s) for s in range(len(scans))],
                         mapper, tell)  # fmt: skip
    times = None
    if not plan.lockstep and not any(_broken(row) for row in accuracy):
        kept = [
            {(s, frame): pixels for s, one in enumerate(row) for frame, pixels in one.kept.items()}
            for row in accuracy
        ]
        times = interleave(
            scans,
            list(zip(plan.candidates, builders, strict=True)),
            kept,
            repeat=plan.repeat,
            segment_s=plan.segment_s,
            seed=plan.seed,
            limit_ns=None if plan.limit_s is None or plan.isolate else round(plan.limit_s * 1e9),
            progress=tell,
        )
    quality = tuple(tuple(_quality(plan, scans[s], one, s) for s, one in enumerate(row)) for row in accuracy)
    count = len(plan.candidates)
    differences = {
        (a, b): {
            name: _difference(plan, name, a, b, scans, accuracy, times, quality) for name in plan.measures
        }
        for a in range(count)
        for b in range(a + 1, count)
    }
    return Comparison(plan, scans, accuracy, times, quality, differences)


def _accuracy(
    plan: Plan, first_frames: list[int], mapper: Mapper, tell: Report
) -> tuple[tuple[Accuracy, ...], ...]:
    """Return the accuracy of each candidate on each stream; one that is named twice is played twice."""
    tasks = []
    for candidate in plan.candidates:
        for stream, frames in zip(plan.streams, first_frames, strict=True):
            kept = () if plan.lockstep else tuple(sorted({0, frames // 2, frames - 1}))
            tasks.append(Task(candidate, stream, plan.frames, kept, plan.isolate, plan.limit_s, plan.seed))
    found = []
    for number, one in enumerate(accuracies(tasks, mapper), 1):
        found.append(one)
        tell(number, len(tasks), "lockstep")
    width = len(plan.streams)
    return tuple(tuple(found[i * width : (i + 1) * width]) for i in range(len(plan.candidates)))


def _quality(plan: Plan, stream: Stream, one: Accuracy, number: int) -> Quality | None:
    """Return the measures of one candidate's images; in lockstep each is shown when its last line is due."""
    if not len(one.frames):
        return None
    due_ns = (one.frames + 1) * stream.header.frame_ns
    # One seed a stream: all candidates draw the same breaths.
    seed = int(child(plan.seed, "compare", "quality", number).generate_state(1)[0])
    return judge_frames(stream, one.frames, due_ns, list(one.scores), seed)


def _difference(
    plan: Plan,
    name: str,
    a: int,
    b: int,
    scans: Sequence[Stream],
    accuracy: Sequence[Sequence[Accuracy]],
    times: Times | None,
    quality: Sequence[Sequence[Quality | None]],
) -> Difference:
    seed, measure = child(plan.seed, "compare", "bootstrap", name), BY_NAME[name]
    if name == "lag_ms":
        (first, one), (second, other) = (pooled_lag(quality[i]) for i in (a, b))
        return of_intervals(measure, first, second, one, other)
    if name in TIMED:
        if times is None or times.reason or times.broken:
            return Difference(None, None, "undecided", "no valid time was measured")
        return paired(measure, *_timed_pairs(name, times, a, b), seed)
    return paired(measure, *_image_pairs(name, scans, accuracy, quality, a, b), seed)


def _timed_pairs(name: str, times: Times, a: int, b: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return both candidates' values of the same images of the same blocks, and the blocks."""
    pairs, blocks = [], []
    for number, block in enumerate(times.blocks):
        if name == "missed":
            both = block.missed[[a, b]].T.astype(np.float64)
        else:
            response = block.response_ns[[a, b]].T
            both = np.maximum(response[(response >= 0).all(axis=1)], 1).astype(np.float64)
        pairs.append(both)
        blocks.append(np.full(len(both), number, np.int64))
    return np.concatenate(pairs), np.concatenate(blocks)


def _image_pairs(
    name: str,
    scans: Sequence[Stream],
    accuracy: Sequence[Sequence[Accuracy]],
    quality: Sequence[Sequence[Quality | None]],
    a: int,
    b: int,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return both candidates' values of the same frames, and the breath of each, numbered through."""
    pairs, blocks, offset = [np.empty((0, 2))], [np.empty(0, np.int64)], 0
    for number, stream in enumerate(scans):
        assert stream.truth is not None
        one, other = accuracy[a][number], accuracy[b][number]
        _, first, second = np.intersect1d(one.frames, other.frames, return_indices=True)
        columns = [
            _values(name, stream, quality[i][number], chosen) for i, chosen in ((a, first), (b, second))
        ]
        both = np.stack(columns, axis=1)
        t_ns = np.asarray(stream.t_ns)[(one.frames[first] + 1) * stream.header.lines_per_frame - 1]
        breaths = breath_blocks(t_ns, breath_starts(stream.truth, stream.header))
        pairs.append(both)
        blocks.append(breaths + offset)
        offset += int(breaths.max()) + 1 if len(breaths) else 0
    return np.concatenate(pairs), np.concatenate(blocks)


def _values(
    name: str, stream: Stream, quality: Quality | None, chosen: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return one candidate's value of each chosen frame, shape (n,)."""
    if quality is None:
        return np.empty(0)
    if name == "centroid_mm":
        return errors_mm(stream, quality, chosen)
    column: NDArray[np.float64] = getattr(quality, name)[chosen]
    return column


def errors_mm(stream: Stream, quality: Quality, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the centroid errors of chosen images against the truth at their last line, mm.

    Parameters
    ----------
    stream, quality
        The scan with its truth, and the measures of a candidate's images of it.
    chosen
        Rows of the measures, shape (n,), int64.

    Returns
    -------
    errors
        Shape (n,); infinite where no target was found.
    """
    assert stream.truth is not None
    last = (quality.frames[chosen] + 1) * stream.header.lines_per_frame - 1
    errors = 1e3 * np.hypot(*(quality.centroid_m[chosen] - stream.truth.centroid[last]).T)
    return np.where(np.isnan(errors), np.inf, errors)


def pooled_lag(row: Sequence[Quality | None]) -> tuple[float | None, Interval | None]:
    """Return the lag over all streams, ms, with an interval no narrower than theirs together."""
    lags = [None if q is None else q.lag for q in row]
    values = [None if lag is None else lag.claimed_ns for lag in lags]
    if any(value is None for value in values):
        return None, None
    intervals = [lag.interval_ns for lag in lags if lag is not None and lag.interval_ns is not None]
    mean = float(np.mean([v for v in values if v is not None])) / 1e6
    if len(intervals) < len(lags):
        return mean, None
    low, high = (float(np.mean([i[side] for i in intervals])) / 1e6 for side in (0, 1))
    return mean, (low, high)
