"""Results and scans in a few lines: as text where Python prints them, as a table where a notebook does."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


class Summarised:
    """Show an object as a title and a few named facts, never as all that it holds.

    A class that inherits says what they are in `_summary`; a dataclass leaves its own repr out
    (`repr=False`).
    """

    __slots__ = ()

    def _summary(self) -> tuple[str, Sequence[tuple[str, str]]]:
        """Return the title and the facts: name and value of each."""
        raise NotImplementedError

    def __repr__(self) -> str:
        title, facts = self._summary()
        width = max((len(name) for name, _ in facts), default=0)
        return "\n".join([title, *(f"  {name.ljust(width)}  {value}" for name, value in facts)])

    def _repr_html_(self) -> str:
        """Return the same as a table in HTML, every text escaped."""
        title, facts = self._summary()
        rows = "".join(
            f'<tr><th style="text-align:left">{escape(name)}</th>'
            f'<td style="text-align:left">{escape(value)}</td></tr>'
            for name, value in facts
        )
        return f"<table><caption>{escape(title)}</caption><tbody>{rows}</tbody></table>"


def array_facts(**arrays: object) -> list[tuple[str, str]]:
    """Return shape and type of arrays as facts, such as ("samples", "(64, 1, 128) complex64")."""
    return [(name, f"{getattr(a, 'shape', '')} {getattr(a, 'dtype', '')}") for name, a in arrays.items()]


def listed(names: Sequence[str], width: int = 80) -> str:
    """Return names in a row, as many whole ones as fit, with an ellipsis for the others."""
    row = ", ".join(names)
    while len(row) > width and len(names) > 1:
        names = names[:-1]
        row = f"{', '.join(names)}, ..."
    return row


def counted(number: int, what: str) -> str:
    """Return a number with its noun, such as "1 coil" or "8 coils"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
