"""The parent of a command that plays a candidate: without a verdict from its child it says FAIL.

A candidate may end the process that it runs in, with exit code 0, and whatever it leaves to `atexit` may do
so after the verdict. So the command runs in a child, which hands its exit code over through a pipe. This
process believes nothing else. It loads next to nothing, so that it takes some hundredths of a second.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from harness.cli.process.lifeline import take_pipes
from harness.cli.process.signals import Ended
from harness.cli.process.started import Started, how_it_ended, started
from harness.realtime.copies import OneProcess

COMMANDS = ("try", "replay", "report", "export", "audit", "guard", "compare")
"""Commands that play candidates in their own process; `check` has a child of its own."""
FAILED = 1
END_S = 10.0  # how long a child may take to end once it has told its code, or was told to end
OWN_S = 0.5  # how long a child may take to end by a signal that reached it, too
MOST_PASSED_ON = 3  # how often a child is told to end
CHILD = "harness.cli.main:in_child"


def in_a_child(argv: list[str]) -> int:
    """Run a command in a child and return the exit code that it hands over; 1 where it hands over none.

    Parameters
    ----------
    argv
        Arguments of the command.
    """
    with started(CHILD, argv, quiet=True) as child:
        try:
            code = _code(child)
        except KeyboardInterrupt as ending:  # a signal that ends us is for the child to answer
            code = _ended(child, ending.number if isinstance(ending, Ended) else signal.SIGINT)
            if code is None:  # it was not there yet to answer
                _end(child.process)
                raise
        _end(child.process)
    if code is None:
        print(f"FAIL: {how_it_ended(child.process.returncode)} before there was a verdict", flush=True)
        return FAILED
    return code


def serve(command: Callable[[list[str]], int]) -> int:
    """Run a command in this process, which is the child, and hand its exit code over.

    Parameters
    ----------
    command
        Takes the arguments and returns an exit code.
    """
    answers, argv = take_pipes(END_S), sys.argv[3:]
    sys.argv[:] = ["mrsim", *argv]
    try:
        with OneProcess():
            code = command(argv)
    except SystemExit as leaving:  # argparse has answered --help
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    with contextlib.suppress(OSError):
        os.write(answers, f"{code}\n".encode())
    return code


def _code(child: Started, limit_s: float | None = None) -> int | None:
    """Return the code that a child hands over; None once it has ended, or the time is over, without one."""
    with contextlib.suppress(ValueError, TimeoutError):
        line = child.line(None if limit_s is None else time.monotonic() + limit_s)
        return None if line is None else int(line)
    return None


def _ended(child: Started, number: int) -> int | None:
    # A terminal, and whoever ends a whole group, reaches the child as well, which first answers by itself.
    code, limit_s = None, OWN_S
    for _ in range(MOST_PASSED_ON):
        with contextlib.suppress(KeyboardInterrupt):  # one more, which is for the child, too
            code = _code(child, limit_s)
            if code is not None or limit_s == END_S:
                break
        with contextlib.suppress(ProcessLookupError):
            child.process.send_signal(number)
        limit_s = END_S
    return code


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for the child to end, and end it where a thread of the candidate's keeps it."""
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
