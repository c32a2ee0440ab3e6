"""The processor time of the processes that this one has started, ended or alive.

Of those that ended the system keeps one sum. Those that live are looked for in `/proc`, and theirs as well;
that costs some microseconds for each thread and process, so that it is done only where there are any. What
its own parent has left (a process that was started by one that ended before it) is nobody's, and not seen.
"""

from __future__ import annotations

import contextlib
import os
import time

try:
    import resource
except ImportError:  # not a Unix
    resource = None  # type: ignore[assignment]

MAX_PROCESSES = 1024
_TRIES = 3


def are_seen() -> bool:
    """Return whether the system tells of processes that live; else those that ended are counted alone."""
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def descendants_ns() -> int:
    """Return the processor time of all processes that this one has started, nanoseconds.

    It is steady over the end of a process but for that of a process's own processes: what they used before
    they ended is told in ticks of 10 ms while the process lives.
    """
    ended_ns = _ended_ns()
    if not _has_children():
        return ended_ns
    for _ in range(_TRIES):  # one that ends meanwhile would be counted twice, or not at all
        living_ns, before_ns = _living_ns(), ended_ns
        ended_ns = _ended_ns()
        if ended_ns == before_ns:
            break
    return ended_ns + living_ns


def _ended_ns() -> int:
    if resource is None:
        return 0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round((used.ru_utime + used.ru_stime) * 1e9)


def _has_children() -> bool:
    """Return whether a process that this one has started lives, or was not waited for: a call of 1 us."""
    if not hasattr(os, "waitid"):
        return False
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return True
    return False


def _living_ns() -> int:
    found, seen, waiting = 0, 0, _children_of(os.getpid())
    while waiting and seen < MAX_PROCESSES:
        process, seen = waiting.pop(), seen + 1
        with contextlib.suppress(OSError):  # it has ended
            found += time.clock_gettime_ns((~process << 3) | 2)  # the system's number for that clock
            below = _children_of(process)
            waiting += below
            found += _waited_for_ns(process)
    return found


def _children_of(process: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{process}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{process}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    return found


def _waited_for_ns(process: int) -> int:
    """Return what a process's own processes used that it has waited for."""
    with contextlib.suppress(OSError, LookupError, ValueError):
        with open(f"/proc/{process}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return (int(fields[13]) + int(fields[14])) * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))
    return 0
