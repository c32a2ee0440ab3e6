"""Intervals by a block bootstrap over breaths.

Neighbouring frames are correlated, so whole breaths are resampled, not single frames (Kuensch 1989,
10.1214/aos/1176347265). The intervals are percentile intervals of 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measure.exact_statistics import CONFIDENCE, _bisect

COVERAGE = 0.95
RESAMPLES = 1000
# Fewer breaths do not show how breaths differ.
MIN_BREATHS = 4

Interval = tuple[float, float]


def draw_blocks(count: int, rng: np.random.Generator, resamples: int = RESAMPLES) -> NDArray[np.int64]:
    """Draw blocks with replacement.

    Parameters
    ----------
    count
        Number of blocks.
    rng
        Source of the draws.
    resamples
        Number of resamples.

    Returns
    -------
    counts
        How often each block is in each resample, shape (resamples, count), int64.
    """
    return rng.multinomial(count, np.full(count, 1 / count), size=resamples)


def interval_of(statistics: NDArray[np.float64]) -> Interval | None:
    """Return the central 95 % of the statistics of a bootstrap.

    Parameters
    ----------
    statistics
        One value for each resample, shape (resamples,), float64.

    Returns
    -------
    interval
        None if a value is not finite.
    """
    if not np.isfinite(statistics).all():
        return None
    low, high = np.quantile(statistics, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)


def bootstrap(
    values: NDArray[np.float64],
    blocks: NDArray[np.int64],
    statistic: Callable[[NDArray[np.float64]], float],
    rng: np.random.Generator,
) -> Interval | None:
    """Return the bootstrap interval of a statistic over frames.

    Parameters
    ----------
    values
        One value for each frame, shape (n,), float64.
    blocks
        Breath of each frame, shape (n,), int64, from 0.
    statistic
        Function of the values of a resample.
    rng
        Source of the draws.

    Returns
    -------
    interval
        None for fewer than `MIN_BREATHS` breaths, or if the statistic is not finite.
    """
    members = [values[blocks == b] for b in np.unique(blocks)]
    if len(members) < MIN_BREATHS:
        return None
    draws = rng.integers(len(members), size=(RESAMPLES, len(members)))
    return interval_of(np.array([statistic(np.concatenate([members[b] for b in draw])) for draw in draws]))


MARGIN_BREATHS = 12
CAUTION = 2.0
BREATHS_PER_COSINE = 3
MIN_BREATHS_OF_SHARE = {0.5: 6, 0.95: 12, 0.99: 128}


@lru_cache(maxsize=256)
def t_quantile(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t, by its finite sum for whole degrees of freedom.

    Parameters
    ----------
    probability
        Between 0.5 and 1.
    freedom
        Degrees of freedom, 1 or more.

    Notes
    -----
    Abramowitz and Stegun 1964, 26.7.3 and 26.7.4.
    """

    def central(angle: float) -> float:
        """Return P(|T| <= t), where t is the tangent of an angle times the root of the freedom."""
        sine, cosine = math.sin(angle), math.cos(angle)
        odd = freedom % 2
        term = total = cosine if odd else 1.0
        for k in range(2 + odd, freedom, 2):
            term *= (k - 1) / k * cosine**2
            total += term
        if not odd:
            return sine * total
        return 2 / math.pi * (angle + (sine * total if freedom > 1 else 0.0))

    share = _bisect(lambda x: central(x * math.pi / 2) < 2 * probability - 1)
    return math.sqrt(freedom) * math.tan(share * math.pi / 2)


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
    A bound is infinite where time with a lost target cannot be told from the share that may be lost. Too few
    breaths say nothing: 0, infinite, infinite.
    """

    low_m: float
    high_m: float
    upper_m: float


def mean_interval(values: NDArray[np.float64], blocks: NDArray[np.int64]) -> Interval | None:
    """Return the interval of a mean over frames.

    Parameters
    ----------
    values
        One value for each frame, shape (n,), float64.
    blocks
        Breath of each frame, shape (n,), int64.

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
    return around(mean, (sums - mean * lengths) * len(numbers) / lengths.sum())


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
        95 %; None for fewer than `MIN_BREATHS` breaths, or if a value is not finite.

    Notes
    -----
    Quenouille 1956, 10.1093/biomet/43.3-4.353.
    """
    if len(without) < MIN_BREATHS or not (math.isfinite(whole) and np.isfinite(without).all()):
        return None
    return around(whole, (len(without) - 1) * (without.mean() - without))


def around(value: float, deviations: NDArray[np.float64]) -> Interval:
    """Return the 95 % interval around a value, given by how much each breath pulls it.

    Parameters
    ----------
    value
        The value.
    deviations
        Deviation of each breath, of which the value is the mean; shape (breaths,), float64.
    """
    error, freedom = standard_error(deviations)
    half = t_quantile((1 + COVERAGE) / 2, freedom) * float(error)
    return value - half, value + half


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
        Of the margin in the long run; None for too few breaths.
    """
    found = _quantile_bounds(errors_m, blocks, share)
    return None if found is None else MarginBounds(*found)


def _quantile_bounds(
    values: NDArray[np.float64], blocks: NDArray[np.int64], share: float
) -> tuple[float, float, float] | None:
    """Return the two-sided 95 % bounds of a quantile and its one-sided 99 % upper bound.

    The share of time beyond a radius is a mean over breaths. A radius is within the bounds unless that share
    differs from 1 - `share` by more than its error; shares are compared by their log odds, since they are
    skewed.
    """
    numbers, blocks = np.unique(blocks, return_inverse=True)
    least = min_breaths(share)
    if least is None or len(numbers) < least:
        return None
    order = np.argsort(values, kind="stable")
    radii, owner = values[order], blocks[order]
    last = np.flatnonzero(np.append(radii[1:] != radii[:-1], True))  # of equal values
    radii = radii[last]
    lengths = np.bincount(blocks).astype(np.float64)
    within = np.zeros((len(numbers), len(values)))
    within[owner, np.arange(len(values))] = 1
    beyond = lengths - np.cumsum(within, axis=1)[:, last].T  # (radii, breaths)
    z, freedom = excess(beyond, lengths, 1 - share)
    two_sided, one_sided = (t_quantile(p, freedom) for p in ((1 + COVERAGE) / 2, CONFIDENCE))
    low, high, upper = (_first(radii, z <= limit) for limit in (two_sided, -two_sided, -one_sided))
    return low, high, upper


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
