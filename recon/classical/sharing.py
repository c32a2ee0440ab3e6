"""Opponents that share lines between frames: a sliding window, and keyhole imaging."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import CandidateError
from mrsim.stream import Header, Readout
from recon.classical.zero_filled import combine_coils
from recon.fourier import to_image
from recon.line_memory import LineMemory
from recon.protocol import ROOT_SUM, Emit, Image

MAX_WINDOW_BYTES = 1 << 30


class SlidingWindow:
    """Average every row over its visits within the last frames, and leave out what is older.

    Unlike in view sharing, a row that was read twice within the window is averaged, and a row that was not
    read within it is zero. The classical window is as long as one full image. With random rows it then has
    gaps; a longer window has fewer gaps and more lag.

    Parameters
    ----------
    frames
        Length of the window; None for `ny / lines_per_frame`, rounded up: as many lines as a full image has.

    Raises
    ------
    CandidateError
        If the window is not 1 to 4096 frames.

    References
    ----------
    Riederer et al. 1988, 10.1002/mrm.1910080102 (MR fluoroscopy).
    """

    combination = ROOT_SUM

    def __init__(self, frames: int | None = None) -> None:
        if frames is not None and not 1 <= frames <= 4096:
            raise CandidateError(f"sliding-window: {frames} frames: expected 1 to 4096")
        self._frames = frames

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan.

        Raises
        ------
        CandidateError
            If the window does not fit into memory.
        """
        length = self._frames or math.ceil(header.matrix[0] / header.lines_per_frame)
        size = length * header.lines_per_frame * header.coils * header.matrix[1] * 8
        if size > MAX_WINDOW_BYTES:
            raise CandidateError(f"sliding-window: {length} frames need {size >> 20} MiB: take fewer")
        self._memory, self._emit, self._length = LineMemory(header, mean=False), emit, length
        self._window: deque[tuple[int, NDArray[np.intp], NDArray[np.complex64]]] = deque()
        self._sum = np.zeros((header.coils, *header.matrix), np.complex64)

    def push(self, readout: Readout) -> None:
        """Take one line; the frame's last one emits its image."""
        if not self._memory.push(readout):
            return
        memory, window = self._memory, self._window
        rows = np.flatnonzero(memory.mask)
        window.append((readout.frame, rows, memory.shared[:, rows]))
        while window[0][0] <= readout.frame - self._length or len(window) > self._length:
            window.popleft()
        # Summed from zero, because a running sum would keep the rounding of every earlier line.
        total, visits = self._sum, np.zeros(len(memory.mask), np.float32)
        total[:] = 0
        for _, taken, lines in window:
            total[:, taken] += lines
            visits[taken] += 1
        mean = (total / np.maximum(visits, 1)[:, None]).astype(np.complex64)
        self._emit(Image(combine_coils(to_image(mean, (-2,))), readout.frame, readout.index))

    def close(self) -> None:
        """End the scan and let go of the window."""
        self._window.clear()


class Keyhole:
    """Take the rows of the present frame, and all others from a reference.

    Keyhole imaging reads only the centre of k-space once it has its reference. Here a frame also holds rows
    further out. They are used as well, because the opponent would be weaker without them.

    Parameters
    ----------
    reference
        "first", the first visit of each row, as a reference scan before the treatment; or "mean", the
        running mean of each row over its last visits, which has less noise and follows what drifts.

    Raises
    ------
    CandidateError
        If there is no such reference.

    References
    ----------
    van Vaals et al. 1993, 10.1002/jmri.1880030419.
    """

    combination = ROOT_SUM

    REFERENCES = ("mean", "first")

    def __init__(self, reference: str = "mean") -> None:
        if reference not in self.REFERENCES:
            raise CandidateError(f"keyhole: reference {reference!r}: expected {' or '.join(self.REFERENCES)}")
        self._reference = reference

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan."""
        self._memory, self._emit = LineMemory(header, mean=self._reference == "mean"), emit
        self._first = np.zeros((header.coils, *header.matrix), np.complex64)
        self._seen = np.zeros(header.matrix[0], np.bool_)

    def push(self, readout: Readout) -> None:
        """Take one line; the frame's last one emits its image."""
        if not self._memory.push(readout):
            return
        memory, reference = self._memory, self._memory.mean
        if self._reference == "first":
            new = memory.mask & ~self._seen
            self._first[:, new] = memory.shared[:, new]
            self._seen |= new
            reference = self._first
        kspace = np.where(memory.mask[:, None], memory.shared, reference)
        self._emit(Image(combine_coils(to_image(kspace, (-2,))), readout.frame, readout.index))

    def close(self) -> None:
        """End the scan."""
