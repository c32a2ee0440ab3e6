"""Bubblewrap, where it is installed: namespaces in which there are no other processes, no network, no disk.

It is tried once, since a container or a setting of the system may forbid what it does.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

from harness.candidates.held.visible import Visible

TRY_S = 10.0
NAME = "bubblewrap"


def around(visible: Visible, scratch: str, network: bool, devices: list[str]) -> tuple[list[str], str]:
    """Return what stands before a command to run it in namespaces of its own, and its name; nothing for none.

    Parameters
    ----------
    visible
        What may be read.
    scratch
        Folder that may be written into.
    network
        Whether the network is left.
    devices
        Devices that are left.
    """
    program = _works()
    if program is None:
        return [], ""
    words = _words(program)
    words += ["--share-net"] if network else []
    words += ["--dir", os.getcwd()]
    for path in (*visible.whole, *(folder for folder, _ in visible.parted)):
        words += ["--ro-bind-try", path, path]
    for _, hidden in visible.parted:
        for path in hidden:
            words += ["--tmpfs", path]
    for path in devices:
        words += ["--dev-bind-try", path, path]
    return [*words, "--bind", scratch, scratch, "--"], NAME


def _words(program: str) -> list[str]:
    kept = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    return [program, *kept, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]


@functools.cache
def _works() -> str | None:
    program = shutil.which("bwrap")
    if program is None:
        return None
    words = [program, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc", "true"]
    try:
        done = subprocess.run(words, capture_output=True, timeout=TRY_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return program if done.returncode == 0 else None
