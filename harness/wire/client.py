"""The scanner's side of MRD: a reconstructor behind a socket, used like any other candidate.

The gate paces and sends lines from its own process, and the reconstructor computes in another. A thread
receives the images and emits each as soon as it is complete. Whatever the server does, each call ends within
a stated time and reports what happened.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.realtime.raised import one_line
from harness.wire.images import Matcher, Stamps
from harness.wire.limits import PURPOSE, Kind, Limits, PeerGone, WireError
from harness.wire.options import NOISE_SAMPLES, WireOptions
from harness.wire.session import Channel, clock_name, printable, read_status
from harness.wire.transfer import Transfer
from mrsim.errors import CandidateError, InputError
from mrsim.formats import require_ismrmrd
from mrsim.formats.mrd_acquisition import noise_acquisition, to_acquisition
from mrsim.formats.mrd_header import header_to_xml
from mrsim.seeds import child
from mrsim.stream import Header, Readout
from recon.protocol import Emit, Image

MOTION_WAVEFORM = 1024  # first waveform number that is free for applications
_FROM_SERVER = frozenset({Kind.IMAGE, Kind.TEXT, Kind.CLOSE, Kind.WAVEFORM})
_FOREVER_S = 86_400.0
_GRACE_S = 0.5
_TEXTS = 4


class WireClient:
    """Send a scan to an MRD server and emit the images that come back.

    Parameters
    ----------
    options
        Address of the server and options of the session.

    Raises
    ------
    CandidateError
        If the stream whose motion is sent cannot be used.
    MissingExtraError
        If `ismrmrd` is not installed.
    """

    def __init__(self, options: WireOptions) -> None:
        self._package = require_ismrmrd(PURPOSE)
        self._options = options
        self._motion = None if options.motion is None else _true_motion(options)
        self._channel: Channel | None = None
        self.transfer: Transfer | None = None
        """Times on the wire of the current or the last session; None before the first."""

    def open(self, header: Header, emit: Emit) -> None:
        """Connect, send the protocol, and wait until an mrsim server is ready.

        Parameters
        ----------
        header
            The scan's protocol.
        emit
            Function that takes the images.

        Raises
        ------
        CandidateError
            If nothing listens there, or the server refuses the scan.
        WireError
            If it breaks the protocol or does not answer.
        """
        options = self._options
        self._header, self._emit = header, emit
        self._newest, self._sent = -1, 0
        self._lost: Exception | None = None
        self._closing = self._hello = self._ready = False
        self._texts: list[str] = []
        self._heard_ns = time.perf_counter_ns()
        self._awaited: tuple[int, int] | None = None  # line whose image is awaited, and time of its push
        self._changed = threading.Condition()
        self._matcher = Matcher(header, options.match)
        introduction = self._introduction(header)  # made before the server waits for it
        sock, connect_ns = self._connect()
        ny, nx = header.matrix
        limits = Limits(image_bytes=2 * ny * nx * 16, message_s=options.limit_s)
        self._channel = Channel(sock, limits, options.nodelay, options.quickack)
        self.transfer = Transfer(self._channel.nodelay, connect_ns)
        self._thread = threading.Thread(target=self._listen, args=(self._channel,), daemon=True)
        self._thread.start()
        try:
            self._send(*introduction)
            began_ns = time.perf_counter_ns()
            self._await(lambda: self._hello, options.ready_s, None)
            if not self._hello:
                self.transfer.waited_ns = time.perf_counter_ns() - began_ns
            if self._hello:
                self._await(lambda: self._ready, options.limit_s, "did not get ready")
            if options.noise_std is not None:
                self._send(self._noise(header, options.noise_std))
        except BaseException:
            self._end()
            raise

    def push(self, readout: Readout) -> None:
        """Send one line, in one flush.

        Parameters
        ----------
        readout
            The line.

        Raises
        ------
        CandidateError
            If the server has refused the scan.
        WireError
            If it is gone, has broken the protocol, or does not answer.
        """
        at_ns = time.perf_counter_ns()
        self._check(at_ns)
        options = self._options
        messages = [to_acquisition(readout, self._header, options.oversampling, options.marks)]
        if self._motion is not None and 0 <= readout.index < len(self._motion):
            messages.insert(0, self._waveform(readout))
        assert self.transfer is not None
        self.transfer.sent(readout.index, at_ns)
        self._newest = max(self._newest, readout.index)
        completes = (readout.index + 1) % self._header.lines_per_frame == 0
        if completes and self._awaited is None:
            self._awaited = (readout.index, at_ns)
        self._send(*messages)
        if completes and options.wait:
            frame = readout.frame
            self._await(
                lambda: frame in self._matcher.frames, options.limit_s, f"sent no image of frame {frame}"
            )

    def close(self) -> None:
        """End the scan, and take images until the server ends the session too.

        Raises
        ------
        WireError
            If it does not, or the session failed before.
        """
        if self._channel is None:
            return
        self._closing = True
        try:
            if self._lost is None and self._thread.is_alive():
                self._heard_ns = time.perf_counter_ns()
                self._guard(self._channel.send_close)
                limit_ns = round(self._options.limit_s * 1e9)
                while self._thread.is_alive():
                    left_ns = self._heard_ns + limit_ns - time.perf_counter_ns()
                    if left_ns <= 0:
                        raise WireError(
                            self._message(
                                f"did not end the session in {self._options.limit_s:g} s after the scan",
                                silent=True,
                            )
                        )
                    self._thread.join(left_ns / 1e9)
            if self._lost is not None:
                raise self._lost
        finally:
            self._end()

    def _end(self) -> None:
        if self._channel is not None:
            self._closing = True
            self._channel.abort()
            self._thread.join(self._options.limit_s)
            self._channel.close()
            self._channel = None

    def _connect(self) -> tuple[socket.socket, int]:
        options, began_ns = self._options, time.perf_counter_ns()
        try:
            sock = socket.create_connection((options.host, options.port), options.limit_s)
        except OSError as error:
            cause = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
            raise CandidateError(
                f"{options.name}: {options.host}:{options.port}: {cause.lower()}; start a server there, such "
                f"as mrsim serve zero-filled --port {options.port}"
            ) from None
        return sock, time.perf_counter_ns() - began_ns

    def _introduction(self, header: Header) -> list[Any]:
        options, codec = self._options, self._package.serialization
        document = self._package.xsd.CreateFromDocument(header_to_xml(header, options.oversampling))
        if self._motion is not None:
            document.waveformInformation.append(_motion_information(self._package.xsd))
        text = options.config_text
        config = codec.ConfigFile(options.config) if text is None else codec.ConfigText(text)
        return [config, document, *([] if options.parameters is None else [options.parameters])]

    def _noise(self, header: Header, std: float) -> Any:
        rng = np.random.default_rng(child(0, "wire", "noise"))
        drawn = rng.standard_normal((header.coils, NOISE_SAMPLES, 2)) * (std / np.sqrt(2))
        count = header.matrix[1] * self._options.oversampling.factor
        return noise_acquisition(
            drawn.astype(np.float32).view(np.complex64)[..., 0], header.tr_ns / 2e3 / count
        )

    def _waveform(self, readout: Readout) -> Any:
        assert self._motion is not None
        bits = np.ascontiguousarray(self._motion[readout.index]).view(np.uint32)[:, np.newaxis]
        return self._package.Waveform.from_array(
            bits,
            waveform_id=MOTION_WAVEFORM,
            scan_counter=readout.index,
            sample_time_us=self._header.tr_ns / 1e3,
            time_stamp=(readout.t_ns // 2_500_000) & 0xFFFF_FFFF,
        )

    def _send(self, *messages: Any) -> None:
        assert self._channel is not None
        channel = self._channel
        self._guard(lambda: channel.send(*messages))

    def _guard(self, send: Any) -> None:
        """Send; on failure prefer the server's last status to the error of the broken connection."""
        try:
            send()
        except WireError as error:
            if isinstance(error, PeerGone):
                self._thread.join(_GRACE_S)
                if self._lost is not None:
                    raise self._lost from None
            raise WireError(self._message(f": {error}")) from None

    def _check(self, now_ns: int) -> None:
        if self._lost is not None:
            raise self._lost
        if not self._thread.is_alive():
            raise WireError(
                self._message(f"ended the session at {self._named(self._newest)}, before the scan was over")
            )
        awaited = self._awaited
        if awaited is not None and now_ns - awaited[1] > self._options.limit_s * 1e9:
            raise WireError(
                self._message(
                    f"gave no answer in {self._options.limit_s:g} s since {self._named(awaited[0])} was sent",
                    silent=True,
                )
            )

    def _await(self, holds: Any, limit_s: float, failing: str | None) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: holds() or self._lost is not None or not self._thread.is_alive(), limit_s
            )
        if holds():
            return
        if self._lost is not None:
            raise self._lost
        if not self._thread.is_alive() and failing is None:
            raise WireError(self._message("ended the session before the scan began"))
        if failing is not None:
            raise WireError(self._message(f"{failing} in {limit_s:g} s", silent=True))

    def _named(self, line: int) -> str:
        if line < 0:
            return "the start, before any line of k-space"
        return f"k-space line {line} (frame {line // self._header.lines_per_frame})"

    def _message(self, what: str, silent: bool = False) -> str:
        texts = f"; it said: {' | '.join(self._texts)}" if self._texts else ""
        server = f"the server at {self._options.host}:{self._options.port}"
        told = f"{server}{what}" if what.startswith(":") else f"{server} {what}"
        hint = self._hint(silent)
        return f"{told}{f'; {hint}' if hint else ''}{texts}"

    def _hint(self, silent: bool) -> str:
        """Return what may be wrong with a server that has sent no image; empty where nothing is known."""
        if self._matcher.count:
            return self._matcher.hint or ""
        if self._options.noise_std is not None and self._newest < self._header.lines_per_frame:
            return "it was sent a noise scan, which some servers take for a line: leave out noise="
        if self._texts or self._hello or not silent:
            return ""
        if self._channel is not None and self._channel.within:
            return f"the beginning of a message came, {self._channel.within} bytes, and no more"
        return (
            "it has sent nothing at all: some servers take one session at a time, so end the others; some "
            "wait for a flag that is not sent (flags=slice,repetition, or lines=N)"
        )

    def _listen(self, channel: Channel) -> None:
        """Receive messages until the session ends; this runs in a thread."""
        try:
            while True:
                message = channel.receive(_FROM_SERVER, _FOREVER_S)
                now_ns = time.perf_counter_ns()
                if message.kind is Kind.CLOSE:
                    break
                if message.kind is Kind.IMAGE:
                    self._take(message.content, now_ns)
                    # Not more images than lines, and no text: a server that goes on would keep us for ever.
                    if self._matcher.count <= self._newest + 1:
                        self._heard_ns = now_ns
                elif message.kind is Kind.TEXT:
                    self._hear(message.content)
                with self._changed:
                    self._changed.notify_all()
        except PeerGone as error:
            # After the client's CLOSE some servers only close the connection, which is a normal end.
            if not self._closing:
                self._lost = self._lost or WireError(
                    self._message(f"is gone at {self._named(self._newest)}: {error}")
                )
        except (WireError, InputError) as error:
            if not self._closing or isinstance(error, InputError) or "closed" not in str(error):
                lost = error if isinstance(error, InputError) else WireError(self._message(f": {error}"))
                self._lost = self._lost or lost
        except Exception as error:
            self._lost = WireError(self._message(f": {one_line(error)}"))
        finally:
            with self._changed:
                self._changed.notify_all()

    def _take(self, wire: Any, now_ns: int) -> None:
        image, stamps = self._matcher.take(wire, self._newest)
        self._awaited = None
        self._emit(image)
        assert self.transfer is not None
        self.transfer.arrived(image.last_line, now_ns, stamps)
        self.transfer.hint = self._matcher.hint

    def _hear(self, text: str) -> None:
        status = read_status(text)
        what = None if status is None else status["mrsim"]
        if status is None or what not in ("hello", "ready", "refused", "busy", "error"):
            self._texts = [*self._texts[1 - _TEXTS :], printable(text, tail=True)]
        elif what == "hello":
            self._matcher.own = bool(status.get("clock")) and status.get("clock") == clock_name()
            self._hello = True
        elif what == "ready":
            self._ready = True
        elif what == "error":
            self._lost = self._lost or WireError(
                self._message(f": {printable(str(status.get('error')), 300, tail=True)}")
            )
        else:
            busy = f"the server at {self._options.host}:{self._options.port} is busy"
            reason = printable(str(status.get("error", "it does not say why")), 300)
            self._lost = self._lost or InputError(reason if what == "refused" else f"{busy}: {reason}")


def _true_motion(options: WireOptions) -> NDArray[np.float32]:
    """Return the target's centroid at every line of a stream, shape (lines, 2), float32, millimetres."""
    from mrsim.stream import load

    assert options.motion is not None
    stream = load(options.motion)
    if stream.truth is None:
        raise CandidateError(f"{options.motion}: it has no truth, so no motion to send")
    return (stream.truth.centroid * 1e3).astype(np.float32)


def _motion_information(xsd: Any) -> Any:
    parameters = xsd.userParametersType(
        userParameterLong=[xsd.userParameterLongType(name="waveform_id", value=MOTION_WAVEFORM)],
        userParameterString=[
            xsd.userParameterStringType(name="channels", value="x, y of the target's centroid, mm"),
            xsd.userParameterStringType(name="encoding", value="bits of float32"),
        ],
    )
    return xsd.waveformInformationType(
        waveformName="motion",
        waveformType=xsd.waveformInformationTypeWaveformType.OTHER,
        userParameters=parameters,
    )


__all__ = ["Image", "Stamps", "WireClient"]
