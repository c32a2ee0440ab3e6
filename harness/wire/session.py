"""A connection that speaks MRD: the package's codec over a bounded reader and writer.

Both sides use a `Channel`, and each decides which messages it accepts. An mrsim client and an mrsim server
also exchange statuses, as JSON in TEXT messages. Other clients and servers display or ignore them.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.wire.limits import PURPOSE, BoundedReader, BoundedWriter, Kind, Limits, WireError
from mrsim.formats import require_ismrmrd

# Exceptions that the codec may raise on a malformed message.
_UNREADABLE = (ValueError, TypeError, AssertionError, SyntaxError, EOFError, LookupError, AttributeError)
MAX_STATUS = 2000


@dataclass(frozen=True, slots=True)
class Message:
    """Hold a received message.

    Parameters
    ----------
    kind
        Kind of the message.
    content
        What the codec made of it: None for CLOSE, the text for HEADER.
    """

    kind: Kind
    content: Any


class Channel:
    """Send and receive messages over a connected socket, which it closes in the end.

    One thread may receive while others send.

    Parameters
    ----------
    sock
        The socket.
    limits
        Limits of size and time of messages.
    nodelay
        Whether small messages are sent at once (TCP_NODELAY).
    quick
        Whether what comes is acknowledged at once.
    """

    def __init__(self, sock: socket.socket, limits: Limits, nodelay: bool = True, quick: bool = True) -> None:
        package = require_ismrmrd(PURPOSE)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(nodelay))
        self._sock = sock
        self._reader = BoundedReader(sock, limits, quick)
        self._writer = BoundedWriter(sock, limits.message_s)
        self._serializer = package.ProtocolSerializer(self._writer)
        self._deserializer = package.ProtocolDeserializer(self._reader)
        self._lock = threading.Lock()

    @property
    def nodelay(self) -> bool:
        """Return whether the system sends small messages at once."""
        return bool(self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    @property
    def within(self) -> int:
        """Return how many bytes of a message have come that is not whole yet."""
        return self._reader.taken

    def send(self, *messages: Any) -> None:
        """Send messages in one flush.

        Parameters
        ----------
        messages
            Objects that the codec can write.

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
        """Send CLOSE, after which this side sends no message."""
        with self._lock:
            self._serializer.close()

    def receive(self, allowed: frozenset[Kind], wait_s: float) -> Message:
        """Return the next message.

        Parameters
        ----------
        allowed
            Kinds that it may be of.
        wait_s
            Time that its first byte may take, seconds.

        Raises
        ------
        PeerGone
            If the peer closed the connection before it.
        WireError
            If it is of another kind, incomplete, too large, too slow or malformed.
        """
        self._reader.begin(allowed, wait_s)
        try:
            content = next(self._deserializer.deserialize(), None)
        except _UNREADABLE as error:
            cause = " ".join(str(error).split())[:160] or type(error).__name__
            kind = "a message" if self._reader.kind is None else self._reader.kind.name
            raise WireError(f"{kind} that cannot be read: {cause}") from None
        assert self._reader.kind is not None
        return Message(self._reader.kind, content)

    def end_sending(self) -> None:
        """Close the sending direction; receiving continues."""
        self._shut(socket.SHUT_WR)

    def abort(self) -> None:
        """Close both directions; a thread that waits to receive gets an error."""
        self._shut(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def drain(self, limit_s: float) -> None:
        """Read and discard what the peer still sends.

        A reset of the connection would destroy the last message to it.

        Parameters
        ----------
        limit_s
            Time that it may take in all, however much comes, seconds.
        """
        try:
            until, left = time.monotonic() + limit_s, 64 << 20
            while left > 0 and (wait_s := until - time.monotonic()) > 0:
                self._sock.settimeout(wait_s)
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


def status_text(what: str, **more: Any) -> str:
    """Return a status between an mrsim client and an mrsim server, as text.

    Parameters
    ----------
    what
        "hello", "ready", "refused", "error" or "busy".
    more
        Further fields, by name.
    """
    return json.dumps({"mrsim": what, **more})


def read_status(text: str) -> dict[str, Any] | None:
    """Read a status.

    Parameters
    ----------
    text
        Text of a message.

    Returns
    -------
    status
        Its fields; None if the text is no status.
    """
    if len(text) > MAX_STATUS or not text.startswith('{"mrsim"'):
        return None
    try:
        status = json.loads(text.rstrip("\0"))
    except (ValueError, RecursionError):
        return None
    return status if isinstance(status, dict) else None


def printable(text: str, most: int = 200, tail: bool = False) -> str:
    """Return a peer's text as one printable line.

    Parameters
    ----------
    text
        The text.
    most
        Greatest number of characters.
    tail
        Whether the end of a longer text is kept, where a traceback has its reason: its last line.
    """
    text = text.rstrip("\0")
    if tail and len(text) > most and (lines := text.strip().splitlines()):
        text = "... " + lines[-1] if len(lines) > 1 else text
    line = " ".join((text[-4 * most :] if tail else text[: 4 * most]).split())
    line = "".join(c if c.isprintable() else "?" for c in line)
    if not tail:
        return line[:most]
    return line if len(line) <= most and len(text) <= 4 * most else f"... {line[4 - most :]}"


def clock_name() -> str:
    """Return an id of this host's monotonic clock, equal in all processes that share the clock."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
