"""A candidate in a process of its own: it cannot peek, and neither its crash nor its hang is ours.

Lines and images pass through shared memory; what is said about them is JSON over a pipe, so that nothing the
child sends is ever executed here. The child is handed one line at a time and holds nothing else of the scan.
Stamps are taken here, when an image has come through.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection, wait
from multiprocessing.shared_memory import SharedMemory
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from harness.realtime.faults import parse_faults
from harness.realtime.processor_time import OtherProcess
from harness.realtime.raised import (
    RaisedElsewhere,
    Traceback,
    one_line,
    printable_lines,
    traceback_json,
    traceback_of,
)
from mrsim.errors import CandidateError, MrsimError, Option, OptionError
from mrsim.stream import Header, Readout
from recon.protocol import Emit, Image, Position, Reconstructor

DEFAULT_LIMIT_S = 30.0
MAX_LIMIT_S = 86_400.0
START_LIMIT_S = 120.0  # importing torch on a cold disk takes long
MAX_MESSAGE = 1 << 16
DUMP_S = 0.5  # how long the fault handler of a child that hangs may take to say where


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


class Isolated:
    """Run a candidate in a child process.

    Parameters
    ----------
    candidate
        Its name, as on the command line.
    limit_s
        How long it may take over one line, seconds; then its process is ended.
    faults
        Faults of which those of a candidate happen inside the child.
    seed
        Seed of the faults.

    Raises
    ------
    CandidateError
        If the limit is not a positive time of up to a day.
    """

    def __init__(
        self, candidate: str, limit_s: float = DEFAULT_LIMIT_S, faults: str = "", seed: int = 0
    ) -> None:
        if not 0 < limit_s <= MAX_LIMIT_S:
            raise OptionError(
                "{}: expected seconds, above 0 to {:g}", Option("limit_s", limit_s), MAX_LIMIT_S
            )
        self._candidate, self._limit_s, self._faults, self._seed = candidate, limit_s, faults, seed
        self._memory: list[SharedMemory] = []
        self._process: Any = None

    @property
    def pid(self) -> int | None:
        """Return the number of the candidate's process while it runs."""
        return None if self._process is None else int(self._process.pid)

    def open(self, header: Header, emit: Emit) -> None:
        """Start the process and prepare the candidate for a scan."""
        self._emit = emit
        ny, nx = header.matrix
        # An image may come in double precision.
        self._memory = [
            SharedMemory(create=True, size=size) for size in (header.coils * nx * 8, max(ny * nx * 16, 16))
        ]
        lines, self._pixels = self._memory
        self._line = np.ndarray((header.coils, nx), np.complex64, lines.buf)
        context = multiprocessing.get_context("spawn")
        self._calls, theirs = context.Pipe()
        self._images, theirs_images = context.Pipe()
        self._dumps, theirs_dumps = context.Pipe(duplex=False)
        names = (lines.name, self._pixels.name)
        self._process = context.Process(
            target=serve,
            args=(theirs, theirs_images, theirs_dumps, names, self._candidate, self._faults, self._seed),
            daemon=True,
        )
        self._process.start()
        self._other = OtherProcess(self._process.pid)
        for end in (theirs, theirs_images, theirs_dumps):
            end.close()
        self._ask({"do": "open", "header": header.to_dict()}, max(self._limit_s, START_LIMIT_S))

    def push(self, readout: Readout) -> None:
        """Pass on one line and wait until it has been taken."""
        self._line[...] = readout.samples
        line = {"index": readout.index, "frame": readout.frame, "ky": readout.ky, "t_ns": readout.t_ns}
        self._ask({"do": "push", **line}, self._limit_s)

    def close(self) -> None:
        """End the scan and the process."""
        try:
            if self._process is not None and self._process.is_alive():
                self._ask({"do": "close"}, self._limit_s)
        finally:
            self._end()

    def _ask(self, call: dict[str, Any], limit_s: float) -> None:
        """Send a call and take images until it is answered."""
        try:
            self._calls.send_bytes(json.dumps(call).encode())
            while True:
                ready = wait([self._calls, self._images, self._process.sentinel], limit_s)
                self._other.note()
                if self._images in ready:
                    self._take(self._receive(self._images))
                    self._images.send_bytes(b"taken")
                elif self._calls in ready:
                    if self._answered(self._receive(self._calls)):
                        return
                elif ready:
                    raise EOFError
                else:
                    dump = self._dump(ask=True)
                    self._end()
                    message = f"it gave no answer to {call['do']} in {limit_s:g} s and was ended"
                    raise CandidateLost(message, dump)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._process.join(5)
            code, dump = self._process.exitcode, self._dump()
            self._end()
            raise CandidateLost(f"its process died in {call['do']}: {_of(code)}", dump) from None

    def _dump(self, ask: bool = False) -> str:
        """Return what the fault handler wrote of the child's thread; ask it, if the child still runs."""
        if ask and hasattr(signal, "SIGUSR1"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGUSR1)
        dump, number = b"", self._dumps.fileno()
        while len(dump) < MAX_MESSAGE and wait([self._dumps], DUMP_S):
            piece = os.read(number, MAX_MESSAGE)
            if not piece:
                break
            dump += piece
        return dump.decode("utf-8", "replace")

    def _receive(self, connection: Connection) -> dict[str, Any]:
        try:
            message = json.loads(connection.recv_bytes(MAX_MESSAGE))
        except (ValueError, OSError) as error:
            if isinstance(error, BrokenPipeError | ConnectionResetError):
                raise
            self._end()
            raise CandidateLost("its process sent what is no message") from None
        if not isinstance(message, dict):
            raise EOFError
        return message

    def _answered(self, answer: dict[str, Any]) -> bool:
        if answer.get("is") == "done":
            return True
        reply = printable_lines(str(answer.get("error", ""))[:300]).replace("\n", " ")
        if answer.get("refused"):
            refusal = CandidateError(reply)
            if isinstance(note := answer.get("note"), str):
                refusal.add_note(printable_lines(note))
            raise refusal
        raise RaisedElsewhere(reply, Traceback.from_json(answer))

    def _take(self, reply: dict[str, Any]) -> None:
        """Make the image again from shared memory, or something that is as wrong as what was emitted."""
        try:
            shape, dtype = tuple(map(int, reply["shape"])), np.dtype(str(reply["dtype"]))
            count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            if dtype.kind not in "fiuc" or min(shape, default=1) < 0 or count > self._pixels.size:
                raise ValueError(dtype)
            pixels = np.ndarray(shape, dtype, self._pixels.buf)
            image: Any = (
                _position(pixels, reply) if reply.get("type") == "Position" else _image(pixels, reply)
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            kind = str(reply.get("type", "something"))[:60]
            image = type(kind if kind.isidentifier() else "something", (), {})()
        self._emit(image)

    def _end(self) -> None:
        if self._process is not None:
            if self._process.is_alive():
                self._process.kill()
            self._process.join(5)
            self._process = None
            for end in (self._calls, self._images, self._dumps):
                end.close()
        self._line = np.empty((0, 0), np.complex64)  # lets go of the memory, which could not be closed else
        for memory in self._memory:
            with contextlib.suppress(BufferError):
                memory.close()
            with contextlib.suppress(FileNotFoundError):
                memory.unlink()
        self._memory = []


def _image(pixels: NDArray[Any], reply: dict[str, Any]) -> Image:
    columns = reply["columns"]
    columns = tuple(columns) if isinstance(columns, list) else columns
    hold = reply.get("hold") is True
    return Image(pixels, reply["frame"], reply["last_line"], reply["shows_ns"], columns, hold)


def _position(mask: NDArray[Any], reply: dict[str, Any]) -> Position:
    hold = reply.get("hold") is True
    seen = mask.astype(np.bool_) if mask.size else None
    return Position(reply["x_mm"], reply["y_mm"], reply["frame"], reply["last_line"], seen, hold)


def _of(code: int | None) -> str:
    if code is None:
        return "it is not known how"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def serve(
    calls: Connection,
    images: Connection,
    dumps: Connection,
    names: tuple[str, str],
    candidate: str,
    faults: str,
    seed: int,
) -> None:
    """Be the child: build the candidate and do what is asked, until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
    # Where a crash or a hang happened is written by C code, which needs neither the interpreter nor its lock.
    faulthandler.enable(dumps.fileno(), all_threads=False)
    if hasattr(faulthandler, "register"):
        faulthandler.register(signal.SIGUSR1, dumps.fileno(), all_threads=False)
    memory = [SharedMemory(name=name) for name in names]
    server = _Server(calls, images, memory, candidate, faults, seed)
    try:
        while server.answer(json.loads(calls.recv_bytes())):
            pass
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    finally:
        server.let_go()
        for block in memory:
            with contextlib.suppress(BufferError):
                block.close()


class _Server:
    def __init__(
        self,
        calls: Connection,
        images: Connection,
        memory: list[SharedMemory],
        candidate: str,
        faults: str,
        seed: int,
    ) -> None:
        self._calls, self._images = calls, images
        self._memory, self._candidate, self._faults, self._seed = memory, candidate, faults, seed
        self._lock = threading.Lock()
        self._inner: Reconstructor | None = None

    def let_go(self) -> None:
        self._inner = None
        self._line = np.empty((0, 0), np.complex64)

    def answer(self, call: dict[str, Any]) -> bool:
        """Do one call; return whether more are to come."""
        reply: dict[str, Any] = {"is": "done"}
        try:
            self._do(call)
        except BaseException as error:
            # SystemExit and KeyboardInterrupt, too: only a real death is told as one.
            reply = {"is": "raised", "refused": False, "error": one_line(error)}
            if call["do"] == "open" and issubclass(type(error), MrsimError):
                reply |= {
                    "refused": True,
                    "error": " ".join(str(error).split()),
                    "note": cast(MrsimError, error).note,
                }
            elif (found := traceback_of(error)) is not None:
                reply |= traceback_json(found)
        self._calls.send_bytes(json.dumps(reply, ensure_ascii=False).encode("utf-8", "replace"))
        return bool(call["do"] != "close" and reply["is"] == "done")

    def _do(self, call: dict[str, Any]) -> None:
        if call["do"] == "open":
            header = Header.from_dict(call["header"])
            self._line = np.ndarray((header.coils, header.matrix[1]), np.complex64, self._memory[0].buf)
            self._inner = self._build()
            self._inner.open(header, self._emit)
        elif self._inner is None:
            raise RuntimeError("it is not open")
        elif call["do"] == "push":
            samples = np.array(self._line)
            self._inner.push(Readout(call["index"], call["frame"], call["ky"], call["t_ns"], samples))
        else:
            self._inner.close()

    def _build(self) -> Reconstructor:
        from harness.candidates.misbehaving import Troubled
        from harness.candidates.registry import builder

        built = builder(self._candidate)()
        return Troubled(built, parse_faults(self._faults), self._seed) if self._faults else built

    def _emit(self, image: Any) -> None:
        reply: dict[str, Any] = {"type": type(image).__name__}
        with self._lock:
            carried, names = _carried(image)
            if carried is not None:
                pixels = np.ascontiguousarray(carried)
                reply |= {"shape": pixels.shape, "dtype": pixels.dtype.str}
                reply |= {
                    name: _plain(getattr(image, name)) for name in (*names, "frame", "last_line", "hold")
                }
                if pixels.nbytes <= self._memory[1].size and not pixels.dtype.hasobject:
                    room = np.ndarray(pixels.shape, pixels.dtype, self._memory[1].buf)
                    room[...] = pixels
            self._images.send_bytes(json.dumps(reply).encode()[:MAX_MESSAGE])
            self._images.recv_bytes()


def _carried(image: Any) -> tuple[NDArray[Any] | None, tuple[str, ...]]:
    """Return the array of an emission and the names of what else it holds; no array if it is none of ours."""
    if isinstance(image, Image) and isinstance(image.pixels, np.ndarray):
        return image.pixels, ("shows_ns", "columns")
    if isinstance(image, Position) and (image.mask is None or isinstance(image.mask, np.ndarray)):
        mask = np.zeros((0, 0), np.uint8) if image.mask is None else image.mask
        return mask.astype(np.uint8) if mask.dtype == np.bool_ else mask, ("x_mm", "y_mm")
    return None, ()


def _plain(value: Any) -> Any:
    """Return what JSON can carry: whole numbers, pairs of them, and the name of all else."""
    if isinstance(value, tuple):
        return [_plain(v) for v in value[:4]]
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.floating):
        return float(value)
    return value if value is None or isinstance(value, int | float | bool) else type(value).__name__
