"""The paired comparison of two cells of one scan: better, worse, or a tie.

Both sides are drawn the same breaths, so that what is hard for both counts for neither. Where the 95 %
interval of the difference holds 0, it is a tie.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.resampling import COVERAGE, MIN_BREATHS, Interval, draw_blocks
from harness.statistics import samples_needed
from harness.table_measures import p95_of
from harness.table_pass import Series

BETTER, WORSE, TIE, UNTOLD = "better", "worse", "tie", "-"
QUANTITIES = ("nmse", "dice", "p95")


@dataclass(frozen=True)
class Difference:
    """Hold the paired comparison of a subject with an opponent.

    Parameters
    ----------
    outcome
        Of the subject, for each of "nmse", "dice" and "p95": better, worse, tie, or "-" where the samples do
        not tell.
    difference, interval
        Subject less opponent, and its interval; p95 in millimetres; None where there is none.
    images
        Images that both have.
    """

    outcome: dict[str, str]
    difference: dict[str, float | None]
    interval: dict[str, Interval | None]
    images: int


def compare(subject: Series, opponent: Series, seed: int) -> Difference:
    """Compare two cells of one scan on the images that both have.

    Parameters
    ----------
    subject, opponent
        What was measured of each image.
    seed
        Seed of the bootstrap.
    """
    one = subject.part(np.isin(subject.frame, opponent.frame))
    other = opponent.part(np.isin(opponent.frame, subject.frame))
    block = np.unique(one.block, return_inverse=True)[1]
    count = int(block.max()) + 1 if len(block) else 0
    outcome: dict[str, str] = dict.fromkeys(QUANTITIES, UNTOLD)
    difference: dict[str, float | None] = dict.fromkeys(outcome)
    interval: dict[str, Interval | None] = dict.fromkeys(outcome)
    if count >= MIN_BREATHS:
        draws = draw_blocks(count, np.random.default_rng(seed))
        for key, sign in (("nmse", 1), ("dice", -1)):
            gap = getattr(one, key) - getattr(other, key)
            sums = np.bincount(block, gap, count)
            sizes = np.bincount(block, minlength=count)
            outcome[key], interval[key] = _outcome((draws @ sums) / (draws @ sizes), sign)
            difference[key] = float(gap.mean())
        errors = [1e3 * s.error_shown_m for s in (one, other)]
        within = ~np.isnan(errors[0]) & ~np.isnan(errors[1])
        if within.sum() >= samples_needed(0.95):
            first, second = (_p95_drawn(e[within], block[within], draws) for e in errors)
            # Where both have lost the target in more than a twentieth, neither is nearer.
            both = np.isinf(first) & np.isinf(second)
            gaps = np.where(both, 0.0, first - np.where(both, 0.0, second))
            outcome["p95"], interval["p95"] = _outcome(gaps, 1)
            whole = [p95_of(e[within]) for e in errors]
            difference["p95"] = whole[0] - whole[1] if np.isfinite(whole).all() else None
    return Difference(outcome, difference, interval, len(one))


def _p95_drawn(
    errors: NDArray[np.float64], block: NDArray[np.int64], draws: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the p95 (nearest rank) of every resample, shape (resamples,)."""
    order = np.argsort(errors, kind="stable")
    ordered, counts = errors[order], draws[:, block[order]]
    below = np.cumsum(counts, axis=1)
    rank = np.ceil(np.round(0.95 * below[:, -1], 9)).astype(np.int64)
    at = np.array([np.searchsorted(row, r) for row, r in zip(below, rank, strict=True)])
    return ordered[np.minimum(at, len(ordered) - 1)]


def _outcome(gaps: NDArray[np.float64], sign: int) -> tuple[str, Interval | None]:
    """Return what an interval of differences says; `sign` is 1 where less is better."""
    ordered = np.sort(gaps)
    low = float(ordered[math.floor((1 - COVERAGE) / 2 * len(ordered))])
    high = float(ordered[math.ceil((1 + COVERAGE) / 2 * len(ordered)) - 1])
    interval = (low, high) if math.isfinite(low) and math.isfinite(high) else None
    if sign * low > 0 and sign * high > 0:
        return WORSE, interval
    if sign * low < 0 and sign * high < 0:
        return BETTER, interval
    return TIE, interval
