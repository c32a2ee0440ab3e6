"""The picture of what M95 is made of: a bar for each part, each from where the last one ends."""

from __future__ import annotations

from typing import Any

from harness.report.charts import Axis, Chart, round_up
from harness.report.text import Figures

PARTS = (
    ("cadence", "cadence", "time"),
    ("age_of_lines", "age of lines", "time"),
    ("computing", "computing", "time"),
    ("image", "error of the image", "image"),
)
"""Key in the JSON, name and class of each part, in the order in which they add up."""
HALF = 0.3
"""Half the height of a bar, in rows."""
SHOWN_MM = 0.05
"""Less than this is written as zero."""


def waterfall(figures: Figures) -> Chart | None:
    """Return M95 as a waterfall, with its interval and the limit of the profile.

    Parameters
    ----------
    figures
        The figures of the run.

    Returns
    -------
    chart
        None if there is no margin, or the target could never be followed.
    """
    if figures.get("margin") is None or not figures.get("margin/availability"):
        return None
    parts: dict[str, float | None] = figures.get("margin/waterfall_mm")
    whole: float | None = figures.get("margin/m95_mm")
    interval: list[float | None] = figures.get("margin/m95_interval_mm") or []
    interval = [] if None in interval[:1] else interval
    limit: float | None = figures.get("profile/m95_mm")
    ends = _ends(parts)
    known = [*ends, whole, limit, *interval]
    names = ("M95", *(name for _, name, _ in reversed(PARTS)))
    chart = Chart(
        "waterfall",
        "What M95 is made of",
        _about(figures, parts),
        # Room for the text beside the longest bar.
        Axis(min(0.0, *ends), 1.45 * round_up([v for v in known if v is not None]), "mm"),
        Axis(0.0, len(names) + 0.6, "", names=names),
        height_px=230,
    )
    begin, less = 0.0, False
    for number, ((key, _, kind), end) in enumerate(zip(PARTS, ends, strict=True)):
        row, value, place = len(PARTS) - number + 0.5, parts[key], f"margin/waterfall_mm/{key}"
        if value is not None:
            takes = value < -SHOWN_MM
            less |= takes
            chart.box((begin, end), (row - HALF, row + HALF), f"{kind}{' less' if takes else ''}")
            chart.labels.append((max(begin, end), row, figures.at(place, 1, unit=" mm")))
        elif key == "image":
            share = figures.at("margin/lost_share", 1, 100, unit=" %")
            _endless(chart, begin, row, f"{figures.at(place, 1, null='lost')} for {share} of the time")
        else:
            chart.labels.append((0.0, row, figures.at(place, 1, null="no lag can be told")))
        begin = end
    if whole is None:
        _endless(chart, 0.0, 0.5, figures.at("margin/m95_mm", 1, null="infinite"))
    else:
        chart.box((0.0, whole), (0.5 - HALF, 0.5 + HALF), "whole")
        right = max([whole, *(end for end in interval if end is not None)])
        chart.labels.append((right, 0.5, figures.at("margin/m95_mm", 1, unit=" mm")))
    if interval:
        low, high = (chart.x.high if end is None else end for end in interval)
        chart.whisker(low, high, 0.5, HALF / 2, "interval", "its interval, 95 %")
    if limit is not None:
        chart.mark(limit, "deadline", f"limit {limit:g} mm")
    kinds = {"time": "time", "image": "the image"}
    chart.keys += [(f"bars {kind}", text) for kind, text in kinds.items()]
    if less:
        chart.keys.append(("bars image less", "takes from it"))
    return chart


def _ends(parts: dict[str, Any]) -> list[float]:
    """Return where each part ends; one that is not known ends where it begins."""
    ends, at = [], 0.0
    for key, _, _ in PARTS:
        at += parts[key] or 0.0
        ends.append(at)
    return ends


def _endless(chart: Chart, begin: float, row: float, told: str) -> None:
    """Draw what has no end as a dashed line to the edge, with the text above it."""
    chart.whisker(begin, chart.x.high, row - HALF, 0.0, "endless")
    chart.labels.append((0.0, row, told))


def _about(figures: Figures, parts: dict[str, float | None]) -> str:
    told = ", ".join(
        f"{name} {'not told' if parts[key] is None else f'{parts[key]:.1f} mm'}" for key, name, _ in PARTS
    )
    return f"{figures.get('margin/sentence')}: {told}."
