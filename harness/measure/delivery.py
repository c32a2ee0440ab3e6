"""Delivery: what a beam would have done with the target that was on display.

Everything is told at each TR: where the target was on display, whether the reconstructor said hold, and where
the target truly was. A value holds until the next TR. A machine's delays shift the edges of its gate, to the
nanosecond.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measure.beam import Beam
from harness.measure.intervals import COVERAGE, Interval, share_interval
from mrsim.errors import InputError

PLAN_NS = 20_000_000_000
"""Length of the first part of the truth that the planned position is taken from, nanoseconds."""
PLAN_POINTS = 200

Points = NDArray[np.float64]
Flags = NDArray[np.bool_]
Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """Hold what a beam would have done.

    Parameters
    ----------
    beam
        The beam.
    planned_m
        Where it aims (x, y), metres; None if it follows the target.
    duty
        Share of the time for which the beam was on.
    ideal_duty
        The same for a beam without delay or error: the share of the time for which the target was in the
        window, and 1 where there is no window.
    coverage
        Share of the beam's time for which the target was within the margin of where it aimed; None if the
        beam was never on.
    stray_share
        Share of the beam's time for which the target was outside the window, or outside the margin where
        there is no window; None if the beam was never on.
    stray_longest_ns
        Longest time without a break for which the beam was on and the target so outside, nanoseconds.
    missed_share
        Share of the time with the target in the window (of all time, where there is no window) for which the
        beam was off; None if the target was never there.
    error_m
        Where the beam aimed less where the target was, at each TR, shape (n, 2), float64, metres. NaN before
        the leaves have a target, and then the beam is off.
    on_share
        Share of each TR for which the beam was on, shape (n,), float64.
    """

    beam: Beam
    planned_m: tuple[float, float] | None
    duty: float
    ideal_duty: float
    coverage: float | None
    stray_share: float | None
    stray_longest_ns: int
    missed_share: float | None
    error_m: Points
    on_share: NDArray[np.float64]

    @property
    def duty_of_ideal(self) -> float | None:
        """Return the duty over that of a beam without delay or error; None if that one was never on."""
        return self.duty / self.ideal_duty if self.ideal_duty else None

    @property
    def ideal_on_share(self) -> NDArray[np.float64]:
        """Return the same share, 0 or 1, of a beam that is on where the window truly holds the target."""
        return _in_window(self.beam, self.error_m).astype(np.float64)

    @property
    def treatment_time_factor(self) -> float | None:
        """Return how much longer a treatment takes than with a beam that is always on; None for ever."""
        return 1 / self.duty if self.duty else None

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON values, in millimetres and milliseconds."""
        return {
            "beam": self.beam.name,
            "kind": self.beam.kind,
            "planned_mm": None if self.planned_m is None else [axis * 1e3 for axis in self.planned_m],
            "duty": self.duty,
            "ideal_duty": self.ideal_duty,
            "duty_of_ideal": self.duty_of_ideal,
            "coverage": self.coverage,
            "stray_share": self.stray_share,
            "stray_longest_ms": self.stray_longest_ns / 1e6,
            "missed_share": self.missed_share,
            "treatment_time_factor": self.treatment_time_factor,
        }


