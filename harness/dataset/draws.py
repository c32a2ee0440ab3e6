"""Values of a dataset's specification: fixed, chosen from several, drawn from a range, or swept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from reprlib import repr as short
from typing import Any

import numpy as np

from mrsim.errors import DatasetError
from mrsim.seeds import child

MAX_VALUES = 1000
DIGITS = 6  # of a drawn number, so that the recorded number is exactly the one used
KINDS = ("choice", "range", "each")

Plain = bool | int | float | str | list[Any]


@dataclass(frozen=True)
class Fixed:
    """Hold a value that is always the same.

    Parameters
    ----------
    value
        A number, a text or a list of them.
    """

    value: Plain

    def ends(self) -> tuple[Plain, ...]:
        """Return the values on which the specification is checked."""
        return (self.value,)

    def draw(self, rng: np.random.Generator) -> Plain:
        """Return the value.

        Parameters
        ----------
        rng
            Source of the draw.
        """
        return self.value


@dataclass(frozen=True)
class Choice:
    """Hold values of which one is drawn with equal chances.

    Parameters
    ----------
    values
        Numbers, texts or lists of them.
    """

    values: tuple[Plain, ...]

    def ends(self) -> tuple[Plain, ...]:
        """Return all values."""
        return self.values

    def draw(self, rng: np.random.Generator) -> Plain:
        """Draw one of the values.

        Parameters
        ----------
        rng
            Source of the draw.
        """
        return self.values[int(rng.integers(len(self.values)))]


@dataclass(frozen=True)
class Range:
    """Hold a range from which a number is drawn uniformly.

    Parameters
    ----------
    low, high
        Its ends; whole numbers include both.
    whole
        Whether whole numbers are drawn.
    """

    low: float
    high: float
    whole: bool

    def ends(self) -> tuple[Plain, ...]:
        """Return both ends."""
        return (self.low, self.high)

    def draw(self, rng: np.random.Generator) -> Plain:
        """Draw a number.

        Parameters
        ----------
        rng
            Source of the draw.
        """
        if self.whole:
            return int(rng.integers(int(self.low), int(self.high) + 1))
        value = float(f"{rng.uniform(self.low, self.high):.{DIGITS}g}")
        return min(max(value, self.low), self.high)


@dataclass(frozen=True)
class Each:
    """Hold values that are swept: each is used in turn.

    Parameters
    ----------
    values
        Numbers, texts or lists of them.
    """

    values: tuple[Plain, ...]

    def ends(self) -> tuple[Plain, ...]:
        """Return all values."""
        return self.values


Draw = Fixed | Choice | Range


def is_draw(value: Any) -> bool:
    """Return whether a table states how a value is drawn.

    Parameters
    ----------
    value
        A value of the specification.
    """
    return isinstance(value, dict) and any(kind in value for kind in KINDS)


def read_draw(value: Any, where: str, *, whole: bool = False) -> Draw:
    """Read a value that is not swept.

    Parameters
    ----------
    value, where, whole
        As for `read_value`.

    Raises
    ------
    DatasetError
        If it is swept, or `read_value` refuses it.
    """
    read = read_value(value, where, whole=whole)
    if isinstance(read, Each):
        raise DatasetError(f"{where}: each: only values of [scan] are gone through; write choice or range")
    return read


def read_value(value: Any, where: str, *, whole: bool = False) -> Draw | Each:
    """Read a value of the specification.

    Parameters
    ----------
    value
        A number, a text, a list, or a table with one of the keys `choice`, `range` and `each`.
    where
        File and key, as errors name them.
    whole
        Whether a range is one of whole numbers.

    Raises
    ------
    DatasetError
        If it has none of these forms, or a range or a list is empty.
    """
    if not isinstance(value, dict):
        return Fixed(_plain(value, where))
    if len(value) != 1 or next(iter(value)) not in KINDS:
        raise DatasetError(
            f"{where} = {short(value)}: expected a value, or one of {{ choice = [...] }}, "
            "{ range = [low, high] } and { each = [...] }"
        )
    kind, content = next(iter(value.items()))
    if kind == "range":
        return _range(content, f"{where}: range = {short(content)}", whole)
    if not isinstance(content, list) or not 1 <= len(content) <= MAX_VALUES:
        raise DatasetError(f"{where}: {kind} = {short(content)}: expected a list of 1 to {MAX_VALUES} values")
    values = tuple(_plain(v, f"{where}: {kind}") for v in content)
    if any(v in values[:i] for i, v in enumerate(values)):
        raise DatasetError(f"{where}: {kind} = {short(content)}: a value stands there twice")
    return Each(values) if kind == "each" else Choice(values)


def _range(content: Any, where: str, whole: bool) -> Range:
    expected = "whole numbers" if whole else "numbers"
    if (
        not isinstance(content, list)
        or len(content) != 2
        or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in content)
        or not all(abs(v) < 1e12 for v in content)
        or (whole and not all(isinstance(v, int) for v in content))
    ):
        raise DatasetError(f"{where}: expected two {expected} [low, high]")
    low, high = content
    if not low < high:
        raise DatasetError(f"{where}: the range is empty; write the lower end first, or a plain value")
    return Range(low, high, whole)


def _plain(value: Any, where: str) -> Plain:
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list) and len(value) <= MAX_VALUES:
        return [_plain(v, where) for v in value]
    raise DatasetError(f"{where} = {short(value)}: expected a number, a text or a list of them")


def seed_of(seed: int, *path: str | int) -> np.random.SeedSequence:
    """Return the seed that belongs to a name, independent of the other items of a dataset.

    A name contributes 128 bits of its SHA-256, so no two of a million items share a seed.

    Parameters
    ----------
    seed
        Seed of the dataset.
    path
        Names and numbers that identify what is drawn.
    """
    words: list[str | int] = []
    for part in path:
        if isinstance(part, int):
            words.append(part)
        else:
            digest = hashlib.sha256(part.encode()).digest()
            words += [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
    return child(seed, "dataset", *words)


def draw_all(draws: dict[str, Draw], seed: int, *path: str | int) -> dict[str, Plain]:
    """Draw every value from a seed of its own, so that another key does not change it.

    Parameters
    ----------
    draws
        Values to draw, by key.
    seed
        Seed of the dataset.
    path
        Names and numbers that identify what the values are drawn for.
    """
    return {
        key: draw.draw(np.random.default_rng(seed_of(seed, *path, key)))
        for key, draw in sorted(draws.items())
    }
