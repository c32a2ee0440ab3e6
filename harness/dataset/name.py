"""The dataset that a stream belongs to, for results that were measured on it."""

from __future__ import annotations

from pathlib import Path

from mrsim.files.reading import read_json

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
        `name`, `hash` and `item`; None if the stream is no item of a complete dataset.
    """
    if stream is None:
        return None
    path = stream.absolute()
    file = path.parent.parent / "manifest.json"
    try:
        manifest = read_json(file, MAX_MANIFEST_BYTES)
        where = f"{path.parent.name}/{path.name}"
        item = next((i["name"] for i in manifest["items"] if i["path"] == where), None)
        if manifest["format"] != "mrsim-dataset" or item is None:
            return None
        return {"name": str(manifest["name"]), "hash": str(manifest["hash"]), "item": str(item)}
    except (ValueError, KeyError, TypeError):  # an InputError is a ValueError
        return None
