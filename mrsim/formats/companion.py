"""What the field's formats have no place for: provenance, truth, and exact columns.

mrsim keeps them in a group of its own, within that of the readouts, where other readers do not look: a client
that finds two groups at the root of a file asks which one is meant.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import FormatError, InputError
from mrsim.files.reading import parse_json
from mrsim.formats.bounded import Progress
from mrsim.formats.hdf5 import OWN_GROUP, blocks, dataset, guarded, member
from mrsim.stream import Header, Provenance, Stream
from mrsim.stream.fields import typed_fields
from mrsim.stream.layout import expected_truth
from mrsim.stream.storage import MAX_HEADER_BYTES, MAX_REGIONS, StreamWriter

VERSION = 1
_PER_LINE, _PER_FRAME = ("displacement", "centroid"), ("image", "mask")


@dataclass(frozen=True)
class Companion:
    """Hold what a file says besides its readouts; the truth itself is copied piece by piece.

    Parameters
    ----------
    provenance
        How the scan was made, if that is known.
    truth
        Names of the regions and of the target, if truth is stored.
    lines
        Lines that it is of.
    group
        The file's group.
    path
        The file.
    """

    provenance: Provenance | None
    truth: tuple[tuple[str, ...], str] | None
    lines: int
    group: Any
    path: Path


def companion_bytes(stream: Stream) -> int:
    """Return about how many bytes `write_companion` takes."""
    truth = stream.truth
    arrays = () if truth is None else (truth.displacement, truth.centroid, truth.image, truth.mask)
    return sum(array.nbytes for array in arrays)


def write_companion(where: Any, stream: Stream) -> Any:
    """Write provenance and truth into a group of their own, within a file or a group, and return it."""
    group = where.create_group(OWN_GROUP)
    truth, made = stream.truth, stream.provenance
    meta = {
        "format": OWN_GROUP,
        "version": VERSION,
        "lines": len(stream),
        "provenance": None if made is None else dataclasses.asdict(made),
        "truth": None if truth is None else {"regions": list(truth.regions), "target": truth.target},
    }
    # Bytes of a dataset: an attribute holds 64 KiB, and the text of a phantom may be longer.
    group.create_dataset("meta", data=np.frombuffer(json.dumps(meta).encode("ascii"), np.uint8))
    if truth is not None:
        for name in (*_PER_LINE, *_PER_FRAME):
            array = getattr(truth, name)
            kept = group.create_dataset(name, array.shape, array.dtype)
            for start, stop in blocks(len(array), array.nbytes // max(len(array), 1), 1 << 16):
                kept[start:stop] = array[start:stop]
    return group


def read_companion(where: Any, path: Path) -> Companion | None:
    """Read what stands beside the readouts in a file or a group, None where mrsim did not write it.

    Raises
    ------
    FormatError
        If the group is there and is not whole.
    """
    with guarded(path):
        group = member(where, OWN_GROUP, path)
        if group is None:
            return None
        raw = dataset(group, "meta", path, (None,))
        if raw.dtype != np.uint8 or raw.shape[0] > MAX_HEADER_BYTES:
            raise FormatError(f"{path}: {OWN_GROUP}/meta: expected at most {MAX_HEADER_BYTES} bytes")
        text = raw[:].tobytes()
    try:
        meta = parse_json(text, str(path))
    except InputError:
        meta = None
    if not isinstance(meta, dict) or meta.get("format") != OWN_GROUP or meta.get("version") != VERSION:
        raise FormatError(f"{path}: {OWN_GROUP}/meta: not of version {VERSION}")
    lines = meta.get("lines")
    if not isinstance(lines, int) or isinstance(lines, bool):
        raise FormatError(f"{path}: {OWN_GROUP}/meta: lines = {str(lines)[:40]}: expected a number")
    return Companion(_provenance(meta, path), _truth(meta, path), lines, group, path)


def _provenance(meta: dict[str, Any], path: Path) -> Provenance | None:
    made = meta.get("provenance")
    if made is None:
        return None
    if not isinstance(made, dict):
        raise FormatError(f"{path}: {OWN_GROUP}/meta: provenance: expected a table")
    return Provenance(**typed_fields(Provenance, made, f"{path}: {OWN_GROUP}/meta: provenance"))


def _truth(meta: dict[str, Any], path: Path) -> tuple[tuple[str, ...], str] | None:
    truth = meta.get("truth")
    if truth is None:
        return None
    regions = truth.get("regions") if isinstance(truth, dict) else None
    if not isinstance(regions, list) or not 1 <= len(regions) <= MAX_REGIONS:
        raise FormatError(f"{path}: {OWN_GROUP}/meta: truth: expected a list of regions")
    if truth.get("target") not in regions:
        raise FormatError(f"{path}: {OWN_GROUP}/meta: truth: the target is none of the regions")
    return tuple(str(region) for region in regions), str(truth["target"])


def copy_truth(
    companion: Companion, header: Header, lines: int, writer: StreamWriter, progress: Progress | None = None
) -> None:
    """Copy the truth into a stream that is being written, piece by piece; each is told as all lines.

    Raises
    ------
    FormatError
        If an array of it is missing, or is not of the scan's shape.
    """
    assert companion.truth is not None
    layout = expected_truth(header, lines, len(companion.truth[0]))
    arrays: dict[str, Any] = {}
    with guarded(companion.path):
        for name, (shape, dtype) in layout.items():
            arrays[name] = dataset(companion.group, name, companion.path, shape)
            if arrays[name].dtype != np.dtype(dtype):
                found = arrays[name].dtype
                raise FormatError(
                    f"{companion.path}: {OWN_GROUP}/{name}: it is {found}: expected {np.dtype(dtype)}"
                )
    none: dict[str, NDArray[Any]] = {
        name: np.empty((0, *shape[1:]), dtype) for name, (shape, dtype) in layout.items()
    }
    for names in (_PER_LINE, _PER_FRAME):
        for piece in _pieces(arrays, names, companion.path):
            writer.append_truth(**{**none, **piece})
            if progress is not None:
                progress(lines, lines)


def _pieces(arrays: dict[str, Any], names: tuple[str, ...], path: Path) -> Iterator[dict[str, Any]]:
    count = arrays[names[0]].shape[0]
    item = sum(arrays[n].dtype.itemsize * int(np.prod(arrays[n].shape[1:])) for n in names)
    for start, stop in blocks(count, item, 1 << 16):
        with guarded(path):
            piece = {name: arrays[name][start:stop] for name in names}
        yield piece
