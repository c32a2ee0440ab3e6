"""Motion as a function of time: exact at any instant, and the same however a run is cut.

A `Motion` is what a phantom's file says; `drive` makes one realization of it from a seed. The value is a
length in metres, which regions turn into a displacement. Times are integer nanoseconds from the start
of the scan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mrsim.bessel import sincos
from mrsim.errors import InputError

Array = NDArray[np.float64]
Times = NDArray[np.int64]

MAX_TIME_NS = 24 * 3600 * 10**9
_CLIP = 2.0  # cycles vary by at most so many standard deviations
_LEAST_FACTOR = 0.2  # and never fall below this share of the nominal value
_BLOCK = 256


class Drive(Protocol):
    """Give one realization of a motion."""

    def at(self, t_ns: Times) -> Array:
        """Return the value at each instant, shape (n,), float64, metres."""

    def bounds(self, stop_ns: int) -> tuple[float, float]:
        """Return limits that the value keeps from the start of the scan to `stop_ns`, metres."""


class Motion(Protocol):
    """Describe a motion in a phantom's file."""

    def drive(self, seed: np.random.SeedSequence) -> Drive:
        """Return the realization that belongs to a seed."""


@dataclass(frozen=True)
class Static:
    """Stand still."""

    def drive(self, seed: np.random.SeedSequence) -> Drive:
        """Return the value 0 at all times."""
        return self

    def at(self, t_ns: Times) -> Array:
        """Return zeros, shape (n,), metres."""
        return np.zeros(len(t_ns))

    def bounds(self, stop_ns: int) -> tuple[float, float]:
        """Return 0 and 0."""
        return 0.0, 0.0


@dataclass(frozen=True)
class Breathing:
    """Breathe as Lujan has it, with cycles that differ.

    In cycle j of length T_j, with u from 0 to 1 in it, the value is
    baseline + drift t + A_j sin(pi u)^(2 n): zero at end-exhale, where it dwells the longer the larger n
    is, and A_j at end-inhale. Cycles meet at end-exhale, where value and speed are continuous.

    Parameters
    ----------
    amplitude_m
        Nominal amplitude from end-exhale to end-inhale, metres.
    period_s
        Nominal period, seconds.
    exponent
        The n of the formula: 1 is a sinusoid.
    amplitude_sd, period_sd
        Relative standard deviation from cycle to cycle, normal, cut at two standard deviations.
    baseline_m
        Constant offset, metres.
    drift_m_per_s
        Drift of the baseline, metres per second.
    phase
        Where in its cycle the scan starts: 0 at end-exhale, 0.5 at end-inhale.

    Raises
    ------
    InputError
        If a value is out of range.

    References
    ----------
    Lujan et al. 1999, 10.1118/1.598577.
    """

    amplitude_m: float
    period_s: float
    exponent: int = 2
    amplitude_sd: float = 0.0
    period_sd: float = 0.0
    baseline_m: float = 0.0
    drift_m_per_s: float = 0.0
    phase: float = 0.0

    def __post_init__(self) -> None:
        checks = (
            ("amplitude_m", 0, 0.1),
            ("period_s", 0.5, 60),
            ("exponent", 1, 16),
            ("amplitude_sd", 0, 0.5),
            ("period_sd", 0, 0.5),
            ("baseline_m", -0.1, 0.1),
            ("drift_m_per_s", -0.001, 0.001),
            ("phase", 0, 1),
        )
        for key, low, high in checks:
            value = getattr(self, key)
            if not low <= value <= high:  # false for NaN, too
                raise InputError(f"{key} = {value!r}: expected {low} to {high}")
        if self.exponent != int(self.exponent):
            raise InputError(f"exponent = {self.exponent!r}: expected a whole number")

    def drive(self, seed: np.random.SeedSequence) -> Drive:
        """Return the realization that belongs to a seed."""
        return _BreathingDrive(self, seed)


class _BreathingDrive:
    """Hold the cycles of one realization; the table grows as later instants are asked for."""

    def __init__(self, motion: Breathing, seed: np.random.SeedSequence) -> None:
        self._motion = motion
        self._rng = np.random.default_rng(seed)
        self._start = np.empty(0, np.int64)
        self._period = np.empty(0, np.int64)
        self._amplitude = np.empty(0)
        self._grow()

    def at(self, t_ns: Times) -> Array:
        """Return the value at each instant, shape (n,), float64, metres."""
        t_ns = np.ascontiguousarray(t_ns, np.int64)
        out = np.empty(len(t_ns))
        if len(t_ns):
            self._reach(int(t_ns.max()))
            motion = self._motion
            lujan_into(
                t_ns,
                self._start,
                self._period,
                self._amplitude,
                int(motion.exponent),
                motion.baseline_m,
                motion.drift_m_per_s,
                out,
            )
        return out

    def bounds(self, stop_ns: int) -> tuple[float, float]:
        """Return limits that the value keeps from the start of the scan to `stop_ns`, metres."""
        self._reach(stop_ns)
        ends = (0.0, self._motion.drift_m_per_s * stop_ns * 1e-9)
        highest = float(self._amplitude[self._start <= stop_ns].max())
        return self._motion.baseline_m + min(ends), self._motion.baseline_m + max(ends) + highest

    def _reach(self, t_ns: int) -> None:
        if t_ns > MAX_TIME_NS:
            raise InputError(f"t = {t_ns} ns: a motion lasts at most {MAX_TIME_NS} ns (24 h)")
        while self._start[-1] + self._period[-1] <= t_ns:
            self._grow()

    def _grow(self) -> None:
        # Blocks of one size, drawn in turn: a cycle is the same whenever it is asked for.
        motion = self._motion
        vary = np.clip(self._rng.standard_normal((_BLOCK, 2)), -_CLIP, _CLIP)
        amplitude = motion.amplitude_m * np.maximum(1 + motion.amplitude_sd * vary[:, 0], _LEAST_FACTOR)
        period_s = motion.period_s * np.maximum(1 + motion.period_sd * vary[:, 1], _LEAST_FACTOR)
        period = np.rint(period_s * 1e9).astype(np.int64)
        if len(self._start):
            first = int(self._start[-1] + self._period[-1])
        else:
            first = -round(motion.phase * int(period[0]))
        self._start = np.append(self._start, first + np.cumsum(period) - period)
        self._period = np.append(self._period, period)
        self._amplitude = np.append(self._amplitude, amplitude)


@njit(cache=True, error_model="numpy")  # not fused: an instant has the same bits wherever it stands
def lujan_into(
    t_ns: Times,
    start: Times,
    period: Times,
    amplitude: Array,
    exponent: int,
    baseline: float,
    drift: float,
    out: Array,
) -> None:
    """Write the value of each instant; `start` is ascending."""
    for i in range(t_ns.size):
        cycle = max(np.searchsorted(start, t_ns[i], side="right") - 1, 0)
        sine, _ = sincos(math.pi * ((t_ns[i] - start[cycle]) / period[cycle]))
        square = sine * sine
        value = amplitude[cycle]
        for _ in range(exponent):
            value *= square
        out[i] = baseline + drift * (t_ns[i] * 1e-9) + value
