"""Motions other than plain breathing: the heart, coughs, and what follows from other motions.

A derived motion has no chance of its own: it is made from the realizations of the motions that it names, so
that a region which follows both moves as one body does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from mrsim.errors import PhantomError
from mrsim.kernels.bessel import sincos
from mrsim.kernels.compilation import kernel
from mrsim.motion.courses import Array, Cycles, Drive, Times, check_ranges, lujan_into

_BLOCK = 256
_CLIP = 2.0
_BURST_DECAY = 0.7  # each burst of a cough is weaker than the one before
MAX_DELAY_S = 10.0


@runtime_checkable
class Derived(Protocol):
    """Describe a motion that follows from others."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the names of the motions that it is made from."""

    def derive(self, drives: Mapping[str, Drive]) -> Drive:
        """Return the realization that belongs to those of its sources."""


@dataclass(frozen=True)
class Heart:
    """Beat: contract, relax, rest; beats differ in length and strength.

    In a beat of length T the value rises as (1 - cos) / 2 from 0 to the amplitude at the end of systole,
    falls back in the same way during early filling, and rests at 0 (end of diastole) until the next beat.
    Value and speed are continuous.

    Parameters
    ----------
    amplitude_m
        Value at the end of systole, metres.
    period_s
        Nominal length of a beat, seconds.
    systole, filling
        Shares of the beat in which it contracts and relaxes.
    amplitude_sd, period_sd
        Relative standard deviation from beat to beat, normal, cut at two standard deviations.
    phase
        Where in its beat the scan starts, 0 to 1.

    Raises
    ------
    PhantomError
        If a value is out of range.
    """

    amplitude_m: float
    period_s: float
    systole: float = 0.35
    filling: float = 0.25
    amplitude_sd: float = 0.0
    period_sd: float = 0.0
    phase: float = 0.0

    def __post_init__(self) -> None:
        check_ranges(
            self,
            (
                ("amplitude_m", 0, 0.05),
                ("period_s", 0.25, 5),
                ("systole", 0.05, 0.9),
                ("filling", 0.05, 0.9),
                ("amplitude_sd", 0, 0.3),
                ("period_sd", 0, 0.3),
                ("phase", 0, 1),
            ),
        )
        if self.systole + self.filling > 1:
            raise PhantomError(f"systole + filling = {self.systole + self.filling:g}: expected at most 1")

    @property
    def seeded(self) -> bool:
        """Return whether another seed gives another course."""
        return self.amplitude_sd > 0 or self.period_sd > 0

    def drive(self, seed: np.random.SeedSequence) -> Drive:
        """Return the realization that belongs to a seed."""
        return _HeartDrive(self, seed)


class _HeartDrive:
    def __init__(self, motion: Heart, seed: np.random.SeedSequence) -> None:
        self._motion = motion
        self._rng = np.random.default_rng(seed)
        self._cycles = Cycles(self._draw, lambda period: -round(motion.phase * period))

    def at(self, t_ns: Times) -> Array:
        """Return the value at each instant, shape (n,), float64, metres."""
        t_ns = np.ascontiguousarray(t_ns, np.int64)
        out = np.empty(len(t_ns))
        if len(t_ns):
            cycles, motion = self._cycles, self._motion
            cycles.reach(int(t_ns.max()))
            systole, filling = motion.systole, motion.filling
            beat_into(t_ns, cycles.start, cycles.period, cycles.amplitude, systole, filling, out)
        return out

    def bounds(self, stop_ns: int, start_ns: int = 0) -> tuple[float, float]:
        """Return limits that the value keeps from `start_ns` to `stop_ns`, metres."""
        return 0.0, self._cycles.highest(stop_ns)

    def _draw(self, _: int) -> tuple[Times, Array]:
        motion = self._motion
        vary = np.clip(self._rng.standard_normal((_BLOCK, 2)), -_CLIP, _CLIP)
        period_s = motion.period_s * (1 + motion.period_sd * vary[:, 1])
        return np.rint(period_s * 1e9).astype(np.int64), motion.amplitude_m * (
            1 + motion.amplitude_sd * vary[:, 0]
        )


@dataclass(frozen=True)
class Cough:
    """Cough now and then: some short bursts in a row, each weaker than the one before, and then nothing.

    A burst of length d is amplitude sin(pi t / d)^2.

    Parameters
    ----------
    amplitude_m
        Value at the top of the first burst, metres.
    every_s
        Mean pause between coughs, seconds; pauses are uniform between a half and one and a half of it.
    burst_s
        Length of a burst, seconds.
    bursts
        Bursts in a row.

    Raises
    ------
    PhantomError
        If a value is out of range.
    """

    amplitude_m: float
    every_s: float
    burst_s: float = 0.35
    bursts: int = 3

    def __post_init__(self) -> None:
        check_ranges(
            self,
            (("amplitude_m", 0, 0.1), ("every_s", 1, 86400), ("burst_s", 0.1, 2), ("bursts", 1, 10)),
        )
        if self.bursts != int(self.bursts):
            raise PhantomError(f"bursts = {self.bursts!r}: expected a whole number")

    @property
    def seeded(self) -> bool:
        """Return True: pauses are drawn."""
        return True

    def drive(self, seed: np.random.SeedSequence) -> Drive:
        """Return the realization that belongs to a seed."""
        return _CoughDrive(self, seed)


