"""The lines of a frame, and the newest line of every row: what the keys of an item are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NEVER_S = 1e6
"""Age of a row that has not come yet, seconds; its zeros are no data."""


class FrameLines(NamedTuple):
    """Hold the lines of one frame in the order of their echoes.

    Parameters
    ----------
    rows
        Row of each line, k = 0 at ny // 2, shape (lines,), int64.
    t_ns
        Echo time of each line, shape (lines,), int64, nanoseconds.
    samples
        Shape (lines, coils, nx), complex64.
    """

    rows: NDArray[np.int64]
    t_ns: NDArray[np.int64]
    samples: NDArray[np.complex64]

    def kspace(self, ny: int) -> NDArray[np.complex64]:
        """Return them in their rows, zero elsewhere, shape (coils, ny, nx)."""
        _, coils, nx = self.samples.shape
        kspace = np.zeros((coils, ny, nx), np.complex64)
        kspace[:, self.rows] = self.samples.swapaxes(0, 1)
        return kspace

    def mask(self, ny: int) -> NDArray[np.bool_]:
        """Return the rows that they fill, shape (ny,)."""
        mask = np.zeros(ny, np.bool_)
        mask[self.rows] = True
        return mask


class SharedRows:
    """Keep the newest line of every row up to a frame (view sharing), in k-space.

    A scan's frames are looked at from the newest back, until every row has come. `recon.line_memory` does the
    same for lines as they arrive; here any frame can be asked for first.

    Parameters
    ----------
    lines_of
        Returns the lines of a frame by its number.
    frame
        The frame up to which lines count.
    ny
        Rows of k-space.
    """

    def __init__(self, lines_of: Callable[[int], FrameLines], frame: int, ny: int) -> None:
        newest = lines_of(frame)
        self._lines_of, self._frame = lines_of, frame
        self.kspace = newest.kspace(ny)
        self.t_ns = np.full(ny, -1, np.int64)
        self.t_ns[newest.rows] = newest.t_ns
        missing = self.t_ns < 0
        while missing.any() and (frame := frame - 1) >= 0:
            earlier = lines_of(frame)
            wanted = missing[earlier.rows]
            rows = earlier.rows[wanted]
            self.kspace[:, rows] = earlier.samples[wanted].swapaxes(0, 1)
            self.t_ns[rows] = earlier.t_ns[wanted]
            missing[rows] = False

    def step(self) -> None:
        """Go on to the next frame."""
        self._frame += 1
        lines = self._lines_of(self._frame)
        self.kspace[:, lines.rows] = lines.samples.swapaxes(0, 1)
        self.t_ns[lines.rows] = lines.t_ns

    def ages_s(self, at_ns: int) -> NDArray[np.float32]:
        """Return the age of every row at an instant, shape (ny,), seconds; `NEVER_S` if none has come."""
        return np.where(self.t_ns < 0, NEVER_S, (at_ns - self.t_ns) / 1e9).astype(np.float32)
