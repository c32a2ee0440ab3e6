"""The one writer: files and folders appear whole or not at all, and only where nothing is harmed.

What is being written has a name of its own beside the target, takes its place when it is whole, and goes
when an error, a signal or the end of the process comes first.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import FileError, InputError
from mrsim.files.partials import discard, forget, partial_path, register, whole_name
from mrsim.files.targets import check_file, check_folder, kind_of

_LOG = logging.getLogger(__name__)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_CANNOT_ALLOCATE = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)  # not every file system can
_NO_ROOM_BYTES = 1 << 20


@contextmanager
def whole_file(path: str | Path, *, keep_suffix: bool = False) -> Iterator[Path]:
    """Give a name to write under; the file takes its place when the context ends without an error.

    Parameters
    ----------
    path
        File to make or to replace.
    keep_suffix
        Whether the name to write under ends as the file's does, for libraries that look at it.

    Yields
    ------
    partial
        Where nothing is yet.

    Raises
    ------
    FileError
        If the file may not be written (`check_file`), or cannot be.
    """
    path = Path(path)
    check_file(path)
    partial = partial_path(path, path.suffix if keep_suffix else "")
    register(partial)
    try:
        yield partial
        check_file(path)
        os.replace(partial, path)
        forget(partial)
        _LOG.info("wrote %s", path)
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        discard(partial)


@contextmanager
def new_file(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a file for writing bytes; it takes its place when the context ends without an error.

    Raises
    ------
    FileError
        If the file may not be written (`check_file`), or cannot be.
    """
    with whole_file(path) as partial, partial.open("xb") as file:
        yield file


