"""A candidate's own process as it runs, and what leads to it: sockets, shared memory, what it prints.

What is asked goes over a socket and is bounded both ways. Lines and images lie in shared memory that nobody
can cut short. The process gets nothing else: no arguments, no environment but numbers of threads, no
descriptor of ours, and a folder of its own to write into.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.candidates.held.sandbox import NOBODY
from harness.candidates.held.start import accelerators, is_networked, start_process
from harness.candidates.held.visible import DEVICES, visible_to
from harness.candidates.served import DONE, MAX_MESSAGE, SENT, SLOTS, TOKEN
from harness.realtime.processor_time import OtherProcess
from harness.realtime.raised import printable_lines
from mrsim.errors import HostError
from mrsim.files.partials import discard, register

START_LIMIT_S = 120.0
"""Time to start Python, before any code of the candidate's runs."""
DUMP_S = 0.5  # how long the fault handler of a process that hangs may take to say where
_CHILD = """
import sys, json
task = json.load(sys.stdin)
sys.path[:] = task["search"]
from harness.candidates.served import main
main(task)
"""


class Running:
    """Hold a process that runs, and what leads to it."""

    def __init__(self, candidate: str, faults: str, seed: int) -> None:
        if not hasattr(os, "memfd_create"):
            raise HostError("a candidate in a process of its own takes Linux")
        self.ended = False
        self.calls, their_calls = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.images, their_images = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.calls.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._dumps, their_dumps = os.pipe()
        self.said, their_said = os.pipe()
        self._number = os.memfd_create("lines", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        # Who shortens what we have mapped ends us.
        fcntl.fcntl(self._number, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        self._memory: mmap.mmap | None = None
        self.slots = [np.empty(0, np.uint8)] * SLOTS
        self.taken = 0
        """Images that were taken; they lie in turn in the slots."""
        self._scratch = tempfile.mkdtemp(prefix="mrsim-candidate-")
        register(Path(self._scratch))  # a signal may come before there is an owner to remove it
        theirs = (their_calls.fileno(), their_images.fileno(), their_dumps, self._number)
        search = [os.path.abspath(entry) if entry else os.getcwd() for entry in sys.path]
        try:
            visible = visible_to(candidate, search)
            read, listed = visible.parts()
            self._process, wrapped = start_process(
                _CHILD, candidate, visible, self._scratch, theirs, their_said
            )
        except BaseException:
            discard(Path(self._scratch))
            for number in (self._dumps, self.said, self._number):
                os.close(number)
            self.calls.close()
            self.images.close()
            raise
        finally:
            their_calls.close()
            their_images.close()
            os.close(their_dumps)
            os.close(their_said)
        self._sentinel = -1
        try:
            self._sentinel = os.pidfd_open(self._process.pid)
            root = os.geteuid() == 0 and not wrapped
            if root:
                os.chown(self._scratch, NOBODY, NOBODY)
            rules = {
                "read": read, "list": listed, "write": [self._scratch, *DEVICES, *accelerators()],
                "nobody": root, "network": is_networked(candidate), "parent": 0 if wrapped else os.getpid(),
            }  # fmt: skip
            numbers = dict(zip(("calls", "images", "dumps", "memory"), theirs, strict=True))
            task = {
                **numbers, "folder": os.getcwd(), "search": search, "rules": rules, "candidate": candidate,
                "faults": faults, "seed": seed,
            }  # fmt: skip
            self._introduce(task, wrapped)
            self.other = OtherProcess(self.pid)
        except BaseException:  # a signal, too, has nobody yet who would end it
            self.end()
            os.close(self.said)
            raise

    def _introduce(self, task: dict[str, Any], wrapped: str) -> None:
        """Tell the process what it is, and take its number and what holds it; no stranger's code ran yet."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(task).encode())
            self._process.stdin.close()
        self.calls.settimeout(START_LIMIT_S)
        try:
            said, ancillary, _, _ = self.calls.recvmsg(MAX_MESSAGE, socket.CMSG_SPACE(12))
            held = json.loads(said)["held"]
        except (OSError, ValueError, TypeError, LookupError):
            self._process.kill()
            told = os.read(self.said, 1 << 12) if is_ready(self.said, DUMP_S) else b""
            why = printable_lines(told.decode("utf-8", "replace")).strip().rpartition("\n")[2]
            raise HostError(f"the candidate's own process could not be started: {why}") from None
        self.held = tuple(filter(None, (wrapped, *map(str, held))))
        self.pid = self._process.pid
        for _, kind, data in ancillary:
            if kind == socket.SCM_CREDENTIALS:  # the system's word, in our own numbers
                self.pid = int.from_bytes(data[:4], sys.byteorder)
        self._poll, self.watching = select.poll(), select.epoll()
        for number in (self.images.fileno(), self.calls.fileno(), self._sentinel):
            self._poll.register(number, select.POLLIN)
        for number in (self.images.fileno(), self.said):
            self.watching.register(number, select.EPOLLIN)
        for end in (self.calls, self.images):
            end.setblocking(False)
        self._ends = {self.images.fileno(): self.images, self.calls.fileno(): self.calls}

    def attend(self, asking: bool) -> None:
        """Let who asks take the images, so that the thread that watches does not wake for each of them."""
        if not self.ended:
            self.watching.modify(self.images, 0 if asking else select.EPOLLIN)

    def reserve(self, lines: int, pixels: int) -> NDArray[np.uint8]:
        """Return memory for a line, and make some for images; what there was before is no longer used."""
        size = lines + SLOTS * pixels
        if os.fstat(self._number).st_size < size:
            os.ftruncate(self._number, size)
        self._memory = mmap.mmap(self._number, size)
        at = range(lines, size, pixels)
        self.slots = [np.ndarray(pixels, np.uint8, self._memory, offset) for offset in at]
        return np.ndarray(lines, np.uint8, self._memory)

    def send(self, end: socket.socket, message: bytes, stop: float) -> None:
        """Send a message by a time."""
        while True:
            try:
                end.send(message)
                return
            except BlockingIOError:
                left_s = max(stop - time.monotonic(), 0.0)
                if not is_ready(end.fileno(), left_s, select.POLLOUT):
                    raise TimeoutError from None

    def answer(self, asked: bytes) -> tuple[dict[str, Any], int]:
        """Return the answer to what was asked, and how many images were sent before it."""
        said = self.calls.recv(MAX_MESSAGE + TOKEN + SENT.size + 1)
        if not said:
            raise EOFError
        if not said.startswith(asked):
            raise ValueError("an answer to what was not asked")
        try:
            (shown,) = SENT.unpack_from(said, TOKEN)
        except struct.error:
            raise ValueError("an answer that is too short") from None
        text = said[TOKEN + SENT.size :]
        return {"is": "done"} if text == DONE else _read(text), shown

    def image(self) -> dict[str, Any]:
        """Return what is said of an image that has come."""
        said = self.images.recv(MAX_MESSAGE + 1)
        if not said:
            raise EOFError
        message = _read(said)
        if not isinstance(message.get("type"), str) or "is" in message:
            raise ValueError("no image")
        return message

    def wait(self, stop: float) -> list[Any]:
        """Return what has something to be taken: images first; the process itself once it has ended."""
        ready = self._poll.poll(max(0.0, stop - time.monotonic()) * 1e3)
        return [self._ends.get(number, self._sentinel) for number, _ in ready]

    def dump(self, ask: bool = False) -> str:
        """Return what the fault handler wrote of the process's thread; ask it, if the process still runs."""
        if ask:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGUSR1)
        found = b""
        while len(found) < MAX_MESSAGE and is_ready(self._dumps, DUMP_S):
            piece = os.read(self._dumps, MAX_MESSAGE)
            if not piece:
                break
            found += piece
        return found.decode("utf-8", "replace")

    def ending(self) -> str:
        """Return how the process ended; it is killed if it has only closed its sockets."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(DUMP_S)
        code = self._process.poll()
        if code is None:
            return "it closed its connection"
        if code < 0 or code > 128:  # 128 and the signal's number, from what stands between
            with contextlib.suppress(ValueError):
                return f"signal {signal.Signals(-code if code < 0 else code - 128).name}"
        return f"exit code {code}"

    def end(self) -> None:
        """Kill the process and let go of everything."""
        if self.ended:
            return
        self.ended = True
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        for end in (self.calls, self.images):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for number in (self._sentinel, self._dumps, self._number):
            if number >= 0:
                os.close(number)
        discard(Path(self._scratch))


def _read(said: bytes) -> dict[str, Any]:
    try:
        message = json.loads(said)
    except RecursionError:
        raise ValueError from None
    if not isinstance(message, dict):
        raise ValueError(message)
    return message


def is_ready(number: int, limit_s: float = 0.0, events: int = select.POLLIN) -> bool:
    poll = select.poll()  # any descriptor: `select` takes the first 1024 alone
    poll.register(number, events)
    return bool(poll.poll(limit_s * 1e3))
