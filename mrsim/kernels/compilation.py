"""Compile kernels, and keep what was compiled: the one place that decides when a kept kernel still holds.

numba's own cache sees a kernel's file alone, but constants and kernels of other files are built into it.
Here a kernel is kept under a key of all sources of its own package and of `mrsim`. That is more than it can
reach: an edit elsewhere in the package compiles it again. To follow its imports instead would err silently
wherever a constant comes by a way that was not thought of. A hash of whole folders cannot, and takes a few
milliseconds.

The key also holds what else may differ between installations that share a cache: the versions of Python,
numpy, numba and llvmlite, and whether numba found Intel's vector functions. Within it numba tells
processors apart.

Each compiled form is one file, named by a hash of all that tells it from others and renamed into place. So
processes that compile at the same time cannot mix up two forms, as they can with numba's index and numbers.

The folder is in `NUMBA_CACHE_DIR` where that is set, else in the user's cache. Where neither can be had,
kernels are compiled in every process, and it says so once.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import os
import pickle
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba import njit
from numba.core import config
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.serialize import dumps

from mrsim.cache_folder import user_cache_folder
from mrsim.errors import InputError
from mrsim.files.writing import write_bytes

Decorator = Callable[[Callable[..., Any]], Any]

KEPT = 8
"""How many keys' folders are kept: those used last."""

_KEY = re.compile("[0-9a-f]{32}")
_PACKAGE = Path(__file__).parents[1]


def kernel(*, cached: bool = True, **flags: Any) -> Decorator:
    """Compile a function when it is first called; divisions by zero give what numpy's do.

    Parameters
    ----------
    cached
        Whether to keep it for other processes. A helper that is only called by kernels need not be: it is
        kept within them.
    flags
        Of `numba.njit`: `nogil`, `parallel`, `fastmath`.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = njit(error_model="numpy", **flags)(function)
        if cached:
            # What `cache=True` does, with a cache of ours.
            dispatcher._cache = KernelCache(function)
        return dispatcher

    return compiled


inlined: Decorator = njit(inline="always")
"""Write a function out in every kernel that calls it, and keep it within them."""


class KernelCache(FunctionCache):  # type: ignore[misc]  # numba has no types of its own
    """Keep the compiled forms of one kernel, and never fail: without a cache it only takes longer.

    Parameters
    ----------
    function
        The kernel, not compiled.
    """

    class _impl_class(CompileResultCacheImpl):  # type: ignore[misc]  # numba's name
        # Without numba's search for a place, which would make a folder for every kernel at import.
        def __init__(self, function: Callable[..., Any]) -> None:
            self._lineno = function.__code__.co_firstlineno
            self._locator = _Place(function)
            self._filename_base = f"{function.__module__}.{function.__qualname__}"

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._place: _Place = self._impl.locator
        self._cache_file = _KernelFiles(self._place, self._impl.filename_base)

    @property
    def cache_path(self) -> str | None:
        """Return the folder, or None where there is none."""
        folder = self._place.folder()
        return None if folder is None else str(folder)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled form for the types of arguments, or None."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # cut short, or of no sense: whatever it raises, it is compiled and written anew
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the compiled form for the types of arguments."""
        if self._place.folder() is None:
            return _say_once(self._place)
        if not self._place.is_fresh():
            return None
        try:
            super().save_overload(sig, data)
        except (OSError, InputError):
            _say_once(self._place)
        return None


