"""The parent of a command that plays a candidate: without a verdict from its child it says FAIL.

A candidate may end the process that it runs in, with exit code 0, and whatever it leaves to `atexit` may do
so after the verdict. So the command runs in a child, which hands its exit code over through a pipe. This
process believes nothing else. It loads next to nothing, so that it takes some hundredths of a second.
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
from collections.abc import Callable

from harness.cli.process.lifeline import end_with_parent
from harness.cli.process.signals import Ended

COMMANDS = ("replay", "report", "audit", "guard", "compare")
"""Commands that play candidates in their own process; `check` has a child of its own."""
FAILED = 1
POLL_S = 0.1
END_S = 10.0  # how long a child may take to end once it has told its code, or was told to end
OWN_S = 0.5  # how long a child may take to end by a Ctrl-C that reached it, too
# Ctrl-C reaches the child as well, and ends it without a word until there is what answers.
_CHILD = """
import _signal
if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
import sys, json
sys.path[:] = json.loads(sys.argv.pop(1))
from harness.cli.main import in_child
sys.exit(in_child())
"""


def in_a_child(argv: list[str]) -> int:
    """Run a command in a child and return the exit code that it hands over; 1 where it hands over none.

    Parameters
    ----------
    argv
        Arguments of the command.
    """
    answers, theirs = os.pipe()
    lifeline, ours = os.pipe()
    # -P: no module of the folder that we stand in is to be taken for one of ours.
    words = [sys.executable, "-P", "-c", _CHILD, json.dumps(sys.path), str(theirs), str(lifeline), *argv]
    try:
        process = subprocess.Popen(words, pass_fds=(theirs, lifeline))
        os.close(theirs)
        try:
            code = _listen(process, answers)
        except KeyboardInterrupt as ending:  # a signal that ends us is for the child to answer
            code = _ended(process, answers, ending.number if isinstance(ending, Ended) else signal.SIGINT)
            if code is None:  # it was not there yet to answer
                _end(process)
                raise
        _end(process)
    finally:
        for number in (answers, lifeline, ours):
            os.close(number)
    if code is None:
        print(f"FAIL: {_how(process.returncode)} before there was a verdict", flush=True)
        return FAILED
    return code


def serve(command: Callable[[list[str]], int]) -> int:
    """Run a command in this process, which is the child, and hand its exit code over.

    Parameters
    ----------
    command
        Takes the arguments and returns an exit code.
    """
    answers, lifeline = int(sys.argv[1]), int(sys.argv[2])
    argv = sys.argv[3:]
    sys.argv[:] = ["mrsim", *argv]
    os.set_inheritable(answers, False)
    end_with_parent(lifeline, END_S)
    try:
        code = command(argv)
    except SystemExit as leaving:  # argparse has answered --help
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    with contextlib.suppress(OSError):
        os.write(answers, f"{code}\n".encode())
    return code


def _listen(process: subprocess.Popen[bytes], pipe: int, limit_s: float | None = None) -> int | None:
    """Return the code that the child hands over; None once it has ended, or the time is over, without one."""
    stop = None if limit_s is None else time.monotonic() + limit_s
    while stop is None or time.monotonic() < stop:
        ended = process.poll() is not None
        if select.select([pipe], [], [], 0 if ended else POLL_S)[0]:
            said = os.read(pipe, 64)
            with contextlib.suppress(ValueError):
                return int(said)
            process.wait()
            return None
        if ended:
            return None
    return None


def _ended(process: subprocess.Popen[bytes], pipe: int, number: int) -> int | None:
    # Ctrl-C on a terminal reaches the child as well, and a second one would interrupt how it ends.
    if number == signal.SIGINT and (code := _listen(process, pipe, OWN_S)) is not None:
        return code
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
    return _listen(process, pipe, END_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for the child to end, and end it where a thread of the candidate's keeps it."""
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _how(code: int) -> str:
    if code < 0:
        name = next((s.name for s in signal.Signals if s == -code), f"signal {-code}")
        return f"the candidate's process was killed by {name}"
    return f"the candidate's process ended with exit code {code}"
