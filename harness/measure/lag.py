"""Apparent lag: the time by which the images are behind the anatomy.

A delayed copy of the true centroid is fitted to the measured one, m(t) = g c(t - tau) + b. The delay tau is
found on a grid and refined. This is the phase method of Borman et al. (Phys Med Biol 2018;63:155023) for any
breathing. Gain and residual show whether the fit is meaningful: the lag of an image that hardly moves is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.measure.intervals import Interval, jackknife_interval
from mrsim.stream import Header, Truth

GRID_NS = 1_000_000
EARLIEST_NS, LATEST_NS = -200_000_000, 800_000_000
GAIN_RANGE = (0.8, 1.2)
MAX_RESIDUAL_M = 1e-3
MIN_SAMPLES = 10
MIN_MOTION_M = 2e-4  # rms; below it any delay fits


@dataclass(frozen=True)
class Lag:
    """Hold the fit of the delayed truth to the measured centroids.

    Parameters
    ----------
    tau_ns
        Delay of the best fit, nanoseconds; None if there is no fit.
    gain
        Ratio of the measured to the true motion.
    residual_m
        Root mean square distance that remains after the fit, metres.
    interval_ns
        Interval of the delay by whole breaths, 95 %, nanoseconds; None for too few breaths.
    reason
        Why no lag can be claimed; empty if one can.
    gain_interval, residual_interval_m
        Intervals of gain and residual by whole breaths, 95 %; None for too few breaths.
    """

    tau_ns: float | None
    gain: float | None
    residual_m: float | None
    interval_ns: Interval | None
    reason: str
    gain_interval: Interval | None = None
    residual_interval_m: Interval | None = None

    @property
    def claimed_ns(self) -> float | None:
        """Return the delay, nanoseconds, if gain and residual allow it to be called the lag; else None."""
        return None if self.reason else self.tau_ns


def apparent_lag(
    t_ns: NDArray[np.int64],
    measured_m: NDArray[np.float64],
    truth: Truth,
    header: Header,
    blocks: NDArray[np.int64],
) -> Lag:
    """Fit the delay, gain and offset of the measured centroids.

    Parameters
    ----------
    t_ns
        Echo of the last line of each frame, shape (n,), int64, nanoseconds.
    measured_m
        Centroids (x, y), shape (n, 2), float64, metres; NaN if no target was found.
    truth, header
        Truth of the whole stream, and its protocol.
    blocks
        Breath of each frame, shape (n,), int64.

    Returns
    -------
    lag
        Fitted to the frames for which every delay on the grid lies within the scan, so that all delays use
        the same frames.
    """
    end_ns = header.echo_ns(len(truth.centroid) - 1)
    usable = np.isfinite(measured_m).all(axis=1)
    usable &= (t_ns - LATEST_NS >= header.te_ns) & (t_ns - EARLIEST_NS <= end_ns)
    if usable.sum() < MIN_SAMPLES:
        return _none(f"{int(usable.sum())} centroids from 0.8 s after the start on, {MIN_SAMPLES} are needed")
    t_ns, measured_m, blocks = t_ns[usable], measured_m[usable], blocks[usable]
    numbers, blocks = np.unique(blocks, return_inverse=True)
    grid = np.arange(EARLIEST_NS, LATEST_NS + 1, GRID_NS)
    sums = np.stack(
        [_sums(t_ns[blocks == b], measured_m[blocks == b], grid, truth, header) for b in range(len(numbers))]
    )
    whole = sums.sum(axis=0)
    squares, gains, motion = _fit(whole)
    if motion.max() < MIN_MOTION_M**2 * len(t_ns):
        return _none(f"the target moves by less than {MIN_MOTION_M * 1e3} mm")
    best = int(np.argmin(squares))
    tau_ns = float(_refined(squares[None], grid)[0])
    gain, residual_m = float(gains[best]), float(np.sqrt(squares[best] / len(t_ns)))
    reason = _why_not(best, len(grid), gain, residual_m)
    delays, gain_interval, residual_interval = _intervals(sums, grid, (tau_ns, gain, residual_m))
    return Lag(
        tau_ns, gain, residual_m, delays if not reason else None, reason, gain_interval, residual_interval
    )


def _none(reason: str) -> Lag:
    return Lag(None, None, None, None, reason)


def _why_not(best: int, count: int, gain: float, residual_m: float) -> str:
    if not GAIN_RANGE[0] < gain < GAIN_RANGE[1]:
        return f"gain {gain:.2f} is not between {GAIN_RANGE[0]} and {GAIN_RANGE[1]}"
    if residual_m >= MAX_RESIDUAL_M:
        return f"residual {residual_m * 1e3:.2f} mm is not below {MAX_RESIDUAL_M * 1e3:g} mm"
    if best in (0, count - 1):
        return f"the best delay is at the edge of {EARLIEST_NS // 10**6} to {LATEST_NS // 10**6} ms"
    return ""


def _sums(
    t_ns: NDArray[np.int64],
    measured: NDArray[np.float64],
    grid: NDArray[np.int64],
    truth: Truth,
    header: Header,
) -> NDArray[np.float64]:
    """Return the sums that a linear fit to one breath needs, for each delay, shape (8, delays).

    Rows: n, sum of c_x, c_y, m_x, m_y, c.c, c.m, m.m.
    """
    true = truth.centroid_at(t_ns[None, :] - grid[:, None], header)
    out = np.empty((8, len(grid)))
    out[0] = len(t_ns)
    out[1:3] = true.sum(axis=1).T
    out[3:5] = measured.sum(axis=0)[:, None]
    out[5] = (true**2).sum(axis=(1, 2))
    out[6] = (true * measured).sum(axis=(1, 2))
    out[7] = (measured**2).sum()
    return out


def _fit(
    sums: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the residual sum of squares, the gain and the true sum of squares, of sums (8, ...)."""
    n, cx, cy, mx, my, cc, cm, mm = sums
    motion = cc - (cx**2 + cy**2) / n
    both = cm - (cx * mx + cy * my) / n
    gains = both / np.where(motion > 0, motion, np.inf)
    squares = np.maximum(mm - (mx**2 + my**2) / n - gains * both, 0.0)
    return squares, gains, motion


def _refined(squares: NDArray[np.float64], grid: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the delay of the least squares for each row (r, delays), by a parabola through three points."""
    rows = np.arange(len(squares))
    best = np.clip(np.argmin(squares, axis=1), 1, len(grid) - 2)
    before, at, after = (squares[rows, best + step] for step in (-1, 0, 1))
    bend = before - 2 * at + after
    shift = np.where(bend > 0, (before - after) / (2 * np.where(bend > 0, bend, 1.0)), 0.0)
    refined: NDArray[np.float64] = grid[best] + np.clip(shift, -1, 1) * (grid[1] - grid[0])
    return refined


def _intervals(
    sums: NDArray[np.float64], grid: NDArray[np.int64], found: tuple[float, float, float]
) -> list[Interval | None]:
    """Return the intervals of delay, gain and residual, by fits that leave out one breath."""
    if len(sums) < 2:
        return [None, None, None]
    without = (sums.sum(axis=0) - sums).transpose(1, 0, 2)
    squares, gains, _ = _fit(without)
    rows, best = np.arange(len(squares)), np.argmin(squares, axis=1)
    residuals = np.sqrt(squares[rows, best] / without[0][rows, best])
    fits = (_refined(squares, grid), gains[rows, best], residuals)
    return [jackknife_interval(*both) for both in zip(found, fits, strict=True)]
