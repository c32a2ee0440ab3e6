"""The figures of a cell, each with its interval: 95 %, over whole breaths.

A largest value has no interval: a longer scan has a larger one.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.comparison.on_display import OnDisplay, figure_of
from harness.comparison.series import Series
from harness.comparison.single_pass import Ground
from harness.judge.target import Beamed
from harness.measure.exact_statistics import nearest_rank, samples_needed
from harness.measure.intervals import Interval, mean_interval, quantile_interval, statistic_interval
from harness.measure.lag import apparent_lag


@dataclass(frozen=True, slots=True)
class Column:
    """Describe a figure: name, heading, digits after the point, or None for two that count."""

    key: str
    heading: str
    digits: int | None


BEAM = "linac-trigger"
"""Beam whose time astray the table tells: gated, with the delay of its linac alone."""

COLUMNS = (
    Column("m95_mm", "M95 on display mm", 2),
    Column("stray_percent", "astray %", 1),
    Column("total_lag_ms", "total lag ms", 0),
    Column("lag_ms", "lag ms", 0),
    Column("gain", "gain", 2),
    Column("residual_mm", "residual mm", 2),
    Column("last_rms_mm", "last line rms mm", 2),
    Column("last_p95_mm", "last line p95 mm", 2),
    Column("last_max_mm", "last line max mm", 2),
    Column("shown_rms_mm", "shown rms mm", 2),
    Column("shown_p95_mm", "shown p95 mm", 2),
    Column("shown_max_mm", "shown max mm", 2),
    Column("own_p95_mm", "own p95 mm", 2),
    Column("nmse", "NMSE", None),
    Column("nmse_full", "NMSE fully sampled", None),
    Column("ssim", "SSIM", 4),
    Column("dice", "Dice", 3),
    Column("dice_own", "own Dice", 3),
    Column("dice_full", "Dice to full", 3),
    Column("dice_shown", "Dice on display", 3),
    Column("response_p50_ms", "response p50 ms", 2),
    Column("response_p95_ms", "response p95 ms", 2),
    Column("response_p99_ms", "response p99 ms", 2),
    Column("response_max_ms", "response max ms", 2),
)
"""Every figure of a cell, in the order of the table."""

Figure = tuple[float | None, Interval | None]


@dataclass(frozen=True)
class Measures:
    """Hold the figures of a cell.

    Parameters
    ----------
    figures
        Value and interval of each of `COLUMNS`; None where the samples do not carry it.
    images, breaths, not_found
        Images that were judged, breaths among them, and images in which no target was found.
    lag_reason
        Why no lag can be stated; empty where one is.
    amplitude_mm
        How far the target moves: the span of the middle 95 % of its path along the direction of most motion.
    cadence_ms
        Time between two images.
    """

    figures: dict[str, Figure]
    images: int
    breaths: int
    not_found: int
    lag_reason: str
    amplitude_mm: float
    cadence_ms: float

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return values | {"figures": {key: figure_json(figure) for key, figure in self.figures.items()}}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Measures:
        """Return what `to_json` made values of.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it did not.
        """
        figures: dict[str, Figure] = {}
        for column in COLUMNS:
            figure = values["figures"][column.key]
            bounds = figure["interval"]
            if bounds is not None:
                bounds = bounds[0], math.inf if bounds[1] is None else bounds[1]
            figures[column.key] = figure["value"], bounds
        return cls(**(values | {"figures": figures}))


def figure_json(figure: Figure) -> dict[str, Any]:
    """Return a figure and its interval as JSON values; an infinite bound is null."""
    value, interval = figure
    bounds = None if interval is None else [b if math.isfinite(b) else None for b in interval]
    return {"value": value, "interval": bounds}


def measure_cell(
    ground: Ground,
    series: Series,
    shown: OnDisplay | None = None,
    beamed: Beamed | None = None,
    nmse_full: NDArray[np.float64] | None = None,
) -> Measures:
    """Draw the figures of one cell together.

    Parameters
    ----------
    ground
        What was judged.
    series
        What was measured of each image.
    shown
        What was on display at each instant; None where there is no target.
    beamed
        What the beam would have done by it; None where there is no target.
    nmse_full
        NMSE of the fully sampled image beside each, as it is shown, shape (images,), float64, NaN where none
        was made; None for none.
    """
    header, block = ground.stream.header, series.block
    measured = np.stack([series.x_m, series.y_m], axis=-1)
    lag = apparent_lag(series.t_ns, measured, ground.truth, header, block)
    claimed = lag.claimed_ns
    delay, timed = float(np.mean(series.shown_ns - series.t_ns)), bool((series.shown_ns >= 0).all())
    total = None if claimed is None or not timed else (claimed + delay) * 1e-6
    shifted = None
    if lag.interval_ns is not None and timed:  # the time to the image hardly varies beside the lag
        shifted = ((lag.interval_ns[0] + delay) * 1e-6, (lag.interval_ns[1] + delay) * 1e-6)
    means = ("nmse", "ssim", "dice", "dice_own", "dice_full")
    figures = {key: _mean(getattr(series, key), block) for key in means}
    figures |= {
        "lag_ms": (_times(claimed, 1e-6), _scaled(lag.interval_ns, 1e-6)),
        "gain": (lag.gain, lag.gain_interval),
        "residual_mm": (_times(lag.residual_m, 1e3), _scaled(lag.residual_interval_m, 1e3)),
        "total_lag_ms": (total, shifted),
    }
    for name in ("last", "shown", "own"):
        error = series.own_error_m if name == "own" else getattr(series, f"error_{name}_m")
        figures |= _errors(name, error * 1e3, block)
    figures |= _response(series) | _on_display(shown) | {"stray_percent": _astray(beamed)}
    figures["nmse_full"] = (None, None) if nmse_full is None else _mean(nmse_full, block)
    return Measures(
        {column.key: figures[column.key] for column in COLUMNS},
        len(series),
        len(np.unique(block)),
        int(np.isnan(series.x_m).sum()),
        lag.reason,
        _amplitude_mm(ground),
        header.frame_ns / 1e6,
    )


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _scaled(interval: Interval | None, factor: float) -> Interval | None:
    return None if interval is None else (interval[0] * factor, interval[1] * factor)


def _mean(values: NDArray[np.float64], block: NDArray[np.int64]) -> Figure:
    kept = np.isfinite(values)
    if not kept.any():
        return None, None
    return float(values[kept].mean()), mean_interval(values[kept], block[kept])


def _errors(name: str, error_mm: NDArray[np.float64], block: NDArray[np.int64]) -> dict[str, Figure]:
    """Return rms, p95 and max of centroid errors; an infinite one counts in the p95 alone."""
    within = ~np.isnan(error_mm)
    error_mm, block = error_mm[within], block[within]
    found = np.isfinite(error_mm)
    kept = error_mm[found], block[found]
    rms = (None, None) if not found.any() else (_rms(kept[0]), statistic_interval(*kept, _rms))
    p95 = _ranked(error_mm, block, 0.95)
    if p95[0] is not None and not math.isfinite(p95[0]):
        p95 = (None, None)
    most = float(error_mm[found].max()) if found.any() else None
    return {f"{name}_rms_mm": rms, f"{name}_p95_mm": p95, f"{name}_max_mm": (most, None)}


def _on_display(shown: OnDisplay | None) -> dict[str, Figure]:
    figures: dict[str, Figure] = {"m95_mm": (None, None), "dice_shown": (None, None)}
    if shown is None:
        return figures
    m95_mm, dice = (figure_of(name, [shown]) for name in figures)
    open_ = shown.open[0]
    if m95_mm is not None:
        error_mm = shown.values("m95_mm")[0][open_]
        figures["m95_mm"] = m95_mm, quantile_interval(error_mm, shown.block[open_], 0.95)
    if dice is not None:
        figures["dice_shown"] = _mean(shown.values("dice_shown")[0], shown.block)
    return figures


def _astray(beamed: Beamed | None) -> Figure:
    if beamed is None or beamed.delivery.stray_share is None:
        return None, None
    return beamed.delivery.stray_share * 100, _scaled(beamed.intervals["stray_share"], 100.0)


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _response(series: Series) -> dict[str, Figure]:
    played = series.response_ns >= 0
    values, block = (series.response_ns[played] * 1e-6).astype(np.float64), series.block[played]
    figures: dict[str, Figure] = {"response_max_ms": (float(values.max()) if len(values) else None, None)}
    for share in (0.5, 0.95, 0.99):
        figures[f"response_p{share * 100:.0f}_ms"] = _ranked(values, block, share)
    return figures


def _ranked(values: NDArray[np.float64], block: NDArray[np.int64], share: float) -> Figure:
    if len(values) < samples_needed(share):
        return None, None
    return float(nearest_rank(values, share)), quantile_interval(values, block, share)


def _amplitude_mm(ground: Ground) -> float:
    lines = ground.stream.header.lines_per_frame
    path = ground.truth.centroid[ground.first * lines : ground.stop * lines]
    path = path - path.mean(axis=0)
    along = path @ np.linalg.eigh(path.T @ path)[1][:, -1]
    low, high = np.quantile(along, [0.025, 0.975])
    return float(high - low) * 1e3
