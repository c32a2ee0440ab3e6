"""Sliding frames: an image is due every few lines and shows the lines of a whole frame."""

from __future__ import annotations

import dataclasses

import numpy as np

from harness.realtime.schedule import MAX_WARMUP
from mrsim.errors import Option, OptionError
from mrsim.stream import Stream


def slide(stream: Stream, stride: int) -> Stream:
    """Return the scan with an image due every few lines; each image shows the lines of a whole frame.

    The result has no truth: that is stored only at the end of the scan's own frames.

    Parameters
    ----------
    stream
        The scan.
    stride
        Number of lines from image to image.

    Raises
    ------
    InputError
        If the stride is not 1 to the lines of a frame.
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
    """Return how many first images of a sliding frame are reported separately.

    These are the images with less than a whole frame of lines behind them, and eight more.

    Parameters
    ----------
    stream
        The scan.
    stride
        Number of lines from image to image.

    Raises
    ------
    OptionError
        If the stride is below 1.
    """
    if stride < 1:
        raise OptionError("{}: expected 1 and more", Option("stride", stride))
    return -(-stream.header.lines_seen // stride) + MAX_WARMUP
