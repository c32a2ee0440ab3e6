"""Motion as a function of time: exact at any instant, and the same however a run is cut.

A `Motion` is what a phantom's file says; `drive` makes one realization of it from a seed. The value is a
length in metres, which regions turn into a displacement. Times are integer nanoseconds from the start
of the scan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import PhantomError
from mrsim.kernels.bessel import sincos
from mrsim.kernels.compilation import kernel

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

    def bounds(self, stop_ns: int, start_ns: int = 0) -> tuple[float, float]:
        """Return limits that the value keeps from `start_ns` to `stop_ns`, metres."""


class Motion(Protocol):
    """Describe a motion in a phantom's file."""

    @property
    def seeded(self) -> bool:
        """Return whether another seed gives another course."""

    def drive(self, seed: np.random.SeedSequence) -> Drive:
        """Return the realization that belongs to a seed."""


@dataclass(frozen=True)
class Static:
    """Stand still."""

    @property
    def seeded(self) -> bool:
        """Return False: it stands still."""
        return False

    def drive(self, seed: np.random.SeedSequence) -> Drive:
        """Return the value 0 at all times."""
        return self

    def at(self, t_ns: Times) -> Array:
        """Return zeros, shape (n,), metres."""
        return np.zeros(len(t_ns))

    def bounds(self, stop_ns: int, start_ns: int = 0) -> tuple[float, float]:
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
    hold_at_s, hold_s
        From when, and for how long, the breath is held; it begins with the first end-exhale from then on.
        0 seconds: never.
    hold_every_s
        Time from one hold to the next, seconds; 0 for a single one.
    deep_amplitude_m
        Amplitude of the deep breath that follows a hold, metres; 0 for none. It lasts 1.5 periods.

    Raises
    ------
    PhantomError
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
    hold_at_s: float = 0.0
    hold_s: float = 0.0
    hold_every_s: float = 0.0
    deep_amplitude_m: float = 0.0

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
            ("hold_at_s", 0, 86400),
            ("hold_s", 0, 120),
            ("hold_every_s", 0, 86400),
            ("deep_amplitude_m", 0, 0.1),
        )
        check_ranges(self, checks)
        if self.exponent != int(self.exponent):
            raise PhantomError(f"exponent = {self.exponent!r}: expected a whole number")

    @property
    def seeded(self) -> bool:
        """Return whether another seed gives another course."""
        return self.amplitude_sd > 0 or self.period_sd > 0

    def drive(self, seed: np.random.SeedSequence) -> Drive:
        """Return the realization that belongs to a seed."""
        return _BreathingDrive(self, seed)


def check_ranges(motion: object, checks: Sequence[tuple[str, float, float]]) -> None:
    """Raise an error that names the first attribute outside its range (key, low, high)."""
    for key, low, high in checks:
        value = getattr(motion, key)
        if not low <= value <= high:  # false for NaN, too
            raise PhantomError(f"{key} = {value!r}: expected {low} to {high}")


class Cycles:
    """Hold the cycles of one realization; the table grows as later instants are asked for.

    Parameters
    ----------
    draw
        Returns the periods (nanoseconds, int64) and amplitudes (metres) of the next block of cycles, given
        the start of the first of them. Blocks are drawn in turn and have one size, so that a cycle is the
        same whenever it is asked for.
    first_ns
        Start of the first cycle as a function of its period, nanoseconds.
    """

    def __init__(
        self, draw: Callable[[int], tuple[Times, Array]], first_ns: Callable[[int], int] = lambda _: 0
    ) -> None:
        self._draw, self._first = draw, first_ns
        self.start = np.empty(0, np.int64)
        self.period = np.empty(0, np.int64)
        self.amplitude = np.empty(0)
        self._grow()

    def reach(self, t_ns: int) -> None:
        """Draw cycles until one holds this instant.

        Raises
        ------
        PhantomError
            If it lies beyond 24 h.
        """
        if t_ns > MAX_TIME_NS:
            raise PhantomError(f"t = {t_ns} ns: a motion lasts at most {MAX_TIME_NS} ns (24 h)")
        while self.start[-1] + self.period[-1] <= t_ns:
            self._grow()

    def highest(self, stop_ns: int) -> float:
        """Return the largest amplitude of the cycles up to an instant, metres."""
        self.reach(stop_ns)
        return float(self.amplitude[self.start <= max(stop_ns, int(self.start[0]))].max())

    def _grow(self) -> None:
        end = int(self.start[-1] + self.period[-1]) if len(self.start) else None
        period, amplitude = self._draw(0 if end is None else end)
        first = self._first(int(period[0])) if end is None else end
        self.start = np.append(self.start, first + np.cumsum(period) - period)
        self.period = np.append(self.period, period)
        self.amplitude = np.append(self.amplitude, amplitude)


