"""Recorded motion: a trace of instants and values, read from CSV and smooth in between.

Between samples the value is a monotone piecewise cubic: it goes through every sample, its speed is
continuous, and it never leaves the range of two neighbours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mrsim.errors import PhantomError
from mrsim.files.reading import read_bytes
from mrsim.kernels.compilation import kernel
from mrsim.motion.courses import Array, Drive, Times

MAX_SAMPLES = 100_000
MAX_CSV_BYTES = 8 << 20
MAX_VALUE_M = 0.1
_GAP_STEPS = 3.0  # a step of more than so many median steps is a gap


@dataclass(frozen=True)
class Trace:
    """Move as was recorded.

    Parameters
    ----------
    t_s
        Instants, seconds, ascending; the scan starts at the first.
    value_m
        Value at each, metres.
    scale
        Factor on all values.
    repeat
        Whether a scan that lasts longer plays the trace backwards and forwards again; else that is an error.

    Raises
    ------
    PhantomError
        If the samples are not ascending or finite, too few or too many, or have a gap: it names the instant.

    References
    ----------
    Fritsch and Butland 1984, 10.1137/0905021.
    """

    t_s: tuple[float, ...]
    value_m: tuple[float, ...]
    scale: float = 1.0
    repeat: bool = False
    _drive: Drive = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        t, value = np.asarray(self.t_s, np.float64), np.asarray(self.value_m, np.float64)
        if len(t) != len(value) or not 4 <= len(t) <= MAX_SAMPLES:
            raise PhantomError(
                f"trace: {len(t)} instants and {len(value)} values: expected 4 to {MAX_SAMPLES} of both"
            )
        if not -10 <= self.scale <= 10:  # false for NaN, too
            raise PhantomError(f"scale = {self.scale!r}: expected -10 to 10")
        for i in np.flatnonzero(~(np.isfinite(t) & np.isfinite(value)))[:1]:
            raise PhantomError(f"trace: sample {i} (t = {t[i]:g} s) is not finite")
        step = np.diff(t)
        for i in np.flatnonzero(step <= 0)[:1]:
            raise PhantomError(f"trace: sample {i + 1}: t = {t[i + 1]:g} s is not after {t[i]:g} s")
        for i in np.flatnonzero(step > _GAP_STEPS * np.median(step))[:1]:
            raise PhantomError(
                f"trace: a gap of {step[i]:.3f} s after t = {t[i]:.3f} s, where {np.median(step):.3f} s is "
                "usual; fill it, or cut the trace there"
            )
        if np.abs(value * self.scale).max() > MAX_VALUE_M:
            i = int(np.abs(value).argmax())
            raise PhantomError(
                f"trace: t = {t[i]:g} s: {value[i] * self.scale * 1e3:.1f} mm: expected at most "
                f"{MAX_VALUE_M * 1e3:g} mm"
            )
        drive = _TraceDrive(t - t[0], value * self.scale, self.repeat)
        object.__setattr__(self, "_drive", drive)

    @property
    def seeded(self) -> bool:
        """Return False: what was recorded is the same in every seed."""
        return False

    def drive(self, seed: np.random.SeedSequence) -> Drive:
        """Return the trace; a seed changes nothing."""
        return self._drive


class _TraceDrive:
    def __init__(self, t_s: Array, value: Array, repeat: bool) -> None:
        self._t_ns = np.rint(t_s * 1e9).astype(np.int64)
        self._value, self._repeat = value, repeat
        self._slope = monotone_slopes(np.asarray(self._t_ns * 1e-9, np.float64), value)

    def at(self, t_ns: Times) -> Array:
        """Return the value at each instant, shape (n,), float64, metres."""
        t_ns = np.ascontiguousarray(t_ns, np.int64)
        self._check(int(t_ns.max(initial=0)))
        out = np.empty(len(t_ns))
        trace_into(t_ns, self._t_ns, self._value, self._slope, out)
        return out

    def bounds(self, stop_ns: int, start_ns: int = 0) -> tuple[float, float]:
        """Return limits that the value keeps from `start_ns` to `stop_ns`, metres."""
        self._check(stop_ns)
        # The cubic stays between neighbours, so that the samples hold the extremes.
        seen = self._value[: int(np.searchsorted(self._t_ns, max(stop_ns, -start_ns))) + 1]
        return float(seen.min()), float(seen.max())

    def _check(self, stop_ns: int) -> None:
        end = int(self._t_ns[-1])
        if stop_ns > end and not self._repeat:
            raise PhantomError(
                f"trace: it ends at t = {end * 1e-9:.3f} s, and {stop_ns * 1e-9:.3f} s was asked for; "
                "set repeat = true, or make the scan shorter"
            )


def read_csv(data: bytes, where: str) -> tuple[list[float], list[float]]:
    """Read a recorded trace.

    Parameters
    ----------
    data
        CSV text: lines that start with # are comments, then the header `t_s,value_mm`, then the samples.
    where
        How errors name the file.

    Returns
    -------
    t_s, value_mm
        Instants in seconds and values in millimetres.

    Raises
    ------
    PhantomError
        If it is not such a file: the error names the line.
    """
    if len(data) > MAX_CSV_BYTES:
        raise PhantomError(f"{where}: larger than {MAX_CSV_BYTES} bytes: not a trace")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PhantomError(f"{where}: not UTF-8 at byte {error.start}") from None
    rows = [(i, line.strip()) for i, line in enumerate(text.splitlines(), 1)]
    rows = [(i, line) for i, line in rows if line and not line.startswith("#")]
    if not rows or [part.strip() for part in rows[0][1].split(",")] != ["t_s", "value_mm"]:
        raise PhantomError(f"{where}: expected the header 't_s,value_mm' before the samples")
    if len(rows) - 1 > MAX_SAMPLES:
        raise PhantomError(f"{where}: {len(rows) - 1} samples: expected at most {MAX_SAMPLES}")
    t_s, value_mm = [], []
    for i, line in rows[1:]:
        try:
            t, value = (float(part) for part in line.split(","))
        except ValueError:
            raise PhantomError(
                f"{where}: line {i}: {line[:40]!r}: expected two numbers, t_s,value_mm"
            ) from None
        if not (math.isfinite(t) and math.isfinite(value)):
            raise PhantomError(f"{where}: line {i} (t = {t:g} s): a value is not finite")
        t_s.append(t)
        value_mm.append(value)
    return t_s, value_mm


def read_csv_file(path: Path) -> tuple[list[float], list[float]]:
    """Read a recorded trace from a file; see `read_csv`."""
    return read_csv(read_bytes(path, MAX_CSV_BYTES, "a recorded trace"), str(path))


def monotone_slopes(t: Array, value: Array) -> Array:
    """Return the speeds at the samples of the monotone cubic: weighted harmonic means, 0 at extremes."""
    step = np.diff(t)
    secant = np.diff(value) / step
    slope = np.zeros(len(t))
    a, b = secant[:-1], secant[1:]
    same = a * b > 0
    w1, w2 = 2 * step[1:] + step[:-1], step[1:] + 2 * step[:-1]
    slope[1:-1][same] = ((w1 + w2)[same]) / (w1[same] / a[same] + w2[same] / b[same])
    return slope


@kernel()  # not fused: an instant has the same bits wherever it stands
def trace_into(t_ns: Times, at_ns: Times, value: Array, slope: Array, out: Array) -> None:
    """Write the value of each instant; beyond the ends the trace runs backwards and forwards again."""
    end = at_ns[-1]
    for i in range(t_ns.size):
        t = abs(t_ns[i]) % (2 * end)
        t = min(t, 2 * end - t)
        j = min(np.searchsorted(at_ns, t, side="right") - 1, at_ns.size - 2)
        h = (at_ns[j + 1] - at_ns[j]) * 1e-9
        u = (t - at_ns[j]) / (at_ns[j + 1] - at_ns[j])
        v = 1.0 - u
        blend = u * u * (3.0 - 2.0 * u)
        out[i] = value[j] + (value[j + 1] - value[j]) * blend + h * u * v * (v * slope[j] - u * slope[j + 1])
