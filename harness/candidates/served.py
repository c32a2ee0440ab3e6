"""A candidate's own process, from within: it is held, builds the candidate, and does what it is asked.

It is asked over a socket, in JSON but for lines, whose samples lie in memory that both processes share. What
it answers is believed of nothing but itself.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import mmap
import os
import signal
import socket
import struct
import sys
import threading
from typing import Any, cast

from harness.candidates.held.sandbox import hold

MAX_MESSAGE = 1 << 16
TOKEN = 8  # bytes in front of a call, which its answer repeats
PUSH = struct.Struct("<x5q")
"""What is asked for a line: the reconstructor's number, and the line's index, frame, row and time; all else
that is asked is JSON, which has no zero in front."""
SENT = struct.Struct("<Q")
"""What stands before an answer: how many images were sent so far."""
DONE = b"done"
SLOTS = 2
"""Images that lie in shared memory at a time: the candidate goes on while the bench takes one."""
FACTOR = 2  # a pixel in double precision for one in single


def main(task: dict[str, Any]) -> None:
    """Serve until the other side is gone.

    Parameters
    ----------
    task
        `calls`, `images`, `dumps`, `memory`: numbers of descriptors; `folder`, `search`, `rules`: where it
        runs and what it may reach; `candidate`, `faults`, `seed`: what it builds.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
    asked, shown = socket.socket(fileno=task["calls"]), socket.socket(fileno=task["images"])
    os.chdir(task["folder"])
    held = hold(task["rules"])  # before numpy, whose threads would not be held
    # Where a crash or a hang happened is written by C code, which needs neither the interpreter nor its lock.
    faulthandler.enable(task["dumps"], all_threads=False)
    faulthandler.register(signal.SIGUSR1, task["dumps"], all_threads=False)
    server = _Server(shown, task)
    asked.send(json.dumps({"is": "ready", "held": held}).encode())
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while call := asked.recv(MAX_MESSAGE + TOKEN):
            answer = server.answer(call[TOKEN:])
            asked.send(call[:TOKEN] + SENT.pack(server.sent) + answer)
    os._exit(0)  # what is left to be done at the end would be done after the verdict


class _Server:
    def __init__(self, images: socket.socket, task: dict[str, Any]) -> None:
        self._images, self._task = images, task
        self._lock = threading.Lock()
        self.sent = self._taken = 0
        self._built: dict[int, Any] = {}
        self._build: Any = None
        self._memory: mmap.mmap | None = None
        self._prescan: Any = None

    def answer(self, call: bytes) -> bytes:
        """Do one call and return the answer."""
        try:
            if not call[0]:
                self._push(*PUSH.unpack(call))
                return DONE
            return json.dumps({"is": "done", **self._do(json.loads(call))}).encode()
        except BaseException as error:
            # SystemExit and KeyboardInterrupt, too: only a real death is told as one.
            return _told(error)

    def _push(self, number: int, index: int, frame: int, ky: int, t_ns: int) -> None:
        self._built[number].push(self._readout(index, frame, ky, t_ns, self._line.copy()))

    def _do(self, call: dict[str, Any]) -> dict[str, Any]:
        number, what = call["number"], call["do"]
        if what == "build":
            for gone in call["gone"]:
                self._built.pop(gone, None)
            if self._build is None:
                self._build = self._builder()
                _compile_transforms(call["matrix"])
            self._built[number] = self._build()
        elif what == "prescan":
            self._take_prescan(call)
        elif what == "open":
            self._open(number, call["header"])
            said = getattr(self._built[number], "combination", "")
            return {"combination": said[:64] if isinstance(said, str) else ""}
        elif what == "close":
            self._built[number].close()
        elif what == "weigh":
            return _weighed()
        return {}

    def _builder(self) -> Any:
        from harness.candidates.misbehaving import Troubled
        from harness.candidates.registry import builder
        from harness.realtime.faults import parse_faults

        build, faults = builder(self._task["candidate"]), parse_faults(self._task["faults"])
        return (lambda: Troubled(build(), faults, self._task["seed"])) if faults else build

    def _take_prescan(self, call: dict[str, Any]) -> None:
        import numpy as np

        from mrsim.stream import Header

        header, (rows, columns), row = Header.from_dict(call["header"]), call["size"], call["row"]
        if row == 0:
            self._map(header)
            self._prescan = np.empty((header.coils, rows, columns), np.complex64)
        self._prescan[:, row] = self._line[:, :columns]

    def _open(self, number: int, values: dict[str, Any]) -> None:
        import dataclasses

        from mrsim.stream import Header

        header = Header.from_dict(values)
        self._map(header)
        if self._prescan is not None:
            header, self._prescan = dataclasses.replace(header, prescan=self._prescan), None
        self._built[number].open(header, self._emit)

    def _map(self, header: Any) -> None:
        import numpy as np

        from mrsim.stream import Readout

        coils, (ny, nx) = header.coils, header.matrix
        self._readout, lines = Readout, coils * nx * 8
        pixels = max(ny * nx * 8 * FACTOR, 16)
        self._memory = mmap.mmap(self._task["memory"], lines + SLOTS * pixels)
        self._line = np.ndarray((coils, nx), np.complex64, self._memory)
        at = range(lines, len(self._memory), pixels)
        self._slots = [np.ndarray(pixels, np.uint8, self._memory, offset) for offset in at]

    def _emit(self, image: Any) -> None:
        import numpy as np

        reply: dict[str, Any] = {"type": type(image).__name__}
        with self._lock:
            carried, names = _carried(image)
            if carried is not None:
                pixels = np.ascontiguousarray(carried)
                reply |= {"shape": pixels.shape, "dtype": pixels.dtype.str}
                reply |= {
                    name: _plain(getattr(image, name)) for name in (*names, "frame", "last_line", "hold")
                }
            if self.sent - self._taken == SLOTS:
                if not self._images.recv(16):
                    raise BrokenPipeError
                self._taken += 1
            slot = self._slots[self.sent % SLOTS]
            if carried is not None and pixels.nbytes <= len(slot) and not pixels.dtype.hasobject:
                slot[: pixels.nbytes] = pixels.reshape(-1).view(np.uint8)
            self._images.send(json.dumps(reply).encode()[:MAX_MESSAGE])
            self.sent += 1


