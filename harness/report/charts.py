"""Charts for a page: an SVG that stretches with the page, with labels that do not stretch.

Shapes lie on a square of 1000 by 1000 that is stretched to the available size; strokes keep their width. Axis
labels are text of the page, placed at shares of its width. So a chart is legible on a telephone, a wide
screen and paper, and takes its colours from the page, light or dark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
from numpy.typing import NDArray

from harness.report.words import explained

SIDE = 1000.0
Floats = NDArray[np.float64]


@dataclass
class Axis:
    """Map values to shares of an axis.

    Parameters
    ----------
    low, high
        Values at its ends.
    label
        Quantity and unit.
    log
        Whether it is logarithmic.
    names
        Names of what lies at 0.5, 1.5 and so on, in place of numbers.
    """

    low: float
    high: float
    label: str
    log: bool = False
    names: tuple[str, ...] = ()

    def share(self, values: Floats | float) -> Floats:
        """Return where values lie on the axis, clipped to its ends.

        Parameters
        ----------
        values
            Values, any shape, float64.

        Returns
        -------
        shares
            0 at `low` to 1 at `high`, the same shape.
        """
        value = np.asarray(values, np.float64)
        low, high = self.low, self.high
        if self.log:
            value, low, high = np.log(np.maximum(value, 1e-12)), math.log(self.low), math.log(self.high)
        return np.clip((value - low) / (high - low), 0, 1)

    def ticks(self, count: int = 6) -> list[float]:
        """Return round values within the axis.

        Parameters
        ----------
        count
            Approximate number of values.
        """
        if self.names:
            values = [number + 0.5 for number in range(len(self.names))]
        elif self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            steps = (1, 2, 5) if self.high < 600 * self.low else (1,)
            values = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        else:
            step = _round_step((self.high - self.low) / count)
            first = math.ceil(self.low / step - 1e-9)
            values = [round(step * n, 12) for n in range(first, math.floor(self.high / step + 1e-9) + 1)]
        slack = 1e-9 * (self.high - self.low)
        return [value for value in values if self.low - slack <= value <= self.high + slack]

    def named(self, value: float) -> str:
        """Return what stands at a tick."""
        return self.names[int(value)] if self.names else _number(value)


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return power * next(n for n in (1, 2, 5, 10) if n * power >= step * (1 - 1e-9))


@dataclass
class Chart:
    """Collect the shapes of one chart.

    Parameters
    ----------
    name
        Id of the figure in the page.
    title
        Heading.
    about
        Description of the chart for readers who cannot see it.
    x, y
        Axes.
    height_px
        Height of the drawing, pixels.
    shapes
        SVG paths so far.
    keys
        Class and text of each entry of the legend.
    notes
        Position, text and class of each note above the shapes.
    labels
        Position (x, y) of the left end, and HTML, of each label beside a shape.
    """

    name: str
    title: str
    about: str
    x: Axis
    y: Axis
    height_px: int = 220
    shapes: list[str] = field(default_factory=list)
    keys: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[float, str, str]] = field(default_factory=list)
    labels: list[tuple[float, float, str]] = field(default_factory=list)

    def _at(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        return SIDE * self.x.share(x), SIDE * (1 - self.y.share(y))

    def line(self, x: Floats, y: Floats, kind: str, key: str = "") -> None:
        """Join points by a line that has gaps at values that are not finite.

        Parameters
        ----------
        x, y
            Coordinates of the points, shape (n,), float64.
        kind
            Class of the shape in the style sheet.
        key
            Entry in the legend; empty for none.
        """
        parts, pen = [], "M"
        for at, to, finite in zip(*self._at(x, np.nan_to_num(y)), np.isfinite(y), strict=True):
            if finite:
                parts.append(f"{pen}{at:.1f} {to:.1f}")
            pen = "L" if finite else "M"
        self._path("".join(parts), f"line {kind}", key)

    def dots(self, x: Floats, y: Floats, kind: str, key: str = "") -> None:
        """Draw a dot at every point whose y is finite.

        Parameters
        ----------
        x, y
            Coordinates of the points, shape (n,), float64.
        kind
            Class of the shape in the style sheet.
        key
            Entry in the legend; empty for none.
        """
        finite = np.isfinite(y)
        pairs = zip(*self._at(np.asarray(x)[finite], np.asarray(y)[finite]), strict=True)
        self._path("".join(f"M{at:.1f} {to:.1f}h.01" for at, to in pairs), f"dots {kind}", key)

    def level(self, y: float, kind: str, key: str = "") -> None:
        """Draw a horizontal line.

        Parameters
        ----------
        y
            Its value.
        kind
            Class of the shape in the style sheet.
        key
            Entry in the legend; empty for none.
        """
        to = float(SIDE * (1 - self.y.share(y)))
        self._path(f"M0 {to:.1f}H{SIDE:.0f}", f"line {kind}", key)

    def mark(self, x: float, kind: str, note: str = "", key: str = "") -> None:
        """Draw a vertical line with a note above it.

        Parameters
        ----------
        x
            Its value.
        kind
            Class of the shape in the style sheet.
        note
            Text of the note; empty for none.
        key
            Entry in the legend; empty for none.
        """
        at = float(SIDE * self.x.share(x))
        self._path(f"M{at:.1f} 0V{SIDE:.0f}", f"line {kind}", key)
        if note:
            self.notes.append((at / SIDE, note, kind))

    def marks(self, x: Floats, kind: str, key: str = "") -> None:
        """Draw a vertical line at every value.

        Parameters
        ----------
        x
            The values, shape (n,), float64.
        kind
            Class of the shape in the style sheet.
        key
            Entry in the legend; empty for none.
        """
        at = SIDE * self.x.share(x)
        self._path("".join(f"M{a:.1f} 0V{SIDE:.0f}" for a in at), f"line {kind}", key)

    def bars(self, edges: Floats, heights: Floats, kind: str, key: str = "") -> None:
        """Draw a bar from each edge to the next.

        Parameters
        ----------
        edges
            Edges, shape (n + 1,), float64.
        heights
            Heights, shape (n,), float64.
        kind
            Class of the shape in the style sheet.
        key
            Entry in the legend; empty for none.
        """
        at = SIDE * self.x.share(edges)
        tops = SIDE * (1 - self.y.share(heights))
        base = float(SIDE * (1 - self.y.share(max(self.y.low, 0.0))))
        parts = [
            f"M{a:.1f} {base:.1f}V{top:.1f}H{b:.1f}V{base:.1f}z"
            for a, b, top, height in zip(at[:-1], at[1:], tops, heights, strict=True)
            if height > 0
        ]
        self._path("".join(parts), f"bars {kind}", key)

    def box(self, x: tuple[float, float], y: tuple[float, float], kind: str, key: str = "") -> None:
        """Fill a rectangle.

        Parameters
        ----------
        x, y
            Where it begins and ends.
        kind
            Class of the shape in the style sheet.
        key
            Entry in the legend; empty for none.
        """
        (left, right), (bottom, top) = self._at(np.array(x), np.array(y))
        self._path(f"M{left:.1f} {bottom:.1f}H{right:.1f}V{top:.1f}H{left:.1f}z", f"bars {kind}", key)

    def whisker(self, low: float, high: float, y: float, half: float, kind: str, key: str = "") -> None:
        """Draw a horizontal line from one value to another, with ends.

        Parameters
        ----------
        low, high
            The values.
        y
            Where it lies.
        half
            Half the height of its ends.
        kind
            Class of the shape in the style sheet.
        key
            Entry in the legend; empty for none.
        """
        (left, right), (bottom, top) = self._at(np.array([low, high]), np.array([y - half, y + half]))
        middle = (bottom + top) / 2
        ends = "".join(f"M{at:.1f} {bottom:.1f}V{top:.1f}" for at in (left, right)) if half else ""
        self._path(f"M{left:.1f} {middle:.1f}H{right:.1f}{ends}", f"line {kind}", key)

    def spans(self, spans: Sequence[tuple[float, float]], kind: str, key: str = "") -> None:
        """Shade stretches of x over the whole height.

        Parameters
        ----------
        spans
            Where each begins and ends.
        kind
            Class of the shape in the style sheet.
        key
            Entry in the legend; empty for none.
        """
        ends = [SIDE * self.x.share(np.array(span)) for span in spans]
        self._path("".join(f"M{a:.1f} 0H{b:.1f}V{SIDE:.0f}H{a:.1f}z" for a, b in ends), f"bars {kind}", key)

    def between(self, x: Floats, low: Floats, high: Floats, kind: str, key: str = "") -> None:
        """Fill what lies between two lines.

        Parameters
        ----------
        x
            Coordinates, shape (n,), float64.
        low, high
            The lines, shape (n,), float64, finite.
        kind
            Class of the shape in the style sheet.
        key
            Entry in the legend; empty for none.
        """
        across, up = self._at(np.concatenate([x, x[::-1]]), np.concatenate([low, high[::-1]]))
        points = "L".join(f"{at:.1f} {to:.1f}" for at, to in zip(across, up, strict=True))
        self._path(f"M{points}z", f"bars {kind}", key)

    def _path(self, path: str, kind: str, key: str) -> None:
        if not path:
            return
        self.shapes.append(f'<path class="{kind}" d="{path}"/>')
        if key:
            self.keys.append((kind, key))

    def html(self) -> str:
        """Return the chart as a figure of a page."""
        across, up = self.x.ticks(), self.y.ticks(4)
        grid = "".join(f"M0 {SIDE * (1 - float(self.y.share(v))):.1f}H{SIDE:.0f}" for v in up)
        labels_y = "".join(
            f'<span style="bottom:{100 * float(self.y.share(v)):.2f}%">{escape(self.y.named(v))}</span>'
            for v in up
        )
        labels_x = "".join(
            f'<span class="{"odd" if n % 2 else "even"}{" end" if self.x.share(v) > 0.97 else ""}" '
            f'style="left:{100 * float(self.x.share(v)):.2f}%">{escape(self.x.named(v))}</span>'
            for n, v in enumerate(across)
        )
        keys = "".join(
            f'<li><svg viewBox="0 0 24 12" aria-hidden="true">'
            f'<path class="{kind}" d="{_sample(kind)}"/></svg>{escape(text)}</li>'
            for kind, text in self.keys
        )
        notes = "".join(
            f'<span class="{kind}" style="{_side(share)};top:{1.25 * row:.2f}em">{escape(text)}</span>'
            for row, (share, text, kind) in enumerate(self.notes)
        )
        labels = "".join(
            f'<span class="label" style="left:{100 * float(self.x.share(x)):.2f}%;'
            f'bottom:{100 * float(self.y.share(y)):.2f}%">{html}</span>'
            for x, y, html in self.labels
        )
        names = " names" if self.y.names else ""
        attributes, tip = explained(self.name)
        return (
            f'<figure class="chart" id="{escape(self.name)}">'
            f"<figcaption{attributes}>{escape(self.title)}{tip}</figcaption>"
            f'<ul class="keys">{keys}</ul><p class="axis-y">{escape(self.y.label)}</p>'
            f'<div class="plot{names}" style="--height:{self.height_px}px"><div class="y">{labels_y}</div>'
            f'<div class="area"><svg viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img" '
            f'aria-label="{escape(self.about)}"><path class="grid" d="{grid}"/>{"".join(self.shapes)}</svg>'
            f'<div class="notes">{notes}{labels}</div></div><div class="x">{labels_x}</div></div>'
            f'<p class="axis-x">{escape(self.x.label)}</p></figure>'
        )


def _side(share: float) -> str:
    """Return the position of a note: right of its line, or left of it near the right edge."""
    return f"left:{100 * share:.2f}%" if share < 0.6 else f"right:{100 * (1 - share):.2f}%"


def _sample(kind: str) -> str:
    if kind.startswith("dots"):
        return "M12 6h.01"
    return "M4 11V3H20V11z" if kind.startswith("bars") else "M1 6H23"


def _number(value: float) -> str:
    return f"{value:.6g}".replace("-", "\N{MINUS SIGN}")


def round_up(values: Sequence[float]) -> float:
    """Return the end of an axis that holds all values and a little more; 1 for none.

    Parameters
    ----------
    values
        The values; those that are not finite are ignored.
    """
    highest = max((v for v in values if math.isfinite(v)), default=0.0)
    return highest * 1.08 if highest > 0 else 1.0
