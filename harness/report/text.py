"""Pieces of a page: escaped text, figures with their place in the JSON, and tables of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from harness.report.words import explained

DASH, INFINITE = "\N{EN DASH}", "infinite"
"""What stands where there is no figure, and where it is infinite: the JSON has null for both."""
OPTIONAL = frozenset({"audit", "broken", "command", "faults", "overlap", "repetitions", "touched", "try"})
"""Parts that only some results have; all other parts exist always, null if they were not measured."""


class Figures:
    """Render the figures of a result, each marked with its place in the JSON.

    Parameters
    ----------
    values
        The result as JSON values.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def get(self, path: str) -> Any:
        """Return the value at a path.

        Parameters
        ----------
        path
            Keys and indices, such as `key/key/0`.

        Returns
        -------
        value
            None if the value or a part of its path is null, or an optional part is missing.

        Raises
        ------
        LookupError
            If a result has no such path: that is an error of the page, never a dash.
        """
        value: Any = self.values
        keys = path.split("/")
        if keys[0] in OPTIONAL and keys[0] not in self.values:
            return None
        for depth, key in enumerate(keys):
            if value is None:
                return None
            if isinstance(value, list) and key.isdigit() and int(key) < len(value):
                value = value[int(key)]
            elif isinstance(value, dict) and key in value:
                value = value[key]
            else:
                parent = "/".join(keys[:depth]) or "the result"
                raise LookupError(f"figure {path!r}: {parent} has no {key!r}; it has {_places(value)}")
        return value

    def at(self, path: str, digits: int = 2, scale: float = 1.0, *, unit: str = "", null: str = DASH) -> str:
        """Return a figure or a text as HTML.

        Parameters
        ----------
        path
            Path of the value, as for `get`.
        digits
            Number of decimals.
        scale
            Factor by which the value is multiplied.
        unit
            Plain text that follows a value.
        null
            What is said in place of a value and its unit where the JSON has null: a dash if nothing is known.
        """
        value = self.get(path)
        shown = null if value is None else written(value, digits, scale)
        said = "" if null == DASH else f' data-null="{escape(null)}"'
        return (
            f'<span data-figure="{escape(path)}" data-digits="{digits}" data-scale="{scale:g}"{said}>'
            f"{escape(shown)}</span>{escape(unit) if value is not None else ''}"
        )


def _places(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(map(str, value)) or "nothing"
    return f"{len(value)} items" if isinstance(value, list) else f"no parts ({type(value).__name__})"


def written(value: Any, digits: int = 2, scale: float = 1.0) -> str:
    """Return a JSON value as text for a reader.

    Parameters
    ----------
    value
        The value.
    digits
        Number of decimals.
    scale
        Factor by which a number is multiplied.
    """
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and scale == 1.0:
        return str(value)
    if isinstance(value, int | float):
        return f"{value * scale:z.{digits}f}"  # no minus before a zero
    if isinstance(value, list):
        return ", ".join(written(item, digits, scale) for item in value) or "none"
    return str(value)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: bool = False) -> str:
    """Return an HTML table; its first column names the rows.

    Parameters
    ----------
    heads
        Headings, plain text.
    rows
        Cells, HTML.
    numbers
        Whether all but the first column hold numbers.
    """
    kind = ' class="n"' if numbers else ""
    head = "".join(f'<th scope="col"{kind if n else ""}>{escape(h)}</th>' for n, h in enumerate(heads))
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td{kind}>{cell}</td>" for cell in others)}</tr>'
        for first, *others in rows
    )
    top = f"<thead><tr>{head}</tr></thead>" if any(heads) else ""
    return f"<table>{top}<tbody>{body}</tbody></table>"


def tile(name: str, value: str, more: str) -> str:
    """Return one headline figure as HTML.

    Parameters
    ----------
    name
        Its name, plain text.
    value, more
        The figure and a note, HTML.
    """
    attributes, tip = explained(name)
    return (
        f'<li{attributes}><span class="name">{escape(name)}</span><span class="value">{value}</span>'
        f'<span class="more">{more}</span>{tip}</li>'
    )


def data(name: str, value: Any) -> str:
    """Return JSON in a script element that no text in it can end.

    Parameters
    ----------
    name
        Id of the element.
    value
        The JSON value.
    """
    text = json.dumps(value, allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f'<script type="application/json" id="{escape(name)}">{text}</script>'
