"""Calls of the system that a candidate's process gives up: starting processes, and reaching others.

Without processes of its own all that a candidate computes is in one account, and one kill ends it. Signals go
to itself alone. Of the standard library alone, and called before there are threads.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST = 0, 4, 16  # where the filter finds a call's number and its first argument
_THREAD = 0x00010000  # a flag of clone
_X32 = 0x40000000

# The system's numbers of calls, by processor.
_CALLS: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {
            "fork": 57, "vfork": 58, "clone": 56, "clone3": 435, "execve": 59, "execveat": 322,
            "kill": 62, "tkill": 200, "tgkill": 234, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297,
            "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "process_madvise": 440,
            "pidfd_open": 434, "pidfd_send_signal": 424, "pidfd_getfd": 438, "kcmp": 312, "prlimit64": 302,
            "io_uring_setup": 425, "open_by_handle_at": 304, "unshare": 272, "setns": 308, "mount": 165,
            "umount2": 166, "pivot_root": 155, "chroot": 161, "bpf": 321, "perf_event_open": 298,
            "userfaultfd": 323, "keyctl": 250, "add_key": 248, "request_key": 249, "shmget": 29, "shmat": 30,
            "msgget": 68, "semget": 64, "mq_open": 240, "socket": 41,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "clone": 220, "clone3": 435, "execve": 221, "execveat": 281,
            "kill": 129, "tkill": 130, "tgkill": 131, "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240,
            "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "process_madvise": 440,
            "pidfd_open": 434, "pidfd_send_signal": 424, "pidfd_getfd": 438, "kcmp": 272, "prlimit64": 261,
            "io_uring_setup": 425, "open_by_handle_at": 265, "unshare": 97, "setns": 268, "mount": 40,
            "umount2": 39, "pivot_root": 41, "chroot": 51, "bpf": 280, "perf_event_open": 241,
            "userfaultfd": 282, "keyctl": 219, "add_key": 217, "request_key": 218, "shmget": 194,
            "shmat": 196, "msgget": 186, "semget": 190, "mq_open": 180, "socket": 198,
        },
    ),
}  # fmt: skip
_TO_ITSELF = ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")


def restrict(network: bool) -> bool:
    """Give up the calls; return whether the system and the processor are known here.

    Parameters
    ----------
    network
        Whether sockets are left.
    """
    if platform.machine() not in _CALLS or not hasattr(os, "O_PATH"):
        return False
    program = _program(*_CALLS[platform.machine()], os.getpid(), network)
    held = ctypes.create_string_buffer(program, len(program))
    description = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(held))
    system = ctypes.CDLL(None, use_errno=True)
    if system.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    return not system.prctl(_SECCOMP, _FILTER, description, 0, 0)


def _program(architecture: int, calls: dict[str, int], process: int, network: bool) -> bytes:
    """Return the filter, as the system's own small machine reads it: code, two jumps, operand."""
    refused, unknown = _REFUSE | errno.EPERM, _REFUSE | errno.ENOSYS
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, refused),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, refused),
    ]
    for name, number in calls.items():
        if name == "clone":  # of threads alone
            lines += [
                (_EQUAL, 0, 4, number), (_LOAD, 0, 0, _FIRST), (_ANY_BIT, 0, 1, _THREAD),
                (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, refused),
            ]  # fmt: skip
        elif name in _TO_ITSELF:
            lines += [
                (_EQUAL, 0, 4, number), (_LOAD, 0, 0, _FIRST), (_EQUAL, 0, 1, process),
                (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, refused),
            ]  # fmt: skip
        elif name == "prlimit64":  # 0 is itself
            lines += [
                (_EQUAL, 0, 5, number), (_LOAD, 0, 0, _FIRST), (_EQUAL, 1, 0, 0), (_EQUAL, 0, 1, process),
                (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, refused),
            ]  # fmt: skip
        elif not (name == "socket" and network):
            # The library falls back on clone, whose flags can be looked at, where clone3 is unknown.
            answer = unknown if name == "clone3" else refused
            lines += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, answer)]
    lines.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *line) for line in lines)
