"""Tables of a TOML definition: each key taken once, checked, and what is left over refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from reprlib import repr as short
from typing import Any

from mrsim.errors import PhantomError

MAX_LIST = 16  # of names
MAX_NUMBER = 1e12

Table = dict[str, Any]


class Keys:
    """Take the keys of one table one by one, each checked, and refuse what is left over.

    Parameters
    ----------
    table
        The table.
    where
        File and table, as errors are to name them.

    Raises
    ------
    PhantomError
        If it is not a table.
    """

    def __init__(self, table: Any, where: str) -> None:
        if not isinstance(table, dict):
            raise PhantomError(f"{where}: expected a table")
        self._table, self._where = dict(table), where
        self._known: list[str] = []

    def text(self, key: str, default: str | None = None) -> str:
        """Take one line of text; without a default it must be there."""
        return str(self._take(key, default, _is_text, "1 to 200 printable characters"))

    def name(self, key: str, default: str | None = None) -> str:
        """Take a name; without a default it must be there."""
        return str(self._take(key, default, is_name, NAME_RULE))

    def optional_name(self, key: str) -> str | None:
        """Take a name that may be missing."""
        if key in self._table:
            return self.name(key)
        self._note(key)
        return None

    def number(self, key: str, default: float | None = None) -> float:
        """Take a finite number."""
        return float(self._take(key, default, _is_number, "a finite number"))

    def within(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """Take a number from low to high."""
        value = self._take(
            key, default, lambda v: _is_number(v) and low <= v <= high, f"a number from {low:g} to {high:g}"
        )
        return float(value)

    def pair(self, key: str, default: tuple[float, float] | None = None) -> tuple[float, float]:
        """Take a list of two finite numbers."""
        x, y = self._take(key, default, _is_pair, "two finite numbers [x, y]")
        return float(x), float(y)

    def holds_list(self, key: str) -> bool:
        """Return whether the value of a key is a list; nothing is taken."""
        return isinstance(self._table.get(key), list | tuple)

    def flag(self, key: str, default: bool) -> bool:
        """Take true or false."""
        return bool(self._take(key, default, lambda v: isinstance(v, bool), "true or false"))

    def names(self, key: str) -> tuple[str, ...]:
        """Take a list of 1 to 16 different names."""
        value = self._take(key, None, _are_names, f"a list of different names, 1 to {MAX_LIST}")
        return tuple(str(v) for v in value)

    def numbers(self, key: str, most: int, default: tuple[float, ...] | None = None) -> tuple[float, ...]:
        """Take a list of at most so many finite numbers."""
        value = self._take(
            key,
            default,
            lambda v: isinstance(v, list | tuple) and len(v) <= most and all(map(_is_number, v)),
            f"a list of at most {most} finite numbers",
        )
        return tuple(float(v) for v in value)

    def triple(self, key: str) -> tuple[float, float, float]:
        """Take a list of three finite numbers."""
        x, y, z = self._take(key, None, lambda v: _is_vector(v, (3,)), "three finite numbers [x, y, z]")
        return float(x), float(y), float(z)

    def pairs(
        self, key: str, most: int, default: tuple[tuple[float, float], ...] | None = None
    ) -> list[tuple[float, float]]:
        """Take a list of at most so many pairs of finite numbers."""
        value = self._take(
            key,
            default,
            lambda v: isinstance(v, list | tuple) and len(v) <= most and all(map(_is_pair, v)),
            f"a list of at most {most} points [x, y]",
        )
        return [(float(x), float(y)) for x, y in value]

    def vectors(self, key: str, several: bool) -> list[tuple[float, float, float]]:
        """Take a vector [x, y] or [x, y, z], or a list of them; an empty list if it is missing."""
        if key not in self._table:
            self._note(key)
            return []
        if several:
            value = self._take(
                key,
                None,
                lambda v: isinstance(v, list | tuple) and all(_is_vector(e, (2, 3)) for e in v),
                "a list of vectors, one for each motion",
            )
        else:
            value = [
                self._take(key, None, lambda v: _is_vector(v, (2, 3)), "two finite numbers [x, y], or three")
            ]
        return [(float(v[0]), float(v[1]), float(v[2]) if len(v) == 3 else 0.0) for v in value]

    def take(self, key: str, default: Any) -> Any:
        """Take a value of any kind, unchecked."""
        return self._take(key, default, lambda value: True, "")

    def done(self) -> None:
        """Raise an error if a key is left that nobody asked for.

        Raises
        ------
        PhantomError
            It names the key, and the keys that are known.
        """
        for key in self._table:
            raise PhantomError(f"{self._where}: unknown key {short(key)}; known: {', '.join(self._known)}")

    def _note(self, key: str) -> None:
        self._known.append(key)

    def _take(self, key: str, default: Any, holds: Callable[[Any], bool], expected: str) -> Any:
        self._note(key)
        if key not in self._table:
            if default is None:
                raise PhantomError(f"{self._where}: missing key {key!r}: expected {expected}")
            return default
        value = self._table.pop(key)
        if not holds(value):
            raise PhantomError(f"{self._where}: {key} = {short(value)}: expected {expected}")
        return value


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 200 and value.isprintable()


NAME_RULE = "a name of 1 to 60 letters, digits, - and _"


def is_name(value: Any) -> bool:
    """Return whether a value may name a region or a motion."""
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,60}", value) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER


def _is_pair(value: Any) -> bool:
    return _is_vector(value, (2,))


def _is_vector(value: Any, lengths: tuple[int, ...]) -> bool:
    return isinstance(value, list | tuple) and len(value) in lengths and all(_is_number(v) for v in value)


def _are_names(value: Any) -> bool:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_LIST:
        return False
    return all(is_name(v) for v in value) and len(set(value)) == len(value)
