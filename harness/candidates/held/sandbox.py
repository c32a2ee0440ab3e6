"""Hold a process: it gives up its user, the disk but for what it was granted, and calls that reach others.

What holds is tried and told, not assumed: the process does it to itself before any code of a candidate's is
loaded, and says what worked. Of the standard library alone, as it comes before numpy starts threads.
"""

from __future__ import annotations

import ctypes
import os
import resource
from typing import Any

from harness.candidates.held import landlock, seccomp

NOBODY = 65534
_KEEP_CAPABILITIES, _DIE_WITH_PARENT = 8, 1
_READ_ANY = 2  # the capability to read what the rules grant, whoever it belongs to
_CAPABILITIES = 0x20080522
MAX_FILE = 1 << 30


def hold(rules: dict[str, Any]) -> list[str]:
    """Hold this process for good, and return what holds it, in words.

    Parameters
    ----------
    rules
        `read` and `list`: paths that may be read, and folders whose names may be; `write`: what may be
        written; `network`: whether it may connect; `parent`: the process with which it ends.
    """
    held = []
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE, MAX_FILE))
    if rules["nobody"] and _become_nobody():
        held.append(f"user {NOBODY}")
    _end_with_parent(rules["parent"])
    own = f"/proc/{os.getpid()}"
    grants = [(path, landlock.READ) for path in (*rules["read"], own, *_PROCESSOR)]
    grants += [(path, landlock.LIST) for path in rules["list"]]
    grants += [(path, landlock.WRITE) for path in rules["write"]]
    if landlock.restrict(grants, rules["network"]):
        held.append(f"Landlock {landlock.version()}")
    if seccomp.restrict(rules["network"]):
        held.append("seccomp")
    return held


_PROCESSOR = (
    "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/loadavg", "/proc/filesystems", "/proc/version",
    "/proc/driver", "/proc/sys/kernel", "/proc/sys/vm",
)  # fmt: skip


def _end_with_parent(parent: int) -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, 9, 0, 0, 0)
    if parent and os.getppid() != parent:  # it has gone meanwhile
        os._exit(1)


def _become_nobody() -> bool:
    """Become a user without rights, who may read what root may; return whether this process was root's."""
    if os.geteuid() != 0:
        return False
    system = ctypes.CDLL(None, use_errno=True)
    try:
        system.prctl(_KEEP_CAPABILITIES, 1, 0, 0, 0)
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except OSError:  # this user is not known to the namespace
        return False
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0)
    kept = (ctypes.c_uint32 * 6)(1 << _READ_ANY, 1 << _READ_ANY, 1 << _READ_ANY, 0, 0, 0)
    if system.capset(header, kept):
        raise OSError(ctypes.get_errno(), "capabilities cannot be given up")
    return True
