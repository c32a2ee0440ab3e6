"""What is half-written: its names, and a register of it, so that nothing is left when the process ends."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import uuid
from pathlib import Path

MARK = ".partial-"
_MARKED = re.compile(re.escape(MARK) + "([0-9a-f]+)-[0-9a-f]{8}")
_MAX_NAME_BYTES = 200  # of a name of 255 bytes; the rest is for the mark

_open: dict[Path, int] = {}  # by path, the process that writes it: a fork leaves its parent's alone


def partial_path(path: Path, suffix: str = "") -> Path:
    """Return a new name beside a path, for what is being written there.

    Parameters
    ----------
    path
        Where it will stand when it is whole.
    suffix
        Ending of the name, for libraries that look at it.
    """
    stem = path.name
    if len(os.fsencode(stem)) > _MAX_NAME_BYTES:
        stem = stem[: _MAX_NAME_BYTES // 4]  # a character has at most four bytes
    mark = f"{MARK}{os.getpid():x}-{uuid.uuid4().hex[:8]}"
    return path.absolute().with_name(f"{stem}{mark}{suffix}")


def whole_name(path: str | Path) -> str:
    """Return under which name what is being written will stand, for errors: its own is gone with them.

    Parameters
    ----------
    path
        A half-written file or folder, or something in it; any other path is returned as it is.
    """
    return _MARKED.sub("", str(path))


def register(path: Path) -> None:
    """Note that a file or folder is half-written."""
    _open[path] = os.getpid()


def discard(path: Path) -> None:
    """Remove a half-written file or folder, if it is still there."""
    remove(path)
    _open.pop(path, None)


def forget(path: Path) -> None:
    """Note that a file or folder is whole, and has gone to its place."""
    _open.pop(path, None)


def discard_stale(folder: Path) -> None:
    """Remove what a process of this machine has left half-written in a folder that was killed.

    Parameters
    ----------
    folder
        The folder; what is below its own entries stays.
    """
    for entry in folder.iterdir():
        marked = _MARKED.search(entry.name)
        if marked is not None and not _runs(int(marked[1], 16)):
            remove(entry)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # somebody else's
        return True
    return True


def discard_all() -> None:
    """Remove everything that this process has half-written."""
    for path, process in list(_open.items()):
        if process == os.getpid():
            discard(path)


def remove(path: Path) -> None:
    """Remove a file, or a folder and what is in it; a link is not followed, and failure is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


atexit.register(discard_all)
