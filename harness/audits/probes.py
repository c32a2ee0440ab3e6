"""Probes that an audit puts around a reconstructor: of push times, of writes into the input, and of memory.

Each probe is a reconstructor itself and passes every call on.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from pathlib import Path

from harness.candidates.isolation import Isolated
from mrsim.stream import Header, Readout
from recon.protocol import Emit, Reconstructor


class TimingProbe:
    """Record how long each push takes.

    Parameters
    ----------
    inner
        The reconstructor.

    Attributes
    ----------
    took_ns
        Real time of each push, nanoseconds.
    """

    def __init__(self, inner: Reconstructor) -> None:
        self._inner = inner
        self.took_ns: list[int] = []

    def open(self, header: Header, emit: Emit) -> None:
        """Open the reconstructor.

        Parameters
        ----------
        header
            The scan's protocol.
        emit
            Function that takes the images.
        """
        self._inner.open(header, emit)

    def push(self, readout: Readout) -> None:
        """Pass one line on, and record how long its push takes.

        Parameters
        ----------
        readout
            The line.
        """
        began = time.perf_counter_ns()
        self._inner.push(readout)
        self.took_ns.append(time.perf_counter_ns() - began)

    def close(self) -> None:
        """Close the reconstructor."""
        self._inner.close()


class WriteProbe:
    """Check that lines keep the samples that were handed out, after each push until the end of their frame.

    Parameters
    ----------
    inner
        The reconstructor.

    Attributes
    ----------
    written
        First line whose samples were changed; None if there is none.
    """

    def __init__(self, inner: Reconstructor) -> None:
        self._inner = inner
        self._held: list[tuple[Readout, bytes]] = []
        self.written: int | None = None

    def open(self, header: Header, emit: Emit) -> None:
        """Open the reconstructor.

        Parameters
        ----------
        header
            The scan's protocol.
        emit
            Function that takes the images.
        """
        self._lines = header.lines_per_frame
        self._inner.open(header, emit)

    def push(self, readout: Readout) -> None:
        """Pass one line on, and check the frame's lines for writes.

        Parameters
        ----------
        readout
            The line.
        """
        self._held.append((readout, readout.samples.tobytes()))
        self._inner.push(readout)
        for held, before in self._held:
            if self.written is None and held.samples.tobytes() != before:
                self.written = held.index
        if len(self._held) >= self._lines:
            self._held.clear()

    def close(self) -> None:
        """Close the reconstructor."""
        self._inner.close()


class MemoryProbe:
    """Measure the memory in the middle and at the end of a run.

    Parameters
    ----------
    inner
        The reconstructor.
    lines
        Number of lines of the run.

    Attributes
    ----------
    weights
        At both times the bytes that Python allocated (while `tracemalloc` runs) and the bytes of the process.
    """

    def __init__(self, inner: Reconstructor, lines: int) -> None:
        self._inner, self._at, self._pushed = inner, (lines // 2, lines), 0
        self.weights: list[tuple[int, int]] = []

    def open(self, header: Header, emit: Emit) -> None:
        """Open the reconstructor.

        Parameters
        ----------
        header
            The scan's protocol.
        emit
            Function that takes the images.
        """
        self._inner.open(header, emit)

    def push(self, readout: Readout) -> None:
        """Pass one line on, and weigh the process if it is the middle or the last one.

        Parameters
        ----------
        readout
            The line.
        """
        self._inner.push(readout)
        self._pushed += 1
        if self._pushed in self._at:
            gc.collect()
            pid = self._inner.pid if isinstance(self._inner, Isolated) else None
            self.weights.append((tracemalloc.get_traced_memory()[0], resident_bytes(pid)))

    def close(self) -> None:
        """Close the reconstructor."""
        self._inner.close()


def resident_bytes(pid: int | None) -> int:
    """Return the private memory of a process.

    Parameters
    ----------
    pid
        Number of the process; None for this one.

    Returns
    -------
    bytes
        0 if the system does not state it.
    """
    try:
        status = Path(f"/proc/{pid or 'self'}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    for line in status.splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    return 0
