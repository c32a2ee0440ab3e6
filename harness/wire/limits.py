"""Limits on messages from a socket: their sizes and the time that they may take.

The codec of the package `ismrmrd` trusts the sizes in a message and allocates memory before it reads. So it
reads through a file object that checks every size before the bytes that it announces are read.
"""

from __future__ import annotations

import contextlib
import enum
import select
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any

from mrsim.errors import CandidateError
from mrsim.formats import require_ismrmrd
from mrsim.formats.mrd_xml import MAX_XML_BYTES
from mrsim.stream.header import MAX_COILS, MAX_MATRIX

PURPOSE = "speaking MRD over a socket"
CHUNK = 1 << 16
MAX_LIMIT_S = 86_400.0


class Kind(enum.IntEnum):
    """Name the messages by their number on the wire."""

    CONFIG_FILE = 1
    CONFIG_TEXT = 2
    HEADER = 3
    CLOSE = 4
    TEXT = 5
    ACQUISITION = 1008
    IMAGE = 1022
    WAVEFORM = 1026
    NDARRAY = 1030


class WireError(Exception):
    """Report that a peer broke the protocol, did not answer or closed the connection."""


class PeerGone(WireError):
    """Report that the peer closed the connection between two messages."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limit what is read from a socket.

    Parameters
    ----------
    text_bytes
        Size of a text: a configuration, a header or a status.
    readout_bytes
        Size of the samples and trajectory of one readout.
    image_bytes
        Size of the pixels of one image.
    attribute_bytes
        Size of the attributes of one image.
    waveform_bytes
        Size of the samples of one waveform.
    message_s
        Time from the first byte of a message to its last, and time for the peer to take a message, seconds.
    """

    text_bytes: int = MAX_XML_BYTES
    readout_bytes: int = 2 * MAX_MATRIX * MAX_COILS * 8
    image_bytes: int = 64 << 20
    attribute_bytes: int = 256 << 10
    waveform_bytes: int = 1 << 20
    message_s: float = 10.0

    def __post_init__(self) -> None:
        check_seconds(self.message_s, "limit")

    def of(self, kind: Kind) -> int:
        """Return the number of bytes that a message may have after its number.

        Parameters
        ----------
        kind
            Kind of the message.
        """
        head = _head_bytes(kind)
        rest = {
            Kind.CONFIG_FILE: 1024,
            Kind.CLOSE: 0,
            Kind.ACQUISITION: self.readout_bytes,
            Kind.IMAGE: 8 + self.attribute_bytes + self.image_bytes,
            Kind.WAVEFORM: self.waveform_bytes,
            Kind.NDARRAY: 0,
        }
        return head + rest.get(kind, 4 + self.text_bytes)


def check_seconds(seconds: float, name: str) -> float:
    """Return a time if it is positive and at most a day.

    Parameters
    ----------
    seconds
        The time, seconds.
    name
        Its name in the error.

    Raises
    ------
    CandidateError
        If it is not.
    """
    if not 0 < seconds <= MAX_LIMIT_S:
        raise CandidateError(f"{name} {seconds}: expected seconds, above 0 to {MAX_LIMIT_S:g}")
    return seconds


