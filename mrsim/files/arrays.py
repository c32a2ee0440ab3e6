"""Arrays from outside: `.npy` mapped, `.npz` read; never pickled, no larger than the file that holds them."""

from __future__ import annotations

import contextlib
import math
import os
import tokenize
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import FileError, InputError
from mrsim.files.reading import check_host, open_file

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_END = 22  # bytes of an archive's last record without its comment
_END_64 = 76  # of the longer last record and of what points to it
_MAX_DIRECTORY = 1 << 20  # bytes of an archive's table of contents: some ten thousand arrays


def map_array(path: str | Path, *, missing: str = "no such file") -> NDArray[Any]:
    """Map a `.npy` file, read-only.

    Parameters
    ----------
    path
        The file.
    missing
        What an error says where there is none.

    Raises
    ------
    FileError
        If there is none, it is no regular file, not a `.npy` array, or shorter than its header says.
    """
    with open_file(path, missing=missing) as file:
        try:
            shape, fortran, dtype = _header(file, os.fstat(file.fileno()).st_size)
            order: Any = "F" if fortran else "C"
            array: NDArray[Any] = np.memmap(
                file, dtype=dtype, mode="r", offset=file.tell(), shape=shape, order=order
            )
        except (ValueError, OSError, EOFError, SyntaxError, tokenize.TokenError, RecursionError) as error:
            check_host(error, path)
            reason = " ".join(str(error).split())[:200]
            raise FileError(f"{path}: truncated or not a .npy array: {reason}") from None
    return array


def map_bytes(path: str | Path) -> NDArray[np.uint8]:
    """Map a whole file, read-only, shape (bytes,); errors as for `open_file`, and for a file of no bytes."""
    with open_file(path) as file:
        try:
            found: NDArray[np.uint8] = np.memmap(file, np.uint8, "r")
        except (ValueError, OSError) as error:
            check_host(error, path)
            raise FileError(f"{path}: cannot be mapped: {error}") from None
    return found


def read_arrays(
    path: str | Path,
    most: int,
    what: str,
    *,
    names: Sequence[str] | None = None,
    missing: str = "no such file",
    remedy: str = "",
) -> dict[str, NDArray[Any]]:
    """Read arrays of a `.npz` file.

    Parameters
    ----------
    path
        The file.
    most
        Bytes that the file may have, and the arrays that are read.
    what
        What it is to be, as an error says: "weights of a cascade".
    names
        Arrays to read; None for all.
    missing
        What an error says where there is no file.
    remedy
        What an error says is to be done.

    Returns
    -------
    arrays
        Those of `names` that are there, by name.

    Raises
    ------
    FileError
        If there is no such file, it is no regular file, is damaged, or unfolds into more.
    """
    remedy = remedy and f"; {remedy}"
    with (
        open_file(path, most, f"{what}{remedy}", missing=missing) as file,
        _told(path, what, remedy),
        open_archive(file) as archive,
    ):
        wanted = {
            name: entry
            for entry in archive.infolist()
            if (name := entry.filename.removesuffix(".npy")) != entry.filename
            and (names is None or name in names)
        }
        if sum(entry.file_size for entry in wanted.values()) > most:
            raise FileError(f"{path}: unfolds to more than {most} bytes: not {what}{remedy}")
        return {name: _read(archive, entry) for name, entry in wanted.items()}


def open_archive(file: BinaryIO) -> zipfile.ZipFile:
    """Open an archive once its table of contents is known to be small; the caller closes it.

    Raises
    ------
    zipfile.BadZipFile
        If it is none, or its table is larger than what writes arrays makes.
    """
    file.seek(0, os.SEEK_END)
    size = file.tell()
    file.seek(max(0, size - _END_64 - _END - (1 << 16)))
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) < at + _END:
        raise zipfile.BadZipFile("it has no table of contents")
    directory = int.from_bytes(tail[at + 12 : at + 16], "little")
    if at >= _END_64 and tail[at - 20 : at - 16] == b"PK\6\7":  # a longer last record is before it
        directory = int.from_bytes(tail[at - _END_64 + 40 : at - _END_64 + 48], "little")
    if directory > _MAX_DIRECTORY:
        raise zipfile.BadZipFile(f"its table of contents has more than {_MAX_DIRECTORY} bytes")
    file.seek(0)
    return zipfile.ZipFile(file)


@contextlib.contextmanager
def _told(path: str | Path, what: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # zlib.error, and what else a damaged archive raises
        check_host(error, path)
        reason = " ".join(f"{error or type(error).__name__}".split())[:200]
        raise FileError(f"{path}: damaged, or not {what}: {reason}{remedy}") from None


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(entry) as file:
        _header(file, entry.file_size)
    with archive.open(entry) as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of an array, and refuse one that asks for more than the file has."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"an array of version {version}")
    shape, fortran, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError("an array of Python objects, which could run code")
    if any(side < 0 for side in shape) or math.prod(shape) * dtype.itemsize > size - file.tell():
        raise ValueError(f"its header says {dtype} {shape}, the file has {size} bytes")
    return shape, fortran, dtype
