"""The child of `bounded`: it sets its own bounds, does one task, and answers in JSON over a pipe."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from mrsim.errors import MissingExtraError, MrsimError

_PIECES = 200  # that are told, of the whole


def main() -> int:
    """Do what the arguments of the process say: two descriptors, the bounds, and the task as JSON."""
    answers, lifeline = (int(number) for number in sys.argv[1:3])
    for number in (answers, lifeline):
        os.set_inheritable(number, False)
    if hasattr(signal, "SIGINT"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C on a terminal is the parent's to act on
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    bounds = json.loads(sys.argv[3])
    _bound_memory(bounds["memory"])
    try:
        answer = _do(json.loads(sys.argv[4]), _Told(answers, bounds["working_s"]))
    except MrsimError as error:
        answer = {"kind": type(error).__name__, "error": str(error)}
        if isinstance(error, MissingExtraError):
            answer["given"] = list(error.__reduce__()[1])
    except MemoryError:
        most = bounds["memory"] >> 20
        name = json.loads(sys.argv[4])["path"]
        answer = {"kind": "FormatError", "error": f"{name}: it asks for more than {most} MiB of memory"}
    except OSError as error:
        answer = {"kind": "InputError", "error": f"{error.filename or ''}: {error.strerror or error}"}
    os.write(answers, json.dumps(answer).encode() + b"\n")
    return 0


class _Told:
    """Tell the parent how far the work is, and have as long again from there.

    Parameters
    ----------
    pipe
        Descriptor that gets a line for each piece.
    working_s
        Seconds of a processor from one to the next.
    """

    def __init__(self, pipe: int, working_s: int) -> None:
        self._pipe, self._working_s, self._told = pipe, working_s, (-1, -1)
        self._extend()

    def __call__(self, done: int, total: int) -> None:
        self._extend()
        piece = (done * _PIECES // max(total, 1), total)
        if piece != self._told:
            self._told = piece
            os.write(self._pipe, json.dumps({"done": done, "total": total}).encode() + b"\n")

    def _extend(self) -> None:
        try:
            import resource
        except ImportError:  # no such bounds on this system
            return
        used = resource.getrusage(resource.RUSAGE_SELF)
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        soft = int(used.ru_utime + used.ru_stime) + self._working_s + 1
        resource.setrlimit(
            resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard)
        )


def _end_with_parent(lifeline: int) -> None:
    """Wait until the parent is gone, however it went, and end."""
    os.read(lifeline, 1)
    os._exit(1)


def _bound_memory(most: int) -> None:
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _do(task: dict[str, Any], told: _Told) -> dict[str, Any]:
    from mrsim.files.reading import open_file
    from mrsim.formats.fastmri import fastmri_to_stream, is_fastmri
    from mrsim.formats.hdf5 import is_own
    from mrsim.formats.mrd_import import Given, messages_to_stream, mrd_to_stream
    from mrsim.formats.mrd_messages import is_messages

    path = Path(task["path"])
    if task["do"] == "own":
        return {"own": is_own(path)}
    with open_file(path) as file:
        messages = is_messages(file.read(2))
    if messages:
        convert = messages_to_stream
    else:
        convert = fastmri_to_stream if is_fastmri(path) else mrd_to_stream
    made = convert(path, Path(task["target"]), Given(**task["given"]), told)
    return {"lines": made.lines, "notes": list(made.notes)}
