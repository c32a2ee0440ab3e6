"""Simulate what the intervals cover, and print the tables of docs/intervals.md.

    python scripts/simulate_intervals.py --simulations 2000 --seed 1 --write docs/intervals.md

Scans are simulated of four kinds of breathing, and hosts whose images miss their deadline singly or in runs.
How often an interval holds what is true in the long run is counted. It takes a quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.judge.misses import effective_images, miss_share_bounds
from harness.measure import intervals
from harness.measure.exact_statistics import nearest_rank, t_quantile
from harness.measure.intervals import margin_interval, mean_interval, quantile_interval, statistic_interval

Array = NDArray[np.float64]
STEP_S, STEPS_AN_IMAGE = 0.02, 3
LAG_S, OTHER_LAG_S = 0.20, 0.17
NOISE_M = 3e-4
CHUNK = 16_000
LONG = 60_000
NUMBERS = (4, 6, 8, 12, 16, 24, 32)
LONGER = (48, 64, 96, 128)
ENOUGH = 0.93
RESAMPLES = 500


@dataclass(frozen=True)
class Kind:
    """Describe a kind of breathing; spreads are relative standard deviations from breath to breath.

    Parameters
    ----------
    name
        Its name.
    depth_sd, period_sd, correlation
        Spread of depth and period, and correlation of neighbouring breaths.
    wander_m
        Standard deviation of the baseline, which wanders within half a minute, metres.
    gain
        Share of the motion that is shown.
    deep, lost
        Share of breaths that are twice as deep, and in which the target is lost for two fifths.
    """

    name: str
    depth_sd: float
    period_sd: float
    correlation: float
    wander_m: float = 0.0
    gain: float = 1.0
    deep: float = 0.0
    lost: float = 0.0


KINDS = (
    Kind("regular", 0.10, 0.06, 0.0),
    Kind("irregular", 0.25, 0.20, 0.3),
    Kind("drifting", 0.18, 0.16, 0.5, wander_m=1.5e-3, gain=0.9),
    Kind("rare events", 0.15, 0.10, 0.3, deep=0.02, lost=0.02),
)


@dataclass(frozen=True)
class Scan:
    """Hold the errors of a simulated scan: of one candidate and of another, and the breath of each instant."""

    error_m: Array
    other_m: Array
    block: NDArray[np.int64]


def autoregressive(count: int, correlation: float, rng: np.random.Generator) -> Array:
    """Return a normal series of unit variance whose neighbours have a correlation, shape (count,)."""
    kicks = rng.standard_normal(count)
    kicks[1:] *= math.sqrt(1 - correlation**2)
    for i in range(1, count):
        kicks[i] += correlation * kicks[i - 1]
    return kicks


def breathe(kind: Kind, breaths: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Return the errors of two delayed displays at every step, and where each breath is half drawn.

    Parameters
    ----------
    kind
        The kind of breathing.
    breaths
        Number of breaths.
    rng
        Source of the draws.

    Returns
    -------
    error_m, other_m
        Errors, shape (steps,), metres; infinite where the target is lost.
    starts_s
        When each breath passes the middle of its rise, shape (breaths,), seconds.
    """
    depth = 12e-3 * np.exp(kind.depth_sd * autoregressive(breaths, kind.correlation, rng))
    period = 4.0 * np.exp(kind.period_sd * autoregressive(breaths, kind.correlation, rng))
    chance = rng.random(breaths)
    deep, lost = chance < kind.deep, (chance >= kind.deep) & (chance < kind.deep + kind.lost)
    depth, period = np.where(deep, 2 * depth, depth), np.where(deep, 1.5 * period, period)
    begin = np.concatenate(([0.0], np.cumsum(period)))
    t = np.arange(int(begin[-1] / STEP_S)) * STEP_S

    def place(at: Array) -> tuple[NDArray[np.intp], Array]:
        breath = np.clip(np.searchsorted(begin, at, side="right") - 1, 0, breaths - 1)
        return breath, (at - begin[breath]) / period[breath]

    def path(at: Array) -> Array:
        breath, phase = place(at)
        height: Array = depth[breath] * np.sin(np.pi * phase) ** 4
        return height

    image = np.arange(len(t)) // STEPS_AN_IMAGE
    keep = math.exp(-STEPS_AN_IMAGE * STEP_S / 30)
    base = kind.wander_m * autoregressive(int(image[-1]) + 1, keep, rng)[image] if kind.wander_m else 0.0
    true, taken = path(t) + base, image * STEPS_AN_IMAGE * STEP_S
    breath, phase = place(t)
    gone = lost[breath] & (phase > 0.3) & (phase < 0.7)
    errors = []
    for lag_s in (LAG_S, OTHER_LAG_S):
        noise = rng.normal(0, NOISE_M, (int(image[-1]) + 1, 2))[image]
        shown = kind.gain * (path(taken - lag_s) + base) + (1 - kind.gain) * 3e-3
        errors.append(np.where(gone, np.inf, np.hypot(shown + noise[:, 0] - true, noise[:, 1])))
    half = math.asin(0.5**0.25) / math.pi
    return errors[0], errors[1], begin[:-1] + half * period


