"""Shares of time, and their intervals over whole breaths.

A share is one sum over breaths over another. Its error is that of the mean of what each breath has above the
share (Cochran 1977, Sampling Techniques, chapter 6). What the beam does at the end of one breath goes on in
the next: so the covariance of neighbours counts, and that of breaths farther apart does not. The factor is
Student's, for so many breaths. The coverage was simulated (`tests/harness/measure/test_shares.py`).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from harness.measure.intervals import COVERAGE, MIN_BREATHS, Interval


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
        None for fewer than `MIN_BREATHS` breaths, or if the whole is nothing.
    """
    breaths, total = len(whole), float(np.sum(whole))
    if breaths < MIN_BREATHS or not total > 0:
        return None
    share = float(np.sum(part)) / total
    above = part - share * whole
    neighbours = max(2 * float(np.sum(above[1:] * above[:-1])), 0.0)  # less than none would be chance
    variance = (float(np.sum(above**2)) + neighbours) * breaths / (breaths - 1)
    half = student_quantile(0.5 + confidence / 2, breaths - 1) * math.sqrt(variance) / total
    return max(share - half, 0.0), min(share + half, highest)


@lru_cache(maxsize=256)
def student_quantile(probability: float, freedom: int) -> float:
    """Return a quantile of Student's distribution, by bisection.

    Parameters
    ----------
    probability
        From 0.5 to below 1.
    freedom
        Degrees of freedom, at least 1.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):  # the angle to 1e-18
        angle = (low + high) / 2
        low, high = (angle, high) if _student(angle, freedom) < probability else (low, angle)
    return math.tan(low) * math.sqrt(freedom)


def _student(angle: float, freedom: int) -> float:
    """Return Student's distribution at sqrt(freedom) tan(angle), summed term by term.

    Abramowitz and Stegun 1964, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    odd = freedom % 2
    term, total = (math.cos(angle) if odd else 1.0), 0.0
    for k in range(1 + odd, freedom, 2):
        total += term
        term *= k / (k + 1) * math.cos(angle) ** 2
    within = math.sin(angle) * total
    return 0.5 + ((angle + within) / math.pi if odd else within / 2)
