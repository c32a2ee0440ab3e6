"""Probes that an audit puts around a reconstructor: of times, of writes into the input, of what is to come.

Each probe is a reconstructor itself and passes every call on.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

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
    """Check that lines keep the samples that were handed out, until the scan is closed and a little longer.

    The lines of the frame are looked at after each push, all lines at the end of each frame, and once more
    after the scan was closed: a thread may write late.

    Parameters
    ----------
    inner
        The reconstructor.

    Attributes
    ----------
    written
        First line that was found to be changed; None if there is none.
    """

    WAIT_S = 0.02

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
        """Pass one line on, and check the lines of its frame, or at the frame's end all, for writes.

        Parameters
        ----------
        readout
            The line.
        """
        self._held.append((readout, readout.samples.tobytes()))
        self._inner.push(readout)
        place = len(self._held) % self._lines
        self._look(self._held[-place:] if place else self._held)

    def close(self) -> None:
        """Close the reconstructor, and check all lines once more."""
        try:
            self._inner.close()
        finally:
            time.sleep(self.WAIT_S)
            self._look(self._held)

    def _look(self, lines: list[tuple[Readout, bytes]]) -> None:
        for held, before in lines:
            if self.written is None and held.samples.tobytes() != before:
                self.written = held.index


class RevealingProbe:
    """Put each line into the scan's memory only when the line before it has been pushed.

    Whoever finds his way to the samples of the scan finds nothing there of what is to come.

    Parameters
    ----------
    inner
        The reconstructor.
    samples
        What the scan is played from, shape (lines, coils, nx), complex64: of other content to begin with.
    truth
        What is put there, of the same shape.
    """

    def __init__(
        self, inner: Reconstructor, samples: NDArray[np.complex64], truth: NDArray[np.complex64]
    ) -> None:
        self._inner, self._samples, self._truth = inner, samples, truth

    def open(self, header: Header, emit: Emit) -> None:
        """Open the reconstructor, and reveal the first line.

        Parameters
        ----------
        header
            The scan's protocol.
        emit
            Function that takes the images.
        """
        self._inner.open(header, emit)
        self._samples[0] = self._truth[0]

    def push(self, readout: Readout) -> None:
        """Pass one line on, and reveal the next.

        Parameters
        ----------
        readout
            The line.
        """
        self._inner.push(readout)
        following = readout.index + 1
        if following < len(self._samples):
            self._samples[following] = self._truth[following]

    def close(self) -> None:
        """Close the reconstructor."""
        self._inner.close()
