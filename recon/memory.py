"""What a causal reconstructor may remember: lines, transformed along x the moment they arrive.

One `LineMemory` serves the opponents, the cascade in the stream and the cascade in training, so that
they all see the same thing. It holds the present frame's lines, the newest value of every row (view
sharing) and a running mean of every row, in which what stands still has little noise left.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrsim.stream import Header, Readout
from recon.fourier import to_image

MEAN_VISITS = 32
"""Visits of a row after which its running mean starts to forget."""


class LineMemory:
    """Keep the rows of k-space as they arrive, in the hybrid space (ky, x).

    Parameters
    ----------
    header
        The scan's protocol.
    mean
        Whether to keep the running mean, which costs as much again for every line.

    Attributes
    ----------
    acquired
        Lines of the present frame, zero elsewhere, shape (coils, ny, nx), complex64.
    mask
        Rows that the present frame has sampled, shape (ny,), bool.
    shared
        Newest value of every row, of whatever frame, shape (coils, ny, nx), complex64.
    mean
        Running mean of every row over its last visits, shape (coils, ny, nx), complex64; zero without it.
    newest
        Index of the line that each row was last taken from, -1 before its first, shape (ny,), int64.
    """

    def __init__(self, header: Header, mean: bool = True) -> None:
        ny, nx = header.matrix
        self._lines_per_frame, self._centre = header.lines_per_frame, ny // 2
        self.acquired = np.zeros((header.coils, ny, nx), np.complex64)
        self.shared = np.zeros_like(self.acquired)
        self.mean = np.zeros_like(self.acquired)
        self.mask = np.zeros(ny, np.bool_)
        self.newest = np.full(ny, -1, np.int64)
        self._visits = np.zeros(ny, np.int64)
        self._frame = -1
        self._keep_mean = mean

    def push(self, readout: Readout) -> bool:
        """Take a line; return true if it is the last of its frame.

        A line with a sample that is not finite is left out: one bad line must not live on in the memory.
        """
        if readout.frame != self._frame:
            self._start(readout.frame)
        row = readout.ky + self._centre
        line = to_image(readout.samples, (-1,))
        if np.isfinite(line).all():
            self.acquired[:, row] = line
            self.shared[:, row] = line
            self.mask[row] = True
            self.newest[row] = readout.index
            if self._keep_mean:
                self._visits[row] += 1
                share = np.float32(1.0 / min(int(self._visits[row]), MEAN_VISITS))
                self.mean[:, row] += share * (line - self.mean[:, row])
        return (readout.index + 1) % self._lines_per_frame == 0

    def ages(self, line: int) -> NDArray[np.float32]:
        """Return how many frames ago each row was last taken, shape (ny,); as old as the scan if never."""
        return ((line - self.newest) / self._lines_per_frame).astype(np.float32)

    def _start(self, frame: int) -> None:
        self._frame = frame
        self.acquired[:] = 0
        self.mask[:] = False
