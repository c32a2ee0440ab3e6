"""What files a candidate's own process may read: Python, its libraries, and what the candidate's name names.

A scan's folder lies often beside the candidate's file, and holds the truth. So a folder is granted without
the streams below it.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from mrsim.cache_folder import user_cache_folder
from mrsim.errors import CandidateError
from mrsim.files.targets import is_stream

MAX_ENTRIES = 20_000
"""Files and folders that are looked at below a candidate's folder."""
_SYSTEM = (
    "/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/sys", "/etc/ld.so.cache", "/etc/ld.so.conf",
    "/etc/ld.so.conf.d", "/etc/localtime", "/etc/ssl", "/etc/pki", "/etc/passwd", "/etc/group", "/etc/hosts",
    "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/OpenCL", "/etc/alternatives",
)  # fmt: skip
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/dev/random")
ACCELERATORS = ("nvidia", "dri", "kfd")
_PACKAGES = ("harness", "mrsim", "phantoms", "recon")
_ROOT = Path(__file__).parents[3]
_PASSED_ON = re.compile(
    "(OMP|MKL|OPENBLAS|NUMBA|NUMEXPR)_NUM_THREADS|OMP_WAIT_POLICY|KMP_BLOCKTIME|CUDA_VISIBLE_DEVICES"
)
_PLAIN = re.compile(r"[\w,.:-]{0,64}")


@dataclass(frozen=True, slots=True)
class Visible:
    """State what may be seen of the disk.

    Parameters
    ----------
    whole
        Files and folders that may be read with all that is below them.
    parted
        Folders with streams below them, and those streams: all else there may be read.
    """

    whole: tuple[str, ...]
    parted: tuple[tuple[str, tuple[str, ...]], ...]

    def parts(self) -> tuple[list[str], list[str]]:
        """Return what may be read with all below it, and folders of which the names alone may be read."""
        whole, listed = list(self.whole), []
        for folder, hidden in self.parted:
            listed.append(folder)
            whole += _around(Path(folder), {Path(path) for path in hidden})
        return whole, listed


def visible_to(candidate: str, search: list[str]) -> Visible:
    """Return what a candidate's process may read.

    Parameters
    ----------
    candidate
        Its name, as on the command line.
    search
        Where Python looks for modules (`sys.path`).

    Raises
    ------
    CandidateError
        If the candidate's folder holds too much to look through for streams.
    """
    whole = {*_SYSTEM, sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.realpath(sys.executable)}
    whole |= {str(_ROOT / package) for package in _PACKAGES} | {str(_ROOT / "pytest_mrsim.py")}
    whole |= {str(folder) for folder in _kernels()}
    folders: dict[Path, bool] = {}
    for entry in search:
        place = Path(entry or os.getcwd()).resolve()
        if place.is_file() or _holds_packages(place):
            whole.add(str(place))
        elif place.is_dir() and not _is_below(place, whole) and place != _ROOT:
            folders[place] = False
    for named, with_folder in _named(candidate):
        if with_folder:
            folders[named] = True
        else:
            whole.add(str(named))
    parted = []
    for folder, own in sorted(folders.items()):
        hidden = _streams_below(folder)
        if hidden is None and own:
            raise CandidateError(
                f"candidate {candidate!r}: {folder} holds more than {MAX_ENTRIES} files, too many to look "
                "through for scans that it must not see: put it into a folder of its own"
            )
        if hidden is None:  # of a script that happens to stand there
            continue
        if hidden:
            parted.append((str(folder), tuple(hidden)))
        else:
            whole.add(str(folder))
    return Visible(tuple(sorted(whole)), tuple(parted))


def environment(scratch: str) -> dict[str, str]:
    """Return the environment of a candidate's process: of this one's, how many threads computing takes.

    Parameters
    ----------
    scratch
        Folder that it may write into.
    """
    passed = {k: v for k, v in os.environ.items() if _PASSED_ON.fullmatch(k) and _PLAIN.fullmatch(v)}
    named, user = os.environ.get("NUMBA_CACHE_DIR"), user_cache_folder()
    passed |= {"NUMBA_CACHE_DIR": os.path.abspath(named)} if named else {}
    passed |= {"XDG_CACHE_HOME": str(user.parent)} if user is not None else {}
    plain = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
    return passed | plain | {"HOME": scratch, "TMPDIR": scratch, "PYTHONDONTWRITEBYTECODE": "1"}


def _kernels() -> list[Path]:
    named, user = os.environ.get("NUMBA_CACHE_DIR"), user_cache_folder()
    found = [Path(named).absolute() / "mrsim-kernels"] if named else []
    return found + ([] if user is None else [user / "kernels"])


def _holds_packages(folder: Path) -> bool:
    return folder.is_dir() and (next(folder.glob("*.dist-info"), None) is not None)


def _is_below(place: Path, whole: set[str]) -> bool:
    return any(str(above) in whole for above in (place, *place.parents))


def _named(candidate: str) -> list[tuple[Path, bool]]:
    """Return the paths that a candidate's name names, and whether their folders belong to it."""
    kind, _, argument = candidate.partition(":")
    if kind == "python":
        where = argument.rpartition(":")[0]
        path = Path(where)
        return [(path.resolve().parent if where.endswith(".py") else Path.cwd(), True)]
    found: list[tuple[Path, bool]] = []
    pieces = argument.split(",")
    for count in range(len(pieces), 0, -1):  # a file may have a comma in its name
        path = Path(",".join(pieces[:count]))
        if argument and path.exists():
            path = path.resolve()
            return [(path.parent, True) if kind == "onnx" else (path, False)]  # weights may lie beside it
    return found


def _streams_below(folder: Path) -> list[str] | None:
    """Return the streams below a folder, or the folder itself if it is one; None if it holds too much."""
    found, waiting, seen = [], [folder], 0
    while waiting:
        place = waiting.pop()
        if is_stream(place):
            found.append(str(place))
            continue
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    seen += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
        except OSError:
            continue
        if seen > MAX_ENTRIES:
            return None
    return sorted(found)


def _around(folder: Path, hidden: set[Path]) -> list[str]:
    """Return what lies below a folder, in as large pieces as there are, but for what is hidden."""
    if folder in hidden:
        return []
    found: list[str] = []
    above = {parent for path in hidden for parent in path.parents}
    try:
        entries = sorted(folder.iterdir())
    except OSError:  # it is gone by now, or closed: nothing there is to be read
        return []
    for entry in entries:
        if entry in above and entry not in hidden:
            found += _around(entry, hidden)
        elif entry not in hidden:
            found.append(str(entry))
    return found