class BoundedReader:
    """Serve the codec as a file of one message at a time, within limits of size and time.

    Parameters
    ----------
    sock
        A connected, non-blocking socket.
    limits
        Limits of size and time.
    quick
        Whether what comes is acknowledged at once (TCP_QUICKACK, where the system has it). Else a peer with
        Nagle's algorithm that sends a message in pieces waits up to 40 ms for each acknowledgement.
    """

    def __init__(self, sock: socket.socket, limits: Limits, quick: bool = True) -> None:
        self._sock, self.limits = sock, limits
        self._quick = getattr(socket, "TCP_QUICKACK", None) if quick else None
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._buffer, self._start, self._stop = bytearray(CHUNK), 0, 0
        self._allowed: frozenset[Kind] = frozenset()
        self._wait_s = 0.0
        self._until_ns: int | None = None
        self._left = self._taken = self._reads = 0
        self.kind: Kind | None = None

    @property
    def taken(self) -> int:
        """Return how many bytes of the present message have been read."""
        return self._taken

    def begin(self, allowed: frozenset[Kind], wait_s: float) -> None:
        """Prepare for the next message.

        Parameters
        ----------
        allowed
            Kinds that it may be of.
        wait_s
            Time that its first byte may take, seconds.
        """
        self._allowed, self._wait_s = allowed, wait_s
        self.kind, self._until_ns, self._taken, self._reads = None, None, 0, 0

    def read(self, count: int) -> bytes | bytearray:
        """Read bytes of the message.

        Parameters
        ----------
        count
            Number of bytes.

        Raises
        ------
        PeerGone
            If the peer closed the connection before the message.
        WireError
            If the peer closed it within the message, or the message is of another kind, too large or too
            slow.
        """
        if self.kind is None:
            return self._number()
        if count > self._left:
            raise WireError(
                f"{self.kind.name}: it asks for {count} bytes more, at most {self._left} are taken"
            )
        self._left -= count
        data = self._exactly(count)
        self._reads += 1
        if self._reads == 1 and _head_bytes(self.kind):
            self._check_head(data)
        elif self.kind is Kind.IMAGE and self._reads == 2:
            (length,) = struct.unpack("<Q", data)
            if length > self.limits.attribute_bytes:
                raise WireError(
                    f"IMAGE: {length} bytes of attributes: at most {self.limits.attribute_bytes} are taken"
                )
        elif self.kind is Kind.IMAGE and self._reads == 3 and (b"<!DOCTYPE" in data or b"<!ENTITY" in data):
            raise WireError("IMAGE: its attributes declare entities or a document type, which none need")
        return data

    def _number(self) -> bytes:
        data = self._exactly(2)
        (number,) = struct.unpack("<H", data)
        try:
            self.kind = Kind(number)
        except ValueError:
            known = ", ".join(f"{kind.value} {kind.name}" for kind in sorted(self._allowed))
            raise WireError(
                f"message {number} is not known and has no length to skip it by; awaited: {known}"
            ) from None
        if self.kind not in self._allowed:
            awaited = ", ".join(kind.name for kind in sorted(self._allowed))
            raise WireError(f"{self.kind.name} came out of turn; awaited: {awaited}")
        self._left = self.limits.of(self.kind)
        # A header has the form of a text. `mrd_header` parses its XML, not the codec.
        return struct.pack("<H", Kind.TEXT) if self.kind is Kind.HEADER else bytes(data)

    def _check_head(self, data: bytes | bytearray) -> None:
        """Raise an error if a head announces too much, since the codec allocates it at once."""
        assert self.kind is not None
        head = _head_type(self.kind).from_buffer_copy(data)
        if self.kind is Kind.ACQUISITION:
            size, limit = head.number_of_samples * head.active_channels * 8, self.limits.readout_bytes
            size += head.number_of_samples * head.trajectory_dimensions * 4
            content = f"{head.active_channels} channels of {head.number_of_samples} samples"
        elif self.kind is Kind.IMAGE:
            x, y, z = head.matrix_size
            size, limit = head.channels * x * y * z * _pixel_bytes(head.data_type), self.limits.image_bytes
            content = f"{head.channels} channels of {x} x {y} x {z} pixels"
        else:
            size, limit = head.channels * head.number_of_samples * 4, self.limits.waveform_bytes
            content = f"{head.channels} channels of {head.number_of_samples} samples"
        if size > limit:
            raise WireError(f"{self.kind.name}: {content} are {size} bytes: at most {limit} are taken")

    def _exactly(self, count: int) -> bytearray:
        data = bytearray(count)
        view, done = memoryview(data), 0
        while done < count:
            if self._start == self._stop:
                # A read that is larger than the buffer bypasses it.
                if count - done >= CHUNK:
                    step = self._receive(view[done:])
                    done += step
                    self._taken += step
                    continue
                self._start, self._stop = 0, self._receive(memoryview(self._buffer))
            step = min(count - done, self._stop - self._start)
            view[done : done + step] = self._buffer[self._start : self._start + step]
            self._start += step
            done += step
            self._taken += step
            if self._until_ns is None:
                self._until_ns = time.perf_counter_ns() + round(self.limits.message_s * 1e9)
        return data

    def _receive(self, buffer: memoryview) -> int:
        began_ns = time.perf_counter_ns()
        until_ns = self._until_ns or began_ns + round(self._wait_s * 1e9)
        while True:
            try:
                count = self._sock.recv_into(buffer)
            except (BlockingIOError, InterruptedError):
                left_ns = until_ns - time.perf_counter_ns()
                if left_ns <= 0 or not self._poll.poll(max(left_ns / 1e6, 1)):
                    raise WireError(self._late()) from None
                continue
            except OSError as error:
                broke = f"the connection broke: {error.strerror or error}"
                raise (WireError if self._until_ns is not None else PeerGone)(broke) from None
            if count:
                self._acknowledge()
                if self._until_ns is not None and time.perf_counter_ns() > self._until_ns:
                    raise WireError(self._late())
                return count
            if self._until_ns is None:
                raise PeerGone("the peer closed the connection")
            part = "a message's number" if self.kind is None else self.kind.name
            raise WireError(f"the peer closed the connection within {part}, after {self._taken} bytes of it")

    def _acknowledge(self) -> None:
        if self._quick is not None:  # the system goes back to delayed acknowledgements by itself
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.IPPROTO_TCP, self._quick, 1)

    def _late(self) -> str:
        if self._until_ns is None:
            return f"the peer said nothing in {self._wait_s:g} s"
        part = "a message's number" if self.kind is None else self.kind.name
        return f"half of {part} came, {self._taken} bytes, and no more in {self.limits.message_s:g} s"


