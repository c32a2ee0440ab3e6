"""Landlock: a process of Linux gives up files that it was not granted, for good and for all its threads.

Of the standard library alone, as it must be called before numpy starts threads: each thread has rules of its
own, and only those that are started later have them, too. With rules a process can neither trace another one
nor read its memory, maps, descriptors or environment.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_TRUNCATE, _IOCTL = 1 << 14, 1 << 15
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # number of rights that a version knows; 16 from the fifth on
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_TCP = 3  # bind and connect
_SCOPES = 3  # abstract sockets, and signals
READ = _EXECUTE | _READ_FILE | _READ_DIR
LIST = _READ_DIR
WRITE = READ | 0xFFFF


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def version() -> int:
    """Return the version of Landlock that the system has; 0 for none."""
    try:
        found = int(ctypes.CDLL(None, use_errno=True).syscall(_CREATE, None, ctypes.c_size_t(0), 1))
    except (OSError, AttributeError):
        return 0
    return max(0, found)


def restrict(grants: Iterable[tuple[str, int]], network: bool) -> bool:
    """Give up all files but those that are granted; return whether the system has Landlock.

    Parameters
    ----------
    grants
        Paths, and what is granted of each and of all below it: `READ`, `LIST` or `WRITE`.
    network
        Whether TCP is left.

    Raises
    ------
    OSError
        If the system has it and refuses.
    """
    known = version()
    if not known:
        return False
    handled = (1 << _RIGHTS.get(known, 16)) - 1
    rules = _Ruleset(handled, _TCP if known >= 4 and not network else 0, _SCOPES if known >= 6 else 0)
    size = 8 if known < 4 else 16 if known < 6 else 24
    system = ctypes.CDLL(None, use_errno=True)
    ruleset = system.syscall(_CREATE, ctypes.byref(rules), ctypes.c_size_t(size), 0)
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "Landlock gives no rules")
    try:
        for path, rights in grants:
            _grant(system, ruleset, path, rights & handled)
        if system.prctl(38, 1, 0, 0, 0) or system.syscall(_RESTRICT, ruleset, 0):
            raise OSError(ctypes.get_errno(), "Landlock takes no rules")
    finally:
        os.close(ruleset)
    return True


def _grant(system: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        number = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # it is not there, so there is nothing to grant
        return
    try:
        if not stat.S_ISDIR(os.fstat(number).st_mode):
            rights &= _OF_FILES
        rule = _Beneath(rights, number)
        if rights and system.syscall(_ADD_RULE, ruleset, 1, ctypes.byref(rule), 0):
            raise OSError(ctypes.get_errno(), "Landlock takes no rule", path)
    finally:
        os.close(number)
