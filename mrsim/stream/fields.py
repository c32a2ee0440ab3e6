"""JSON values for the fields of a dataclass, each checked by its annotation."""

from __future__ import annotations

import dataclasses
from collections.abc import Container
from typing import Any

from mrsim.errors import StreamError

_PARSERS: dict[str, tuple[type | tuple[type, ...], type]] = {
    "int": (int, int),
    "float": ((int, float), float),
    "str": (str, str),
    "bool": (bool, bool),
}


def typed_fields(
    kind: type[Any], values: dict[str, Any], where: str, left_out: Container[str] = ()
) -> dict[str, Any]:
    """Check JSON values against a dataclass's fields; unknown and missing keys are errors."""
    fields = {f.name: str(f.type) for f in dataclasses.fields(kind) if f.name not in left_out}
    for key in values:
        if key not in fields:
            raise StreamError(f"{where}: unknown key {key!r}; known: {', '.join(fields)}")
    out: dict[str, Any] = {}
    for key, annotation in fields.items():
        if key not in values:
            raise StreamError(f"{where}: missing key {key!r}")
        value = values[key]
        if annotation.startswith("tuple["):
            item = annotation[6:].split(",")[0]
            if not isinstance(value, list | tuple) or len(value) != 2:
                raise StreamError(f"{where}: {key} = {value!r}: expected two numbers")
            out[key] = tuple(_scalar(v, item, f"{where}: {key}") for v in value)
        else:
            out[key] = _scalar(value, annotation, f"{where}: {key}")
    return out


def _scalar(value: Any, annotation: str, where: str) -> Any:
    accepted, convert = _PARSERS[annotation]
    if isinstance(value, bool) != (accepted is bool) or not isinstance(value, accepted):
        raise StreamError(f"{where} = {value!r}: expected {annotation}")
    try:
        return convert(value)
    except OverflowError:
        raise StreamError(f"{where} = {str(value)[:12]}...: too large for a {annotation}") from None
