"""What regions follow, as arrays: sums of motions times ways, in one pass over regions and instants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mrsim.kernels.compilation import kernel

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]


class Ways:
    """Hold what some things follow: each a sum of ways, each times the value of a motion.

    Parameters
    ----------
    follows
        For each thing the number of a motion and the way that goes with it, in the order in which they are
        summed.
    width
        Length of a way.
    """

    def __init__(self, follows: Sequence[Sequence[tuple[int, Array]]], width: int) -> None:
        flat = [one for each in follows for one in each]
        self._starts = np.cumsum([0, *(len(each) for each in follows)])
        self._motion = np.array([motion for motion, _ in flat], np.int64)
        self._way = np.array([np.ravel(way) for _, way in flat], np.float64).reshape(len(flat), width)

    def summed(self, values: Array) -> Array:
        """Return the sums.

        Parameters
        ----------
        values
            Values of the motions, shape (n, motions), metres.

        Returns
        -------
        sums
            Shape (n, things, width).
        """
        out = np.zeros((len(values), len(self._starts) - 1, self._way.shape[1]))
        _sum_ways(np.ascontiguousarray(values), self._starts, self._motion, self._way, out)
        return out


@kernel(nogil=True)
def _sum_ways(values: Array, starts: Numbers, motion: Numbers, way: Array, out: Array) -> None:
    # Products are rounded before they are added, as numpy does, so that what is stored keeps its bits.
    for instant in range(values.shape[0]):
        for thing in range(starts.size - 1):
            for n in range(starts[thing], starts[thing + 1]):
                value = values[instant, motion[n]]
                if n == starts[thing]:
                    for k in range(way.shape[1]):
                        out[instant, thing, k] = value * way[n, k]
                else:
                    for k in range(way.shape[1]):
                        out[instant, thing, k] += value * way[n, k]
