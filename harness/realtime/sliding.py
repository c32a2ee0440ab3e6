"""A sliding frame: an image is due after every few lines, each of the lines of a whole frame."""

from __future__ import annotations

import dataclasses

import numpy as np

from harness.realtime.schedule import MAX_WARMUP
from mrsim.errors import Option, OptionError
from mrsim.stream import Stream


def slide(stream: Stream, stride: int) -> Stream:
    """Return the scan with an image due after every so many lines, each of the lines of a whole frame.

    It has no truth: that is known at the end of the scan's own frames alone.

    Raises
    ------
    InputError
        If the stride is not 1 to the lines of a frame, or the scan has no line for it.
    """
    header = stream.header
    if not 1 <= stride <= header.lines_per_frame:
        raise OptionError(
            "{}: expected 1 to {}, the lines of a frame", Option("stride", stride), header.lines_per_frame
        )
    slid = dataclasses.replace(header, lines_per_frame=stride, window=header.lines_seen)
    frame = (np.arange(len(stream)) // stride).astype(np.int32)
    return dataclasses.replace(stream, header=slid, frame=frame, truth=None, provenance=None)


def warmup_of(stream: Stream, stride: int) -> int:
    """Return how many first images of a sliding frame are reported apart: those with less than a whole frame
    of lines behind them, and eight."""
    return -(-stream.header.lines_seen // stride) + MAX_WARMUP
