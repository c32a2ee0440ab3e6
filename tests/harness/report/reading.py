"""A page as a reader and a parser see it: its scripts, its figures, its elements."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import numpy as np

DASH = "–"
VOID = {"meta", "link", "img", "input", "br"}


@dataclass
class Page(HTMLParser):
    """Collect what a page holds.

    Attributes
    ----------
    scripts
        Text of every script by its id; "" of the one that runs.
    figures
        Every figure: its place in the JSON, its digits, its scale, the text that is shown.
    nulls
        What each figure says in place of a null.
    tags
        Every element's name and attributes.
    text
        What is read, scripts and styles left out.
    unclosed
        Elements that the page does not close as it opened them.
    """

    scripts: dict[str, str] = field(default_factory=dict)
    figures: list[tuple[str, int, float, str]] = field(default_factory=list)
    nulls: list[str] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: str = ""
    unclosed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[tuple[str, dict[str, str | None]]] = []

    @classmethod
    def of(cls, html: str) -> Page:
        page = cls()
        page.feed(html)
        page.close()
        page.unclosed += [tag for tag, _ in page._open]
        return page

    @property
    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.scripts["result"])
        return found

    def wrong(self, told: dict[str, Any]) -> list[str]:
        """Return the places of figures whose text is not what the JSON has."""
        found = []
        for (place, digits, scale, shown), null in zip(self.figures, self.nulls, strict=True):
            value = at(told, place)
            if shown != (null if value is None else as_read(value, digits, scale)):
                found.append(f"{place}: {shown}")
        return found

    @property
    def frames(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.scripts["frames"])
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop()[0] != tag:
            self.unclosed.append(tag)

    def handle_data(self, data: str) -> None:
        tag, attributes = self._open[-1] if self._open else ("", {})
        if tag == "script":
            self.scripts[attributes.get("id") or ""] = data
        elif tag != "style":
            self.text += data
        if "data-figure" in attributes:
            place, digits = attributes["data-figure"] or "", int(attributes["data-digits"] or 0)
            self.nulls.append(attributes.get("data-null") or DASH)
            self.figures.append((place, digits, float(attributes["data-scale"] or 1), data))


def plain(html: str) -> str:
    """Return what is read of a piece of a page that holds no script."""
    return re.sub(r"<[^>]*>", "", html)


def section(html: str, name: str) -> str:
    """Return the part of a page with an id."""
    found = re.search(rf'<(section|figure)[^>]* id="{name}">.*?</\1>', html, re.DOTALL)
    assert found is not None, name
    return found.group(0)


def rows(html: str) -> dict[str, list[str]]:
    """Return the cells of every table row by what names it, as they are read."""
    found = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', html)
    return {
        plain(name): [plain(c) for c in re.findall(r"<td[^>]*>(.*?)</td>", cells)] for name, cells in found
    }


def at(told: Any, place: str) -> Any:
    for key in place.split("/"):
        told = told[int(key)] if isinstance(told, list) else told.get(key) if told else None
    return told


def as_read(value: Any, digits: int, scale: float) -> str:
    """Return what a reader should see of a JSON value."""
    if value is None:
        return DASH
    if isinstance(value, list):
        return ", ".join(as_read(v, digits, scale) for v in value) or "none"
    if isinstance(value, float) or (isinstance(value, int) and scale != 1):
        return format(value * scale, f"z.{digits}f")
    return str(value)


def millimetres(figure: str) -> Callable[[float], float]:
    """Return what turns a coordinate of a chart's drawing into a value, from the labels of its axis."""
    part = figure[figure.index('<div class="x">') :]
    ticks = [
        (10 * float(left), float(text.replace("−", "-")))
        for left, text in re.findall(r'style="left:([\d.]+)%">([^<]+)</span>', part)
    ]
    (at, value), (to, last) = ticks[0], ticks[-1]
    assert to > at
    return lambda x: value + (x - at) * (last - value) / (to - at)


def drawing(figure: str) -> str:
    """Return the drawing of a chart without its legend."""
    return figure[figure.index('class="area"') : figure.index('class="notes"')]


def bars(figure: str) -> list[tuple[str, float, float, float]]:
    """Return class, begin, end (millimetres) and middle (from the top) of every bar of a waterfall."""
    value = millimetres(figure)
    found = re.findall(r'class="bars ([^"]+)" d="M([-\d.]+) ([-\d.]+)H([-\d.]+)V([-\d.]+)H', drawing(figure))
    return [(k, value(float(a)), value(float(b)), (float(y) + float(v)) / 2) for k, a, y, b, v in found]


def points(figure: str, kind: str) -> np.ndarray:
    """Return the corners of a line of a chart, shape (n, 2), as shares of its axes from the lower left."""
    (path,) = re.findall(rf'class="line {kind}" d="([^"]*)"', drawing(figure))
    found = np.array(re.findall(r"[ML]([-\d.]+) ([-\d.]+)", path), np.float64)
    return found / 1000 * [1, -1] + [0, 1]


def boxes(figure: str, kind: str) -> list[tuple[float, float]]:
    """Return where each box of a chart begins and ends, as shares of its width."""
    (path,) = re.findall(rf'class="bars {kind}" d="([^"]*)"', drawing(figure))
    return [(float(a) / 1000, float(b) / 1000) for a, b in re.findall(r"M([\d.]+) [\d.]+H([\d.]+)V", path)]
