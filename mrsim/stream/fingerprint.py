"""A hash of each frame of a scan, by which the same lines are found again in another file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from mrsim.stream.stream import Stream

DIGITS = 16


def frame_hashes(stream: Stream) -> Iterator[str]:
    """Yield a hash of the rows and samples of each whole frame; of a frame of zeros, an empty text.

    Parameters
    ----------
    stream
        The scan.
    """
    per_frame = stream.header.lines_per_frame
    for frame in range(stream.frames):
        lines = slice(frame * per_frame, (frame + 1) * per_frame)
        samples = np.ascontiguousarray(stream.samples[lines])
        found = hashlib.sha256(np.ascontiguousarray(stream.ky[lines]).tobytes())
        found.update(samples.tobytes())
        yield found.hexdigest()[:DIGITS] if samples.any() else ""