class Sink(io.RawIOBase):
    """Serve a library as a file where a failed write must not reach it, since it would crash.

    Parameters
    ----------
    file
        Opened to read and write, without a buffer.
    """

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self.error: OSError | None = None
        """The first error of writing; what comes after it is not written."""

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; see `io.RawIOBase`."""
        return self._file.readinto(buffer) or 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; see `io.RawIOBase`."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place; see `io.RawIOBase`."""
        return self._file.tell()

    def write(self, data: Any) -> int:
        """Write all of the bytes, or keep the error."""
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while len(left) and self.error is None:
                left = left[self._file.write(left) or 0 :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Make it so long, or keep the error."""
        try:
            return self._file.truncate(size) if self.error is None else 0
        except OSError as error:
            self.error = error
            return 0


@contextmanager
def new_sink(path: str | Path) -> Iterator[Sink]:
    """Open a `Sink`, whose file takes its place when the context ends without an error.

    Raises
    ------
    FileError
        If the file may not be written (`check_file`), or cannot be.
    """
    with whole_file(path) as partial, partial.open("x+b", buffering=0) as file:
        sink = Sink(file)
        try:
            yield sink
        except Exception as error:  # a library reads what it believes to be there
            raise sink.error or error from None
        if sink.error is not None:
            raise sink.error


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file, whole or not at all; errors as for `whole_file`."""
    with new_file(path) as file:
        file.write(data)


def write_text(path: str | Path, text: str) -> None:
    """Write a file of UTF-8, whole or not at all; errors as for `whole_file`.

    Halves of surrogate pairs, which names of files may have and UTF-8 may not, are spelt out.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON file, whole or not at all; NaN and infinity are refused; errors as for `whole_file`."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_array(path: str | Path, array: NDArray[Any]) -> None:
    """Write an array as `.npy`, whole or not at all; errors as for `whole_file`."""
    with new_file(path) as file:
        np.save(file, array, allow_pickle=False)


def write_arrays(path: str | Path, arrays: Mapping[str, Any], *, compressed: bool = False) -> None:
    """Write arrays as `.npz`, whole or not at all; errors as for `whole_file`.

    Parameters
    ----------
    path
        File to write; its name is taken as it is.
    arrays
        Arrays by name; none of objects.
    compressed
        Whether they are deflated.
    """
    write = np.savez_compressed if compressed else np.savez
    with new_file(path) as file:
        write(file, allow_pickle=False, **arrays)


@contextmanager
def journal(path: str | Path) -> Iterator[IO[str]]:
    """Open a file of UTF-8 that grows a line at a time, so that it tells of a process that was killed.

    Parameters
    ----------
    path
        File to make, or to begin anew.

    Yields
    ------
    file
        What to write lines to.

    Raises
    ------
    FileError
        If the file may not be written (`check_file`), or cannot be.
    """
    path = Path(path)
    check_file(path)
    try:
        file = path.open("w", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise unwritable(path, error) from None
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):  # a full disk, which whoever wrote was told of
            file.close()


class WholeFolder:
    """Make a folder that appears when the context ends without an error, and is removed otherwise.

    Parameters
    ----------
    path
        Folder to make.
    replace
        Whether a folder that stands there is replaced; the caller has looked at what it holds.

    Raises
    ------
    FileError
        If it may not be made (`check_folder`), or a folder stands there that is not to be replaced.
    """

    def __init__(self, path: str | Path, *, replace: bool = False) -> None:
        self.path = Path(path)
        self._replace = replace
        self._check()
        self.partial = partial_path(self.path)

    def __enter__(self) -> Path:
        register(self.partial)
        try:
            self.partial.mkdir()
        except OSError as error:
            discard(self.partial)
            raise unwritable(self.path, error) from None
        return self.partial

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.put()
        finally:
            self.discard()

    def put(self) -> None:
        """Put the folder, which is whole, in its place.

        Raises
        ------
        FileError
            If something stands there by now, or it cannot be put there.
        """
        self._check()
        try:
            self._exchange()
        except OSError as error:
            raise unwritable(self.path, error) from None
        _LOG.info("wrote the folder %s", self.path)

    def discard(self) -> None:
        """Remove what is half-written, if anything is."""
        discard(self.partial)

    def _check(self) -> None:
        check_folder(self.path)
        if not self._replace and kind_of(self.path):
            raise FileError(f"{self.path}: exists; choose another name")

    def _exchange(self) -> None:
        if not kind_of(self.path):
            os.rename(self.partial, self.path)
            return
        old = partial_path(self.path)
        try:
            os.rename(self.path, old)
            os.rename(self.partial, self.path)
        except BaseException:  # a signal between the two, too: the old one comes back
            if old.exists() and not self.path.exists():
                os.rename(old, self.path)
            raise
        register(old)
        discard(old)


@contextmanager
def scratch_folder(beside: str | Path) -> Iterator[Path]:
    """Make a folder beside a path for what is needed meanwhile; it is gone when the context ends.

    Raises
    ------
    FileError
        If it cannot be made.
    """
    partial = partial_path(Path(beside))
    register(partial)
    try:
        partial.mkdir()
    except OSError as error:
        discard(partial)
        raise unwritable(Path(beside), error) from None
    try:
        yield partial
    finally:
        discard(partial)


def allocate(path: Path, size: int) -> None:
    """Take the room of a file before it is mapped: a disk that fills up under a mapping kills the process.

    Parameters
    ----------
    path
        An existing file.
    size
        Bytes.

    Raises
    ------
    OSError
        If there is no room.
    """
    if size and hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                if error.errno not in _CANNOT_ALLOCATE:
                    raise


def check_room(path: str | Path, size: int) -> None:
    """Refuse what will not fit, before the work and not after it.

    Parameters
    ----------
    path
        File or folder to make.
    size
        Bytes that it takes.

    Raises
    ------
    FileError
        If fewer are free there.
    """
    free = shutil.disk_usage(Path(path).absolute().parent).free
    if size > free:
        raise FileError(f"{path}: it needs {amount(size)}, and {amount(free)} are free")


def amount(size: int) -> str:
    """Return a number of bytes as a user reads it.

    Parameters
    ----------
    size
        The number.
    """
    for power, name in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size >= 10 << 10 * power:
            return f"{size >> 10 * power} {name}"
    return f"{size} bytes"


def unwritable(path: Path, error: OSError) -> InputError:
    """Return an error of the disk as one line that names the file and what to do."""
    reason = " ".join((error.strerror or str(error)).split())[:160]
    full = error.errno in _FULL or (error.errno is None and _no_room(path))
    if full:
        reason = f"{os.strerror(errno.ENOSPC)}; make room, or write it elsewhere"
    return InputError(f"{whole_name(path)}: cannot be written: {reason}")


def _no_room(path: Path) -> bool:
    # Libraries say "1000 requested and 900 written" and give no number.
    try:
        return shutil.disk_usage(path.absolute().parent).free < _NO_ROOM_BYTES
    except OSError:
        return False
