"""A candidate's own process, from outside: started once, asked within a limit, and ended.

A process that does not read, does not answer, or sends what is no message is lost by the same limit.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
import time
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.candidates.running import DUMP_S, Running, is_ready
from harness.candidates.served import SLOTS, TOKEN
from harness.realtime.raised import RaisedElsewhere, Traceback, printable_lines
from mrsim.errors import CandidateError, HostError

MOST_LOST = 3
"""Processes that a candidate may lose; after that its last loss is told again, at once."""
MOST_SAID = 1 << 20
MOST_IN_LINE = 4
"""How many times the limit a process may stand in line for a core beside it."""


class CandidateLost(RaisedElsewhere):
    """Say that a candidate's process died, or was ended because it gave no answer.

    Parameters
    ----------
    message
        What became of it, in one line.
    dump
        What Python's fault handler wrote in that process.
    """

    def __init__(self, message: str, dump: str = "") -> None:
        said = f"{type(self).__name__}: {message}"
        super().__init__(said, Traceback.from_dump(dump, said))


class Child:
    """Hold one candidate's process, which serves all reconstructors that are made of the candidate.

    Parameters
    ----------
    candidate
        Its name, as on the command line.
    faults, seed
        Faults of which those of a candidate happen there, and their seed.
    """

    def __init__(self, candidate: str, faults: str, seed: int) -> None:
        self._candidate, self._faults, self._seed = candidate, faults, seed
        self._lost: list[CandidateLost] = []
        self._running: Running | None = None
        self._turn = threading.RLock()
        self._take: weakref.WeakMethod[Any] | None = None
        self._numbers = 0
        self.last_held: tuple[str, ...] | None = None
        """What held the process when it was started last; None before that."""
        self.warm = False
        """Whether the process has imported the candidate and built a reconstructor."""
        self.gone: list[int] = []
        """Numbers of reconstructors that nobody holds any more."""

    @property
    def held_by(self) -> tuple[str, ...]:
        """Return what holds the process, in words; it is started for that."""
        return self._started().held

    @property
    def pid(self) -> int:
        """Return the number of the process; it is started for that."""
        return self._started().pid

    @property
    def generation(self) -> int:
        """Return how many processes were lost, so that a reconstructor knows whether it still is there."""
        return len(self._lost)

    def number(self) -> int:
        """Return a number for a new reconstructor."""
        self._numbers += 1
        return self._numbers

    def reserve(self, lines: int, pixels: int) -> NDArray[np.uint8]:
        """Return shared memory for a line, and make some for images.

        Parameters
        ----------
        lines, pixels
            The sizes of a line and of an image, bytes.
        """
        return self._started().reserve(lines, pixels)

    def ask(self, call: bytes, doing: str, limit_s: float, take: weakref.WeakMethod[Any]) -> dict[str, Any]:
        """Send a call and take images until it is answered.

        Parameters
        ----------
        call
            The message.
        doing
            What it asks for, in a word.
        limit_s
            Time for all of it, seconds.
        take
            Method that takes an image's message and the memory in which it lies, now and until the next call;
            held weakly, as who asks holds us.

        Returns
        -------
        answer
            What the process says.

        Raises
        ------
        CandidateLost
            If it died, did not take the call or gave no answer within the limit, or sent no message.
        """
        running, silent = self._started(), False
        stop = due = time.monotonic() + limit_s
        in_line_ns = running.other.noted_in_line_ns  # it waits for a call since then
        with self._turn:
            self._take = take
            running.attend(True)
            try:
                # An answer repeats what it answers to, so that none can be given in advance.
                asked = os.urandom(TOKEN)
                running.send(running.calls, asked + call, stop)
                while True:
                    ready = running.wait(stop)
                    running.other.note()
                    if running.images in ready:
                        self._show(running, stop)
                    elif running.calls in ready:
                        answer, shown = running.answer(asked)
                        while running.taken < shown:  # sent before the answer, and come since we looked
                            ready = running.wait(stop)
                            if running.images not in ready:
                                raise EOFError if ready else TimeoutError
                            self._show(running, stop)
                        return answer
                    elif not ready:  # what it stood in line for a core is no silence
                        in_line_s = (running.other.noted_in_line_ns - in_line_ns) / 1e9
                        if (later := due + min(in_line_s, MOST_IN_LINE * limit_s)) <= time.monotonic():
                            raise TimeoutError
                        stop = later
                    else:
                        raise EOFError
            except TimeoutError:
                dump, silent = running.dump(ask=True), True
                message = f"it gave no answer to {doing} in {limit_s:g} s and was ended"
            except ValueError:
                dump, message = "", "its process sent what is no message, or no answer to what it was asked"
            except (EOFError, OSError):
                dump, message = running.dump(), f"its process died in {doing}: {running.ending()}"
            finally:
                running.attend(False)
            # Who was silent once would take the same time again.
            self._lost += [CandidateLost(message, dump)] * (MOST_LOST if silent else 1)
            self.end()
            raise self._lost[-1]

    def _show(self, running: Running, stop: float) -> None:
        message = running.image()
        take = None if self._take is None else self._take()
        slot, running.taken = running.taken % SLOTS, running.taken + 1
        if take is not None:
            take(message, running.slots[slot])
        running.send(running.images, b"taken", stop)

    def end(self) -> None:
        """End the process, if there is one."""
        with self._turn:
            if self._running is not None:
                self._running.end()
                self._running = None

    def _started(self) -> Running:
        if self._running is None:
            if len(self._lost) >= MOST_LOST:
                raise self._lost[-1]
            self.warm = False
            try:
                self._running = Running(self._candidate, self._faults, self._seed)
            except OSError as error:  # too many open files, or processes: the host's, not the candidate's
                told = error.strerror or error
                raise HostError(f"the candidate's own process could not be started: {told}") from None
            self.last_held = self._running.held
            weakref.finalize(self, self._running.end)
            watch = threading.Thread(target=_watch, args=(weakref.ref(self), self._running), daemon=True)
            watch.start()
        return self._running


def _watch(owner: weakref.ref[Child], running: Running) -> None:
    """Take images that come while nothing is asked, and pass on what the process prints."""
    poll, left = running.watching, MOST_SAID
    with contextlib.suppress(OSError, ValueError, EOFError, TimeoutError):
        while not running.ended:
            ready = dict(poll.poll())
            if running.said in ready:
                left -= _pass_on(running.said, left)
                if ready[running.said] & select.EPOLLHUP:
                    poll.unregister(running.said)
                continue
            child = owner()
            if child is None:
                break
            with child._turn:
                # Whoever asked meanwhile has taken what was there.
                if not running.ended and is_ready(running.images.fileno()):
                    child._show(running, time.monotonic() + DUMP_S)
            del child
    while is_ready(running.said) and (length := _pass_on(running.said, left)):
        left -= length
    os.close(running.said)


def _pass_on(said: int, left: int) -> int:
    text = os.read(said, 1 << 16)
    if len(text) <= left and sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):  # a closed stream
            sys.stderr.write(text.decode("utf-8", "replace"))
    return len(text)


def refused(answer: dict[str, Any]) -> CandidateError:
    """Return the candidate's own refusal of a scan, or of what it was built from.

    Parameters
    ----------
    answer
        What its process said.
    """
    refusal = CandidateError(printable_lines(str(answer.get("told", ""))[:4096]).replace("\n", " "))
    if isinstance(note := answer.get("note"), str):
        refusal.add_note(printable_lines(note))
    return refusal
