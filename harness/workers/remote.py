"""Work that is sent away and done as it would be here: in the same folder, by the same versions, from new.

Whoever evaluates on other machines gets the figures of this one. So a worker stands where its caller does,
so that relative names mean the same; it refuses where its versions differ; and it forgets the caller's own
modules after each piece, as a worker lives long and a candidate's code changes.
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

SEEN_S = 60.0
"""How long a worker may take to look for a file."""
OURS = frozenset({"mrsim", "recon", "harness"})
UNTIMED = (
    "no time was taken: on shared workers the work of others is in it. The images are the same wherever they "
    "are made; take times without --cluster, on a machine that does nothing else"
)


@dataclass(frozen=True)
class Place:
    """Say where the caller stands, and on what its results depend.

    Parameters
    ----------
    folder
        What relative names are relative to.
    versions
        Versions of what computes, by name.
    """

    folder: str
    versions: Mapping[str, str | None]

    @classmethod
    def here(cls) -> Place:
        """Return this process's own."""
        names = ("mrsim", "numpy", "numba", "torch", "scikit-image")
        found = {name: version_of(name) for name in names}
        return cls(str(Path.cwd()), found | {"python": platform.python_version()})

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Stand there for a while, on one thread, and leave nothing of it behind.

        Raises
        ------
        InputError
            If this worker does not see the folder, or has other versions.
        """
        mine = Place.here().versions
        differing = [name for name in self.versions if mine.get(name) != self.versions[name]]
        if differing:
            told = ", ".join(f"{name} {mine.get(name)} for {self.versions[name]}" for name in differing)
            raise HostError(f"worker {platform.node()}: it has {told}; install the same versions everywhere")
        before, path, known = os.getcwd(), sys.path.copy(), set(sys.modules)
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise HostError(
                f"worker {platform.node()}: {self.folder}: {error.strerror}; call from a folder that all "
                "machines share"
            ) from None
        try:
            with one_thread():
                yield
        finally:
            os.chdir(before)
            sys.path[:] = path
            self._forget(known)

    def _forget(self, known: set[str]) -> None:
        """Forget modules of the caller's folder: they may have changed by next time."""
        for name in set(sys.modules) - known:
            file = getattr(sys.modules[name], "__file__", None)
            if not file or name.partition(".")[0] in OURS or Path(file).is_relative_to(sys.prefix):
                continue
            if Path(file).is_relative_to(self.folder):
                del sys.modules[name]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread for a while."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def send(engine: Engine, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
    """Do pieces of work elsewhere, and yield what comes of them in the order of the tasks.

    Parameters
    ----------
    engine
        Where.
    function
        What is done with each; it and its argument must be picklable.
    tasks
        The pieces.

    Raises
    ------
    MrsimError
        If a piece raised it, or lost its worker time and again.
    """
    numbered, place = list(enumerate(tasks)), Place.here()
    ready: dict[int, R] = {}
    due = 0
    for outcome in run_all(engine, partial(_done_at, place, function), numbered):
        if outcome.error is not None:
            raise outcome.error
        ready[outcome.task[0]] = cast(R, outcome.result)
        while due in ready:
            yield ready.pop(due)
            due += 1


def mapper(engine: Engine) -> Callable[[Callable[[T], R], Iterable[T]], Iterator[R]]:
    """Return what does `map` elsewhere."""
    return partial(send, engine)


def _done_at(place: Place, function: Callable[[T], R], numbered: tuple[int, T]) -> R:
    with place.entered():
        return function(numbered[1])


def check_seen(engine: Engine, file: Path) -> None:
    """Refuse workers that share no file system with this machine.

    Parameters
    ----------
    engine
        Who works.
    file
        A file that they are to see.

    Raises
    ------
    InputError
        If a worker does not see it, or none answers.
    """
    if not engine.shared:
        return
    future = engine.executor.submit(_is_there, str(file.absolute()))
    try:
        seen = future.result(timeout=SEEN_S)
    except TimeoutError:
        raise HostError(f"no worker of the cluster was free within {SEEN_S:g} s; start more") from None
    if not seen:
        raise HostError(
            f"{file.parent}: the cluster's workers do not see it; take one that all machines share"
        )


def _is_there(path: str) -> bool:
    return Path(path).is_file()
