"""Which rows of k-space make a frame, and in which order they are read.

Every frame holds ceil(ny / R) different rows. Frame f depends on the seed and f alone, however many
frames are drawn. The patterns:

- `variable-density`: a centre that is always there, and a random part, dense near the centre, that is
  redrawn for every frame. Half of the random part (rounded up) is dealt from a shuffled deck of all rows
  outside the centre: with P such rows and m of them dealt a frame, a deck lasts D = ceil(P / m) frames and
  shows every row once; then a new deck is shuffled. A row that is dealt first in one deck and last in the
  next waits 2 D - 1 frames, and no row ever waits longer. The other half is drawn without replacement, with
  a density that falls with |ky|.
- `uniform`: every (ny / n)-th row, shifted by one row from frame to frame, for parallel imaging.
- `low-resolution`: the rows nearest to the centre, the same ones in every frame.
- `full`: all rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import ProtocolError
from mrsim.seeds import check_seed, child
from mrsim.stream.header import MAX_MATRIX, ky_range

SAMPLERS = ("variable-density", "uniform", "low-resolution", "full")
ORDERS = ("random", "ascending", "centre-first", "centre-last")

_CENTRE_SHARE = 0.25  # of a frame's rows
_DENSITY_WIDTH = 0.15  # of ny: |ky| at which the density of the random part has fallen to a half

Rows = NDArray[np.int32]


def lines_per_frame(ny: int, acceleration: float) -> int:
    """Return ceil(ny / R), safe against the rounding of R."""
    return max(1, math.ceil(ny / acceleration - 1e-9))


@dataclass(frozen=True)
class Sampler:
    """Draw the rows of any frame.

    Parameters
    ----------
    kind
        One of `SAMPLERS`.
    ny
        Rows of the matrix.
    acceleration
        Undersampling factor R, at least 1.
    order
        Order of the rows within a frame, one of `ORDERS`.
    seed
        Seed of the scan.

    Raises
    ------
    ProtocolError
        If a name is not known, or the matrix cannot give the acceleration: the error names the limit.
    """

    kind: str
    ny: int
    acceleration: float
    order: str = "random"
    seed: int = 0
    lines: int = field(init=False)
    centre: int = field(init=False)

    def __post_init__(self) -> None:
        check_seed(self.seed)
        for key, value, known in (("sampler", self.kind, SAMPLERS), ("order", self.order, ORDERS)):
            if value not in known:
                raise ProtocolError(f"{key} = {value!r}: expected one of {', '.join(known)}")
        if not 1 <= self.ny <= MAX_MATRIX:
            raise ProtocolError(f"matrix: {self.ny} rows: expected 1 to {MAX_MATRIX}")
        # The random part needs a row a frame beside the centre, so variable density stops short of ny.
        least, most = {"full": (self.ny, 1), "variable-density": (2, self.ny - 1)}.get(
            self.kind, (1, self.ny)
        )
        lines = 0
        if math.isfinite(self.acceleration) and self.acceleration >= 1:
            lines = min(self.ny, lines_per_frame(self.ny, self.acceleration))
        if not (min(least, self.ny) <= lines and self.acceleration <= self.ny):
            gives = f"1 to {most:g}" if most > 1 else "1 only"
            raise ProtocolError(
                f"acceleration = {self.acceleration!r}: {self.kind} sampling of {self.ny} rows gives {gives}"
            )
        centre = max(1, int(lines * _CENTRE_SHARE)) if lines < self.ny else self.ny
        object.__setattr__(self, "lines", lines)
        object.__setattr__(self, "centre", centre)

    def frame(self, frame: int) -> Rows:
        """Draw one frame.

        Parameters
        ----------
        frame
            Its number, from 0.

        Returns
        -------
        ky
            Rows in the order in which they are read, centred, shape (lines,), int32.
        """
        if self.lines == self.ny:
            rows = np.arange(self.ny) - self.ny // 2
        elif self.kind == "low-resolution":
            rows = _from_centre(self.ny)[: self.lines]
        elif self.kind == "uniform":
            rows = self._uniform(frame)
        else:
            rows = self._variable_density(frame)
        return self._ordered(rows, frame).astype(np.int32)

    def rows(self, first_frame: int, frames: int) -> Rows:
        """Draw some frames in a row, shape (frames * lines,), int32."""
        if frames == 0:
            return np.empty(0, np.int32)
        return np.concatenate([self.frame(f) for f in range(first_frame, first_frame + frames)])

    @property
    def longest_wait(self) -> int | None:
        """Return the most frames from one visit of a row to its next; None if some row is never read.

        The first visit of every row comes within as many frames from the start of the scan.
        """
        if self.lines == self.ny:
            return 1
        if self.kind == "low-resolution":
            return None
        if self.kind == "uniform":
            return math.ceil(self.ny / self.lines)
        return 2 * self._deck_frames - 1

    @property
    def _dealt(self) -> int:
        return (self.lines - self.centre + 1) // 2

    @property
    def _deck_frames(self) -> int:
        return math.ceil((self.ny - self.centre) / self._dealt)

    def _uniform(self, frame: int) -> NDArray[np.int64]:
        # Rows floor(j ny / n) are at most ceil(ny / n) apart, so as many shifts visit every row.
        shift = frame % math.ceil(self.ny / self.lines)
        rows = np.arange(self.lines) * self.ny // self.lines
        return (rows + shift) % self.ny - self.ny // 2

    def _variable_density(self, frame: int) -> NDArray[np.int64]:
        by_distance = _from_centre(self.ny)
        centre, outside = by_distance[: self.centre], by_distance[self.centre :]
        deck, turn = divmod(frame, self._deck_frames)
        shuffled = np.random.default_rng(child(self.seed, "deck", deck)).permutation(len(outside))
        dealt = shuffled[turn * self._dealt : (turn + 1) * self._dealt]  # a deck's last hand may be short
        left = np.setdiff1d(np.arange(len(outside)), dealt)
        # The smallest of exponential times with rates w: draws by weight, without replacement.
        density = 1 / (1 + (outside[left] / (_DENSITY_WIDTH * self.ny)) ** 2)
        times = np.random.default_rng(child(self.seed, "frame", frame)).exponential(size=len(left)) / density
        drawn = left[np.argsort(times, kind="stable")[: self.lines - self.centre - len(dealt)]]
        return np.concatenate([centre, outside[dealt], outside[drawn]])

    def _ordered(self, rows: NDArray[np.int64], frame: int) -> NDArray[np.int64]:
        rows = np.sort(rows)
        if self.order == "random":
            return np.random.default_rng(child(self.seed, "order", frame)).permutation(rows)
        if self.order == "ascending":
            return rows
        rows = rows[np.argsort(np.abs(rows), kind="stable")]
        return rows if self.order == "centre-first" else rows[::-1]


def _from_centre(ny: int) -> NDArray[np.int64]:
    """Return all rows, the nearest to the centre first: 0, -1, 1, -2, 2 and so on."""
    low, high = ky_range(ny)
    rows = np.arange(low, high + 1)
    return rows[np.lexsort((rows, np.abs(rows)))]
