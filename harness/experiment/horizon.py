"""How far ahead one can look: the truth of a scan as it will be some time after each line."""

from __future__ import annotations

import dataclasses

import numpy as np

from mrsim.scanner.oracle import Oracle
from mrsim.stream import Stream


def looking_ahead(part: Stream, oracle: Oracle, start_ns: int, first: int, ahead_ns: int) -> Stream:
    """Return a part of a scan whose truth is that of a later instant.

    Parameters
    ----------
    part
        Some frames, with their truth.
    oracle
        Knows the whole scan.
    start_ns
        Start of the part, from the start of the scan, nanoseconds.
    first
        First frame whose image and mask are asked for; earlier ones stay as they are.
    ahead_ns
        By how much later, nanoseconds.

    Returns
    -------
    part
        The same lines. Image and mask of a frame show the instant `ahead_ns` after its last echo, and the
        centroid and displacement of a line that after its own.
    """
    truth, header = part.truth, part.header
    if truth is None or ahead_ns == 0:
        return part
    image, mask = np.array(truth.image), np.array(truth.mask)
    for frame in range(first, part.frames):
        last = header.echo_ns((frame + 1) * header.lines_per_frame - 1) + start_ns + ahead_ns
        image[frame], mask[frame] = oracle.image(last), oracle.mask(truth.target, last)
    t_ns = np.asarray(part.t_ns) + start_ns + ahead_ns
    later = dataclasses.replace(
        truth,
        displacement=oracle.displacement(t_ns),
        centroid=oracle.centroid(truth.target, t_ns),
        image=image,
        mask=mask,
    )
    return dataclasses.replace(part, truth=later)
