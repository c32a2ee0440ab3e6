"""Where something may be written: looked at before the work starts, and again before it is put in place."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from mrsim.errors import FileError

STREAM_SUFFIX = ".stream"
_STREAM_MARK = b'"mrsim-stream"'
_DATASET_MARK = b'"mrsim-dataset"'
_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def check_target(path: str | Path | None, *ends: str) -> None:
    """Refuse a file that may not be written, before the work and not after it.

    Parameters
    ----------
    path
        The file, which may exist; None for no file at all.
    ends
        What its name must end in, one of these; any name if there is none.

    Raises
    ------
    FileError
        If its folder is missing, closed or part of a stream or dataset, it is no regular file, or its ending
        is wrong.
    """
    if path is None:
        return
    check_file(path)
    check_outside(path)
    if ends and Path(path).suffix.lower() not in ends:
        hint = "; standard output is /dev/stdout" if str(path) == "-" else ""
        raise FileError(f"{path}: expected a name that ends in {' or '.join(ends)}{hint}")


def check_file(path: str | Path) -> None:
    """Refuse a file that no writer may write, whoever asks for it.

    Raises
    ------
    FileError
        If its folder is missing, closed or part of a stream, or it is no regular file.
    """
    _check_place(Path(path))
    found = kind_of(path)
    if found not in ("", "a file"):
        raise FileError(f"{path}: it is {found}; name a file")


def check_outside(path: str | Path) -> None:
    """Refuse a place within a dataset, to which only what makes the dataset adds.

    Raises
    ------
    FileError
        If a folder above it is a dataset.
    """
    inside = Path(os.path.realpath(Path(path).absolute().parent))
    for folder in (inside, *inside.parents):
        if _begins(folder / "journal.jsonl", _DATASET_MARK) or _begins(
            folder / "manifest.json", _DATASET_MARK
        ):
            raise FileError(f"{path}: it lies inside the dataset {folder}; choose another folder")


def check_folder(path: str | Path) -> None:
    """Refuse a folder that may not be made; whether one may stand there already is the caller's to say.

    Raises
    ------
    FileError
        If its parent is missing, closed or part of a stream, or something else stands there.
    """
    _check_place(Path(path))
    found = kind_of(path)
    if found not in ("", "a folder"):
        raise FileError(f"{path}: it is {found}; name a folder")


def kind_of(path: str | Path) -> str:
    """Return what stands at a path, such as "a file" or "a link"; empty where nothing does.

    Raises
    ------
    FileError
        If it cannot be looked at.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or str(error)
        if getattr(error, "errno", None) == errno.ENAMETOOLONG:
            told = f"{told}; choose a shorter one"
        raise FileError(f"{path}: cannot be looked at: {told}") from None
    return kind(mode)


def kind(mode: int) -> str:
    """Return what a mode of `os.stat` stands for."""
    return next((name for holds, name in _KINDS if holds(mode)), "a file")


def _check_place(path: Path) -> None:
    if "\0" in str(path):
        raise FileError(f"{str(path)!r}: not a name of a file: embedded null byte")
    parent = path.absolute().parent
    if not parent.is_dir():
        raise FileError(f"{path}: no such folder; make it first")
    inside = Path(os.path.realpath(parent))
    if not os.access(parent, os.W_OK | os.X_OK):
        if os.statvfs(parent).f_flag & os.ST_RDONLY:
            raise FileError(f"{path}: cannot be written: the disk is read-only; choose another folder")
        raise FileError(f"{path}: cannot be written: no permission in {inside}; choose another folder")
    if inside.suffix == STREAM_SUFFIX or any(is_stream(folder) for folder in (inside, *inside.parents)):
        raise FileError(f"{path}: it lies inside a stream, which would be damaged; choose another folder")


def is_stream(folder: Path) -> bool:
    """Return whether a folder holds a stream.

    Parameters
    ----------
    folder
        The folder.
    """
    return _begins(folder / "header.json", _STREAM_MARK)


def _begins(path: Path, mark: bytes) -> bool:
    """Tell whether a regular file holds a mark near its beginning."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            return mark in file.read(4096)
    except OSError:
        return False
