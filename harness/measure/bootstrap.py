"""Intervals by a block bootstrap over breaths.

Neighbouring frames are correlated, so whole breaths are resampled, not single frames (Kuensch 1989,
10.1214/aos/1176347265). The intervals are percentile intervals of 95 %.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mrsim.stream import Header, Truth

COVERAGE = 0.95
RESAMPLES = 1000
# Fewer breaths do not show how breaths differ.
MIN_BREATHS = 4

Interval = tuple[float, float]


def breath_starts(truth: Truth, header: Header) -> NDArray[np.int64]:
    """Return the times at which the target passes the middle of its path, once in each breath.

    A pass counts only if the target has been a quarter of its standard deviation to either side, so that
    small movements about the middle make no breaths. A target at rest makes none.

    Parameters
    ----------
    truth
        Truth of the stream.
    header
        The scan's protocol.

    Returns
    -------
    starts
        Time from the start of the scan, shape (passes,), int64, nanoseconds.
    """
    centred = truth.centroid - truth.centroid.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    along = centred @ directions[:, -1]
    band = along.std() / 4
    if not band > 1e-9:  # below a nanometre the target is at rest
        return np.empty(0, np.int64)
    far = np.flatnonzero(np.abs(along) > band)
    rising = far[1:][(along[far[1:]] > 0) & (along[far[:-1]] < 0)].astype(np.int64)
    starts: NDArray[np.int64] = rising * header.tr_ns + header.te_ns
    return starts


def breath_blocks(t_ns: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the breath of each instant.

    A part of less than half a breath at either end is joined to its neighbour.

    Parameters
    ----------
    t_ns
        Instants, ascending, shape (n,), int64, nanoseconds.
    starts
        Starts of breaths, ascending, shape (passes,), int64, nanoseconds.

    Returns
    -------
    blocks
        Shape (n,), int64, from 0 without gaps.
    """
    if len(t_ns) == 0:
        return np.empty(0, np.int64)
    if len(starts) >= 2:
        half = np.median(np.diff(starts)) / 2
        starts = starts[(starts - t_ns[0] >= half) & (t_ns[-1] - starts >= half)]
    numbers = np.searchsorted(starts, t_ns, side="right")
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64)


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
