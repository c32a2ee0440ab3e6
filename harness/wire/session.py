"""A connection that speaks MRD: the package's own codec over a bounded reader and writer.

Both sides talk through a `Channel`; which messages may come next is for them to say. Between our own two ends
a few words more are said as TEXT, in JSON, which other clients and servers show or ignore.
"""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.wire.limits import PURPOSE, BoundedReader, BoundedWriter, Kind, Limits, WireError
from mrsim.formats import require_ismrmrd

# What a codec that is fed nonsense may raise.
_UNREADABLE = (ValueError, TypeError, AssertionError, SyntaxError, EOFError, LookupError, AttributeError)
MAX_WORD = 2000


@dataclass(frozen=True, slots=True)
class Message:
    """Carry what came: its kind, and what the codec made of it (None of CLOSE, text of HEADER)."""

    kind: Kind
    content: Any


class Channel:
    """Send and receive messages over a connected socket, which it owns from here on.

    One thread may receive while others send.

    Parameters
    ----------
    sock
        The socket.
    limits
        What may be taken, and in what time.
    nodelay
        Whether small messages leave at once (TCP_NODELAY).
    """

    def __init__(self, sock: socket.socket, limits: Limits, nodelay: bool = True) -> None:
        package = require_ismrmrd(PURPOSE)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(nodelay))
        self._sock = sock
        self._reader = BoundedReader(sock, limits)
        self._writer = BoundedWriter(sock, limits.message_s)
        self._serializer = package.ProtocolSerializer(self._writer)
        self._deserializer = package.ProtocolDeserializer(self._reader)
        self._lock = threading.Lock()

    @property
    def nodelay(self) -> bool:
        """Return whether small messages leave at once, as the system has it."""
        return bool(self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def send(self, *messages: Any) -> None:
        """Send messages in one flush.

        Raises
        ------
        WireError
            If the peer is gone or does not take them in time.
        """
        with self._lock:
            for message in messages:
                self._serializer.serialize(message)
            self._writer.flush()

    def send_close(self) -> None:
        """Say that nothing more will come from this side."""
        with self._lock:
            self._serializer.close()

    def receive(self, allowed: frozenset[Kind], wait_s: float) -> Message:
        """Return the next message.

        Parameters
        ----------
        allowed
            The kinds that it may be of.
        wait_s
            How long its first byte may take, seconds.

        Raises
        ------
        PeerGone
            If the peer closed the connection before it.
        WireError
            If it is of another kind, breaks off, is too large, takes too long or cannot be read.
        """
        self._reader.begin(allowed, wait_s)
        try:
            content = next(self._deserializer.deserialize(), None)
        except _UNREADABLE as error:
            told = " ".join(str(error).split())[:160] or type(error).__name__
            kind = "a message" if self._reader.kind is None else self._reader.kind.name
            raise WireError(f"{kind} that cannot be read: {told}") from None
        assert self._reader.kind is not None
        return Message(self._reader.kind, content)

    def end_sending(self) -> None:
        """Let the peer see the end of what was sent; receiving goes on."""
        self._shut(socket.SHUT_WR)

    def abort(self) -> None:
        """End both directions; a thread that waits to receive sees the connection closed."""
        self._shut(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the socket back."""
        self._sock.close()

    def drain(self, limit_s: float) -> None:
        """Throw away what the peer still sends, so that what it was told is not lost in a reset."""
        try:
            self._sock.settimeout(limit_s)
            left = 64 << 20
            while left > 0:
                count = len(self._sock.recv(1 << 16))
                if not count:
                    return
                left -= count
        except OSError:
            return

    def _shut(self, how: int) -> None:
        try:
            self._sock.shutdown(how)
        except OSError:
            return  # it is closed already


def word(what: str, **more: Any) -> str:
    """Return a word of our own ends: "hello", "ready", "refused", "error" or "busy"."""
    return json.dumps({"mrsim": what, **more})


def read_word(text: str) -> dict[str, Any] | None:
    """Return a word of our own, or None where a text is something else."""
    if len(text) > MAX_WORD or not text.startswith('{"mrsim"'):
        return None
    try:
        said = json.loads(text.rstrip("\0"))
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def printable(text: str, most: int = 200) -> str:
    """Return a peer's text fit for one line of a terminal."""
    told = " ".join(text[: 4 * most].rstrip("\0").split())
    return "".join(c if c.isprintable() else "?" for c in told)[:most]


def clock_name() -> str:
    """Return a name of this host's monotonic clock; two processes that have the same one share it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
