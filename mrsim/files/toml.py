"""TOML from outside, parsed in a time that grows with its size alone.

The parser of the library takes the square of the parts of a dotted key, 40 s for one of 100,000 dots, and a
call for each level of nesting. Both are bounded: keys before it parses, nesting by what it says.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mrsim.errors import FileError
from mrsim.files.reading import MAX_DEPTH, check_bounds, read_text, too_deep

MAX_KEY_PARTS = 32
MAX_INTEGER = 10**15  # a float holds it exactly

# Between quotes and comments a key is words and dots. Every pattern is possessive, so that none goes back.
_PIECE = re.compile(r"[\w+-]++|[ \t]++|\.|\"\"\"|'''|\"|'|#[^\n]*+|.", re.DOTALL)
_REST = {
    '"': re.compile(r'(?:[^"\\\n]|\\[^\n])*+"'),
    "'": re.compile(r"[^'\n]*+'"),
    '"""': re.compile(r'(?:[^"\\]|\\.|"(?!""))*+"""(?:"{0,2})', re.DOTALL),
    "'''": re.compile(r"(?:[^']|'(?!''))*+'''(?:'{0,2})"),
}


def read_toml(
    path: str | Path, most: int, what: str = "such a file", *, missing: str = "no such file"
) -> dict[str, Any]:
    """Read a file of TOML; parameters and errors as for `open_file` and `parse_toml`."""
    return parse_toml(read_text(path, most, what, missing=missing), str(path))


def parse_toml(text: str, where: str, *, depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Parse TOML that came from outside.

    Parameters
    ----------
    text
        The text; its size is the caller's to bound.
    where
        How errors name it.
    depth
        How deep lists and tables may be nested; the outermost is one.

    Raises
    ------
    FileError
        If it is not TOML, nested deeper, or has a key of more than 32 parts.
    """
    _check_keys(text, where)
    try:
        value = tomllib.loads(text)
    except RecursionError:
        raise too_deep(where, depth) from None
    except ValueError as error:
        raise FileError(f"{where}: not valid TOML: {' '.join(str(error).split())[:200]}") from None
    check_bounds(value, where, depth)
    return value


def check_values(
    values: Mapping[str, Any],
    kinds: Mapping[str, tuple[type, ...]],
    where: str,
    *,
    needed: Sequence[str] = (),
) -> None:
    """Check that a table has known keys alone, each with a value of its type.

    Parameters
    ----------
    values
        The table.
    kinds
        The types that each key may have; an error names the last of them.
    where
        How errors name it.
    needed
        Keys that must be there.

    Raises
    ------
    FileError
        If a key is unknown or missing, or its value is of another type or too large for one.
    """
    for key, value in values.items():
        if key not in kinds:
            raise FileError(f"{where}: unknown key {key[:80]!r}; known: {', '.join(kinds)}")
        # True is an int for Python, and for nobody else.
        if isinstance(value, bool) != (kinds[key] == (bool,)) or not isinstance(value, kinds[key]):
            expected = kinds[key][-1].__name__
            raise FileError(f"{where}: {key} is a {type(value).__name__}: expected {expected}")
        if not isinstance(value, bool) and isinstance(value, int) and abs(value) > MAX_INTEGER:
            raise FileError(f"{where}: {key}: the number is too large")
    for key in needed:
        if key not in values:
            raise FileError(f"{where}: missing key {key!r}")


def _check_keys(text: str, where: str) -> None:
    at = dots = 0
    while piece := _PIECE.match(text, at):
        at, found = piece.end(), piece[0]
        if found in _REST:
            rest = _REST[found].match(text, at)
            if rest is None:
                return  # it does not end, which the parser says of this place, too
            at = rest.end()
        elif found == ".":
            dots += 1
            if dots >= MAX_KEY_PARTS:
                line = text.count("\n", 0, at) + 1
                raise FileError(f"{where}: line {line}: a key of more than {MAX_KEY_PARTS} parts")
        elif not (found[0].isalnum() or found[0] in "_+- \t"):
            dots = 0
