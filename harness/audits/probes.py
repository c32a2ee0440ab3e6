"""Instruments that an audit puts around a reconstructor: how long, what was written into, how much memory.

Each is a reconstructor itself and passes everything on.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from pathlib import Path

from harness.candidates.isolation import Isolated
from mrsim.stream import Header, Readout
from recon.protocol import Emit, Reconstructor


class Timed:
    """Note how long each push takes.

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
        """Prepare for a scan."""
        self._inner.open(header, emit)

    def push(self, readout: Readout) -> None:
        """Take one line, and note."""
        began = time.perf_counter_ns()
        self._inner.push(readout)
        self.took_ns.append(time.perf_counter_ns() - began)

    def close(self) -> None:
        """End the scan."""
        self._inner.close()


class Sealed:
    """Look whether lines are still as they were handed out, after each push until their frame's end.

    Parameters
    ----------
    inner
        The reconstructor.

    Attributes
    ----------
    written
        First line that was written into; None while there is none.
    """

    def __init__(self, inner: Reconstructor) -> None:
        self._inner = inner
        self._held: list[tuple[Readout, bytes]] = []
        self.written: int | None = None

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan."""
        self._lines = header.lines_per_frame
        self._inner.open(header, emit)

    def push(self, readout: Readout) -> None:
        """Take one line, and note."""
        self._held.append((readout, readout.samples.tobytes()))
        self._inner.push(readout)
        for held, before in self._held:
            if self.written is None and held.samples.tobytes() != before:
                self.written = held.index
        if len(self._held) >= self._lines:
            self._held.clear()

    def close(self) -> None:
        """End the scan."""
        self._inner.close()


class Weighed:
    """Weigh the process in the middle and at the end of a run.

    Parameters
    ----------
    inner
        The reconstructor.
    lines
        Lines of the run.

    Attributes
    ----------
    weights
        Bytes that Python allocated (while `tracemalloc` runs) and bytes of the process, at both times.
    """

    def __init__(self, inner: Reconstructor, lines: int) -> None:
        self._inner, self._at, self._pushed = inner, (lines // 2, lines), 0
        self.weights: list[tuple[int, int]] = []

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan."""
        self._inner.open(header, emit)

    def push(self, readout: Readout) -> None:
        """Take one line, and note."""
        self._inner.push(readout)
        self._pushed += 1
        if self._pushed in self._at:
            gc.collect()
            pid = self._inner.pid if isinstance(self._inner, Isolated) else None
            self.weights.append((tracemalloc.get_traced_memory()[0], resident_bytes(pid)))

    def close(self) -> None:
        """End the scan."""
        self._inner.close()


def resident_bytes(pid: int | None) -> int:
    """Return the own memory of a process (None for this one) in bytes; 0 where the system does not tell."""
    try:
        status = Path(f"/proc/{pid or 'self'}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    for line in status.splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    return 0
