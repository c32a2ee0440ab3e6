"""The cost of the wire: times of readouts and images in transit, separate from the time of computation.

An mrsim server on this host reports when it received each line and when it emitted each image. It uses the
monotonic clock that all processes of a host share. Of other servers only the total is known.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measure.exact_statistics import nearest_rank
from harness.wire.images import Stamps

# Limit for a readout on an idle loopback; a published bench of this kind took 3.18 ms.
SLOW_NS = 4_000_000
USUAL_NS = 1_000_000
ENOUGH = 32
MAX_SAMPLES = 1 << 20
_WAITING = 1 << 16


@dataclass
class Transfer:
    """Collect the times of one session, nanoseconds.

    Parameters
    ----------
    nodelay
        Whether small messages were sent at once.
    connect_ns
        Time of the connection's handshake: one round trip, the least that a message can take.
    """

    nodelay: bool
    connect_ns: int
    compute: array[int] = field(default_factory=lambda: array("q"))
    """Times from the receipt of an image's last line to the image being emitted."""
    image: array[int] = field(default_factory=lambda: array("q"))
    """Times from an image being emitted to its complete receipt."""
    total: array[int] = field(default_factory=lambda: array("q"))
    """Times from the start of the push of an image's last line to the complete receipt of the image."""
    waited_ns: int = 0
    """Time for which `open` waited in vain for an mrsim server to identify itself: not the server's."""
    hint: str | None = None
    """What is wrong according to the images; None if nothing is."""
    _rows: array[int] = field(default_factory=lambda: array("q"))
    _sent: dict[int, int] = field(default_factory=dict)
    _order: deque[int] = field(default_factory=deque)
    _newest: int = -1
    _before: int = -1

    def sent(self, line: int, at_ns: int) -> None:
        """Record that the push of a line began.

        Parameters
        ----------
        line
            The line.
        at_ns
            When its push began, nanoseconds.
        """
        self._sent[line] = at_ns
        self._order.append(line)
        if len(self._order) > _WAITING:
            self._sent.pop(self._order.popleft(), None)

    def arrived(self, last_line: int, at_ns: int, stamps: Stamps | None) -> None:
        """Record that an image was received.

        Parameters
        ----------
        last_line
            Newest line that it shows.
        at_ns
            When it was received completely, nanoseconds.
        stamps
            Stamps of an mrsim server on this host's clock; None for any other server.
        """
        began_ns = self._sent.get(last_line)
        if began_ns is not None:
            _note(self.total, at_ns - began_ns)
        received_ns = None
        for line, waiting_ns, got_ns in () if stamps is None else stamps.lines:
            sent_ns = self._sent.get(line)
            if line == last_line:
                received_ns = got_ns
            if sent_ns is not None and sent_ns <= got_ns and len(self._rows) < 3 * MAX_SAMPLES:
                self._rows.extend((sent_ns, waiting_ns, got_ns))
        if stamps is not None and received_ns is not None and received_ns <= stamps.done_ns <= at_ns:
            _note(self.compute, stamps.done_ns - received_ns)
            _note(self.image, at_ns - stamps.done_ns)
        # An image may come in parts, or after the one that follows it: what is older is no longer asked for.
        while self._order and self._order[0] < self._before:
            self._sent.pop(self._order.popleft(), None)
        self._before = max(self._before, self._newest)
        self._newest = max(self._newest, last_line)

    @property
    def readout(self) -> NDArray[np.int64]:
        """Return the time of each readout in transit, shape (readouts,), int64, nanoseconds.

        It runs from the start of its push to its complete receipt, without the time for which the server was
        busy with earlier lines and did not listen.
        """
        sent_ns, waiting_ns, got_ns = np.asarray(self._rows, np.int64).reshape(-1, 3).T
        if not len(sent_ns):
            return np.empty(0, np.int64)
        # The server was busy between a line's receipt and its next wait; this sums the busy time.
        idle_from = np.maximum(waiting_ns[1:], got_ns[:-1])
        edges = np.stack([got_ns[:-1], idle_from], axis=1).ravel()
        origin = int(sent_ns.min())  # so that nanoseconds fit into a float64
        steps = np.stack([np.zeros(len(idle_from), np.int64), idle_from - got_ns[:-1]], axis=1).ravel()
        busy = np.cumsum(steps).astype(np.float64)
        if not len(edges):
            return got_ns - sent_ns
        at = (edges - origin).astype(np.float64)
        lost = np.interp(got_ns - origin, at, busy) - np.interp(sent_ns - origin, at, busy)
        return got_ns - sent_ns - np.rint(lost).astype(np.int64)

    def diagnosis(self) -> str | None:
        """Return what is wrong with the wire, in one sentence; None if nothing is."""
        readout = self.readout
        if len(readout) >= ENOUGH:
            p50, p99 = (int(nearest_rank(readout, q)) for q in (0.5, 0.99))
            if p50 > USUAL_NS or p99 > SLOW_NS:
                times = f"a readout took {p50 / 1e6:.2f} ms (p50) and {p99 / 1e6:.2f} ms (p99) to the server"
                if not self.nodelay:
                    return f"{times}: Nagle's algorithm holds it back; set TCP_NODELAY (nagle=off)"
                shake = f"a handshake took {self.connect_ns / 1e6:.2f} ms"
                return f"{times}: the network or the host is slow ({shake})"
        if not self.nodelay and not len(readout):
            return "Nagle's algorithm is on: it may hold a readout back by 40 ms; set TCP_NODELAY (nagle=off)"
        return self.hint

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON values, milliseconds; null if nothing was measured."""
        return {
            **{f"{key}_ms": _figures(getattr(self, key)) for key in ("readout", "compute", "image", "total")},
            "connect_ms": self.connect_ns / 1e6,
            "waited_ms": self.waited_ns / 1e6,
            "nodelay": self.nodelay,
            "diagnosis": self.diagnosis(),
        }


def _note(samples: array[int], ns: int) -> None:
    if len(samples) < MAX_SAMPLES:
        samples.append(ns)


def _figures(samples: array[int] | NDArray[np.int64]) -> dict[str, float | int] | None:
    if not len(samples):
        return None
    column = np.asarray(samples)
    return {
        **{f"p{round(q * 100)}": int(nearest_rank(column, q)) / 1e6 for q in (0.5, 0.99)},
        "max": int(column.max()) / 1e6,
        "count": len(column),
    }
