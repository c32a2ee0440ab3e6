"""A reconstructor as an MRD server: it listens and gives every connection a session of its own.

The server's options alone decide which reconstructor it serves; a client decides nothing but its own images.
A session that fails is logged and ends, and the server continues.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from harness.wire.images import Pixels
from harness.wire.limits import Limits, WireError
from harness.wire.serving import ServiceLimits, Session
from harness.wire.session import Channel, status_text
from mrsim.errors import CandidateError
from mrsim.formats import require_ismrmrd
from recon.protocol import Builder

MAX_SESSIONS = 8
_REFUSERS = 4
_JOIN_S = 5.0
_REFUSE_S = 0.5


class Server:
    """Serve a reconstructor to every client that connects.

    Parameters
    ----------
    build
        Makes a fresh reconstructor for every session.
    host, port
        Address to listen on; port 0 for any free port.
    limits
        Limits of a session.
    at_once
        Greatest number of sessions at the same time; further clients get the status "busy".
    assumed
        Fields of `Header` to use if a client's header lacks them.
    pixels
        What is sent of an image.
    tell
        Function that takes a line for the log.

    Raises
    ------
    CandidateError
        If it cannot listen there.
    """

    def __init__(
        self,
        build: Builder,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        limits: ServiceLimits | None = None,
        at_once: int = MAX_SESSIONS,
        assumed: dict[str, Any] | None = None,
        pixels: Pixels = Pixels.AUTO,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        require_ismrmrd("serving a reconstructor over MRD")
        self._build, self._limits = build, limits or ServiceLimits()
        self._at_once, self._assumed, self._tell = at_once, assumed or {}, tell
        self._pixels = pixels
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            self._listener = socket.create_server((host, port), family=family, backlog=16)
        except (OSError, OverflowError) as error:
            number: int | None = getattr(error, "errno", None)
            cause = getattr(error, "strerror", None) or str(error)
            if number is not None and number > 0:  # the system's message, without the library's additions
                cause = os.strerror(number)
            raise CandidateError(f"cannot listen on {host}:{port}: {cause.lower()}; name another") from None
        self._listener.setblocking(False)
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._stopping = False
        self._lock = threading.Lock()
        self._live: dict[threading.Thread, Channel] = {}
        self._refusers: set[threading.Thread] = set()
        self.begun = self.ended = self.failed = 0

    @property
    def address(self) -> tuple[str, int]:
        """Return the host and the port that it listens on."""
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the port, whether it served or not."""
        for sock in (self._listener, self._wake, self._woken):
            sock.close()

    def stop(self) -> None:
        """Make `serve` return soon; a signal handler or any thread may call this."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._wake.send(b"x")

    def serve(self, sessions: int | None = None, limit_s: float | None = None) -> None:
        """Serve until `stop` is called, the sessions have ended, or the time is over.

        Parameters
        ----------
        sessions
            Number of sessions to serve; None for no limit.
        limit_s
            Time to serve, seconds; None for no limit.
        """
        until_ns = None if limit_s is None else time.monotonic_ns() + round(limit_s * 1e9)
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        try:
            while not self._stopping and (sessions is None or self.ended < sessions):
                left_ms = None if until_ns is None else (until_ns - time.monotonic_ns()) / 1e6
                if left_ms is not None and left_ms <= 0:
                    return
                for descriptor, _ in poll.poll(left_ms):
                    if descriptor == self._woken.fileno():
                        self._woken.recv(4096)  # a session ended, or `stop` was called
                    elif sessions is None or self.begun < sessions:
                        self._accept()
                    else:
                        poll.unregister(self._listener)
        finally:
            self._end()

    def _accept(self) -> None:
        try:
            sock, address = self._listener.accept()
        except OSError:
            return  # the client left, or too many files are open: the next attempt may succeed
        peer = f"{address[0]}:{address[1]}"
        with self._lock:
            busy = len(self._live) >= self._at_once
            drop = busy and len(self._refusers) >= _REFUSERS
        if drop:
            sock.close()
            return
        try:
            channel = Channel(sock, self._limits.wire, quick=False)
        except OSError:
            sock.close()
            return
        target = self._refuse if busy else self._session
        thread = threading.Thread(target=target, args=(channel, peer), daemon=True)
        with self._lock:
            if busy:
                self._refusers.add(thread)
            else:
                self._live[thread] = channel
                self.begun += 1
        thread.start()

    def _refuse(self, channel: Channel, peer: str) -> None:
        with contextlib.suppress(WireError):
            channel.send(status_text("busy", error=f"{self._at_once} sessions are held already"))
            channel.send_close()
            channel.end_sending()
            channel.drain(_REFUSE_S)
        channel.close()
        with self._lock:
            self._refusers.discard(threading.current_thread())
        self._say(f"{peer}: refused, {self._at_once} sessions are held already")

    def _session(self, channel: Channel, peer: str) -> None:
        session = Session(channel, self._build, self._limits, self._assumed, self._pixels)
        failure: str | None = "it ended in a defect of the server"
        try:
            failure = session.run()
        finally:
            channel.close()
            ended = "ended" if failure is None else f"failed: {failure}"
            counts = f"{session.lines} readouts, {session.images} images"
            self._say(f"{peer}: config {session.config!r}, {counts}, {ended}")
            if session.traceback is not None:
                self._say(session.traceback.text)
            with self._lock:
                del self._live[threading.current_thread()]
                self.ended += 1
                self.failed += failure is not None
            with contextlib.suppress(OSError):
                self._wake.send(b"x")

    def _say(self, line: str) -> None:
        """Tell a line; where nobody can be told any more, the server stops."""
        try:
            self._tell(line)
        except OSError:
            self.stop()

    def _end(self) -> None:
        self._listener.close()
        with self._lock:
            live, refusers = dict(self._live), set(self._refusers)
        for channel in live.values():
            channel.abort()
        until = time.monotonic() + _JOIN_S
        for thread in (*live, *refusers):
            thread.join(max(until - time.monotonic(), 0))
            if thread.is_alive():
                self._say(f"a candidate did not come back in {_JOIN_S:g} s and was left behind")
        self._wake.close()
        self._woken.close()


def is_loopback(host: str) -> bool:
    """Return whether only this host can reach an address.

    Parameters
    ----------
    host
        Name or address of a host.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found)
    except (OSError, ValueError):
        return False


__all__ = ["MAX_SESSIONS", "Limits", "Server", "is_loopback"]
