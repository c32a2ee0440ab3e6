"""Shares of time, and their intervals over whole breaths.

A share is one sum over breaths over another. Its error is that of the mean of what each breath has above the
share (Cochran 1977, Sampling Techniques, chapter 6).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.measure.intervals import COVERAGE, MIN_BREATHS, Interval, around


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
    """
    breaths, total = len(whole), float(np.sum(whole))
    if breaths < MIN_BREATHS or int((np.asarray(whole) > 0).sum()) < MIN_BREATHS:
        return None
    share = float(np.sum(part)) / total
    low, high = around(share, (part - share * whole) * breaths / total, confidence)
    return max(low, 0.0), min(high, highest)
