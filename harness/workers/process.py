"""A worker: a process of its own that takes calls over a socket, and ends with us.

It is started by its own program, not by `multiprocessing`: no script is run a second time for it, and there
are no semaphores with names, of which Python's tracker would speak after a kill.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from typing import Any, NoReturn

from mrsim.errors import HostError, InputError
from mrsim.files.partials import discard_all

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}
"""Libraries read their number of threads on loading, so it is set before the process starts."""
END_S = 10.0
_LENGTH = 8
_SIGNALLED = 128  # and the number of the signal, as a shell has it
_CHILD = """
import sys, json
sys.path[:] = json.loads(sys.argv.pop(1))
from harness.workers.process import main
main(int(sys.argv.pop(1)))
"""


class WorkerDied(BrokenExecutor):
    """Say that a worker's process ended before it had an answer."""


class _Elsewhere(Exception):
    """Show where in a worker an error was raised, as what caused it."""

    def __init__(self, text: str) -> None:
        super().__init__(f"\n{text}")


class Worker:
    """Hold a process with one thread that does one call at a time."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        search = [os.path.abspath(entry) if entry else os.getcwd() for entry in sys.path]
        # -P: no module of the folder that we stand in is to be taken for one of ours.
        words = [sys.executable, "-P", "-c", _CHILD, json.dumps(search), str(theirs.fileno())]
        try:
            # In a group of its own: a Ctrl-C of the terminal is for us to answer.
            self._process = subprocess.Popen(
                words,
                env={**os.environ, **ONE_THREAD},
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                process_group=0,
            )
        except OSError as error:
            self._socket.close()
            raise HostError(f"a worker's process could not be started: {error.strerror}") from None
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """Return the number of the process."""
        return self._process.pid

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return what a function returns there.

        Parameters
        ----------
        function
            The function, of a module that the process can import.
        args
            Its arguments.

        Raises
        ------
        WorkerDied
            If the process ends before it answers.
        InputError
            If the function is of the script that runs, which no other process can import.
        """
        inner = function
        while isinstance(inner, functools.partial):
            inner = inner.func
        if getattr(inner, "__module__", "") == "__main__":
            raise InputError(
                f"{inner}: it is of the script itself; put it into a module, for workers to import"
            )
        message = pickle.dumps((function, args))
        try:
            _send(self._socket, message)
            answer = _receive(self._socket)
        except OSError:
            answer = b""
        if not answer:
            self.kill()
            raise WorkerDied(f"its process ended with {_how(self._process.returncode)}")
        error, result, text = pickle.loads(answer)
        if error is not None:
            error.__cause__ = _Elsewhere(text)
            raise error
        return result

    def terminate(self) -> None:
        """Tell the process to end at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def end(self) -> None:
        """Let the process end, which does nothing now."""
        self._socket.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process in any case."""
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)  # its own code is more telling than ours
        self._process.kill()
        self._process.wait()


def main(number: int) -> None:
    """Be a worker: do what is asked over a socket until its other end closes, which may be in mid-work.

    Parameters
    ----------
    number
        Descriptor of the socket.
    """
    os.set_inheritable(number, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: _leave(signal.SIGTERM))
    end = socket.socket(fileno=number)
    calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_take, args=(end, calls, busy), daemon=True).start()
    while message := calls.get():
        error, result, text = None, None, ""
        try:
            function, args = pickle.loads(message)
            result = function(*args)
        except Exception as raised:
            error, text = raised, traceback.format_exc()
        try:
            answer = pickle.dumps((error, result, text))
            pickle.loads(answer)
        except Exception as raised:  # what cannot be sent is told in words
            told = f"{type(error or raised).__name__}: {error or raised}"
            answer = pickle.dumps((RuntimeError(told), None, text))
        busy.clear()
        with contextlib.suppress(OSError):
            _send(end, answer)


def _take(end: socket.socket, calls: queue.SimpleQueue[bytes], busy: threading.Event) -> None:
    """Take calls; once the other end is closed this process ends, in mid-work as well."""
    message = b"."
    while message:
        try:
            message = _receive(end)
        except OSError:
            message = b""
        if not message and busy.is_set():
            _leave(0)
        busy.set()
        calls.put(message)


def _leave(number: int) -> NoReturn:
    """End at once, and leave nothing half-written."""
    discard_all()
    os._exit(_SIGNALLED + number if number else 1)


def _send(end: socket.socket, message: bytes) -> None:
    end.sendall(len(message).to_bytes(_LENGTH, "little"))
    end.sendall(message)


def _receive(end: socket.socket) -> bytes:
    """Return a message; nothing where the other end is closed."""
    length = _exactly(end, _LENGTH)
    return _exactly(end, int.from_bytes(length, "little")) if length else b""


def _exactly(end: socket.socket, length: int) -> bytes:
    found = bytearray()
    while len(found) < length:
        piece = end.recv(min(length - len(found), 1 << 20))
        if not piece:
            return b""
        found += piece
    return bytes(found)


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return next((one.name for one in signal.Signals if one == -code), f"signal {-code}")
