"""`KEY=VALUE` pairs of the command line."""

from __future__ import annotations

from typing import Any

from mrsim.errors import InputError
from mrsim.files.toml import parse_toml


def settings(pairs: list[str]) -> dict[str, Any]:
    """Read `key=value` pairs; a value is TOML, and text where it is not.

    Raises
    ------
    InputError
        If a pair has no `=`, or no key.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {pair!r}: expected key=value, such as motion.breathing.amplitude_mm=20")
        try:
            values[key.strip()] = parse_toml(f"value = {text}", "--set")["value"]
        except InputError:
            values[key.strip()] = text
    return values
