"""A session of the server: it receives a scan message by message and returns its images.

The session's thread receives and reconstructs. Another thread sends the images, so that a client that sends
all readouts before it reads an image does not block both sides.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.realtime.raised import Traceback, one_line, traceback_of
from harness.wire.images import Pixels, Stamps, image_to_wire
from harness.wire.limits import Kind, Limits, PeerGone, WireError
from harness.wire.session import Channel, clock_name, printable, status_text
from mrsim.errors import CandidateError, InputError, MrsimError
from mrsim.formats.mrd_acquisition import Counter, Flag, from_acquisition, imaging
from mrsim.formats.mrd_header import Encoding, xml_to_encoding
from mrsim.formats.mrd_import import ASSUMED_FLIP_RAD
from mrsim.stream import Header, Readout
from recon.protocol import Builder, Emission, Position, Reconstructor

_CONFIG = frozenset({Kind.CONFIG_FILE, Kind.CONFIG_TEXT, Kind.CLOSE})
_HEADER = frozenset({Kind.HEADER, Kind.TEXT, Kind.CLOSE})
_DATA = frozenset({Kind.ACQUISITION, Kind.WAVEFORM, Kind.TEXT, Kind.CLOSE})
_FRAME_ENDS = Flag.LAST_IN_SLICE | Flag.LAST_IN_REPETITION
_DRAIN_S = 1.0
MAX_STAMPS = 1024
MAX_TEXTS = 16  # before the header


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """Limit what one session may use.

    Parameters
    ----------
    wire
        Limits of size and time of messages.
    idle_s
        Time between two messages, seconds.
    scan_bytes
        Size of the fully sampled k-space of one frame with all coils.
    queue_bytes
        Size of the images that the client has not read yet.
    """

    wire: Limits = field(default_factory=lambda: Limits(image_bytes=0))
    idle_s: float = 30.0
    scan_bytes: int = 256 << 20
    queue_bytes: int = 64 << 20


class Session:
    """Serve one connection, from its first message to its end.

    Parameters
    ----------
    channel
        The connection.
    build
        Makes a fresh reconstructor.
    limits
        Limits of the session.
    assumed
        Fields of `Header` to use if the client's header lacks them.
    pixels
        What is sent of an image.
    """

    def __init__(
        self,
        channel: Channel,
        build: Builder,
        limits: ServiceLimits,
        assumed: dict[str, Any],
        pixels: Pixels = Pixels.AUTO,
    ) -> None:
        self._channel, self._build, self._limits, self._assumed = channel, build, limits, assumed
        self._pixels = pixels
        self._own, self._slice_m = False, 0.0
        self._outbox = _Outbox(channel, limits)
        self._inner: Reconstructor | None = None
        self._header: Header | None = None
        self._last: Any = None
        self._plain = False  # whether a line came that is not for real-time feedback
        self._rows: deque[tuple[int, int, int]] = deque(maxlen=MAX_STAMPS)
        self._lock = threading.Lock()  # a candidate may emit from any thread
        self.config = ""
        self.lines = self.images = self.ignored = 0
        self.traceback: Traceback | None = None
        """Where the candidate raised in its own code; None if it did not."""

    def run(self) -> str | None:
        """Serve the session; return what went wrong in one line, or None."""
        failure = self._guarded()
        try:
            if self._inner is not None:
                self._inner.close()
        except BaseException as error:  # a stranger may raise anything; Ctrl-C comes to the first thread
            self.traceback = self.traceback or traceback_of(error)
            failure = failure or self._failed("error", f"the candidate raised {one_line(error)}")
        failure = self._outbox.finish() or failure
        try:
            self._channel.send_close()
        except WireError:
            return failure
        self._channel.end_sending()
        if failure is not None:
            self._channel.drain(_DRAIN_S)
        return failure

    def _guarded(self) -> str | None:
        try:
            self._serve()
        except PeerGone as error:
            return str(error)
        except InputError as error:
            return self._failed("refused", " ".join(str(error).split()))
        except (WireError, MrsimError) as error:
            return self._failed("error", " ".join(str(error).split()))
        except MemoryError:
            return self._failed("error", "not enough memory for this scan")
        except BaseException as error:
            self.traceback = traceback_of(error)
            return self._failed("error", f"the candidate raised {one_line(error)}")
        return None

    def _failed(self, what: str, failure: str) -> str:
        with contextlib.suppress(WireError):  # the log has it if the client is gone
            self._channel.send(status_text(what, error=failure[:300]))
        return failure

    def _serve(self) -> None:
        first = self._receive(_CONFIG)
        # From its first message on, a client has so long, and so many texts, until its header is there.
        until_ns = time.perf_counter_ns() + round(self._limits.wire.message_s * 1e9)
        if first.kind is Kind.CLOSE:
            return
        # The configuration is only logged: the server's options decide what is served.
        self.config = printable(str(first.content), 60)
        while (message := self._receive(_HEADER, until_ns)).kind is Kind.TEXT:
            self.ignored += 1
            if self.ignored > MAX_TEXTS:
                raise WireError(f"more than {MAX_TEXTS} texts came before the header")
        if message.kind is Kind.CLOSE:
            return
        encoding = xml_to_encoding(message.content, "the header that was sent")
        self._own, self._slice_m = encoding.exact, encoding.slice_m
        if encoding.exact:
            self._channel.send(status_text("hello", clock=clock_name()))
        if self._known(encoding, None):
            self._open(encoding, None)
        if encoding.exact:
            self._channel.send(status_text("ready"))
        counting = _Counting(encoding)
        while (message := self._receive(_DATA)).kind is not Kind.CLOSE:
            received_ns = time.perf_counter_ns()
            acquisition = message.content
            if message.kind is not Kind.ACQUISITION or not self._images(int(acquisition.flags)):
                self.ignored += 1
                continue
            self._line(encoding, acquisition, counting, received_ns)

    def _images(self, flags: int) -> bool:
        """Tell whether a readout is a line of the image: none for feedback is, once another has come."""
        if not imaging(np.array([flags], np.uint64))[0]:
            return False
        plain = not flags & Flag.REAL_TIME
        self._plain = self._plain or plain
        return plain or not self._plain

    def _receive(self, allowed: frozenset[Kind], until_ns: int | None = None) -> Any:
        self._outbox.check()
        self._waiting_ns = time.perf_counter_ns()
        wait_s = self._limits.idle_s
        if until_ns is not None:
            wait_s = min(wait_s, (until_ns - self._waiting_ns) / 1e9)
            if wait_s <= 0:
                raise self._no_header()
        try:
            return self._channel.receive(allowed, wait_s)
        except PeerGone:
            raise
        except WireError:
            late = until_ns is not None and time.perf_counter_ns() >= until_ns
            if late and not self._channel.within:  # it may have talked until a moment ago
                raise self._no_header() from None
            raise

    def _no_header(self) -> WireError:
        return WireError(f"no header came in {self._limits.wire.message_s:g} s")

    def _known(self, encoding: Encoding, coils: int | None) -> bool:
        return (encoding.coils or self._assumed.get("coils") or coils) is not None

    def _open(self, encoding: Encoding, coils: int | None) -> None:
        assumed = {k: v for k, v in self._assumed.items() if getattr(encoding, k, None) is None}
        if encoding.coils is None and "coils" not in assumed:
            assumed["coils"] = coils
        tr_ns = assumed.get("tr_ns", encoding.tr_ns)
        if encoding.te_ns is None and tr_ns is not None:  # as `mrsim convert` assumes
            assumed.setdefault("te_ns", tr_ns // 2)
        if encoding.flip_rad is None:
            assumed.setdefault("flip_rad", ASSUMED_FLIP_RAD)
        header = encoding.header(**assumed)
        size = header.matrix[0] * header.matrix[1] * header.coils * 8
        if size > self._limits.scan_bytes:
            most = self._limits.scan_bytes >> 20
            raise CandidateError(
                f"a scan of {header.matrix[0]} x {header.matrix[1]} with {header.coils} coils needs "
                f"{size >> 20} MiB a frame: at most {most} MiB are served (--max-mib)"
            )
        self._header = header
        inner = self._build()
        inner.open(Header.from_dict(header.to_dict()), self._emit)
        self._inner = inner

    def _line(self, encoding: Encoding, acquisition: Any, counting: _Counting, received_ns: int) -> None:
        if self._inner is None:
            self._open(encoding, int(acquisition.active_channels))
        assert self._header is not None
        assert self._inner is not None
        readout = counting.readout(acquisition, self._header)
        with self._lock:
            self._last = acquisition
            self._rows.append((readout.index, self._waiting_ns, received_ns))
        self.lines += 1
        try:
            self._inner.push(readout)
        except InputError as error:  # no fault of the client's
            self.traceback = traceback_of(error)
            raise WireError(f"the candidate raised {one_line(error)}") from None

    def _emit(self, image: Emission) -> None:
        if isinstance(image, Position):
            raise WireError("the candidate emitted a position, and MRD carries images alone")
        done_ns = time.perf_counter_ns()
        assert self._header is not None
        with self._lock:
            rows, last = tuple(self._rows), self._last
            self._rows.clear()
        if last is None:
            raise WireError("the candidate emitted an image before the first line of k-space")
        stamps = Stamps(rows, done_ns) if self._own else None
        self._outbox.put(
            image_to_wire(image, self._header, last, stamps, self._pixels, slice_m=self._slice_m)
        )
        self.images += 1


class _Counting:
    """Number the lines of a scan: by the numbers of an mrsim client, else in the order in which they arrive.

    A frame of another client may have fewer lines than its header states. So a line that is flagged as last
    gets the last number of its frame, and a new repetition begins a frame.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding, self._frames = encoding, Counter()
        self._next = 0
        self._repetition: int | None = None

    def readout(self, acquisition: Any, header: Header) -> Readout:
        """Return an acquisition as a readout.

        Raises
        ------
        CandidateError
            If it is no line of this scan.
        """
        encoding, per_frame = self._encoding, header.lines_per_frame
        if encoding.exact:
            index = int(acquisition.scan_counter)
            return from_acquisition(acquisition, encoding, header, index, self._frames)
        repetition = int(acquisition.idx.repetition)
        if self._repetition not in (None, repetition) and self._next % per_frame:
            self._next += per_frame - self._next % per_frame
        self._repetition = repetition
        index = self._next
        if acquisition.flags & int(_FRAME_ENDS):
            index += per_frame - 1 - index % per_frame
        self._next = index + 1
        received = from_acquisition(acquisition, encoding, header, index, self._frames)
        return Readout(index, index // per_frame, received.ky, received.t_ns, received.samples)


class _Outbox:
    """Send images in the order in which they were emitted, from a thread, with a bounded queue."""

    def __init__(self, channel: Channel, limits: ServiceLimits) -> None:
        self._channel, self._limits = channel, limits
        self._queue: deque[Any] = deque()
        self._bytes, self._ended = 0, False
        self._lost: WireError | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def put(self, image: Any) -> None:
        """Queue an image.

        Raises
        ------
        WireError
            If the peer is gone, or has not read for too long.
        """
        size = image.data.nbytes
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._send_all, daemon=True)
                self._thread.start()
            has_space = self._changed.wait_for(
                lambda: (
                    self._lost is not None
                    or self._bytes + size <= self._limits.queue_bytes
                    or not self._bytes
                ),
                self._limits.wire.message_s,
            )
            self.check()
            if not has_space:
                raise WireError(f"the peer stopped reading: {self._bytes >> 20} MiB of images wait for it")
            self._queue.append(image)
            self._bytes += size
            self._changed.notify_all()

    def check(self) -> None:
        """Raise the error of the sending thread, if there is one."""
        if self._lost is not None:
            raise self._lost

    def finish(self) -> str | None:
        """Send the remaining images, end the thread, and return what went wrong, or None."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()  # each flush has a time limit, and the first failure ends the thread
        return None if self._lost is None else str(self._lost)

    def _send_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._ended)
                if not self._queue:
                    return
                image = self._queue.popleft()
            try:
                self._channel.send(image)
            except WireError as error:
                self._lost = error
                self._channel.abort()  # wakes the session's thread, too
            with self._changed:
                self._bytes -= image.data.nbytes
                if self._lost is not None:
                    self._queue.clear()
                self._changed.notify_all()
            if self._lost is not None:
                return
