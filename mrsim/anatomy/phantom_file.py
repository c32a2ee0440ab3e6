"""Phantom definitions as TOML: reading with overrides, checking keys, and writing back exactly."""

from __future__ import annotations

import copy
import importlib.resources
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from reprlib import repr as short
from typing import Any

from mrsim.errors import InputError

MAX_TEXT_BYTES = 1 << 20
MAX_LIST = 16  # of names
MAX_DEPTH = 8  # of nested tables and lists
MAX_NUMBER = 1e12

FOLDERS = ("nsclc",)  # of shipped phantoms; a name may leave its folder out

Table = dict[str, Any]


def phantom_names() -> tuple[str, ...]:
    """Return the names of the phantoms that are shipped."""
    root = importlib.resources.files("phantoms")
    names = [entry.name for entry in root.iterdir()]
    for folder in FOLDERS:
        if (root / folder).is_dir():
            names += [f"{folder}/{entry.name}" for entry in (root / folder).iterdir()]
    return tuple(sorted(n[:-5] for n in names if n.endswith(".toml") and n != "tissues.toml"))


def read_text(name_or_path: str | Path) -> tuple[str, str]:
    """Read a phantom's file.

    Parameters
    ----------
    name_or_path
        Name of a shipped phantom, or path of a file that ends in .toml.

    Returns
    -------
    text, where
        The text, and how errors are to name it.

    Raises
    ------
    InputError
        If there is none, or it is too large or not UTF-8.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        names = phantom_names()
        name = str(name_or_path)
        name = next((n for n in names if name in (n, n.rpartition("/")[2])), "")
        if not name:
            raise InputError(
                f"phantom {str(name_or_path)!r} is not known; known: {', '.join(names)}, "
                "or the path of a .toml file"
            )
        where = f"phantoms/{name}.toml"
        return (importlib.resources.files("phantoms") / f"{name}.toml").read_text("utf-8"), where
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TEXT_BYTES + 1)
        if len(data) > MAX_TEXT_BYTES:
            raise InputError(f"{path}: larger than {MAX_TEXT_BYTES} bytes: not a phantom")
        return data.decode("utf-8"), str(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}") from None


def parse(text: str, where: str) -> Table:
    """Parse a definition.

    Raises
    ------
    InputError
        If it is not valid TOML, or nested too deeply.
    """
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not valid TOML: {error}") from None
    level: list[Any] = [table]
    for _ in range(MAX_DEPTH):
        level = [v for outer in level for v in _children(outer)]
        if not level:
            return table
    raise InputError(f"{where}: tables or lists are nested more than {MAX_DEPTH} deep: not a phantom")


def _children(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value
    return [v for v in inner if isinstance(v, dict | list)]


def apply_overrides(table: Table, overrides: Mapping[str, Any], where: str) -> Table:
    """Return a copy with some values replaced.

    Parameters
    ----------
    table
        A parsed definition.
    overrides
        New values by dotted key: "target", "slice.KEY", "motion.NAME.KEY" or "region.NAME.KEY".
    where
        How errors are to name it.

    Raises
    ------
    InputError
        If a key leads to no motion or region. (What a new value may be is checked later, with the rest.)
    """
    out = copy.deepcopy(table)
    for dotted, value in overrides.items():
        parts = dotted.split(".")
        if len(parts) == 2 and parts[0] == "slice" and isinstance(out.setdefault("slice", {}), dict):
            out["slice"][parts[1]] = _plain(value, f"{where}: override {dotted}")
            continue
        if len(parts) == 1 and dotted not in ("region", "motion", "slice"):
            out[dotted] = _plain(value, f"{where}: override {dotted}")
            continue
        groups = {"motion": out.get("motion", {}), "region": {}}
        regions = out.get("region", [])
        if isinstance(regions, list):
            groups["region"] = {
                r["name"]: r for r in regions if isinstance(r, dict) and isinstance(r.get("name"), str)
            }
        group = groups.get(parts[0])
        entry = group.get(parts[1]) if isinstance(group, dict) and len(parts) == 3 else None
        if not isinstance(entry, dict):
            known = ", ".join(f"{kind}.{name}.*" for kind, g in groups.items() for name in g)
            raise InputError(
                f"{where}: override {dotted!r} leads nowhere; known: target, title, slice.*, {known}"
            )
        entry[parts[2]] = _plain(value, f"{where}: override {dotted}")
    return out


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(v, where) for v in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return _plain(value.tolist(), where)
    raise InputError(f"{where} = {short(value)}: expected a number, a string or a list of them")


def emit(table: Table) -> str:
    """Write a definition as TOML; reading it back gives an equal table, number for number."""
    lines: list[str] = []
    plain = {k: v for k, v in table.items() if not _is_table(v)}
    lines += [f"{_key(k)} = {_value(v)}" for k, v in plain.items()]
    if "slice" in table:
        lines += ["", "[slice]", *(f"{_key(k)} = {_value(v)}" for k, v in table["slice"].items())]
    for name, motion in table.get("motion", {}).items():
        lines += ["", f"[motion.{_key(name)}]"]
        lines += [f"{_key(k)} = {_value(v)}" for k, v in motion.items()]
    for region in table.get("region", []):
        lines += ["", "[[region]]"]
        lines += [f"{_key(k)} = {_value(v)}" for k, v in region.items()]
    return "\n".join(lines) + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(v, dict) for v in value))


def _key(key: str) -> str:
    bare = bool(key) and all(c.isascii() and (c.isalnum() or c in "-_") for c in key)
    return key if bare else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    return repr(value)  # int, and float: the shortest text that reads back as the same number


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
    InputError
        If it is not a table.
    """

    def __init__(self, table: Any, where: str) -> None:
        if not isinstance(table, dict):
            raise InputError(f"{where}: expected a table")
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

    def pairs(self, key: str, most: int) -> list[tuple[float, float]]:
        """Take a list of at most so many pairs of finite numbers."""
        value = self._take(
            key,
            None,
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
        InputError
            It names the key, and the keys that are known.
        """
        for key in self._table:
            raise InputError(f"{self._where}: unknown key {short(key)}; known: {', '.join(self._known)}")

    def _note(self, key: str) -> None:
        self._known.append(key)

    def _take(self, key: str, default: Any, holds: Callable[[Any], bool], expected: str) -> Any:
        self._note(key)
        if key not in self._table:
            if default is None:
                raise InputError(f"{self._where}: missing key {key!r}: expected {expected}")
            return default
        value = self._table.pop(key)
        if not holds(value):
            raise InputError(f"{self._where}: {key} = {short(value)}: expected {expected}")
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