def deliver(
    beam: Beam,
    shown_m: Points,
    held: Flags,
    true_m: Points,
    tr_ns: int,
    planned_m: tuple[float, float] | None = None,
) -> Delivery:
    """Run a beam along a scan.

    Before the first TR the beam is off. A beam that is `end_to_end` goes by the truth in place of the
    display, and by no hold: it is the published machine as it is, without the reconstructor.

    Parameters
    ----------
    beam
        The beam.
    shown_m
        Centre (x, y) of the target on display at each TR, shape (n, 2), metres; NaN where none is shown.
    held
        Whether the reconstructor says hold, at each TR, shape (n,), bool: then the beam is to be off. A beam
        of kind "none" takes no notice.
    true_m
        Where the target truly is at each TR, shape (n, 2), metres.
    tr_ns
        TR, nanoseconds.
    planned_m
        Where a beam that stands still aims (x, y), metres. None for a place taken from the first 20 s of the
        truth (all of it, if shorter), as a planning scan would give it: for gating, the point whose window
        holds the target longest; for "none", the mean.

    Returns
    -------
    delivery
        The figures are exact for values that hold until the next TR.

    Raises
    ------
    InputError
        If the shapes do not agree, there is no time, or the truth is not finite.
    """
    shown, true = np.asarray(shown_m, np.float64), np.asarray(true_m, np.float64)
    held, lines = np.asarray(held, np.bool_), len(true)
    shapes = (shown.shape, held.shape, true.shape)
    if not lines or shapes != ((lines, 2), (lines,), (lines, 2)) or tr_ns < 1:
        told = ", ".join(str(shape) for shape in shapes)
        raise InputError(
            f"beam {beam.name!r}: shapes {told}, TR {tr_ns} ns: expected (n, 2), (n,), (n, 2), and at least 1"
        )
    unknown = ~np.isfinite(true).all(axis=1)
    if unknown.any():
        raise InputError(
            f"beam {beam.name!r}: k-space line {int(np.argmax(unknown))}: the truth is not finite"
        )
    if beam.end_to_end:
        shown, held = true, np.zeros(lines, np.bool_)
    seen = np.isfinite(shown).all(axis=1) & ~held
    plan = None
    if beam.kind != "tracking":
        plan = (
            _planned(beam, true, tr_ns) if planned_m is None else (float(planned_m[0]), float(planned_m[1]))
        )
    if plan is None:
        aim, following = _followed(beam, shown, seen, tr_ns)
        on = _spans(following, tr_ns)
    else:
        aim = np.broadcast_to(np.asarray(plan, np.float64), true.shape)
        on = _gate(beam, seen & _in_window(beam, shown - aim), tr_ns)
    error = aim - true
    inside, covered, outside = _kept(beam, error)
    on_ns = _overlap_ns(on, tr_ns, lines)
    beam_ns, inside_ns = int(on_ns.sum()), int(inside.sum()) * tr_ns
    return Delivery(
        beam=beam,
        planned_m=plan,
        duty=beam_ns / (lines * tr_ns),
        ideal_duty=inside_ns / (lines * tr_ns),
        coverage=int(on_ns[covered].sum()) / beam_ns if beam_ns else None,
        stray_share=int(on_ns[outside].sum()) / beam_ns if beam_ns else None,
        stray_longest_ns=_longest_ns(on, _spans(outside, tr_ns)),
        missed_share=1 - int(on_ns[inside].sum()) / inside_ns if inside_ns else None,
        error_m=error,
        on_share=on_ns / tr_ns,
    )


def delivery_intervals(
    delivery: Delivery, blocks: Times, confidence: float = COVERAGE
) -> dict[str, Interval | None]:
    """Return the intervals of a delivery's shares over whole breaths.

    Parameters
    ----------
    delivery
        What the beam did.
    blocks
        Breath of each TR, shape (n,), int64, from 0 in the order of time.
    confidence
        Probability of each interval, two-sided.

    Returns
    -------
    intervals
        By the name of the figure; None for too few breaths, or if there is nothing that it is a share of.
    """
    on = delivery.on_share
    inside, covered, outside = _kept(delivery.beam, delivery.error_m)

    def interval(part: Points, whole: Points, highest: float = 1.0) -> Interval | None:
        sums = [np.bincount(blocks, term).astype(np.float64) for term in (part, whole)]
        return share_interval(sums[0], sums[1], confidence, highest)

    window = inside.astype(np.float64)
    return {
        "duty": interval(on, np.ones(len(on))),
        "duty_of_ideal": interval(on, window, math.inf),
        "coverage": interval(on * covered, on),
        "stray_share": interval(on * outside, on),
        "missed_share": interval(window * (1 - on), window),
    }


def _kept(beam: Beam, error_m: Points) -> tuple[Flags, Flags, Flags]:
    """Return where the target is in the window, is covered, and is where no beam should be."""
    inside, covered = _in_window(beam, error_m), _near(error_m, beam.margin_mm)
    return inside, covered, ~inside if beam.kind == "gating" else ~covered


def _near(away_m: Points, radius_mm: float) -> Flags:
    near: Flags = np.hypot(*away_m.T) <= radius_mm * 1e-3  # false for NaN
    return near


def _in_window(beam: Beam, away_m: Points) -> Flags:
    """Return where the target is in the window, so far from the plan; everywhere if there is none."""
    return np.ones(len(away_m), np.bool_) if beam.window_mm is None else _near(away_m, beam.window_mm)