class _CoughDrive:
    def __init__(self, motion: Cough, seed: np.random.SeedSequence) -> None:
        self._motion = motion
        self._rng = np.random.default_rng(seed)
        self._cycles = Cycles(self._draw)

    def at(self, t_ns: Times) -> Array:
        """Return the value at each instant, shape (n,), float64, metres."""
        t_ns = np.ascontiguousarray(t_ns, np.int64)
        out = np.empty(len(t_ns))
        if len(t_ns):
            cycles = self._cycles
            cycles.reach(int(t_ns.max()))
            lujan_into(t_ns, cycles.start, cycles.period, cycles.amplitude, 1, 0.0, 0.0, out)
        return out

    def bounds(self, stop_ns: int, start_ns: int = 0) -> tuple[float, float]:
        """Return limits that the value keeps from `start_ns` to `stop_ns`, metres."""
        return 0.0, self._cycles.highest(stop_ns)

    def _draw(self, _: int) -> tuple[Times, Array]:
        motion, bursts = self._motion, int(self._motion.bursts)
        pause = np.rint(motion.every_s * self._rng.uniform(0.5, 1.5, _BLOCK) * 1e9).astype(np.int64)
        period = np.full((_BLOCK, bursts + 1), round(motion.burst_s * 1e9), np.int64)
        period[:, 0] = pause
        amplitude = np.zeros((_BLOCK, bursts + 1))
        amplitude[:, 1:] = motion.amplitude_m * _BURST_DECAY ** np.arange(bursts)
        return period.ravel(), amplitude.ravel()


@dataclass(frozen=True)
class Delayed:
    """Follow another motion later: hysteresis, where a region follows both along different axes.

    Parameters
    ----------
    source
        Name of the motion.
    delay_s
        By how much later, seconds; negative for earlier.

    Raises
    ------
    PhantomError
        If the delay is out of range.
    """

    source: str
    delay_s: float

    def __post_init__(self) -> None:
        check_ranges(self, (("delay_s", -MAX_DELAY_S, MAX_DELAY_S),))

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the name of the motion that it follows."""
        return (self.source,)

    def derive(self, drives: Mapping[str, Drive]) -> Drive:
        """Return the realization that belongs to that of its source."""
        return _DelayedDrive(drives[self.source], round(self.delay_s * 1e9))


@dataclass(frozen=True)
class _DelayedDrive:
    source: Drive
    delay_ns: int

    def at(self, t_ns: Times) -> Array:
        """Return the value at each instant, shape (n,), float64, metres."""
        return self.source.at(np.asarray(t_ns, np.int64) - self.delay_ns)

    def bounds(self, stop_ns: int, start_ns: int = 0) -> tuple[float, float]:
        """Return limits that the value keeps from `start_ns` to `stop_ns`, metres."""
        return self.source.bounds(stop_ns - self.delay_ns, start_ns - self.delay_ns)


@dataclass(frozen=True)
class Sum:
    """Add motions, such as breathing and coughs.

    Parameters
    ----------
    sources
        Names of the motions.
    """

    sources: tuple[str, ...]

    def derive(self, drives: Mapping[str, Drive]) -> Drive:
        """Return the realization that belongs to those of its sources."""
        return _SumDrive(tuple(drives[name] for name in self.sources))


@dataclass(frozen=True)
class _SumDrive:
    parts: tuple[Drive, ...]

    def at(self, t_ns: Times) -> Array:
        """Return the value at each instant, shape (n,), float64, metres."""
        total = self.parts[0].at(t_ns)
        for part in self.parts[1:]:
            total = total + part.at(t_ns)
        return total

    def bounds(self, stop_ns: int, start_ns: int = 0) -> tuple[float, float]:
        """Return limits that the value keeps from `start_ns` to `stop_ns`, metres."""
        limits = [part.bounds(stop_ns, start_ns) for part in self.parts]
        return sum(low for low, _ in limits), sum(high for _, high in limits)


@kernel()  # not fused: an instant has the same bits wherever it stands
def beat_into(
    t_ns: Times,
    start: Times,
    period: Times,
    amplitude: Array,
    systole: float,
    filling: float,
    out: Array,
) -> None:
    """Write the value of each instant; `start` is ascending."""
    for i in range(t_ns.size):
        beat = max(np.searchsorted(start, t_ns[i], side="right") - 1, 0)
        u = (t_ns[i] - start[beat]) / period[beat]
        u -= np.floor(u)  # before the first beat: as in the first
        if u < systole:
            turn = 0.5 * u / systole
        elif u < systole + filling:
            turn = 0.5 + 0.5 * (u - systole) / filling
        else:
            turn = 1.0
        sine, _ = sincos(math.pi * turn)
        out[i] = amplitude[beat] * (sine * sine)
