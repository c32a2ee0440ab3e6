"""Start a candidate's own process, with nothing of ours but what it is handed."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from harness.candidates.held import bubblewrap
from harness.candidates.held.visible import ACCELERATORS, Visible, environment

NETWORKED = ("mrd",)
"""Kinds of candidates that are a connection to a server."""


def start_process(
    program: str, candidate: str, visible: Visible, scratch: str, theirs: tuple[int, ...], said: int
) -> tuple[subprocess.Popen[bytes], str]:
    """Start a process, within namespaces where there is what makes them; return that one's name, too.

    Parameters
    ----------
    program
        What it runs, in Python.
    candidate
        Its name, as on the command line.
    visible
        What it may read.
    scratch
        Folder that it may write into.
    theirs, said
        Descriptors that it gets, and the one that it prints to.
    """
    around, name = bubblewrap.around(visible, scratch, is_networked(candidate), accelerators())
    # -P: no module of the folder that we stand in is to be taken for one of ours.
    words = [*around, sys.executable, "-P", "-s", "-c", program]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            words, env=environment(scratch), stdin=subprocess.PIPE, stdout=said, stderr=said, pass_fds=theirs,
            start_new_session=True,
        )  # fmt: skip

    # By a thread that lasts as long as we do: the process ends with the thread that started it.
    return _launcher(os.getpid()).submit(start).result(), name


_launchers: dict[int, ThreadPoolExecutor] = {}


def _launcher(process: int) -> ThreadPoolExecutor:
    if process not in _launchers:  # a copy of us (os.fork) has none of our threads
        _launchers[process] = ThreadPoolExecutor(1, "mrsim-launcher")
    return _launchers[process]


def is_networked(candidate: str) -> bool:
    """Return whether a candidate is a connection to a server."""
    return candidate.partition(":")[0] in NETWORKED


def accelerators() -> list[str]:
    """Return the devices that compute."""
    try:
        return [f"/dev/{name}" for name in os.listdir("/dev") if name.startswith(ACCELERATORS)]
    except OSError:
        return []
