"""The lines that a scan reads after each frame: what a network can be held to where no true image is known.

Nobody knows the true image of a person. But the lines of the frame after are of the same anatomy a moment
later, and their noise is their own. A network that foretells them best shows the expected anatomy (Lehtinen
2018, arXiv 1803.04189; in k-space Yaman 2020, 10.1002/mrm.28378). Nothing is taken from what it sees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrsim.stream import Header
from recon.cascade.coil_inputs import CoilLines


@dataclass(frozen=True)
class LaterLines:
    """Hold the lines of the frame after each of some frames.

    Parameters
    ----------
    fresh
        Rows that the frame after reads, shape (frames, ny), bool.
    share
        Share of the scan's frames that read each row, shape (ny,), float32.
    rows
        Newest value of every row at the end of the frame after, in the hybrid space (ky, x), shape (frames,
        ny, nx), complex64, of a single coil; the same of several coils.
    """

    fresh: NDArray[np.bool_]
    share: NDArray[np.float32]
    rows: NDArray[np.complex64] | CoilLines

    def part(self, frames: slice) -> LaterLines:
        """Return some of the frames."""
        rows = self.rows.part(frames) if isinstance(self.rows, CoilLines) else self.rows[frames]
        return LaterLines(self.fresh[frames], self.share, rows)

    def lines(self, frame: int) -> NDArray[np.complex64]:
        """Return the rows after a frame, shape (coils, ny, nx), complex64; only those of `fresh` count."""
        return self.rows.shared(frame) if isinstance(self.rows, CoilLines) else self.rows[frame, None]

    def weights(self, frame: int) -> NDArray[np.float32]:
        """Return how much each row counts after a frame, shape (ny,), float32.

        A row counts the more the seldomer it is read, so that the mean over many frames is that over all of
        k-space.
        """
        counts = np.zeros_like(self.share)
        rows = self.fresh[frame]
        counts[rows] = 1 / self.share[rows]
        return counts


def later_of(
    ages: NDArray[np.float32], rows: NDArray[np.complex64] | CoilLines, header: Header
) -> LaterLines:
    """Return the lines after each frame but the last.

    Parameters
    ----------
    ages
        Frames since each row was taken, at every frame's end, shape (frames, ny), float32.
    rows
        Newest value of every row at every frame's end, shape (frames, ny, nx), complex64, of a single coil;
        the same of several coils.
    header
        The scan's protocol.
    """
    # Half a line of slack, since ages are rounded.
    fresh = ages[1:] * header.lines_seen < header.lines_per_frame - 0.5
    after = slice(1, None)
    held = rows.part(after) if isinstance(rows, CoilLines) else rows[after]
    return LaterLines(fresh, fresh.mean(0, dtype=np.float32), held)


def foretold_instant(header: Header) -> str:
    """Return the instant that a network shows if it foretells the frame after: the mean of its echoes."""
    ahead_ns = (header.lines_per_frame + 1) * header.tr_ns / 2
    return f"last+{ahead_ns / 1e6:.6f}".rstrip("0").rstrip(".")
