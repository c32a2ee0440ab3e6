"""Exact statistics of small samples: how many samples a claim needs, and what few samples can show.

The binomial tail is summed term by term and its quantile is found by bisection. So nothing is approximated
and no library is needed. The images are assumed to be independent where this is stated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import InputError, Option, OptionError

CONFIDENCE = 0.99
LEAST_CLAIM = 0.5
"""Share of images below which a claim claims nothing."""
MAX_SAMPLES = 1 << 31


@dataclass(frozen=True, slots=True)
class Summary:
    """Hold nearest-rank percentiles of times, nanoseconds; None if there are too few samples.

    Parameters
    ----------
    count
        Number of samples.
    p50, p95, p99
        Percentiles.
    max
        The largest sample; None if there are none.
    """

    count: int
    p50: int | None
    p95: int | None
    p99: int | None
    max: int | None


def nearest_rank(values: NDArray[Any], quantile: float) -> Any:
    """Return the smallest value that at least a given share of the values does not exceed.

    Parameters
    ----------
    values
        Shape (n,), of any number type.
    quantile
        The share, above 0 and at most 1.

    Raises
    ------
    InputError
        If there are no values, or the quantile is not in (0, 1].
    """
    if not len(values) or not 0 < quantile <= 1:
        raise InputError(f"quantile = {quantile} of {len(values)} values: expected (0, 1] of at least one")
    # The product is rounded first: 0.07 * 100 is 7.000000000000001 in binary.
    rank = math.ceil(round(quantile * len(values), 9))
    return np.partition(values, rank - 1)[rank - 1]


def summarise(values: NDArray[np.int64]) -> Summary:
    """Return the percentiles for which there are enough samples (`samples_needed`).

    Parameters
    ----------
    values
        Times, shape (n,), int64, nanoseconds.
    """
    count = len(values)
    percentiles = {
        q: int(nearest_rank(values, q)) if count >= samples_needed(q) else None for q in (0.5, 0.95, 0.99)
    }
    return Summary(
        count, percentiles[0.5], percentiles[0.95], percentiles[0.99], int(values.max()) if count else None
    )


def clusters(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the runs of consecutive true flags.

    Parameters
    ----------
    flags
        Shape (n,), bool.

    Returns
    -------
    runs
        Index of the first flag and length of each run.
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([0], np.asarray(flags, np.int8), [0]))))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def binomial_tail(k: int, n: int, p: float) -> float:
    """Return P(X <= k) of a binomial count, summed exactly over its shorter side.

    Parameters
    ----------
    k
        Count.
    n
        Number of trials.
    p
        Probability of each, 0 to 1.
    """
    if k < 0:
        return 0.0
    if k >= n or p <= 0:
        return 1.0
    if p >= 1:
        return 0.0
    if k <= n * p:
        return min(1.0, _sum_terms(0, k, n, p))
    return max(0.0, 1.0 - _sum_terms(k + 1, n, n, p))


def upper_bound(k: int, n: int, confidence: float = CONFIDENCE) -> float:
    """Return the one-sided upper bound: the p at which so few misses have probability 1 - confidence.

    Parameters
    ----------
    k
        Number of misses.
    n
        Number of independent images.
    confidence
        One-sided confidence, below 1.

    Raises
    ------
    InputError
        If `k` is not between 0 and `n`.

    Notes
    -----
    Clopper and Pearson 1934, 10.1093/biomet/26.4.404.
    """
    if not 0 <= k <= n:
        raise InputError(f"{k} of {n}: expected a count between 0 and the number of images")
    if k == n:
        return 1.0
    return _bisect(lambda p: binomial_tail(k, n, p) > 1 - confidence)


def lower_bound(k: int, n: int, confidence: float = CONFIDENCE) -> float:
    """Return the one-sided lower bound: the p at which so many misses have probability 1 - confidence.

    Parameters
    ----------
    k
        Number of misses.
    n
        Number of independent images.
    confidence
        One-sided confidence, below 1.

    Raises
    ------
    InputError
        If `k` is not between 0 and `n`.
    """
    if not 0 <= k <= n:
        raise InputError(f"{k} of {n}: expected a count between 0 and the number of images")
    if k == 0:
        return 0.0
    # P(X >= k | p) equals P(Y <= n - k | 1 - p) for the number Y of hits.
    return _bisect(lambda p: binomial_tail(n - k, n, 1 - p) < 1 - confidence)


@lru_cache(maxsize=256)
def check_claim(claim: float) -> None:
    """Refuse a share of images that is none.

    Raises
    ------
    OptionError
        If it is less than half, of which nothing is claimed, or not below 1.
    """
    if not LEAST_CLAIM <= claim < 1:  # true for NaN, too
        expected = f"{{}}: expected a share from {LEAST_CLAIM:g} to below 1, such as 0.95"
        raise OptionError(expected, Option("claim", claim))


def samples_needed(quantile: float, confidence: float = CONFIDENCE, allowed: int = 1) -> int:
    """Return how many independent samples are needed to show that a share of them meets its deadline.

    This is the smallest n for which at most `allowed` misses have a probability of at most 1 - confidence if
    the share is no better than `quantile`.

    Parameters
    ----------
    quantile
        Share that is claimed, such as 0.99.
    confidence
        One-sided confidence.
    allowed
        Number of misses that may happen.

    Raises
    ------
    InputError
        If the share or the confidence is not between 0 and 1, or the claim needs more than `MAX_SAMPLES`.
    """
    check_claim(quantile)
    if not (0 < confidence < 1 and allowed >= 0):
        raise InputError(
            f"confidence {confidence}, allowed {allowed}: expected a share between 0 and 1, and 0 or more"
        )

    def shows(n: int) -> bool:
        return binomial_tail(allowed, n, 1 - quantile) <= 1 - confidence

    low, high = allowed, allowed + 1
    while not shows(high):
        low, high = high, 2 * high
        if high > MAX_SAMPLES:
            raise InputError(f"claim {quantile}: it would need more than {MAX_SAMPLES} images; claim less")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shows(middle) else (middle, high)
    return high


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


def _sum_terms(first: int, last: int, n: int, p: float) -> float:
    """Sum the binomial probabilities of first..last, from the largest term outwards."""
    mode = min(max(int((n + 1) * p), first), last)
    log_mode = math.lgamma(n + 1) - math.lgamma(mode + 1) - math.lgamma(n - mode + 1)
    log_mode += mode * math.log(p) + (n - mode) * math.log1p(-p)
    odds = p / (1 - p)
    total = term = 1.0
    for j in range(mode, first, -1):
        term *= j / ((n - j + 1) * odds)
        total += term
        if term < 1e-18 * total:
            break
    term = 1.0
    for j in range(mode, last):
        term *= (n - j) * odds / (j + 1)
        total += term
        if term < 1e-18 * total:
            break
    return math.exp(log_mode) * total


def _bisect(below: Callable[[float], bool]) -> float:
    """Return the last number for which a predicate that holds from 0 upwards still holds."""
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if below(middle) else (low, middle)
    return low
