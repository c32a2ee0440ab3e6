"""What a value of a dataset's specification may be: fixed, one of several, or drawn from a range."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from reprlib import repr as short
from typing import Any

import numpy as np

from mrsim.errors import InputError
from mrsim.seeds import child

MAX_VALUES = 1000
DIGITS = 6  # of a drawn number: what is recorded is what was used
KINDS = ("choice", "range", "each")

Plain = bool | int | float | str | list[Any]


@dataclass(frozen=True)
class Fixed:
    """Hold a value that is always the same."""

    value: Plain

    def ends(self) -> tuple[Plain, ...]:
        """Return the values that stand for all when the specification is checked."""
        return (self.value,)

    def draw(self, rng: np.random.Generator) -> Plain:
        """Return the value."""
        return self.value


@dataclass(frozen=True)
class Choice:
    """Hold values of which one is drawn, each as often as another."""

    values: tuple[Plain, ...]

    def ends(self) -> tuple[Plain, ...]:
        """Return all values."""
        return self.values

    def draw(self, rng: np.random.Generator) -> Plain:
        """Return one of the values."""
        return self.values[int(rng.integers(len(self.values)))]


@dataclass(frozen=True)
class Range:
    """Hold the ends of a range from which a number is drawn, uniformly; a whole one includes both ends."""

    low: float
    high: float
    whole: bool

    def ends(self) -> tuple[Plain, ...]:
        """Return both ends."""
        return (self.low, self.high)

    def draw(self, rng: np.random.Generator) -> Plain:
        """Return a number of the range."""
        if self.whole:
            return int(rng.integers(int(self.low), int(self.high) + 1))
        value = float(f"{rng.uniform(self.low, self.high):.{DIGITS}g}")
        return min(max(value, self.low), self.high)


@dataclass(frozen=True)
class Each:
    """Hold values that are all gone through."""

    values: tuple[Plain, ...]

    def ends(self) -> tuple[Plain, ...]:
        """Return all values."""
        return self.values


Draw = Fixed | Choice | Range


def is_draw(value: Any) -> bool:
    """Return whether a table of the specification says how a value is drawn."""
    return isinstance(value, dict) and any(kind in value for kind in KINDS)


def read_draw(value: Any, where: str, *, whole: bool = False) -> Draw:
    """Read a value that is not gone through; see `read_value`."""
    read = read_value(value, where, whole=whole)
    if isinstance(read, Each):
        raise InputError(f"{where}: each: only values of [scan] are gone through; write choice or range")
    return read


def read_value(value: Any, where: str, *, whole: bool = False) -> Draw | Each:
    """Read a value of the specification.

    Parameters
    ----------
    value
        A number, a text, a list, or a table with one of the keys `choice`, `range` and `each`.
    where
        File and key, as errors are to name them.
    whole
        Whether a range is one of whole numbers.

    Raises
    ------
    InputError
        If it is none of these, or a range or a list is empty.
    """
    if not isinstance(value, dict):
        return Fixed(_plain(value, where))
    if len(value) != 1 or next(iter(value)) not in KINDS:
        raise InputError(
            f"{where} = {short(value)}: expected a value, or one of {{ choice = [...] }}, "
            "{ range = [low, high] } and { each = [...] }"
        )
    kind, given = next(iter(value.items()))
    if kind == "range":
        return _range(given, f"{where}: range = {short(given)}", whole)
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_VALUES:
        raise InputError(f"{where}: {kind} = {short(given)}: expected a list of 1 to {MAX_VALUES} values")
    values = tuple(_plain(v, f"{where}: {kind}") for v in given)
    if any(v in values[:i] for i, v in enumerate(values)):
        raise InputError(f"{where}: {kind} = {short(given)}: a value stands there twice")
    return Each(values) if kind == "each" else Choice(values)


def _range(given: Any, where: str, whole: bool) -> Range:
    expected = "whole numbers" if whole else "numbers"
    if (
        not isinstance(given, list)
        or len(given) != 2
        or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in given)
        or not all(math.isfinite(v) and abs(v) < 1e12 for v in given)
        or (whole and not all(isinstance(v, int) for v in given))
    ):
        raise InputError(f"{where}: expected two {expected} [low, high]")
    low, high = given
    if not low < high:
        raise InputError(f"{where}: the range is empty; write the lower end first, or a plain value")
    return Range(low, high, whole)


def _plain(value: Any, where: str) -> Plain:
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list) and len(value) <= MAX_VALUES:
        return [_plain(v, where) for v in value]
    raise InputError(f"{where} = {short(value)}: expected a number, a text or a list of them")


def seed_of(seed: int, *path: str | int) -> np.random.SeedSequence:
    """Return the seed that belongs to a name, whatever else a dataset holds.

    A name counts with 128 bits of its SHA-256, so that no two of a million items share theirs.
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
    """Draw every value from a seed of its own, so that one more key changes no other.

    Parameters
    ----------
    draws
        By key.
    seed
        The dataset's seed.
    path
        What is drawn for.
    """
    return {
        key: draw.draw(np.random.default_rng(seed_of(seed, *path, key)))
        for key, draw in sorted(draws.items())
    }
