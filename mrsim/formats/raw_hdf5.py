"""Entries of variable length in HDF5, read as they lie on the disk.

An entry is a length (four bytes), the address of a global heap collection (eight) and the number of an
object in it (four). The library allocates the length, up to 16 GiB, before it checks that the heap has so
much. It does so for whole rows even where a fixed part is asked for. In a damaged heap it can loop for ever.
So this module reads rows and heap within bounds; the library only finds where they are.

HDF5 File Format Specification 3.0, III.E and IV.A.2.d.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import FormatError
from mrsim.files.arrays import map_bytes
from mrsim.files.reading import open_file
from mrsim.formats.hdf5 import BLOCK_BYTES, guarded

PLACE = np.dtype([("length", "<u4"), ("address", "<u8"), ("index", "<u4")])
_REMEMBERED = 4096  # collections
_MOST_OBJECTS = 1 << 16  # their numbers have 16 bits


def raw_rows(found: Any, path: Path, size: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Read the rows of a table of one dimension, or a single value, as bytes.

    Parameters
    ----------
    found
        The dataset.
    path
        The file.
    size
        Bytes of a row.

    Yields
    ------
    start
        Number of the first row of a piece.
    rows
        Shape (rows, bytes of a row), uint8.

    Raises
    ------
    FormatError
        If rows are compressed, were never written, or are not there.
    """
    count = 1 if found.shape == () else found.shape[0]
    if found.id.get_create_plist().get_nfilters():
        raise FormatError(f"{path}: {found.name}: its rows are compressed: run h5repack -f NONE on it first")
    if found.chunks:
        yield from _chunked(found, path, size, count)
    else:
        yield from _contiguous(found, path, size, count)


def _chunked(found: Any, path: Path, size: int, count: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    (step,) = found.chunks
    with open_file(path) as file:
        for start in range(0, count, step):
            with guarded(path):
                info = found.id.get_chunk_info_by_coord((start,))
            if info.byte_offset is None or info.size != step * size:
                raise FormatError(f"{path}: {found.name}: row {start}: truncated, or never written")
            file.seek(info.byte_offset)
            yield start, _rows(file, min(step, count - start), size, f"{path}: {found.name}: row {start}")


def _contiguous(found: Any, path: Path, size: int, count: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    offset = found.id.get_offset()
    if offset is None:
        raise FormatError(f"{path}: {found.name}: it was never written, or is kept in a way that is not read")
    step = max(1, BLOCK_BYTES // size)
    with open_file(path) as file:
        file.seek(offset)
        for start in range(0, count, step):
            yield start, _rows(file, min(step, count - start), size, f"{path}: {found.name}: row {start}")


def _rows(file: BinaryIO, count: int, size: int, where: str) -> NDArray[np.uint8]:
    raw = file.read(count * size)
    if len(raw) != count * size:
        raise FormatError(f"{where}: truncated")
    return np.frombuffer(raw, np.uint8).reshape(count, size)


def places(rows: NDArray[np.uint8], offset: int) -> NDArray[Any]:
    """Return where the entries of variable length lie that stand at an offset in every row.

    Returns
    -------
    places
        Shape (rows,), of the fields length, address and index.
    """
    column = np.ascontiguousarray(rows[:, offset : offset + PLACE.itemsize])
    return column.view(PLACE)[:, 0]


class Heap:
    """Read objects of a file's global heap.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bytes = map_bytes(path)
        self._collections: dict[int, dict[int, tuple[int, int]]] = {}

    def read(self, place: Any, size: int) -> NDArray[np.uint8]:
        """Return an object as a view of the file.

        Parameters
        ----------
        place
            Where it lies, of `places`.
        size
            Bytes that it must have at least.

        Raises
        ------
        FormatError
            If the heap does not hold it.
        """
        address, index = int(place["address"]), int(place["index"])
        if address not in self._collections:
            if len(self._collections) >= _REMEMBERED:
                self._collections.clear()
            self._collections[address] = self._walk(address)
        start, have = self._collections[address].get(index, (0, -1))
        if have < size:
            raise FormatError(
                f"{self._path}: its heap has {max(have, 0)} of {size} bytes at {address}: damaged"
            )
        found: NDArray[np.uint8] = self._bytes[start : start + size]
        return found

    def _walk(self, address: int) -> dict[int, tuple[int, int]]:
        """Return where the objects of a collection begin, and their sizes; each step is 16 bytes or more."""
        room = len(self._bytes)
        head = self._bytes[address : address + 16].tobytes() if address < room else b""
        size = int.from_bytes(head[8:16], "little")
        if head[:5] != b"GCOL\x01" or not 16 <= size <= room - address:
            raise FormatError(f"{self._path}: it has no heap at {address}: damaged, or of another version")
        objects: dict[int, tuple[int, int]] = {}
        at, end = address + 16, address + size
        while at + 16 <= end and len(objects) < _MOST_OBJECTS:
            entry = self._bytes[at : at + 16].tobytes()
            index, length = int.from_bytes(entry[:2], "little"), int.from_bytes(entry[8:], "little")
            if index == 0 or length > end - at - 16:  # the free room at its end
                break
            objects[index] = (at + 16, length)
            at += 16 + (length + 7) // 8 * 8
        return objects


def read_text(found: Any, path: Path, most: int) -> bytes:
    """Read a dataset that holds one string, of fixed or variable length.

    Parameters
    ----------
    found
        The dataset, of shape () or (1,).
    path
        The file.
    most
        Bytes that it may have.

    Raises
    ------
    FormatError
        If it is no string, or longer.
    """
    from mrsim.formats import require_h5py

    with guarded(path):
        kind = require_h5py("HDF5 files").check_string_dtype(found.dtype)
        if kind is None:
            raise FormatError(f"{path}: {found.name}: it is {found.dtype}: expected a string")
        size = kind.length or 0
        if kind.length is None:
            ((_, rows),) = raw_rows(found, path, PLACE.itemsize)
            place = places(rows, 0)[0]
            size = int(place["length"])
        if size > most:
            raise FormatError(f"{path}: {found.name}: {size} bytes: at most {most} are read")
        if kind.length is None:
            return Heap(path).read(place, size).tobytes()
        text = found[()] if found.shape == () else found[0]
    return text if isinstance(text, bytes) else str(text).encode("utf-8", "replace")
