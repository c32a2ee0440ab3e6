"""The charts of what was on display over time: where the target was shown, where it was, how far apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.judge.result import RunResult
from harness.measure.displayed import Displayed
from harness.measure.exact_statistics import clusters
from harness.measure.margin import BEYOND_M
from harness.report.charts import Axis, Chart, Floats, round_up

STRETCH_S = 20.0
POINTS = 1500
"""Points of a line that changes with every TR, beside those at which it jumps."""
BINS = 600
LOST_M = 0.1
"""What an instant without a target on display counts, in the choice of a stretch."""
STATES = (
    ("held", "held: it says that nobody should follow"),
    ("gone", "the target is out of the slice"),
    ("lost", "lost: no target on display"),
)


def course(result: RunResult) -> list[Chart]:
    """Return the displayed and the true position, their distance, and the distance over the whole scan.

    Parameters
    ----------
    result
        The run.

    Returns
    -------
    charts
        Empty if it was not measured what was on display; the last one only if the scan is longer than the
        stretch that the first two show.
    """
    displayed = result.displayed
    if displayed is None or len(displayed.t_ns) < 2:
        return []
    part = worst_stretch(displayed)
    charts = [_position(displayed, part), _distance(displayed, part)]
    if part.stop - part.start < len(displayed.t_ns):
        charts.append(_whole(displayed, part))
    return charts


def worst_stretch(displayed: Displayed) -> slice:
    """Return the 20 s with the greatest mean distance, the first of several; all of a shorter scan.

    Parameters
    ----------
    displayed
        What was on display.

    Returns
    -------
    part
        TRs of the stretch, which begins at a whole number of seconds from the first, or ends at the last.
    """
    count, second = (max(1, round(s * 1e9 / displayed.tr_ns)) for s in (STRETCH_S, 1.0))
    if count >= len(displayed.t_ns):
        return slice(0, len(displayed.t_ns))
    wrong = np.where(displayed.judged, np.minimum(displayed.error_m, LOST_M), 0.0)
    # Whole micrometres, so that equal stretches have equal sums.
    sums = np.concatenate([[0], np.cumsum(np.rint(wrong * 1e6).astype(np.int64))])
    starts = np.append(np.arange(0, len(wrong) - count, second), len(wrong) - count)
    first = int(starts[np.argmax(sums[starts + count] - sums[starts])])
    return slice(first, first + count)


def states(displayed: Displayed) -> dict[str, NDArray[np.bool_]]:
    """Return when the target was held, gone and lost, each shape (n,), bool; at most one holds at a time.

    Parameters
    ----------
    displayed
        What was on display.
    """
    lost = displayed.judged & np.isinf(displayed.error_m)
    return {"held": displayed.held & ~displayed.gone, "gone": displayed.gone, "lost": lost}


def _position(displayed: Displayed, part: slice) -> Chart:
    axis = int(np.argmax(np.ptp(displayed.true_m, axis=0)))
    name, t_s = "xy"[axis], displayed.t_ns[part] / 1e9
    true, shown = (1e3 * path[part, axis] for path in (displayed.true_m, displayed.centre_m))
    near = BEYOND_M * 1e3
    seen = [*true - near, *true + near, *shown[np.isfinite(shown)]]
    low, high = min(seen), max(seen)
    room = 0.04 * (high - low)
    chart = Chart(
        "trace",
        "The target on display, and where it was",
        f"Displayed and true centre of the target along {name} at each TR, from {t_s[0]:.1f} to "
        f"{t_s[-1]:.1f} s.",
        Axis(float(t_s[0]), float(t_s[-1]), "time since the start of the scan, s"),
        Axis(low - room, high + room, f"{name}, mm" + (" (head to feet)" if name == "y" else "")),
        height_px=260,
    )
    few = np.unique(np.linspace(0, len(t_s) - 1, POINTS).astype(np.int64))
    chart.between(t_s[few], true[few] - near, true[few] + near, "near", f"within {near:g} mm of the truth")
    _shade(chart, displayed, part)
    chart.line(t_s[few], true[few], "true", "where the target was")
    starts, ends = _steps(displayed.index[part])
    times = np.stack([t_s[starts], np.append(t_s[starts[1:]], t_s[-1])], axis=1)
    chart.line(times.ravel(), np.repeat(shown[ends], 2), "shown", "where it was on display")
    return chart


def _distance(displayed: Displayed, part: slice) -> Chart:
    t_s, error = displayed.t_ns[part] / 1e9, _finite_mm(displayed.error_m[part])
    near = BEYOND_M * 1e3
    worst = float(np.nanmax(error)) if np.isfinite(error).any() else None
    told = "no target was on display" if worst is None else f"{worst:.2f} mm at most"
    chart = Chart(
        "error",
        "How far apart",
        f"Distance of the displayed from the true centre at each TR: {told}; {near:g} mm are marked.",
        Axis(float(t_s[0]), float(t_s[-1]), "time since the start of the scan, s"),
        Axis(0.0, round_up([near, *error.tolist()]), "distance, mm"),
        height_px=150,
    )
    chart.box((chart.x.low, chart.x.high), (0.0, near), "near", f"within {near:g} mm")
    _shade(chart, displayed, part)
    starts, ends = _steps(displayed.index[part])
    few = np.unique(np.concatenate([np.linspace(0, len(t_s) - 1, POINTS).astype(np.int64), starts, ends]))
    chart.line(t_s[few], error[few], "shown", "distance at each TR")
    return chart


def _whole(displayed: Displayed, part: slice) -> Chart:
    t_s, error = displayed.t_ns / 1e9, _finite_mm(displayed.error_m)
    edges = np.unique(np.linspace(0, len(t_s), BINS + 1).astype(np.int64))
    worst = np.array([np.nanmax(e) if np.isfinite(e).any() else np.nan for e in np.split(error, edges[1:-1])])
    chart = Chart(
        "whole",
        "The whole scan",
        "The greatest distance of the displayed from the true centre in short intervals of the whole scan.",
        Axis(float(t_s[0]), float(t_s[-1]), "time since the start of the scan, s"),
        Axis(0.0, round_up([BEYOND_M * 1e3, *worst.tolist()]), "distance, mm"),
        height_px=90,
    )
    chart.spans([(t_s[part.start], t_s[part.stop - 1])], "stretch", "the stretch above")
    _shade(chart, displayed, slice(0, len(t_s)))
    chart.level(BEYOND_M * 1e3, "edge", f"{BEYOND_M * 1e3:g} mm")
    chart.line(t_s[edges[:-1]], worst, "shown", "the greatest distance nearby")
    return chart


def _shade(chart: Chart, displayed: Displayed, part: slice) -> None:
    """Shade the time for which the target cannot be followed."""
    t_s, tr_s, flags = displayed.t_ns[part] / 1e9, displayed.tr_ns / 1e9, states(displayed)
    for kind, key in STATES:
        spans = [(t_s[at], t_s[at] + length * tr_s) for at, length in clusters(flags[kind][part])]
        chart.spans(spans, kind, key)


def _steps(index: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and the last TR of each stretch with the same emission on display."""
    edges = np.flatnonzero(np.diff(index)) + 1
    return np.concatenate([[0], edges]), np.concatenate([edges - 1, [len(index) - 1]])


def _finite_mm(error_m: Floats) -> Floats:
    return np.where(np.isfinite(error_m), error_m * 1e3, np.nan)
