"""Intervals by whole breaths, whose coverage has been simulated.

Neighbouring frames resemble each other, so breaths are counted, not frames. Neighbouring breaths resemble
each other, too. So the variance is read off the slower half of the cosines of the series of breaths
(equal-weighted cosines: Lazarus et al. 2018, 10.1080/07350015.2018.1506926), and doubled: where neighbours
have a correlation of one half, the slower half sees about half of it. A quarter more is added, since breaths
are few and skewed. Student's t has as many degrees of freedom as there are cosines. Nothing is drawn by
chance.

What the intervals cover is in `docs/intervals.md`, made by `scripts/simulate_intervals.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measure.exact_statistics import CONFIDENCE, nearest_rank, t_quantile

COVERAGE = 0.95
BREATHS_PER_COSINE = 2
CAUTION = 2.5  # factor of the variance
# The fewest breaths that carry an interval, as simulated: of means and the like, of M95, and of quantiles up
# to a share. Fewer do not show how breaths differ.
MIN_BREATHS = 4
MARGIN_BREATHS = 12
MIN_BREATHS_OF_SHARE = {0.5: MIN_BREATHS, 0.95: MARGIN_BREATHS, 0.99: 128}
# The bounds of a quantile are sought first where what lies beyond is at most so many times the allowed share.
NEAR = 8

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class MarginBounds:
    """Hold what the breaths of a scan say about a margin in the long run, metres.

    Parameters
    ----------
    low_m, high_m
        Two-sided interval of 95 %.
    upper_m
        One-sided bound of 99 %: what a PASS needs.

    Notes
    -----
    A bound is infinite if the target is lost for so long that the share that may lie beyond can be lost.
    """

    low_m: float
    high_m: float
    upper_m: float


def mean_interval(
    values: NDArray[np.float64], blocks: NDArray[np.int64], least: float = -math.inf, most: float = math.inf
) -> Interval | None:
    """Return the interval of a mean over frames.

    Parameters
    ----------
    values
        One value for each frame, shape (n,), float64.
    blocks
        Breath of each frame, shape (n,), int64.
    least, most
        What no value can be below or above, and so no mean.

    Returns
    -------
    interval
        95 %; None for fewer than `MIN_BREATHS` breaths, or if a value is not finite.
    """
    numbers, blocks = np.unique(blocks, return_inverse=True)
    if len(numbers) < MIN_BREATHS or not np.isfinite(values).all():
        return None
    sums, lengths = np.bincount(blocks, weights=values), np.bincount(blocks)
    mean = float(sums.sum() / lengths.sum())
    low, high = around(mean, (sums - mean * lengths) * len(numbers) / lengths.sum())
    return max(low, least), min(high, most)


def statistic_interval(
    values: NDArray[Any], blocks: NDArray[np.int64], statistic: Callable[[NDArray[Any]], float]
) -> Interval | None:
    """Return the interval of any smooth statistic over frames: by leaving out one breath at a time.

    Parameters
    ----------
    values
        One value, or row of values, for each frame, shape (n, ...).
    blocks
        Breath of each frame, shape (n,), int64.
    statistic
        Function of the values.

    Returns
    -------
    interval
        95 %; None for fewer than `MIN_BREATHS` breaths, or if the statistic is not finite.
    """
    numbers = np.unique(blocks)
    if len(numbers) < MIN_BREATHS:
        return None
    whole = float(statistic(values))
    without = np.array([statistic(values[blocks != number]) for number in numbers], np.float64)
    return jackknife_interval(whole, without)


def jackknife_interval(whole: float, without: NDArray[np.float64]) -> Interval | None:
    """Return the interval of a statistic, given what it is without each breath.

    Parameters
    ----------
    whole
        The statistic of all breaths.
    without
        The statistic of all breaths but one, shape (breaths,), float64.

    Returns
    -------
    interval
        None for fewer than `MIN_BREATHS` breaths, or if a value is not finite.

    Notes
    -----
    Quenouille 1956, 10.1093/biomet/43.3-4.353.
    """
    if len(without) < MIN_BREATHS or not (math.isfinite(whole) and np.isfinite(without).all()):
        return None
    return around(whole, (len(without) - 1) * (without.mean() - without))


def around(value: float, deviations: NDArray[np.float64], coverage: float = COVERAGE) -> Interval:
    """Return the interval around a value, given by how much each breath pulls it.

    Parameters
    ----------
    value
        The value.
    deviations
        By how much each breath would have it otherwise, 0 in the mean; shape (breaths,), float64.
    coverage
        How often it is to hold what is true, two-sided.
    """
    error, freedom = standard_error(deviations)
    half = t_quantile((1 + coverage) / 2, freedom) * float(error)
    return value - half, value + half


def share_interval(
    part: NDArray[np.float64],
    whole: NDArray[np.float64],
    confidence: float = COVERAGE,
    highest: float = 1.0,
) -> Interval | None:
    """Return the interval of a share that is summed over breaths.

    Parameters
    ----------
    part, whole
        What each breath adds to the two sums, shape (breaths,), in the order of time.
    confidence
        Probability that the interval holds the share, two-sided.
    highest
        Greatest value that the share can have; the least is 0.

    Returns
    -------
    interval
        None for fewer than `MIN_BREATHS` breaths, or if the whole is of fewer: those show no difference.

    References
    ----------
    Cochran 1977, Sampling Techniques, chapter 6: the error of a share is that of the mean of what each breath
    has above it.
    """
    breaths, total = len(whole), float(np.sum(whole))
    if breaths < MIN_BREATHS or int((np.asarray(whole) > 0).sum()) < MIN_BREATHS:
        return None
    share = float(np.sum(part)) / total
    low, high = around(share, (part - share * whole) * breaths / total, confidence)
    return max(low, 0.0), min(high, highest)


def standard_error(deviations: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """Return the standard error of the mean of a series of breaths that resemble their neighbours.

    Parameters
    ----------
    deviations
        Deviation of each breath from the mean, shape (..., breaths), float64.

    Returns
    -------
    error
        Shape (...), float64.
    freedom
        Its degrees of freedom.
    """
    count = deviations.shape[-1]
    freedom = max(1, count // BREATHS_PER_COSINE)
    angles = np.pi * np.outer(np.arange(count) + 0.5, np.arange(1, freedom + 1)) / count
    # einsum, not BLAS: BLAS threads would wait for each other longer than such small sums take.
    waves = np.einsum("...b,bj->...j", deviations, np.cos(angles) * math.sqrt(2 / count))
    error: NDArray[np.float64] = np.sqrt(CAUTION * np.mean(waves**2, axis=-1) / count)
    return error, freedom


def min_breaths(share: float) -> int | None:
    """Return the fewest breaths that carry an interval of a quantile; None where no number does.

    Parameters
    ----------
    share
        Share of the values that the quantile is to reach.
    """
    return next((least for most, least in MIN_BREATHS_OF_SHARE.items() if share <= most), None)


def quantile_interval(
    values: NDArray[np.float64], blocks: NDArray[np.int64], share: float
) -> Interval | None:
    """Return the interval of a quantile over frames.

    Parameters
    ----------
    values
        One value for each frame, shape (n,), float64; may be infinite.
    blocks
        Breath of each frame, shape (n,), int64.
    share
        Share of the values that the quantile is to reach.

    Returns
    -------
    interval
        95 %; the upper bound may be infinite. None for fewer breaths than `min_breaths`.
    """
    found = _quantile_bounds(values, blocks, share)
    return None if found is None else found[:2]


def margin_interval(
    errors_m: NDArray[np.float64], blocks: NDArray[np.int64], share: float = 0.95
) -> MarginBounds | None:
    """Return what a scan says about the margin within which the error stays for a share of the time.

    Parameters
    ----------
    errors_m
        Error at each TR, shape (n,), float64, metres; infinite where the target is lost.
    blocks
        Breath of each TR, shape (n,), int64.
    share
        Share of the time: 0.95 for M95, 0.99 for M99.

    Returns
    -------
    bounds
        Of the margin in the long run; None for fewer breaths than `min_breaths` (of M95: `MARGIN_BREATHS`).
    """
    found = _quantile_bounds(errors_m, blocks, share)
    return None if found is None else MarginBounds(*found)


def _quantile_bounds(
    values: NDArray[np.float64], blocks: NDArray[np.int64], share: float
) -> tuple[float, float, float] | None:
    """Return the two-sided 95 % bounds of a quantile and its one-sided 99 % upper bound.

    The share of the values beyond a radius is a mean over breaths. From the quantile of the sample on,
    outwards, the first radius is a bound at which that share differs from 1 - `share` by more than its error.
    """
    numbers, blocks = np.unique(blocks, return_inverse=True)
    least = min_breaths(share)
    if least is None or len(numbers) < least:
        return None
    count, allowed = len(values), 1 - share
    order = np.argsort(values, kind="stable")
    radii, owner = values[order], blocks[order]
    quantile = nearest_rank(values, share)
    lengths = np.bincount(blocks).astype(np.float64)
    for start in (max(0, math.floor(count * (1 - NEAR * allowed))), 0):
        part, members = radii[start:], owner[start:]
        within = np.zeros((len(part), len(numbers)))
        within[np.arange(len(part)), members] = 1
        last = np.flatnonzero(np.append(part[1:] != part[:-1], True))  # of equal values
        beyond = (within.sum(axis=0) - np.cumsum(within, axis=0))[last]
        part = part[last]
        z, freedom = excess(beyond, lengths, allowed)
        two_sided, one_sided = (t_quantile(p, freedom) for p in ((1 + COVERAGE) / 2, CONFIDENCE))
        at = int(np.searchsorted(part, quantile))
        below = np.flatnonzero(z[:at] > two_sided)
        if len(below):
            break
    low = part[below[-1] + 1] if len(below) else part[0]
    high, upper = (_first(part[at:], z[at:] < -limit) for limit in (two_sided, one_sided))
    return float(low), high, upper


def _first(radii: NDArray[np.float64], chosen: NDArray[np.bool_]) -> float:
    return float(radii[np.argmax(chosen)]) if chosen.any() else math.inf


def excess(
    beyond: NDArray[np.float64], lengths: NDArray[np.float64], allowed: float
) -> tuple[NDArray[np.float64], int]:
    """Return by how many standard errors the time beyond a radius exceeds what is allowed.

    Parameters
    ----------
    beyond
        Time that each breath spends beyond it, shape (..., breaths), float64.
    lengths
        Length of each breath in the same unit, shape (..., breaths) or (breaths,), float64.
    allowed
        Share of the time that is allowed.

    Returns
    -------
    z
        Difference of the log odds over its standard error, shape (...), float64; infinite where no time, or
        all of it, is beyond.
    freedom
        Degrees of freedom of the error.
    """
    total = lengths.sum(axis=-1)
    share = beyond.sum(axis=-1) / total
    deviations = beyond - share[..., None] * lengths
    error, freedom = standard_error(deviations * (lengths.shape[-1] / total)[..., None])
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = np.log(share / (1 - share)) - math.log(allowed / (1 - allowed))
        z = np.where(odds == 0, 0.0, odds * share * (1 - share) / error)
    z = np.where(share <= 0, -np.inf, np.where(share >= 1, np.inf, z))
    return z, freedom
