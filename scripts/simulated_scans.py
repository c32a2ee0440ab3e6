"""Four kinds of breathing, and what two candidates err in scans of them: what intervals are tried on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from harness.measure.intervals import MarginBounds, margin_interval

Array = NDArray[np.float64]
STEP_S, STEPS_AN_IMAGE = 0.02, 3
LAG_S, OTHER_LAG_S = 0.20, 0.17
NOISE_M = 3e-4
CHUNK = 16_000  # breaths that are simulated at a time


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
    """Hold the errors of two candidates in a simulated scan, and the breath of each instant."""

    error_m: Array
    other_m: Array
    block: NDArray[np.int64]

    @cached_property
    def images(self) -> tuple[Array, NDArray[np.int64]]:
        """Return the errors of the images in which the target was found, and their breaths."""
        error, block = self.error_m[::STEPS_AN_IMAGE], self.block[::STEPS_AN_IMAGE]
        found = np.isfinite(error)
        return error[found], block[found]

    @cached_property
    def pairs(self) -> tuple[Array, NDArray[np.int64]]:
        """Return the errors of both in each image, shape (images, 2), and the breaths."""
        pairs = np.stack([self.error_m, self.other_m], axis=1)[::STEPS_AN_IMAGE]
        return pairs, self.block[::STEPS_AN_IMAGE]

    @cached_property
    def found_pairs(self) -> tuple[Array, NDArray[np.int64]]:
        """Return the squared errors of both where the target was found, and the breaths."""
        pairs, block = self.pairs
        found = np.isfinite(pairs).all(axis=1)
        return pairs[found] ** 2, block[found]

    @cached_property
    def breaths(self) -> tuple[Array, Array]:
        """Return the sum of the errors of each breath, and its number of images."""
        values, block = self.images
        sums, lengths = np.bincount(block, weights=values), np.bincount(block)
        return sums.astype(np.float64), lengths.astype(np.float64)

    @cached_property
    def m95(self) -> MarginBounds | None:
        """Return the bounds of M95."""
        return margin_interval(self.error_m, self.block, 0.95)

    @cached_property
    def m99(self) -> MarginBounds | None:
        """Return the bounds of M99."""
        return margin_interval(self.error_m, self.block, 0.99)


def autoregressive(count: int, correlation: float, rng: np.random.Generator) -> Array:
    """Return a normal series of unit variance whose neighbours have a correlation, shape (count,)."""
    kicks = rng.standard_normal(count)
    kicks[1:] *= math.sqrt(1 - correlation**2)
    series: Array = lfilter([1.0], [1.0, -correlation], kicks)
    return series


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
    t = np.arange(int(begin[-1] / STEP_S), dtype=np.float64) * STEP_S

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
    true, taken = path(t) + base, image.astype(np.float64) * (STEPS_AN_IMAGE * STEP_S)
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
