"""HDF5 files that are not trusted, and files that appear whole or not at all.

The library reads what a file claims: so every dataset is taken through `dataset`, which refuses links and raw
data in other files, and every read names its bounds first. Its errors become one line.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mrsim.errors import FormatError, InputError
from mrsim.files.reading import open_file
from mrsim.files.targets import check_target
from mrsim.files.writing import check_room, new_sink
from mrsim.formats import require_h5py
from mrsim.formats.bounded import ask

OWN_GROUP = "mrsim"  # what other readers have no use for
MAX_CHUNK_BYTES = 256 << 20  # the library holds a whole chunk in memory, whatever part of it is asked for
SPARE_BYTES = 1 << 20  # for the library's own tables
BLOCK_BYTES = 16 << 20  # read and written at a time
_PURPOSE = "HDF5 files"
# What the library raises over what it cannot make sense of.
_LIBRARY_ERRORS = (OSError, RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError)


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turn what the library raises over a damaged file into one line."""
    try:
        yield
    except InputError:
        raise
    except _LIBRARY_ERRORS as error:
        raise FormatError(f"{path}: cannot be read: {' '.join(str(error).split())[:160]}") from None


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file for reading.

    Raises
    ------
    FormatError
        If it is not an HDF5 file, or is damaged where it is read within the context.
    MissingExtraError
        If `h5py` is not installed.
    """
    h5py = require_h5py(_PURPOSE)
    open_file(path).close()  # the library would wait for a pipe without end
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        with open_file(path) as plain:
            first = plain.read(64)
        if first.startswith(b"yardl"):
            raise FormatError(
                f"{path}: a stream of MRD version 2, which is not read: write version 1, HDF5 or messages"
            ) from None
        if not first:
            raise FormatError(f"{path}: it is empty; not an HDF5 file, nor one of MRD messages") from None
        reason = " ".join(str(error).split())
        if "signature not found" in reason:
            raise FormatError(f"{path}: not an HDF5 file, nor one of MRD messages") from None
        reason = reason.removeprefix("Unable to synchronously open file ").strip("()")[:120]
        raise FormatError(f"{path}: not an HDF5 file, or truncated: {reason}") from None
    try:
        yield file
    finally:
        with guarded(path):
            file.close()


@contextmanager
def whole_hdf5(path: Path, size: int) -> Iterator[Any]:
    """Write a file under a temporary name, and rename it when the context ends without an error.

    Parameters
    ----------
    path
        The file.
    size
        Bytes that will be written, about.

    Raises
    ------
    FormatError
        If its folder is missing, it cannot be written or has no room, or a file that mrsim did not write
        stands there.
    MissingExtraError
        If `h5py` is not installed.
    """
    h5py = require_h5py(_PURPOSE)
    check_target(path)
    if path.exists() and not ask({"do": "own", "path": str(path.absolute())}, path)["own"]:
        raise FormatError(f"{path}: exists and was not written by mrsim; choose another name")
    check_room(path, size + SPARE_BYTES)
    with new_sink(path) as sink, h5py.File(sink, "w") as file:
        yield file


def is_own(path: Path) -> bool:
    """Return whether mrsim wrote a file; not for files that are not trusted, but in a child."""
    try:
        with opened(path) as file, guarded(path):
            # Version 0.1 kept its group at the root of every file.
            return OWN_GROUP in file or any(
                OWN_GROUP in group for name in list(file)[:64] if hasattr(group := file[name], "keys")
            )
    except InputError:
        return False


def member(group: Any, name: str, path: Path) -> Any | None:
    """Return what a group holds under a name, None where there is nothing.

    Raises
    ------
    FormatError
        If it is a link to elsewhere.
    """
    link = group.get(name, getlink=True)
    if link is None:
        return None
    if type(link).__name__ != "HardLink":
        raise FormatError(f"{path}: {name}: it is a link, which is not followed")
    return group[name]


def dataset(group: Any, name: str, path: Path, shape: tuple[int | None, ...]) -> Any:
    """Return a dataset, looked at before anything of it is read.

    Parameters
    ----------
    group
        Where it should be.
    name
        Its name.
    path
        The file, for errors.
    shape
        Sizes that it must have; None for any.

    Raises
    ------
    FormatError
        If it is missing, of another shape, or has its data elsewhere.
    """
    found = member(group, name, path)
    if found is None:
        raise FormatError(f"{path}: {group.name.rstrip('/')}/{name}: missing")
    where = f"{path}: {getattr(found, 'name', name)}"
    if getattr(found, "shape", None) is None or not hasattr(found, "chunks"):
        raise FormatError(f"{where}: it is not an array")
    fits = len(found.shape) == len(shape) and all(
        want in (None, size) for want, size in zip(shape, found.shape, strict=True)
    )
    if not fits:
        sizes = ", ".join("any" if size is None else str(size) for size in shape)
        raise FormatError(f"{where}: its shape is {found.shape}: expected ({sizes})")
    if found.external or found.is_virtual:
        raise FormatError(f"{where}: its data lie in other files, which are not read")
    if found.chunks and math.prod(found.chunks) * found.dtype.itemsize > MAX_CHUNK_BYTES:
        raise FormatError(f"{where}: its chunks are larger than {MAX_CHUNK_BYTES >> 20} MiB")
    return found


def blocks(count: int, item_bytes: int, most: int = 512) -> Iterator[tuple[int, int]]:
    """Cut a range of items into pieces of bounded size: (start, stop) of each."""
    step = max(1, min(most, BLOCK_BYTES // max(item_bytes, 1)))
    return ((start, min(start + step, count)) for start in range(0, count, step))
