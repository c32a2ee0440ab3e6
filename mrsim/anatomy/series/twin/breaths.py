"""Breaths of a course: where it is lowest, highest and lowest again, whatever ripples on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAST_SHARE = 0.3
"""How deep a breath is at least, as a share of what the course spans from its 10th to its 90th percentile."""


def breaths_of(value: Array) -> NDArray[np.int64]:
    """Return the breaths of a course: numbers of the samples at rest, in, and at rest again, shape (n, 3).

    Parameters
    ----------
    value
        Samples, shape (n,), low at rest.
    """
    low, high = np.percentile(value, (10, 90))
    least = LEAST_SHARE * (high - low)
    if not least > 1e-12:
        return np.empty((0, 3), np.int64)
    # An extreme counts once the course has left it by `least`.
    turns: list[int] = []
    top = bottom = 0
    rising: bool | None = None
    for n, v in enumerate(value.tolist()):
        top = n if v > value[top] else top
        bottom = n if v < value[bottom] else bottom
        if rising is not False and v < value[top] - least:
            if rising:
                turns.append(top)
            rising, bottom = False, n
        elif rising is not True and v > value[bottom] + least:
            # From a fall the lowest sample since is a rest; at the beginning it is the first rest.
            turns.append(bottom)
            rising, top = True, n
    found = [turns[n : n + 3] for n in range(0, len(turns) - 2, 2)]
    return np.array(found, np.int64).reshape(-1, 3)


def upright(value: Array) -> float:
    """Return 1 if a course is low at rest, -1 if it is high there.

    Rest is where breaths are most alike; of a course without two breaths, where it dwells.
    """
    found = breaths_of(value)
    if len(found) > 1:
        rests, peaks = value[np.append(found[:, 0], found[-1, 2])], value[found[:, 1]]
        return 1.0 if rests.std() <= peaks.std() else -1.0
    low, middle, high = np.percentile(value, (5, 50, 95))
    return 1.0 if middle - low <= high - middle else -1.0
