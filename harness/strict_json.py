"""Results on disk: strict JSON, whole or not at all."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

from mrsim.errors import InputError


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON file, whole or not at all; NaN and infinity are refused.

    Raises
    ------
    InputError
        If the folder is missing or cannot be written.
    """
    path = Path(path)
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    partial = path.with_name(f"{path.name}.partial-{uuid.uuid4().hex[:8]}")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)


def check_target(path: str | None) -> None:
    """Refuse a place that cannot be written before the work, not after it.

    Raises
    ------
    InputError
        If its folder is missing, or it is a folder itself.
    """
    if path is not None and not Path(path).absolute().parent.is_dir():
        raise InputError(f"{path}: no such folder; make it first")
    if path is not None and Path(path).is_dir():
        raise InputError(f"{path}: it is a folder; name a file")
