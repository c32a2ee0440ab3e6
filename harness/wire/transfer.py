"""What the wire itself costs: the time of readouts and images on their way, apart from that of computing.

A server of ours on this host says when it received each line and when it emitted each image, on the monotonic
clock that all processes of a host share. Of a stranger's only the whole is known.
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

# What a readout may take on a loopback that is idle; the published figure of a like bench is 3.18 ms.
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
        Whether small messages left at once.
    connect_ns
        Time of the connection's own handshake: one round trip, the floor.
    """

    nodelay: bool
    connect_ns: int
    compute: array[int] = field(default_factory=lambda: array("q"))
    """From an image's last line being received to the image being emitted."""
    image: array[int] = field(default_factory=lambda: array("q"))
    """From an image being emitted to the whole of it being received."""
    total: array[int] = field(default_factory=lambda: array("q"))
    """From the beginning of the push of an image's last line to the whole image being received."""
    hint: str | None = None
    """What the images themselves show to be wrong."""
    _rows: array[int] = field(default_factory=lambda: array("q"))
    _sent: dict[int, int] = field(default_factory=dict)
    _order: deque[int] = field(default_factory=deque)

    def sent(self, line: int, at_ns: int) -> None:
        """Note that a line's push began."""
        self._sent[line] = at_ns
        self._order.append(line)
        if len(self._order) > _WAITING:
            self._sent.pop(self._order.popleft(), None)

    def arrived(self, last_line: int, at_ns: int, stamps: Stamps | None) -> None:
        """Note that an image is here.

        Parameters
        ----------
        last_line
            Newest line that went into it.
        at_ns
            When the whole of it was received.
        stamps
            What the server says, if its clock is ours.
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

    @property
    def readout(self) -> NDArray[np.int64]:
        """Return the time of each readout on its way, shape (readouts,), int64, nanoseconds.

        From the beginning of its push to the whole of it being received, less the time for which the server
        was busy with the lines before and did not listen.
        """
        sent_ns, waiting_ns, got_ns = np.asarray(self._rows, np.int64).reshape(-1, 3).T
        if not len(sent_ns):
            return np.empty(0, np.int64)
        # Between a line's receipt and the next wait the server was busy: its busy time up to any instant.
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
        """Return what is wrong with the wire, in one sentence; None where nothing is."""
        readout = self.readout
        if len(readout) >= ENOUGH:
            p50, p99 = (int(nearest_rank(readout, q)) for q in (0.5, 0.99))
            if p50 > USUAL_NS or p99 > SLOW_NS:
                told = f"a readout took {p50 / 1e6:.2f} ms (p50) and {p99 / 1e6:.2f} ms (p99) to the server"
                if not self.nodelay:
                    return f"{told}: Nagle's algorithm holds it back; set TCP_NODELAY (nagle=off)"
                shake = f"a handshake took {self.connect_ns / 1e6:.2f} ms"
                return f"{told}: the network or the host is slow ({shake})"
        if not self.nodelay and not len(readout):
            return "Nagle's algorithm is on: it may hold a readout back by 40 ms; set TCP_NODELAY (nagle=off)"
        return self.hint

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON values, milliseconds; null where nothing was measured."""
        return {
            **{f"{key}_ms": _figures(getattr(self, key)) for key in ("readout", "compute", "image", "total")},
            "connect_ms": self.connect_ns / 1e6,
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
