"""A child of a command: how it is started, and how what it hands over is read.

A candidate may end the process that it runs in, with any exit code, or print what it likes. So a child hands
over its answers through a pipe of its own, a line each, and its parent believes nothing else. A second pipe
tells the child when its parent is gone (`lifeline`). This module imports next to nothing, so that a command
starts within some hundredths of a second.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

POLL_S = 0.1  # how often a child is looked at whose pipe somebody else keeps open
MAX_LINE = 64 << 20
_PROGRAM = """
import sys, json
sys.path[:] = json.loads(sys.argv.pop(1))
from {module} import {main}
sys.exit({main}())
"""


class TooLong(ValueError):
    """Say that a line of a child is longer than any answer."""


class Started:
    """Hold a child, and read what it hands over.

    Parameters
    ----------
    process
        The child.
    pipe
        Descriptor of what it writes its answers to.
    """

    def __init__(self, process: subprocess.Popen[bytes], pipe: int) -> None:
        self.process, self._pipe = process, pipe
        self._lines: list[bytes] = []
        self._text, self._open = b"", True

    def line(self, stop: float | None = None) -> bytes | None:
        """Return the next line that the child hands over; None where there is no other to come.

        Parameters
        ----------
        stop
            Until when to wait, by `time.monotonic`; None for as long as the child runs.

        Raises
        ------
        TimeoutError
            If the time is over.
        TooLong
            If the line is longer than an answer can be.
        """
        while not self._lines and self._open:
            left = POLL_S if stop is None else stop - time.monotonic()
            if left <= 0:
                raise TimeoutError
            ended = self.process.poll() is not None
            if not select.select([self._pipe], [], [], 0 if ended else min(left, POLL_S))[0]:
                self._open = not ended
                continue
            piece = os.read(self._pipe, 1 << 16)
            self._open = bool(piece)
            *lines, self._text = (self._text + piece).split(b"\n")
            self._lines += lines
            if len(self._text) > MAX_LINE:
                raise TooLong
        return self._lines.pop(0) if self._lines else None


@contextlib.contextmanager
def started(main: str, arguments: Sequence[str], *, apart: bool = False) -> Iterator[Started]:
    """Start a child with two pipes, whose numbers are its first arguments: for its answers, and its lifeline.

    Parameters
    ----------
    main
        What it runs: a function as "module:name".
    arguments
        Its other arguments.
    apart
        Whether it leads a group of its own.

    Yields
    ------
    child
        The child, which is for the caller to end.
    """
    module, _, name = main.partition(":")
    program = _PROGRAM.format(module=module, main=name)
    answers, theirs = os.pipe()
    lifeline, ours = os.pipe()
    numbers = {answers, theirs, lifeline, ours}
    try:
        # -P: no module of the folder that we stand in is to be taken for one of ours.
        words = [sys.executable, "-P", "-c", program, json.dumps(sys.path), str(theirs), str(lifeline)]
        process = subprocess.Popen([*words, *arguments], pass_fds=(theirs, lifeline), start_new_session=apart)
        os.close(theirs)
        numbers.remove(theirs)
        yield Started(process, answers)
    finally:
        for number in numbers:
            os.close(number)


def how_it_ended(code: int) -> str:
    """Return in words how a child ended.

    Parameters
    ----------
    code
        Its exit code, or less than 0 for a signal.
    """
    if code < 0:
        name = next((s.name for s in signal.Signals if s == -code), f"signal {-code}")
        return f"the candidate's process was killed by {name}"
    return f"the candidate's process ended with exit code {code}"
