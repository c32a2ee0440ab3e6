"""Breaths of a scan: when each begins, and to which one an instant belongs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrsim.stream import Header, Truth

REST_NS = 5_000_000_000
"""Length of a breath of a target at rest, nanoseconds: about that of a person's."""


def breath_starts(truth: Truth, header: Header) -> NDArray[np.int64]:
    """Return the times at which the target passes the middle of its path, once in each breath.

    A pass counts only if the target has been a quarter of its standard deviation to either side, so that
    small movements about the middle make no breaths. A target at rest is given one every `REST_NS`, so that
    what differs from one stretch to the next can be told.

    Parameters
    ----------
    truth
        Truth of the stream.
    header
        The scan's protocol.

    Returns
    -------
    starts
        Time from the start of the scan, shape (passes,), int64, nanoseconds.
    """
    centred = truth.centroid - truth.centroid.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    along = centred @ directions[:, -1]
    band = along.std() / 4
    if not band > 1e-9:  # below a nanometre the target is at rest
        return np.arange(REST_NS, len(along) * header.tr_ns, REST_NS, dtype=np.int64)
    far = np.flatnonzero(np.abs(along) > band)
    rising = far[1:][(along[far[1:]] > 0) & (along[far[:-1]] < 0)].astype(np.int64)
    starts: NDArray[np.int64] = rising * header.tr_ns + header.te_ns
    return starts


def breath_blocks(t_ns: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the breath of each instant.

    A part of less than half a breath at either end is joined to its neighbour.

    Parameters
    ----------
    t_ns
        Instants, ascending, shape (n,), int64, nanoseconds.
    starts
        Starts of breaths, ascending, shape (passes,), int64, nanoseconds.

    Returns
    -------
    blocks
        Shape (n,), int64, from 0 without gaps.
    """
    if len(t_ns) == 0:
        return np.empty(0, np.int64)
    if len(starts) >= 2:
        half = np.median(np.diff(starts)) / 2
        starts = starts[(starts - t_ns[0] >= half) & (t_ns[-1] - starts >= half)]
    numbers = np.searchsorted(starts, t_ns, side="right")
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64)