class _Place:
    """Know the key of a kernel's sources, and the folder of that key (numba calls it a locator)."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._py_file = inspect.getfile(function)
        depth = function.__module__.count(".")
        self._package = Path(self._py_file).absolute().parents[max(depth - 1, 0)]
        # Now, when the module is imported: its sources may be others by the time of a call.
        self._key = _key_at_import(self._package)

    def folder(self) -> Path | None:
        return None if self._key is None else _folder(self._key)

    def is_fresh(self) -> bool:
        """Return whether the sources are still those that were imported, so that a kernel is theirs."""
        return key_of(self._package) == self._key

    def ensure_cache_path(self) -> None:
        folder = self.folder()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def get_cache_path(self) -> str:  # numba asks at import, when no folder is made yet
        return ""

    def get_source_stamp(self) -> str | None:
        return self._key


class _KernelFiles:
    """Read and write the compiled forms of one kernel."""

    def __init__(self, place: _Place, name: str) -> None:
        self._place, self._name = place, re.sub(r"[^\w.]", "", name)

    def load(self, key: Any) -> Any:
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        found, data = pickle.loads(path.read_bytes())
        return data if found == key else None

    def save(self, key: Any, data: Any) -> None:
        path = self._path(key)
        if path is None:
            return
        write_bytes(path, dumps((key, data)))

    def flush(self) -> None:
        folder = self._place.folder()
        for path in [] if folder is None else folder.glob(f"{self._name}-*.nbc"):
            path.unlink(missing_ok=True)

    def _path(self, key: Any) -> Path | None:
        folder = self._place.folder()
        digest = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        return None if folder is None else folder / f"{self._name}-{digest}.nbc"


def kept_in() -> Path | None:
    """Return the folder in which this package's kernels are kept, or None where none can be had."""
    key = _key_at_import(_PACKAGE)
    return None if key is None else _folder(key)


def key_of(package: Path) -> str | None:
    """Return a hash of all that a kernel of a package may depend on, 32 digits, or None without its sources.

    Parameters
    ----------
    package
        Folder of the kernel's package.
    """
    hasher = hashlib.sha256()
    svml = getattr(config, "USING_SVML", None)
    for part in (sys.version, platform.machine(), np, numba, llvmlite, svml):
        hasher.update(f"{getattr(part, '__version__', part)}\n".encode())
    try:
        for folder in (_PACKAGE, package)[: 1 + (package != _PACKAGE)]:
            sources = _sources(folder)
            if not sources:
                return None
            for path in sources:
                source = path.read_bytes()
                hasher.update(f"{path.relative_to(folder).as_posix()} {len(source)}\n".encode())
                hasher.update(source)
    except OSError:
        return None
    return hasher.hexdigest()[:32]


_key_at_import = functools.cache(key_of)


def _sources(folder: Path) -> list[Path]:
    """Return a package's files of code: where the sources are left out, the compiled ones in their place."""
    found = []
    for at, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        found += [Path(at, name) for name in names if name.endswith((".py", ".pyc"))]
    return sorted(found)


def _candidates() -> list[Path]:
    user = user_cache_folder()
    named = [Path(config.CACHE_DIR) / "mrsim-kernels"] if config.CACHE_DIR else []
    return named + ([] if user is None else [user / "kernels"])


@functools.cache
def _folder(key: str) -> Path | None:
    """Return the folder of a key, made where it is missing, or None where none can be had."""
    for base in _candidates():
        folder = base / key
        with contextlib.suppress(OSError):
            if folder.is_dir():
                with contextlib.suppress(OSError):  # one that can only be read serves, too
                    os.utime(folder)
                return folder
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
            _prune(base, folder)
            return folder
    return None


def _prune(base: Path, own: Path) -> None:
    """Remove the folders that were not used for longest; who still uses one compiles again, and goes on."""
    known = []
    with contextlib.suppress(OSError):
        for path in base.iterdir():
            if _KEY.fullmatch(path.name) and path != own and path.is_dir() and not path.is_symlink():
                with contextlib.suppress(OSError):
                    known.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(known, reverse=True)[KEPT - 1 :]:
        shutil.rmtree(path, ignore_errors=True)


_said = False


def _say_once(place: _Place) -> None:
    global _said
    if _said or sys.stderr is None:
        return
    _said = True
    folder = place.folder()
    where = [folder] if folder is not None else _candidates()
    tried = ", ".join(map(str, where)) or "the user has no home"
    with contextlib.suppress(OSError, ValueError):  # a closed stream
        print(
            f"mrsim: kernels are compiled in every process, as they cannot be kept ({tried}): "
            "name a folder that can be written in NUMBA_CACHE_DIR",
            file=sys.stderr,
        )
