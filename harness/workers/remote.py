"""Remote tasks: a worker uses the caller's folder, the same versions and freshly imported modules.

An evaluation on other machines must give the figures of this one. So a worker changes to its caller's folder,
where relative names mean the same. It refuses other versions. It also unloads the caller's own modules after
each task, since a worker lives long and a candidate's code changes.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

from harness.realtime.environment import version_of
from harness.workers.executors import Engine, run_all
from mrsim.errors import HostError

T = TypeVar("T")
R = TypeVar("R")

FILE_CHECK_S = 60.0
"""Time in which a worker must answer whether it sees a file, seconds."""
OWN_PACKAGES = frozenset({"mrsim", "recon", "harness"})
UNTIMED = (
    "no time was taken: on shared workers the work of others is in it. The images are the same wherever they "
    "are made; take times without --cluster, on a machine that does nothing else"
)


@dataclass(frozen=True)
class CallerContext:
    """Hold the caller's folder and the versions that its results depend on.

    Parameters
    ----------
    folder
        Folder that relative names are relative to.
    versions
        Versions of the packages that compute results, by name.
    """

    folder: str
    versions: Mapping[str, str | None]

    @classmethod
    def current(cls) -> CallerContext:
        """Return the context of this process."""
        names = ("mrsim", "numpy", "numba", "torch", "scikit-image")
        found = {name: version_of(name) for name in names}
        return cls(str(Path.cwd()), found | {"python": platform.python_version()})

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Change to the folder, use one thread, and undo both at the end.

        Raises
        ------
        HostError
            If this worker does not see the folder, or has other versions.
        """
        own = CallerContext.current().versions
        differing = [name for name in self.versions if own.get(name) != self.versions[name]]
        if differing:
            mismatch = ", ".join(f"{name} {own.get(name)} for {self.versions[name]}" for name in differing)
            raise HostError(
                f"worker {platform.node()}: it has {mismatch}; install the same versions everywhere"
            )
        before, path, known = os.getcwd(), sys.path.copy(), set(sys.modules)
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise HostError(
                f"worker {platform.node()}: {self.folder}: {error.strerror}; call from a folder that all "
                "machines share"
            ) from None
        try:
            from recon.cascade.threads import one_thread  # torch is loaded where there is work

            with one_thread():
                yield
        finally:
            os.chdir(before)
            sys.path[:] = path
            self._forget(known)

    def _forget(self, known: set[str]) -> None:
        """Unload modules of the caller's folder, which may have changed by the next task."""
        for name in set(sys.modules) - known:
            file = getattr(sys.modules[name], "__file__", None)
            if not file or name.partition(".")[0] in OWN_PACKAGES or Path(file).is_relative_to(sys.prefix):
                continue
            if Path(file).is_relative_to(self.folder):
                del sys.modules[name]


def send(engine: Engine, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
    """Run tasks on workers and yield their results in the order of the tasks.

    Parameters
    ----------
    engine
        Workers to use.
    function
        Function of a task; it and the task must be picklable.
    tasks
        The tasks.

    Raises
    ------
    MrsimError
        If a task raised it, or lost its worker repeatedly.
    """
    numbered, context = list(enumerate(tasks)), CallerContext.current()
    ready: dict[int, R] = {}
    due = 0
    for ended in run_all(engine, partial(_run_in, context, function), numbered):
        if ended.error is not None:
            raise ended.error
        ready[ended.task[0]] = cast(R, ended.result)
        while due in ready:
            yield ready.pop(due)
            due += 1


def _run_in(context: CallerContext, function: Callable[[T], R], numbered: tuple[int, T]) -> R:
    with context.entered():
        return function(numbered[1])


def check_shared_file(engine: Engine, file: Path) -> None:
    """Raise an error if the workers share no file system with this machine.

    Parameters
    ----------
    engine
        The workers.
    file
        A file that they must see.

    Raises
    ------
    HostError
        If a worker does not see it, or none answers.
    """
    if not engine.shared:
        return
    future = engine.executor.submit(_is_file, str(file.absolute()))
    try:
        visible = future.result(timeout=FILE_CHECK_S)
    except TimeoutError:
        raise HostError(f"no worker of the cluster was free within {FILE_CHECK_S:g} s; start more") from None
    if not visible:
        raise HostError(
            f"{file.parent}: the cluster's workers do not see it; take one that all machines share"
        )


def _is_file(path: str) -> bool:
    return Path(path).is_file()
