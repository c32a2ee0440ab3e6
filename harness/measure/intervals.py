"""Intervals by a block bootstrap over breaths.

Neighbouring frames are correlated, so whole breaths are resampled, not single frames (Kuensch 1989,
10.1214/aos/1176347265). The intervals are percentile intervals of 95 %.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

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


class MarginBounds:  # TO BE REPLACED
    low_m: float
    high_m: float
    upper_m: float


def margin_interval(errors_m, blocks, share=0.95):  # TO BE REPLACED
    return None