class _BreathingDrive:
    """Breathe: the cycles of one realization."""

    def __init__(self, motion: Breathing, seed: np.random.SeedSequence) -> None:
        self._motion = motion
        self._rng = np.random.default_rng(seed)
        self._next_hold = motion.hold_at_s * 1e9 if motion.hold_s > 0 else math.inf
        self._cycles = Cycles(self._draw, lambda period: -round(motion.phase * period))

    def at(self, t_ns: Times) -> Array:
        """Return the value at each instant, shape (n,), float64, metres."""
        t_ns = np.ascontiguousarray(t_ns, np.int64)
        out = np.empty(len(t_ns))
        if len(t_ns):
            cycles, motion = self._cycles, self._motion
            cycles.reach(int(t_ns.max()))
            lujan_into(
                t_ns,
                cycles.start,
                cycles.period,
                cycles.amplitude,
                int(motion.exponent),
                motion.baseline_m,
                motion.drift_m_per_s,
                out,
            )
        return out

    def bounds(self, stop_ns: int, start_ns: int = 0) -> tuple[float, float]:
        """Return limits that the value keeps from `start_ns` to `stop_ns`, metres."""
        highest = self._cycles.highest(stop_ns)
        ends = [self._motion.drift_m_per_s * t * 1e-9 for t in (start_ns, stop_ns)]
        return self._motion.baseline_m + min(ends), self._motion.baseline_m + max(ends) + highest

    def _draw(self, start_ns: int) -> tuple[Times, Array]:
        motion = self._motion
        vary = np.clip(self._rng.standard_normal((_BLOCK, 2)), -_CLIP, _CLIP)
        amplitude = motion.amplitude_m * np.maximum(1 + motion.amplitude_sd * vary[:, 0], _LEAST_FACTOR)
        period_s = motion.period_s * np.maximum(1 + motion.period_sd * vary[:, 1], _LEAST_FACTOR)
        period = np.rint(period_s * 1e9).astype(np.int64)
        return self._with_holds(start_ns, period, amplitude) if motion.hold_s > 0 else (period, amplitude)

    def _with_holds(self, start_ns: int, period: Times, amplitude: Array) -> tuple[Times, Array]:
        # A hold is a cycle of no amplitude: it joins its neighbours at end-exhale, value and speed.
        motion, out, at = self._motion, [], start_ns
        for length, height in zip(period.tolist(), amplitude.tolist(), strict=True):
            if at >= self._next_hold:
                again = motion.hold_every_s * 1e9
                self._next_hold = self._next_hold + again if again > 0 else math.inf
                inserted = [(round(motion.hold_s * 1e9), 0.0)]
                if motion.deep_amplitude_m > 0:
                    inserted.append((round(motion.period_s * 1.5e9), motion.deep_amplitude_m))
                out += inserted
                at += sum(extra for extra, _ in inserted)
            out.append((length, height))
            at += length
        return np.array([p for p, _ in out], np.int64), np.array([a for _, a in out])


@kernel()  # not fused: an instant has the same bits wherever it stands
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
