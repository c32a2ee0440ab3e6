"""Phantom definitions as TOML: reading with overrides, checking keys, and writing back exactly."""

from __future__ import annotations

import copy
import difflib
import importlib.resources
import json
from collections.abc import Mapping
from pathlib import Path
from reprlib import repr as short
from typing import Any

from mrsim.errors import PhantomError
from mrsim.files import reading
from mrsim.files.toml import parse_toml
from mrsim.toml_tables import Table

MAX_TEXT_BYTES = 1 << 20
MAX_DEPTH = 8  # of nested tables and lists

FOLDERS = ("nsclc", "v2")  # of shipped phantoms; a name may leave its folder out


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
    PhantomError
        If there is none, or it is too large or not UTF-8.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        names = phantom_names()
        name = str(name_or_path)
        name = next((n for n in names if name in (n, n.rpartition("/")[2])), "")
        if not name:
            asked, short_names = str(name_or_path), [n.rpartition("/")[2] for n in names]
            close = difflib.get_close_matches(asked, [*names, *short_names], n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise PhantomError(
                f"phantom {asked!r} is not known; {hint}known: {', '.join(names)}, "
                "or the path of a .toml file or of the folder that `mrsim patient` makes"
            )
        where = f"phantoms/{name}.toml"
        return (importlib.resources.files("phantoms") / f"{name}.toml").read_text("utf-8"), where
    return reading.read_text(path, MAX_TEXT_BYTES, "a phantom"), str(path)


def parse(text: str, where: str) -> Table:
    """Parse a definition.

    Raises
    ------
    PhantomError
        If it is not valid TOML, or nested too deeply.
    """
    return parse_toml(text, where, depth=MAX_DEPTH)


def apply_overrides(table: Table, overrides: Mapping[str, Any], where: str) -> Table:
    """Return a copy with some values replaced.

    Parameters
    ----------
    table
        A parsed definition.
    overrides
        New values by dotted key: "target", "slice.KEY", "motion.NAME.KEY", "field.NAME.KEY",
        "region.NAME.KEY" or "texture.NAME.KEY".
    where
        How errors are to name it.

    Raises
    ------
    PhantomError
        If a key leads to no motion or region. (What a new value may be is checked later, with the rest.)
    """
    out = copy.deepcopy(table)
    for dotted, value in overrides.items():
        parts = dotted.split(".")
        if len(parts) == 2 and parts[0] == "slice" and isinstance(out.setdefault("slice", {}), dict):
            out["slice"][parts[1]] = _plain(value, f"{where}: override {dotted}")
            continue
        if len(parts) == 1 and dotted not in ("region", "motion", "slice", "field", "texture"):
            out[dotted] = _plain(value, f"{where}: override {dotted}")
            continue
        groups = {"motion": out.get("motion", {}), "region": {}, "field": out.get("field", {}), "texture": {}}
        for kind in ("region", "texture"):
            entries = out.get(kind, [])
            if isinstance(entries, list):
                groups[kind] = {
                    r["name"]: r for r in entries if isinstance(r, dict) and isinstance(r.get("name"), str)
                }
        group = groups.get(parts[0])
        entry = group.get(parts[1]) if isinstance(group, dict) and len(parts) == 3 else None
        if not isinstance(entry, dict):
            known = ", ".join(
                f"{kind}.{name}.*" for kind, g in groups.items() if isinstance(g, dict) for name in g
            )
            raise PhantomError(
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
    raise PhantomError(f"{where} = {short(value)}: expected a number, a string or a list of them")


def emit(table: Table) -> str:
    """Write a definition as TOML; reading it back gives an equal table, number for number."""
    lines: list[str] = []
    plain = {k: v for k, v in table.items() if not _is_table(v)}
    lines += [f"{_key(k)} = {_value(v)}" for k, v in plain.items()]
    if "slice" in table:
        lines += ["", "[slice]", *(f"{_key(k)} = {_value(v)}" for k, v in table["slice"].items())]
    for kind in ("motion", "field"):
        for name, entry in table.get(kind, {}).items():
            lines += ["", f"[{kind}.{_key(name)}]"]
            lines += [f"{_key(k)} = {_value(v)}" for k, v in entry.items()]
    for kind in ("region", "texture"):
        for entry in table.get(kind, []):
            lines += ["", f"[[{kind}]]"]
            lines += [f"{_key(k)} = {_value(v)}" for k, v in entry.items()]
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