def _planned(beam: Beam, true: Points, tr_ns: int) -> tuple[float, float]:
    """Return where a beam that stands still is planned to aim."""
    path = true[: max(1, PLAN_NS // tr_ns)]
    best = path.mean(axis=0)
    if beam.window_mm is not None:
        # Tried are the means of the cells, a quarter of the window wide, in which the path dwells most.
        cells = np.floor((path - path.min(axis=0)) / (beam.window_mm * 0.25e-3)).astype(np.int64)
        _, cell, count = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
        sums = np.stack([np.bincount(cell.ravel(), axis) for axis in path.T], axis=1)
        points = (sums / count[:, None])[np.argsort(-count, kind="stable")[:PLAN_POINTS]]
        best = points[np.argmax([_near(path - point, beam.window_mm).sum() for point in points])]
    return float(best[0]), float(best[1])


def _gate(beam: Beam, command: Flags, tr_ns: int) -> Times:
    """Return when a beam that stands still is on, shape (k, 2), nanoseconds."""
    total_ns = len(command) * tr_ns
    if beam.on_ms is None or beam.off_ms is None:
        return np.array([[0, total_ns]], np.int64)
    spans = _spans(command, tr_ns)
    starts = np.clip(spans[:, 0] + round(beam.on_ms * 1e6), 0, total_ns)
    # What is on at the end of the scan has not been told to go off.
    told_off = np.clip(spans[:, 1] + round(beam.off_ms * 1e6), 0, total_ns)
    ends = np.where(spans[:, 1] == total_ns, total_ns, told_off)
    # Pulses that are too short for the delays vanish, and so do gaps.
    starts, ends = starts[ends > starts], ends[ends > starts]
    if not len(starts):
        return np.empty((0, 2), np.int64)
    apart = starts[1:] > ends[:-1]  # both ascend, so a pulse can only touch the one before
    return np.stack([starts[np.r_[True, apart]], ends[np.r_[apart, True]]], axis=1)


def _followed(beam: Beam, shown: Points, seen: Flags, tr_ns: int) -> tuple[Points, Flags]:
    """Return where the leaves are at each TR, shape (n, 2), and whether they have a target to follow."""
    # A position reaches the leaves with the first TR that is not before it.
    late = min(len(shown), -(-round((beam.delay_ms or 0.0) * 1e6) // tr_ns))
    command = np.full(shown.shape, np.nan)
    command[late:] = np.where(seen[:, None], shown, np.nan)[: len(shown) - late]
    following = np.isfinite(command[:, 0])
    if not following.any():
        return command, following
    first = int(np.argmax(following))
    # Without a command the leaves stay where they are; they begin at the first.
    latest = np.maximum.accumulate(np.where(following, np.arange(len(command)), first))
    goal = command[latest]
    if beam.leaf_mm_s is None:
        return goal, following
    return _limited(goal, following, beam.leaf_mm_s * 1e-3 * tr_ns * 1e-9), following


def _limited(goal: Points, following: Flags, step_m: float) -> Points:
    """Return where leaves are that begin at a goal and come nearer to it by at most one step a TR."""
    aim = goal.copy()
    jumps = np.flatnonzero(np.hypot(*np.diff(goal, axis=0).T) > step_m) + 1
    at = 0
    while (leap := int(np.searchsorted(jumps, at))) < len(jumps):
        at = int(jumps[leap])  # up to here they have kept up
        (x, y), behind = aim[at - 1].tolist(), True
        while behind and at < len(goal):
            to_x, to_y = goal[at].tolist()
            away = math.hypot(to_x - x, to_y - y)
            behind = away > step_m or not following[at]
            if following[at]:
                share = step_m / away if behind else 1.0
                x, y = x + (to_x - x) * share, y + (to_y - y) * share
            aim[at] = (x, y) if behind else (to_x, to_y)
            at += 1
    return aim


def _spans(flags: Flags, tr_ns: int) -> Times:
    """Return the times for which flags hold without a break, shape (k, 2), nanoseconds."""
    edges: Times = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0])))) * tr_ns
    return edges.reshape(-1, 2)


def _overlap_ns(spans: Times, tr_ns: int, lines: int) -> Times:
    """Return for how long spans overlap with each TR, shape (lines,), nanoseconds."""
    if not len(spans):
        return np.zeros(lines, np.int64)
    at = np.arange(lines + 1, dtype=np.int64) * tr_ns
    ended = np.concatenate(([0], np.cumsum(spans[:, 1] - spans[:, 0])))
    begun = np.searchsorted(spans[:, 0], at, side="right")
    until = ended[begun] - np.where(begun > 0, np.maximum(spans[begun - 1, 1] - at, 0), 0)
    return np.diff(until)


def _longest_ns(first: Times, second: Times) -> int:
    """Return the longest time for which both of two lists of spans hold without a break, nanoseconds."""
    if not len(first) or not len(second):
        return 0
    edges = np.unique(np.concatenate([first.ravel(), second.ravel()]))
    both = np.ones(len(edges) - 1, np.bool_)
    for spans in (first, second):
        begun = np.searchsorted(spans[:, 0], edges[:-1], side="right")
        both &= (begun > 0) & (edges[:-1] < spans[begun - 1, 1])
    return int(np.diff(edges)[both].max(initial=0))
