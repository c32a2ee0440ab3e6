"""A candidate in a process of its own: it cannot peek, and neither its crash nor its hang is ours.

All reconstructors of one candidate live in one process, as they do without isolation: what one leaves behind
the next one finds, so that the audits see it. The process is handed one line at a time and holds nothing else
of the scan. Stamps are taken here, when an image has come through.
"""

from __future__ import annotations

import json
import math
import sys
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.candidates.child import CandidateLost, Child, refused
from harness.candidates.served import PUSH, SLOTS
from harness.realtime.raised import RaisedElsewhere, Traceback, printable_lines
from mrsim.errors import Option, OptionError
from mrsim.stream import Header, Readout
from recon.protocol import UNIFORM, Emit, Image, Position

__all__ = ["DEFAULT_LIMIT_S", "MAX_LIMIT_S", "CandidateLost", "Isolated", "IsolatedBuilder", "probe", "told"]

DEFAULT_LIMIT_S = 30.0
MAX_LIMIT_S = 86_400.0
IMPORT_LIMIT_S = 120.0
"""Time to import a candidate and build the first of it, which no limit counts: torch on a cold disk
takes long."""
HOLDERS = {"bubblewrap", "Landlock"}
"""What keeps files from a process; without either the isolation is "none"."""


class Isolated:
    """Run a candidate in a child process.

    Parameters
    ----------
    candidate
        Its name, as on the command line.
    limit_s
        How long it may take over one line, or over `open` or `close`, seconds; then its process is ended.
    faults
        Faults of which those of a candidate happen inside the child.
    seed
        Seed of the faults.
    child
        The process; None for one of its own.

    Raises
    ------
    CandidateError
        If the limit is not a positive time of up to a day.
    """

    def __init__(
        self,
        candidate: str,
        limit_s: float = DEFAULT_LIMIT_S,
        faults: str = "",
        seed: int = 0,
        child: Child | None = None,
    ) -> None:
        if not 0 < limit_s <= MAX_LIMIT_S:
            raise OptionError(
                "{}: expected seconds, above 0 to {:g}", Option("limit_s", limit_s), MAX_LIMIT_S
            )
        self._limit_s, self.combination = limit_s, UNIFORM
        self._child = Child(candidate, faults, seed) if child is None else child
        self._number = self._child.number()
        self._built: int | None = None  # in which of the processes, if some were lost
        self._line: NDArray[np.complex64] = np.empty((0, 0), np.complex64)
        self._kept, self._taking = _Kept(), weakref.WeakMethod(self._take)
        weakref.finalize(self, self._child.gone.append, self._number)

    @property
    def pid(self) -> int:
        """Return the number of the candidate's process; it is started for that."""
        return self._child.pid

    @property
    def held_by(self) -> tuple[str, ...]:
        """Return what holds the candidate's process, in words; it is started for that."""
        return self._child.held_by

    @property
    def isolation(self) -> tuple[str, ...] | None:
        """Return what holds, or held, the candidate's process, in words; None if it was never started."""
        return self._child.last_held

    def open(self, header: Header, emit: Emit) -> None:
        """Build the candidate in its process, if it is new, and prepare it for a scan."""
        self._emit = emit
        ny, nx = header.matrix
        # An image may come in double precision.
        line = self._child.reserve(header.coils * nx * 8, max(ny * nx * 16, 16))
        self._line = line.view(np.complex64).reshape(header.coils, nx)
        if self._built != self._child.generation:
            gone, self._child.gone = self._child.gone, []
            # Libraries are imported, and our own kernels compiled, when a process builds for the first time.
            limit_s = self._limit_s if self._child.warm else max(self._limit_s, IMPORT_LIMIT_S)
            self._ask({"do": "build", "gone": gone, "matrix": header.matrix}, limit_s)
            self._built, self._child.warm = self._child.generation, True
        if header.prescan is not None:
            self._hand_over(header.prescan, header.to_dict(), self._limit_s)
        answer = self._ask({"do": "open", "header": header.to_dict()}, self._limit_s)
        self.combination = answer.get("combination") or UNIFORM

    def _hand_over(self, prescan: NDArray[np.complex64], header: dict[str, Any], limit_s: float) -> None:
        """Pass the prescan on row by row, where lines go: a message is too short for it."""
        _, rows, columns = prescan.shape
        for row in range(rows):
            self._line[:, :columns] = prescan[:, row]
            call = {"do": "prescan", "header": header, "row": row, "size": [rows, columns]}
            self._ask(call, limit_s)

    def push(self, readout: Readout) -> None:
        """Pass on one line and wait until it has been taken."""
        self._line[...] = readout.samples
        call = PUSH.pack(self._number, readout.index, readout.frame, readout.ky, readout.t_ns)
        answer = self._child.ask(call, "push", self._limit_s, self._taking)
        if answer.get("is") != "done":
            self._raise("push", answer)

    def close(self) -> None:
        """End the scan; the process stays, and ends with whoever holds it."""
        if self._built == self._child.generation:
            self._ask({"do": "close"}, self._limit_s)

    def end(self) -> None:
        """End the process."""
        self._child.end()

    def weigh(self) -> tuple[int, int]:
        """Return what Python and malloc hold in the process, bytes, as the process says."""
        answer = self._ask({"do": "weigh"}, self._limit_s)
        found = [answer.get(name) for name in ("python", "native")]
        python, native = (one if isinstance(one, int) and 0 <= one < 1 << 62 else 0 for one in found)
        return python, native

    def _ask(self, call: dict[str, Any], limit_s: float) -> dict[str, Any]:
        message = json.dumps({**call, "number": self._number}).encode()
        answer = self._child.ask(message, call["do"], limit_s, self._taking)
        if answer.get("is") != "done":
            self._raise(call["do"], answer)
        return answer

    def _raise(self, doing: str, answer: dict[str, Any]) -> None:
        if answer.get("refused") is True and doing in ("build", "open"):
            raise refused(answer)
        said = printable_lines(str(answer.get("error", ""))[:300]).replace("\n", " ")
        raise RaisedElsewhere(said, Traceback.from_json(answer))

    def _take(self, reply: dict[str, Any], memory: NDArray[np.uint8]) -> None:
        """Make the image again from shared memory, or something that is as wrong as what was emitted."""
        try:
            shape, dtype = tuple(map(int, reply["shape"])), np.dtype(str(reply["dtype"]))
            count = math.prod(shape) * dtype.itemsize
            if dtype.kind not in "fiuc" or min(shape, default=1) < 0 or count > memory.size:
                raise ValueError(dtype)
            # A copy: what comes next is put in the same place.
            pixels = self._kept.copy(np.ndarray(shape, dtype, memory.data))
            image: Any = (
                _position(pixels, reply) if reply.get("type") == "Position" else _image(pixels, reply)
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            kind = str(reply.get("type", "something"))[:60]
            image = type(kind if kind.isidentifier() else "something", (), {})()
        self._emit(image)


class _Kept:
    """Copy images into memory that nobody holds any more: fresh memory costs a fault for every page."""

    def __init__(self) -> None:
        self._blocks: list[NDArray[np.uint8]] = []

    def copy(self, image: NDArray[Any]) -> NDArray[Any]:
        for number in range(len(self._blocks)):
            block = self._blocks[number]
            # The list, the name and the call hold it; an image would be one more.
            if sys.getrefcount(block) <= 3:
                if block.nbytes < image.nbytes:
                    block = self._blocks[number] = np.empty(image.nbytes, np.uint8)
                break
        else:
            block = np.empty(image.nbytes, np.uint8)
            if len(self._blocks) < SLOTS:
                self._blocks.append(block)
        out: NDArray[Any] = np.ndarray(image.shape, image.dtype, block.data)
        out[...] = image
        return out


def probe() -> tuple[str, ...]:
    """Return what holds a candidate's own process on this host, in words: one is started to see."""
    return Isolated("null").held_by


def told(held: Sequence[str] | None) -> str:
    """Return in a line what holds a candidate.

    Parameters
    ----------
    held
        What holds its process, in words; None for a candidate in our own process.
    """
    if held is None:
        return "in process: the candidate is trusted"
    if not HOLDERS & {word.partition(" ")[0] for word in held}:
        return f"isolated, held by none{f' but {held[-1]}' if held else ''}: it can read what you can"
    return f"isolated, held by {', '.join(held)}"


class IsolatedBuilder:
    """Build reconstructors of a candidate in one process of their own.

    Parameters
    ----------
    candidate, limit_s, faults, seed
        As for `Isolated`.
    """

    def __init__(
        self, candidate: str, limit_s: float = DEFAULT_LIMIT_S, faults: str = "", seed: int = 0
    ) -> None:
        self._given = candidate, limit_s, faults, seed
        self._child = Child(candidate, faults, seed)

    def __call__(self) -> Isolated:
        """Return a fresh one."""
        return Isolated(*self._given, self._child)


def _image(pixels: NDArray[Any], reply: dict[str, Any]) -> Image:
    columns = reply["columns"]
    columns = tuple(columns) if isinstance(columns, list) else columns
    hold = reply.get("hold") is True
    return Image(pixels, reply["frame"], reply["last_line"], reply["shows_ns"], columns, hold)


def _position(mask: NDArray[Any], reply: dict[str, Any]) -> Position:
    hold = reply.get("hold") is True
    seen = mask.astype(np.bool_) if mask.size else None
    return Position(reply["x_mm"], reply["y_mm"], reply["frame"], reply["last_line"], seen, hold)
