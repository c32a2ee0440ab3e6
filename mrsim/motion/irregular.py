"""Motions that never repeat: slow wandering, and breathing whose depth is modulated by another motion."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mrsim.kernels.bessel import sincos
from mrsim.kernels.compilation import kernel
from mrsim.motion.courses import Array, Drive, Times, check_ranges

_WAVES = 24


@dataclass(frozen=True)
class Wander:
    """Wander about 0: 24 sinusoids of one amplitude, whose periods and phases are drawn.

    Parameters
    ----------
    amplitude_m
        Standard deviation of the value over a long time, metres.
    period_s, longest_s
        Shortest and longest period, seconds: frequencies are drawn evenly between their inverses.

    Raises
    ------
    PhantomError
        If a value is out of range.
    """

    amplitude_m: float
    period_s: float
    longest_s: float

    def __post_init__(self) -> None:
        check_ranges(
            self,
            (
                ("amplitude_m", 0, 0.02),
                ("period_s", 0.25, 3600),
                ("longest_s", self.period_s, 86400),
            ),
        )

    @property
    def seeded(self) -> bool:
        """Return True: periods and phases are drawn."""
        return True

    def drive(self, seed: np.random.SeedSequence) -> Drive:
        """Return the realization that belongs to a seed."""
        return _WanderDrive(self, seed)


class _WanderDrive:
    def __init__(self, motion: Wander, seed: np.random.SeedSequence) -> None:
        rng = np.random.default_rng(seed)
        # One in each of 24 equal bands, so that no two beat for long and every course has them all.
        part = (np.arange(_WAVES) + rng.uniform(0, 1, _WAVES)) / _WAVES
        low, high = 1 / motion.longest_s, 1 / motion.period_s
        self._turn = 2 * math.pi * (low + (high - low) * part)  # radians per second
        self._phase = rng.uniform(0, 2 * math.pi, _WAVES)
        self._size = motion.amplitude_m * math.sqrt(2 / _WAVES)

    def at(self, t_ns: Times) -> Array:
        """Return the value at each instant, shape (n,), float64, metres."""
        t_ns = np.ascontiguousarray(t_ns, np.int64)
        out = np.empty(len(t_ns))
        waves_into(t_ns, self._turn, self._phase, self._size, out)
        return out

    def bounds(self, stop_ns: int, start_ns: int = 0) -> tuple[float, float]:
        """Return limits that the value keeps from `start_ns` to `stop_ns`, metres."""
        most = _WAVES * self._size
        return -most, most


@dataclass(frozen=True)
class Modulated:
    """Follow a motion with a depth that another motion changes: value * (1 + share * other).

    Parameters
    ----------
    source, by
        Names of the motion, and of the one that changes its depth.
    share_per_m
        Relative change of the depth for each metre of the other.

    Raises
    ------
    PhantomError
        If a value is out of range.
    """

    source: str
    by: str
    share_per_m: float

    def __post_init__(self) -> None:
        check_ranges(self, (("share_per_m", -1e4, 1e4),))

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the names of the motions that it is made from."""
        return self.source, self.by

    def derive(self, drives: Mapping[str, Drive]) -> Drive:
        """Return the realization that belongs to those of its sources."""
        return _ModulatedDrive(drives[self.source], drives[self.by], self.share_per_m)


@dataclass(frozen=True)
class _ModulatedDrive:
    source: Drive
    by: Drive
    share_per_m: float

    def at(self, t_ns: Times) -> Array:
        """Return the value at each instant, shape (n,), float64, metres."""
        return self.source.at(t_ns) * (1 + self.share_per_m * self.by.at(t_ns))

    def bounds(self, stop_ns: int, start_ns: int = 0) -> tuple[float, float]:
        """Return limits that the value keeps from `start_ns` to `stop_ns`, metres."""
        values = self.source.bounds(stop_ns, start_ns)
        factors = [1 + self.share_per_m * b for b in self.by.bounds(stop_ns, start_ns)]
        products = [v * f for v in values for f in factors]
        return min(products), max(products)


@kernel()  # not fused: an instant has the same bits wherever it stands
def waves_into(t_ns: Times, turn: Array, phase: Array, size: float, out: Array) -> None:
    """Write the sum of sines at each instant."""
    for i in range(t_ns.size):
        total = 0.0
        t = t_ns[i] * 1e-9
        for n in range(turn.size):
            sine, _ = sincos(turn[n] * t + phase[n])
            total += sine
        out[i] = size * total
