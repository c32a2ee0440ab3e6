"""Work on a file from outside in a child of bounded time and memory.

The HDF5 library trusts what it reads: over a damaged file it may loop for ever, ask for any memory, or crash.
None of that is to be ours. The child may use so much of a processor from one piece of the file to the next.
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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mrsim.errors
from mrsim.errors import FormatError, InputError

Progress = Callable[[int, int], None]

WORKING_S = 60
"""Seconds of a processor that the child may take without a further piece."""
WAITING_S = 600.0
"""Seconds that may pass without one: a slow disk is no damage."""
MEMORY_BYTES = 4 << 30
"""Memory of the child's own, beside the files that it maps; looked at on Linux alone."""
MAX_ANSWER_BYTES = 1 << 20
_CHILD = """
import sys, json
sys.path[:] = json.loads(sys.argv.pop(1))
from mrsim.formats.bounded_child import main
sys.exit(main())
"""
_POLL_S = 0.5


def ask(
    task: Mapping[str, Any],
    path: Path,
    progress: Progress | None = None,
    *,
    working_s: int = WORKING_S,
    waiting_s: float = WAITING_S,
    memory: int = MEMORY_BYTES,
) -> dict[str, Any]:
    """Let a child do a task of `bounded_child` and return its answer.

    Parameters
    ----------
    task
        What to do, as JSON values.
    path
        The file, for errors.
    progress
        Told the pieces done and the total.
    working_s, waiting_s
        Seconds of a processor, and of the clock, that may pass without a further piece.
    memory
        Bytes that the child may have.

    Raises
    ------
    FormatError
        If the child crashes over the file, or takes longer or more.
    InputError
        What the child raised.
    """
    answers, theirs = os.pipe()
    lifeline, ours = os.pipe()
    limits = json.dumps({"working_s": working_s, "memory": memory})
    words = [sys.executable, "-P", "-c", _CHILD, json.dumps(sys.path), str(theirs), str(lifeline), limits]
    answer = None
    try:
        child = subprocess.Popen(
            [*words, json.dumps(task)],
            pass_fds=(theirs, lifeline),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        try:
            answer = _listen(answers, waiting_s, progress)
        finally:
            if child.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(0 if answer is None else _POLL_S)
                child.kill()
            child.wait()
    finally:
        for number in (answers, lifeline, ours):
            os.close(number)
    if answer is None:
        raise FormatError(f"{path}: cannot be read: {_how(child.returncode, working_s, waiting_s)}")
    if "error" in answer:
        raise _raised(answer)
    return answer


def _listen(pipe: int, waiting_s: float, progress: Progress | None) -> dict[str, Any] | None:
    """Return the child's last word; None where it ends, or falls silent, without one."""
    rest, heard_s = b"", time.monotonic()
    while time.monotonic() - heard_s < waiting_s:
        if not select.select([pipe], [], [], _POLL_S)[0]:
            continue
        said = os.read(pipe, 1 << 16)
        *lines, rest = (rest + said).split(b"\n")
        heard_s = time.monotonic()
        for line in lines:
            told = json.loads(line)
            if "done" not in told:
                return dict(told)
            if progress is not None:
                progress(told["done"], told["total"])
        if not said or len(rest) > MAX_ANSWER_BYTES:
            return None
    return None


def _how(code: int, working_s: float, waiting_s: float) -> str:
    if code == -signal.SIGXCPU:
        return f"the HDF5 library worked at it for {working_s:g} s without an end: damaged"
    if code == -signal.SIGKILL:
        return f"nothing more of it came within {waiting_s:g} s: damaged, or its disk is gone"
    if code < 0:
        name = next((s.name for s in signal.Signals if s == -code), f"signal {-code}")
        return f"the HDF5 library crashed over it ({name}): damaged"
    return f"what reads it ended with exit code {code}: damaged, or no memory was left"


def _raised(answer: Mapping[str, Any]) -> Exception:
    """Return the child's error as it was raised there."""
    if answer["kind"] == "MissingExtraError":
        return mrsim.errors.MissingExtraError(*answer["given"])
    kind = getattr(mrsim.errors, answer["kind"], FormatError)
    known = isinstance(kind, type) and issubclass(kind, InputError)
    return (kind if known else FormatError)(str(answer["error"]))
