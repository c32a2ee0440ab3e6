"""Which dataset a stream belongs to, for the results that were measured on it."""

from __future__ import annotations

import json
from pathlib import Path

MAX_MANIFEST_BYTES = 256 << 20


def dataset_of(stream: Path | None) -> dict[str, str] | None:
    """Return the dataset of a stored stream.

    Parameters
    ----------
    stream
        Folder of the stream, if it has one.

    Returns
    -------
    dataset
        `name`, `hash` and `item`; None where it lies in no whole dataset, or is no item of it.
    """
    if stream is None:
        return None
    path = stream.absolute()
    file = path.parent.parent / "manifest.json"
    try:
        if file.stat().st_size > MAX_MANIFEST_BYTES:
            return None
        manifest = json.loads(file.read_text(encoding="utf-8"))
        where = f"{path.parent.name}/{path.name}"
        item = next((i["name"] for i in manifest["items"] if i["path"] == where), None)
        if manifest["format"] != "mrsim-dataset" or item is None:
            return None
        return {"name": str(manifest["name"]), "hash": str(manifest["hash"]), "item": str(item)}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
