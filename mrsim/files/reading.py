"""The one reader of files that come from outside: regular files alone, of bounded size and depth.

A pipe would be waited for without end, a device read until memory ends. So a file is looked at before it is
opened and again once it is open; a link is followed, and what it leads to is looked at.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any

from mrsim.argument_types import MAX_WHOLE
from mrsim.errors import FileError, InputError
from mrsim.files.targets import kind

_LOG = logging.getLogger(__name__)
MAX_DEPTH = 64  # of nested lists and tables
_HOSTS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EAGAIN}
_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def open_file(
    path: str | Path, most: int | None = None, what: str = "such a file", *, missing: str = "no such file"
) -> BufferedReader:
    """Open a file that came from outside; the caller closes it.

    Parameters
    ----------
    path
        The file.
    most
        Bytes that it may have; None for any number, where it is read in pieces or mapped.
    what
        What it is to be, as an error says: "not a phantom".
    missing
        What an error says where there is none.

    Raises
    ------
    FileError
        If there is none, it is no regular file, cannot be read or is larger.
    """
    try:
        _check_regular(os.stat(path).st_mode, path)
        file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | _FLAGS))  # noqa: SIM115
    except InputError:
        raise
    except FileNotFoundError:
        raise FileError(f"{path}: {missing}") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # a null byte in its name
        raise FileError(f"{str(path)!r}: not a name of a file: {error}") from None
    try:
        state = os.fstat(file.fileno())
        _check_regular(state.st_mode, path)
        if most is not None and state.st_size > most:
            raise FileError(f"{path}: larger than {most} bytes: not {what}")
    except BaseException:
        file.close()
        raise
    _LOG.info("reading %s", path)
    return file


def check_host(error: BaseException, path: str | Path) -> None:
    """Raise what is the host's fault and not the file's, before the file is called damaged.

    Raises
    ------
    FileError
        If the system could not open, map or read it.
    """
    if isinstance(error, OSError) and error.errno in _HOSTS:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from None


def read_bytes(
    path: str | Path, most: int, what: str = "such a file", *, missing: str = "no such file"
) -> bytes:
    """Read a file; parameters and errors as for `open_file`."""
    with open_file(path, most, what, missing=missing) as file:
        try:
            data = file.read(most + 1)  # it may grow meanwhile, or not tell its size
        except OSError as error:
            raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(data) > most:
        raise FileError(f"{path}: larger than {most} bytes: not {what}")
    return data


def read_text(
    path: str | Path, most: int, what: str = "such a file", *, missing: str = "no such file"
) -> str:
    """Read a file of UTF-8, line ends as they are; parameters and errors as for `open_file`."""
    try:
        return read_bytes(path, most, what, missing=missing).decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: not UTF-8 at byte {error.start}") from None


def read_json(
    path: str | Path, most: int, what: str = "such a file", *, missing: str = "no such file"
) -> Any:
    """Read a file of JSON; parameters and errors as for `open_file` and `parse_json`."""
    return parse_json(read_text(path, most, what, missing=missing), str(path))


def parse_json(text: str | bytes, where: str, *, depth: int = MAX_DEPTH) -> Any:
    """Parse JSON that came from outside.

    Parameters
    ----------
    text
        The text; its size is the caller's to bound.
    where
        How errors name it.
    depth
        How deep lists and tables may be nested; the outermost is one.

    Raises
    ------
    FileError
        If it is not JSON, or nested deeper.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise too_deep(where, depth) from None
    except ValueError as error:
        raise FileError(f"{where}: not valid JSON: {' '.join(str(error).split())[:200]}") from None
    check_bounds(value, where, depth)
    return value


def check_bounds(value: Any, where: str, depth: int = MAX_DEPTH) -> None:
    """Refuse tables and lists that are nested too deep, and whole numbers that no float can hold.

    Raises
    ------
    FileError
        If one is.
    """
    level = [value]
    for _ in range(depth):
        inside = [inner for outer in level for inner in _inside(outer)]
        if any(isinstance(inner, int) and abs(inner) > MAX_WHOLE for inner in inside):
            raise FileError(f"{where}: a whole number of more than 300 digits")
        level = [inner for inner in inside if isinstance(inner, dict | list)]
        if not level:
            return
    raise too_deep(where, depth)


def too_deep(where: str, depth: int) -> FileError:
    """Return the error of tables or lists that are nested too deep."""
    return FileError(f"{where}: tables or lists are nested more than {depth} deep")


def _inside(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _check_regular(mode: int, path: str | Path) -> None:
    if not stat.S_ISREG(mode):
        raise FileError(f"{path}: it is {kind(mode)}, not a file; name a regular file")
