"""The memory of a causal reconstructor: lines, transformed along x when they arrive.

It holds the present frame's lines, the newest value of every row (view sharing), and a running mean of every
row, in which still anatomy has little noise. The opponents, the cascade in the stream and the cascade in
training all use one `LineMemory`, so that their inputs are the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrsim.stream import Header, Readout
from recon.fourier import to_image

MEAN_VISITS = 32
"""Visits of a row after which its running mean becomes an exponential one."""

SPIKE = 10.0
"""A line so many times as large as its row ever was is a spike of the scanner, and stays out of the mean."""

NEVER = 1e6
"""Age, in frames, of a row that has not come yet, whose zeros are no data."""

BATCH = 16
"""Lines that are transformed along x together: one call costs as much for sixteen lines as for one."""


class LineMemory:
    """Keep the rows of k-space as they arrive, in the hybrid space (ky, x).

    The arrays are up to date whenever `push` has returned true, at the end of a frame.

    Parameters
    ----------
    header
        The scan's protocol.
    mean
        Whether to keep the running mean, which doubles the cost of a line.
    spikes
        Whether a spike of the scanner is kept as any line is, in all but the mean; else it counts as lost.
        To tell one takes the running mean.

    Attributes
    ----------
    mask
        Rows of `shared` that the present frame has sampled, or the window where the header has one, shape
        (ny,), bool.
    shared
        Newest value of every row, of whatever frame, shape (coils, ny, nx), complex64.
    mean
        Running mean of every row over its last visits, shape (coils, ny, nx), complex64; zero without it.
    newest
        Index of the line that each row was last taken from, -1 before its first, shape (ny,), int64.
    mistaken
        Spikes so far that were taken for lines, since they were a row's first, until it came again.
    """

    def __init__(self, header: Header, mean: bool = True, spikes: bool = True) -> None:
        ny, nx = header.matrix
        self._lines_per_frame, self._centre = header.lines_per_frame, ny // 2
        self._lines_seen, self._slides = header.lines_seen, bool(header.window)
        self.shared = np.zeros((header.coils, ny, nx), np.complex64)
        self.mean = np.zeros_like(self.shared)
        self.mask = np.zeros(ny, np.bool_)
        self.newest = np.full(ny, -1, np.int64)
        self._visits = np.zeros(ny, np.int64)
        self._peak, self._left_out = np.zeros(ny, np.float32), np.zeros(ny, np.bool_)
        self._frame, self.mistaken = -1, 0
        self._keep_mean, self._keep_spikes = mean, spikes or not mean
        self._largest = float(np.finfo(np.float32).max) / (4 * nx)  # a sum of nx such values is finite
        # Lines that wait for their transform, side by side as columns, each with its row and its index.
        self._samples = np.zeros((header.coils, nx, BATCH), np.complex64)
        self._rows, self._indices = np.zeros(BATCH, np.int64), np.zeros(BATCH, np.int64)
        self._waiting = 0
        to_image(self._samples, (-2,))  # compiles the transform now rather than while a line waits

    def push(self, readout: Readout) -> bool:
        """Take a line; return true if it is the last of its frame.

        A line with a sample that is not finite, or so large that its transform might not be, is left out: one
        bad line must not stay in the memory.
        """
        if readout.frame != self._frame and not self._slides:
            self._start(readout.frame)
        complete = (readout.index + 1) % self._lines_per_frame == 0
        n = self._waiting
        self._samples[..., n] = readout.samples
        self._rows[n], self._indices[n] = readout.ky + self._centre, readout.index
        self._waiting = n + 1
        if complete or n + 1 == BATCH:
            self._take()
        if complete and self._slides:
            self.mask[:] = (self.newest >= 0) & (self.newest > readout.index - self._lines_seen)
        return complete

    @property
    def settled(self) -> bool:
        """Return whether the arrays hold every line that has come; some may wait for their transform."""
        return not self._waiting

    @property
    def acquired(self) -> NDArray[np.complex64]:
        """Return the lines of `mask`, zero elsewhere, shape (coils, ny, nx)."""
        lines, rows = np.zeros_like(self.shared), np.flatnonzero(self.mask)
        lines[:, rows] = self.shared[:, rows]
        return lines

    def ages(self, line: int) -> NDArray[np.float32]:
        """Return how many frames ago each row was last taken, shape (ny,); `NEVER` if it has not come yet."""
        ages = np.where(self.newest < 0, NEVER, (line - self.newest) / self._lines_seen)
        return ages.astype(np.float32)

    def _start(self, frame: int) -> None:
        self._take()  # lines of a frame whose last line never came
        self._frame = frame
        self.mask[:] = False

    def _take(self) -> None:
        """Transform the lines that wait, and write them to their rows, in the order in which they came."""
        count, self._waiting = self._waiting, 0
        if not count:
            return
        rows, indices = self._rows[:count], self._indices[:count]
        # Before the transform, which would warn of an infinite sample; a comparison with NaN is false.
        sizes = np.abs(self._samples.view(np.float32))
        peaks = sizes.reshape(-1, BATCH, 2).max(axis=(0, 2))[:count] if self._keep_mean else None
        if sizes.max() < self._largest:
            lines = to_image(self._samples, (-2,))[..., :count].swapaxes(-1, -2)
        else:
            each = np.less(sizes, self._largest).reshape(-1, BATCH, 2)
            small: NDArray[np.bool_] = np.asarray(each.all(axis=(0, 2)))
            self._samples[..., ~small] = 0
            sound = small[:count]
            lines = to_image(self._samples, (-2,))[..., :count].swapaxes(-1, -2)[:, sound]
            rows, indices = rows[sound], indices[sound]
            peaks = None if peaks is None else peaks[sound]
        sound = np.ones(len(rows), np.bool_)
        if peaks is not None:
            for n, row in enumerate(rows):
                if self._is_spike(row, peaks[n]):
                    sound[n] = self._keep_spikes
                    continue
                self._visits[row] += 1
                share = np.float32(1.0 / min(int(self._visits[row]), MEAN_VISITS))
                self.mean[:, row] += share * (lines[:, n] - self.mean[:, row])
        if not sound.all():
            rows, indices, lines = rows[sound], indices[sound], lines[:, sound]
        # Of a row that comes twice the later line is assigned last, and stays.
        self.shared[:, rows] = lines
        self.mask[rows] = True
        self.newest[rows] = indices

    def _is_spike(self, row: int, peak: np.float32) -> bool:
        """Return whether a line is to stay out of the mean; two in turn are no spike, but another scan.

        The first two lines of a row are taken. If one of them was a spike, the next begins the row anew.
        """
        if 0 < self._visits[row] <= 2 and self._peak[row] > SPIKE * peak:
            self._visits[row], self._peak[row] = 0, 0
            self.mistaken += 1
        odd = bool(self._visits[row] >= 2 and peak > SPIKE * self._peak[row] and not self._left_out[row])
        self._left_out[row] = odd
        if not odd:
            self._peak[row] = max(self._peak[row], peak)
        return odd
