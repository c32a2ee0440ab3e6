"""The hash of what a stored scan holds: of all its bytes, or of its codes if it is quantised."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.files.reading import open_file, read_json
from mrsim.scanner.quantised import codes_of
from mrsim.stream import Stream, Truth, load
from mrsim.stream.storage import MAX_HEADER_BYTES

ARRAYS = (*Stream.COLUMNS, *Truth.ARRAYS)
_ROWS = 1024
_UNSURE = ("version", "noise_std")  # of the provenance: not the scan's, or with last bits that differ


def content_sha256(folder: Path) -> str:
    """Return the SHA-256 of the content of a stored stream.

    It covers its arrays, header and provenance. The version of the software is left out, so that a new
    version that makes the same bytes keeps the hash. Of a quantised scan it covers rows, codes, masks and the
    quantised truth. What is left out then, centres and displacements, has last bits that differ between
    processors. Files are read in pieces.

    Parameters
    ----------
    folder
        Folder of the stream.
    """
    meta = read_json(folder / "header.json", MAX_HEADER_BYTES, "a stream's header")
    if meta["header"].get("adc_step"):
        return _of_codes(load(folder), meta)
    whole = hashlib.sha256()
    # A prescan is there or not, and is told last: what has none keeps its hash.
    beside = ["prescan"] if (folder / "prescan.npy").exists() else []
    for name in [*sorted(ARRAYS), *beside]:
        with open_file(folder / f"{name}.npy") as file:
            whole.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    meta["provenance"].pop("version")
    whole.update(json.dumps(meta, sort_keys=True).encode())
    return whole.hexdigest()


def _of_codes(stream: Stream, meta: dict[str, Any]) -> str:
    whole, step, truth = hashlib.sha256(), stream.header.adc_step, stream.truth
    plain: list[NDArray[Any]] = [stream.ky, stream.frame, stream.t_ns]
    rounded: dict[str, NDArray[np.complex64] | None] = {
        "samples": stream.samples,
        "prescan": stream.header.prescan,
    }
    if truth is not None:
        plain.append(truth.mask)
        rounded["image"] = truth.image
    for column in plain:
        for start in range(0, len(column), _ROWS):
            whole.update(np.ascontiguousarray(column[start : start + _ROWS]).tobytes())
    for name, array in rounded.items():
        kind = np.dtype("<i4" if name == "image" else "<i2")
        for start in range(0, 0 if array is None else len(array), _ROWS):
            assert array is not None
            whole.update(codes_of(name, array[start : start + _ROWS], step).astype(kind).tobytes())
    made = {key: value for key, value in meta["provenance"].items() if key not in _UNSURE}
    whole.update(json.dumps(meta | {"provenance": made}, sort_keys=True).encode())
    return whole.hexdigest()
