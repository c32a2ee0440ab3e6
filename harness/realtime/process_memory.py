"""What a process holds, as the system and the allocator tell it: memory, descriptors, threads."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

MALLINFO = [
    "arena",
    "ordblks",
    "smblks",
    "hblks",
    "mapped",
    "usmblks",
    "fsmblks",
    "used",
    "fordblks",
    "keepcost",
]


def resident_bytes(pid: int | None) -> int:
    """Return the memory of a process that no file stands behind: its own and what it shares.

    Parameters
    ----------
    pid
        Number of the process; None for this one.

    Returns
    -------
    bytes
        0 if the system does not state it.
    """
    try:
        status = Path(f"/proc/{pid or 'self'}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    kinds = ("RssAnon:", "RssShmem:", "VmSwap:")
    lines = [line.split() for line in status.splitlines() if line.startswith(kinds)]
    return sum(int(line[1]) << 10 for line in lines)


class _Mallinfo(ctypes.Structure):
    """What glibc's `mallinfo2` returns; `used` are small blocks and `mapped` large ones."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in MALLINFO)


def malloced() -> int:
    """Return the bytes that this process has from malloc and has not given back; 0 without glibc 2.33."""
    try:
        ask = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):
        return 0
    ask.restype = _Mallinfo
    told = ask()
    return int(told.used + told.mapped)


def counts(pid: int | None) -> tuple[int, int]:
    """Return the number of descriptors and of threads of a process; 0 where the system does not tell.

    Parameters
    ----------
    pid
        Number of the process; None for this one.
    """
    found = []
    for folder in ("fd", "task"):
        try:
            found.append(len(os.listdir(f"/proc/{pid or 'self'}/{folder}")))
        except OSError:
            found.append(0)
    return found[0], found[1]