def scans(kind: Kind, breaths: int, count: int, seed: np.random.SeedSequence) -> Iterator[Scan]:
    """Yield scans of so many breaths that begin and end anywhere; an end joins the breath beside it."""
    for child in seed.spawn(-(-count * breaths // CHUNK)):
        rng = np.random.default_rng(child)
        some = min(count, max(1, CHUNK // breaths))
        count -= some
        error, other, starts = breathe(kind, (some + 2) * breaths + 2, rng)
        first = np.arange(1, some + 2) * breaths
        cut = starts[first] + rng.uniform(-0.5, 0.5, some + 1) * (starts[first] - starts[first - 1])
        edges = np.ceil(cut / STEP_S / STEPS_AN_IMAGE).astype(np.int64) * STEPS_AN_IMAGE
        owner = np.searchsorted(starts, np.arange(len(error)) * STEP_S, side="right") - 1
        for number in range(some):
            part = slice(edges[number], edges[number + 1])
            block = np.clip(owner[part] - first[number], 0, breaths - 1)
            yield Scan(error[part], other[part], block)
        if not count:
            return


@dataclass(frozen=True)
class Statistic:
    """Say what is estimated, by which interval, and from how many breaths on it is simulated."""

    name: str
    of: Callable[[Scan], float]
    interval: Callable[[Scan], tuple[float, float] | None]
    used: bool = True
    numbers: tuple[int, ...] = NUMBERS


def images(scan: Scan) -> tuple[Array, NDArray[np.int64]]:
    """Return the errors of images in which the target was found, and their breaths."""
    error, block = scan.error_m[::STEPS_AN_IMAGE], scan.block[::STEPS_AN_IMAGE]
    found = np.isfinite(error)
    return error[found], block[found]


def both(scan: Scan) -> tuple[Array, NDArray[np.int64]]:
    """Return the errors of the images of both candidates, shape (images, 2), and their breaths."""
    pairs = np.stack([scan.error_m, scan.other_m], axis=1)[::STEPS_AN_IMAGE]
    return pairs, scan.block[::STEPS_AN_IMAGE]


def rms(values: Array) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(values**2)))


def difference_of_p95(pairs: Array) -> float:
    """Return the 95th percentile of the first less that of the second; NaN where both are infinite."""
    first, second = (float(nearest_rank(pairs[:, i], 0.95)) for i in (0, 1))
    return math.nan if math.isinf(second) else first - second


def ratio_of_means(pairs: Array) -> float:
    """Return the ratio of the mean squares of those images in which both found the target."""
    first, second = np.mean(pairs[np.isfinite(pairs).all(axis=1)] ** 2, axis=0)
    return float(first / second)


def over_breaths(scan: Scan) -> tuple[Array, Array]:
    """Return the sum of the errors of each breath, and its number of images."""
    values, block = images(scan)
    return np.bincount(block, weights=values), np.bincount(block).astype(np.float64)


def students_t(scan: Scan) -> tuple[float, float]:
    """Return the interval of a mean that takes breaths for independent."""
    sums, lengths = over_breaths(scan)
    mean, count = sums.sum() / lengths.sum(), len(sums)
    error = math.sqrt(np.sum((sums - mean * lengths) ** 2) * count / (count - 1)) / lengths.sum()
    half = t_quantile(0.975, count - 1) * error
    return mean - half, mean + half


def percentile_bootstrap(scan: Scan) -> tuple[float, float]:
    """Return the interval of a mean by the percentile bootstrap over breaths."""
    sums, lengths = over_breaths(scan)
    rng = np.random.default_rng(len(scan.block))
    drawn = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=RESAMPLES)
    low, high = np.quantile((drawn @ sums) / (drawn @ lengths), [0.025, 0.975])
    return float(low), float(high)


def margin(share: float) -> Callable[[Scan], tuple[float, float]]:
    """Return the two-sided interval of M95 or M99 as a function of a scan."""

    def interval(scan: Scan) -> tuple[float, float]:
        found = margin_interval(scan.error_m, scan.block, share)
        return found.low_m, found.high_m

    return interval


def at_most(share: float) -> Callable[[Scan], tuple[float, float]]:
    """Return all below the one-sided 99 % bound of M95 or M99 as a function of a scan."""
    return lambda scan: (0.0, margin_interval(scan.error_m, scan.block, share).upper_m)


def quantile(share: float) -> Callable[[Scan], float]:
    """Return the quantile of the errors as a function of a scan."""
    return lambda scan: float(nearest_rank(scan.error_m, share))


STATISTICS = (
    Statistic("mean", lambda s: float(np.mean(images(s)[0])), lambda s: mean_interval(*images(s))),
    Statistic("rms", lambda s: rms(images(s)[0]), lambda s: statistic_interval(*images(s), rms)),
    Statistic(
        "ratio of two means", lambda s: ratio_of_means(both(s)[0]),
        lambda s: statistic_interval(*both(s), ratio_of_means),
    ),
    Statistic(
        "difference of two p95", lambda s: difference_of_p95(both(s)[0]),
        lambda s: statistic_interval(*both(s), difference_of_p95),
    ),
    Statistic("median", quantile(0.5), lambda s: quantile_interval(s.error_m, s.block, 0.5)),
    Statistic("M95", quantile(0.95), margin(0.95)),
    Statistic("M99", quantile(0.99), margin(0.99), numbers=NUMBERS + LONGER),
    Statistic("M95, upper bound of 99 %", quantile(0.95), at_most(0.95)),
    Statistic("M99, upper bound of 99 %", quantile(0.99), at_most(0.99), numbers=NUMBERS + LONGER),
    Statistic(
        "mean, Student's t over breaths", lambda s: float(np.mean(images(s)[0])), students_t, used=False
    ),
    Statistic(
        "mean, percentile bootstrap", lambda s: float(np.mean(images(s)[0])), percentile_bootstrap, used=False
    ),
)  # fmt: skip