class BoundedWriter:
    """Serve the codec as a file that collects bytes and sends them in one flush, within a limit of time.

    Parameters
    ----------
    sock
        A connected, non-blocking socket.
    limit_s
        Time in which the peer must take the bytes of one flush, seconds.
    """

    def __init__(self, sock: socket.socket, limit_s: float) -> None:
        self._sock, self._limit_s = sock, limit_s
        self._poll = select.poll()
        self._poll.register(sock, select.POLLOUT)
        self._collected = bytearray()

    def write(self, data: Any) -> int:
        """Collect bytes.

        Parameters
        ----------
        data
            Bytes, or an object with a buffer.
        """
        piece = bytes(data)
        self._collected += piece
        return len(piece)

    def flush(self) -> None:
        """Send the collected bytes.

        Raises
        ------
        PeerGone
            If the peer is gone.
        WireError
            If it does not take them in time.
        """
        data, self._collected = memoryview(self._collected), bytearray()
        sent, until_ns = 0, time.perf_counter_ns() + round(self._limit_s * 1e9)
        while sent < len(data):
            try:
                sent += self._sock.send(data[sent:])
            except (BlockingIOError, InterruptedError):
                left_ns = until_ns - time.perf_counter_ns()
                if left_ns <= 0 or not self._poll.poll(max(left_ns / 1e6, 1)):
                    raise WireError(
                        f"the peer stopped reading: {sent} of {len(data)} bytes taken in {self._limit_s:g} s"
                    ) from None
            except OSError as error:
                raise PeerGone(f"the peer is gone: {error.strerror or error}") from None


def _head_type(kind: Kind) -> Any:
    package = require_ismrmrd(PURPOSE)
    if kind is Kind.ACQUISITION:
        return package.acquisition.AcquisitionHeader
    return package.image.ImageHeader if kind is Kind.IMAGE else package.waveform.WaveformHeader


def _head_bytes(kind: Kind) -> int:
    return {Kind.ACQUISITION: 340, Kind.IMAGE: 198, Kind.WAVEFORM: 40}.get(kind, 0)


def _pixel_bytes(data_type: int) -> int:
    if data_type == 4:
        raise WireError(
            "IMAGE: pixels of 32-bit integers (data type 4), which the codec takes for 64-bit "
            "ones; send float32"
        )
    try:
        return int(require_ismrmrd(PURPOSE).image.get_dtype_from_data_type(data_type).itemsize)
    except TypeError:
        raise WireError(f"IMAGE: data type {data_type} is not known") from None
