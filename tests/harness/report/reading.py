"""A page as a reader and a parser see it: its scripts, its figures, its elements."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

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
    tags
        Every element's name and attributes.
    text
        What is read, scripts and styles left out.
    unclosed
        Elements that the page does not close as it opened them.
    """

    scripts: dict[str, str] = field(default_factory=dict)
    figures: list[tuple[str, int, float, str]] = field(default_factory=list)
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
            self.figures.append((place, digits, float(attributes["data-scale"] or 1), data))