def _compile_transforms(matrix: list[int]) -> None:
    """Import and compile our own transform, which most reconstructors would else do in `open`."""
    if "recon.line_memory" in sys.modules:
        import numpy as np

        from recon.fourier import to_image

        for length in matrix:
            to_image(np.zeros((1, length, 16), np.complex64), (-2,))


def _told(error: BaseException) -> bytes:
    from harness.realtime.raised import one_line, traceback_json, traceback_of
    from mrsim.errors import MrsimError

    reply: dict[str, Any] = {"is": "raised", "refused": False, "error": one_line(error)}
    if issubclass(type(error), MrsimError):
        mine = cast(MrsimError, error)
        reply |= {"refused": True, "told": " ".join(str(error).split())[:4096], "note": mine.note}
    if (found := traceback_of(error)) is not None:
        reply |= traceback_json(found)
    return json.dumps(reply, ensure_ascii=False).encode("utf-8", "replace")[:MAX_MESSAGE]


def _weighed() -> dict[str, Any]:
    """Return what Python and malloc hold of memory here; from the first time on Python keeps account."""
    import gc
    import tracemalloc

    from harness.realtime.process_memory import malloced

    gc.collect()
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    return {"python": tracemalloc.get_traced_memory()[0], "native": malloced()}


def _carried(image: Any) -> tuple[Any, tuple[str, ...]]:
    """Return the array of an emission and the names of what else it holds; no array if it is none of ours."""
    import numpy as np

    from recon.protocol import Image, Position

    if isinstance(image, Image) and isinstance(image.pixels, np.ndarray):
        return image.pixels, ("shows_ns", "columns")
    if isinstance(image, Position) and (image.mask is None or isinstance(image.mask, np.ndarray)):
        mask = np.zeros((0, 0), np.uint8) if image.mask is None else image.mask
        return mask.astype(np.uint8) if mask.dtype == np.bool_ else mask, ("x_mm", "y_mm")
    return None, ()


def _plain(value: Any) -> Any:
    """Return what JSON can carry: whole numbers, pairs of them, and the name of all else."""
    import numpy as np

    if isinstance(value, tuple):
        return [_plain(v) for v in value[:4]]
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.floating):
        return float(value)
    return value if value is None or isinstance(value, int | float | bool) else type(value).__name__
