"""A comparison: what was measured, who is ahead of whom, and both as JSON values."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.candidates.seen import Overlap
from harness.comparison.on_display import LOCKSTEP, TIMED, Row, figure_of
from harness.comparison.order import (
    BY_NAME,
    HEADINGS,
    OF_TARGET,
    ON_DISPLAY,
    Difference,
    order_in_words,
    ranks,
    shown,
)
from harness.comparison.plan import ComparisonPlan
from harness.comparison.single_pass import Pass
from harness.comparison.timing import Times
from harness.judge.misses import Misses
from harness.judge.outcome import Outcome, Verdict
from harness.judge.result import quality_json
from harness.measure.exact_statistics import nearest_rank, samples_needed, summarise
from harness.measure.image_quality import Quality
from harness.measure.intervals import Interval
from harness.realtime import environment
from mrsim.stream import Stream
from mrsim.summary import Summarised, counted

SCHEMA = "mrsim-compare/2"
SHOWN = 4  # candidates, with their figures, where a comparison is printed


class Measured(NamedTuple):
    """Hold what was measured; a row a candidate, a column a stream (see `Comparison`)."""

    streams: tuple[Stream, ...]
    passes: tuple[tuple[Pass, ...], ...]
    times: Times | None
    quality: tuple[tuple[Quality | None, ...], ...]
    displays: tuple[Row, ...] | None

    @property
    def with_target(self) -> list[int]:
        """Return the numbers of the streams in which there is a target."""
        return [s for s, stream in enumerate(self.streams) if stream.truth and stream.truth.mask.any()]


@dataclass(frozen=True, repr=False)
class Comparison(Summarised):
    """Hold what was measured, and who is ahead of whom.

    Parameters
    ----------
    plan
        What was compared.
    streams
        The scans.
    passes
        What each candidate (row) shows of each stream in lockstep.
    times
        Replays at TR; None in lockstep.
    quality
        Of each candidate (row) on each stream; None where no image came.
    displays
        What each candidate (row) has on display of each stream; None where no valid time was measured.
    differences
        For each two candidates, lower number first, by measure.
    workers
        Number of shared workers that played in lockstep; None where this process did.
    overlaps
        Whether each candidate was made from lines of each scan, as far as it says.
    """

    plan: ComparisonPlan
    streams: tuple[Stream, ...]
    passes: tuple[tuple[Pass, ...], ...]
    times: Times | None
    quality: tuple[tuple[Quality | None, ...], ...]
    displays: tuple[Row, ...] | None
    differences: dict[tuple[int, int], dict[str, Difference]]
    workers: int | None = None
    overlaps: tuple[Overlap, ...] = ()

    @property
    def measured(self) -> Measured:
        """Return what was measured."""
        return Measured(self.streams, self.passes, self.times, self.quality, self.displays)

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        names = self.plan.names
        facts = [("verdict", f"{self.verdict.outcome.name}: {self.verdict.reason}")]
        for index, name in enumerate(names[:SHOWN]):
            found = self.figures(index).items()
            texts = [f"{HEADINGS[measure]} {shown(measure, value)}" for measure, value in found]
            facts.append((name, ", ".join(texts)))
        if len(names) > SHOWN:
            facts.append(("...", counted(len(names) - SHOWN, "more candidate")))
        for measure in ("m95_mm", "nmse"):
            if order := self.order(measure):
                facts.append((f"by {HEADINGS[measure]}", order))
        return f"Comparison of {len(names)} candidates on {counted(len(self.streams), 'stream')}", facts

    def rank(self, measure: str) -> list[int] | None:
        """Return the candidates' ranks in a measure, shared where level; None where there is no order."""
        if self.unordered(measure):
            return None

        def ahead(one: int, other: int) -> bool:
            difference = self.differences[min(one, other), max(one, other)][measure]
            return (difference.standing if one < other else difference.reversed_standing) == "ahead"

        return ranks(len(self.plan.candidates), ahead)

    def order(self, measure: str) -> str | None:
        """Return the candidates in their order in a measure, best first; None where a pair is undecided."""
        rank = self.rank(measure)
        return None if rank is None else order_in_words(self.plan.names, rank)

    def unordered(self, measure: str) -> str:
        """Return why there is no order in a measure; empty where there is one."""
        names = self.plan.names
        for (a, b), found in self.differences.items():
            if found[measure].standing in ("undecided", "none"):
                return f"{names[a]} and {names[b]}: {found[measure].note}"
        return ""

    @property
    def verdict(self) -> Verdict:
        """Return INVALID, FAIL of what breaks off or shows nothing, INSUFFICIENT of few blocks, or PASS."""
        names, times = self.plan.names, self.times
        broken = {i: reason for i, row in enumerate(self.passes) if (reason := first_broken(row))}
        if times is not None:
            broken |= times.broken
            if times.reason:
                return Verdict(Outcome.INVALID, times.reason)
        if broken:
            index = min(broken)
            return Verdict(Outcome.FAIL, f"{names[index]}: {broken[index]}")
        for name, row in zip(names, self.passes, strict=True):
            telling, expected = sum(one.telling for one in row), sum(one.expected for one in row)
            if telling < expected / 2:
                said = f"shows something in {telling} of {counted(expected, 'image')}, half is the least"
                return Verdict(Outcome.FAIL, f"{name}: {said}")
        if times is not None and times.other_images:
            index, where = min(times.other_images.items())
            other = f"{names[index]} shows another image at TR than in lockstep ({where})"
            return Verdict(Outcome.INVALID, f"{other}: what is it? mrsim audit {self.plan.candidates[index]}")
        open_ = [
            f"{HEADINGS[measure]} of {names[a]} and {names[b]}: {found.note}"
            for (a, b), measures in self.differences.items()
            for measure, found in measures.items()
            if found.standing == "undecided"
        ]
        if open_:
            return Verdict(Outcome.INSUFFICIENT, open_[0])
        ordered = [name for name in self.plan.measures if not self.unordered(name)]
        return Verdict(
            Outcome.PASS,
            f"{len(names)} candidates, ordered in {counted(len(ordered), 'measure')}; an order is no verdict "
            "on any of them: mrsim replay",
        )

    def figures(self, candidate: int) -> dict[str, float | None]:
        """Return a candidate's figure in each measure over all streams; None where samples carry none."""
        found: dict[str, float | None] = {}
        if self.times is not None:
            missed = self._missed(candidate)
            found["response_ms"] = self._response(candidate)["p50"]
            found["missed"] = missed.misses / missed.images if missed.images else None
        for name in ON_DISPLAY:
            found[name] = None if self.displays is None else figure_of(name, self.displays[candidate])
        for name in ("nmse", "dice"):
            values = self._values(candidate, name)
            found[name] = float(values.mean()) if len(values) else None
        with_target = self.measured.with_target
        found["lag_ms"] = pooled_lag([self.quality[candidate][s] for s in with_target])[0]
        errors = self._values(candidate, "centroid_mm")
        p95 = float(nearest_rank(errors, 0.95)) if len(errors) >= samples_needed(0.95) else np.inf
        found["centroid_mm"] = p95 if np.isfinite(p95) else None
        return found

    @property
    def ruler(self) -> dict[str, float | None]:
        """Return what the judge finds in the noise-free truth itself, by measure: its own error.

        Of several streams Dice and lag are means, and of the p95 it is the greatest.
        """
        told = [
            next((q.ruler for q in column if q is not None), None)
            for column in zip(*self.quality, strict=True)
        ]
        rulers = [one for one in told if one is not None]
        if not rulers:
            return {}
        images = [one.images for one in rulers]
        lags = [None if one.lag.tau_ns is None else one.lag.tau_ns / 1e6 for one in rulers]
        p95_mm = max(one.p95_m for one in rulers) * 1e3
        return {
            "dice": float(np.average([one.dice for one in rulers], weights=images)),
            "lag_ms": None if None in lags else float(np.mean([lag for lag in lags if lag is not None])),
            "centroid_mm": p95_mm if np.isfinite(p95_mm) else None,
        }

    @property
    def nmse_full(self) -> dict[str, float]:
        """Return the mean NMSE of fully sampled images, by how they combine coils; nothing without noise."""
        found: dict[str, list[float]] = {}
        for row in self.quality:
            for one in row:
                if one is not None and one.nmse_full is not None:
                    found.setdefault(one.combination, []).append(one.nmse_full)
        return {combination: float(np.mean(values)) for combination, values in found.items()}

    def _values(self, candidate: int, measure: str) -> NDArray[np.float64]:
        judged = self.measured.with_target if measure in OF_TARGET else range(len(self.streams))
        chosen = [self.passes[candidate][s].series.values(measure) for s in judged]
        values: NDArray[np.float64] = np.concatenate([np.empty(0), *chosen])
        known: NDArray[np.float64] = values[~np.isnan(values)]  # a tracker has no image
        return known

    def _missed(self, candidate: int) -> Misses:
        assert self.times is not None
        return Misses.of([block.missed[candidate] for block in self.times.blocks])

    def _response(self, candidate: int) -> dict[str, Any]:
        assert self.times is not None
        blocks = [block.response_ns[candidate] for block in self.times.blocks]
        all_ns = np.concatenate([np.empty(0, np.int64), *blocks])
        summary = summarise(all_ns[all_ns >= 0])
        values = {key: getattr(summary, key) for key in ("p50", "p95", "p99", "max")}
        return {**{k: None if v is None else v / 1e6 for k, v in values.items()}, "count": summary.count}

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        plan, times, verdict = self.plan, self.times, self.verdict
        names = plan.names
        return {
            "schema": SCHEMA,
            "verdict": verdict.outcome.name,
            "reason": verdict.reason,
            "plan": dataclasses.asdict(plan),
            "overlaps": [one.to_json() for one in self.overlaps],
            "candidates": [self._candidate(i) for i in range(len(names))],
            "order": {name: self.order(name) for name in plan.measures},
            "computing": LOCKSTEP if plan.lockstep else TIMED,
            "ruler": self.ruler,
            "nmse_full": self.nmse_full,
            "measures": {
                name: {"about": BY_NAME[name].about, "level_within": list(BY_NAME[name].bounds)}
                for name in plan.measures
            },
            "pairs": [
                {
                    "first": names[a],
                    "second": names[b],
                    "measures": {n: d.to_json() for n, d in found.items()},
                }
                for (a, b), found in self.differences.items()
            ],
            "blocks": None
            if times is None
            else {
                "planned": times.planned,
                "count": len(times.blocks),
                "spoiled": list(times.spoiled),
                "played_again": times.again,
                "order": [[names[i] for i in block.order] for block in times.blocks],
            },
            "streams": [
                {"path": path, "frames": stream.frames, "header": stream.header.to_dict()}
                for path, stream in zip(plan.streams, self.streams, strict=True)
            ],
            # In lockstep nothing depends on the host, so it is not named: the same gives the same bytes.
            "environment": None if times is None else environment.describe(),
        }

    def _candidate(self, index: int) -> dict[str, Any]:
        ranked = {name: self.rank(name) for name in self.plan.measures}
        nothing: Row = [None] * len(self.streams)
        shown_of = nothing if self.displays is None else self.displays[index]
        rows = zip(self.plan.streams, self.passes[index], self.quality[index], shown_of, strict=True)
        values: dict[str, Any] = {
            "name": self.plan.names[index],
            "candidate": self.plan.candidates[index],
            "figures": self.figures(index),
            "ranks": {name: None if rank is None else rank[index] for name, rank in ranked.items()},
            "streams": [
                {
                    "path": path,
                    "images": len(one.series),
                    "expected": one.expected,
                    "on_display": None if on_display is None else on_display.to_json(),
                    "quality": None if quality is None else quality_json(quality),
                }
                for path, one, quality, on_display in rows
            ],
        }
        if self.times is not None:
            missed = self._missed(index)
            values["response_ms"] = self._response(index)
            values["deadline"] = {
                "images": missed.images,
                "misses": missed.misses,
                "miss_share_interval": list(missed.interval),
            }
        return values


def first_broken(row: Sequence[Pass]) -> str:
    """Return what a candidate did first that no candidate may; empty where it did nothing of the kind."""
    return next((one.broken for one in row if one.broken), "")


def pooled_lag(row: Sequence[Quality | None]) -> tuple[float | None, Interval | None]:
    """Return the lag over some streams, ms, with an interval no narrower than theirs together."""
    if not row:
        return None, None
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
