"""The scans of a comparison, and parts of them as scans of their own."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mrsim.errors import InputError
from mrsim.stream import Stream, Truth, load

MIN_FRAMES = 12  # of a segment: warmed up, and then some


@dataclass(frozen=True, slots=True)
class Segment:
    """Name a part of a stream.

    Parameters
    ----------
    stream
        Number of the stream.
    first, frames
        Its first frame, and how many there are.
    """

    stream: int
    first: int
    frames: int


def load_scan(scan: Stream | str | Path, frames: int | None) -> Stream:
    """Return a stream, read from its folder where that is what is given, or its first frames.

    Raises
    ------
    InputError
        If it is not one, has no truth, or holds a sample that is not a number.
    """
    stream = scan if isinstance(scan, Stream) else load(scan)
    stream = stream if frames is None else stream.first_frames(frames)
    if stream.truth is None:
        raise InputError(
            f"{stream.path or 'stream'}: it has no truth to compare images with; scan it with mrsim "
            "simulate, or compare times alone with mrsim guard"
        )
    stream.check_finite()
    return stream


def segments(streams: Sequence[Stream], segment_s: float) -> list[Segment]:
    """Cut streams into segments of about this length; what is left joins the last one.

    Raises
    ------
    InputError
        If a stream is too short.
    """
    cut = []
    for number, stream in enumerate(streams):
        if stream.frames < MIN_FRAMES:
            raise InputError(
                f"{stream.path}: {stream.frames} frames, a comparison takes {MIN_FRAMES} or more"
            )
        wanted = max(MIN_FRAMES, round(segment_s * 1e9 / stream.header.frame_ns))
        count = max(1, stream.frames // wanted)
        edges = [stream.frames * part // count for part in range(count + 1)]
        cut += [Segment(number, a, b - a) for a, b in itertools.pairwise(edges)]
    return cut


def part_of(stream: Stream, first: int, stop: int) -> Stream:
    """Return some frames as a scan of their own: lines, frames and time start at 0 again.

    A part that starts at frame 0 is the stream's own beginning, with its path.

    Parameters
    ----------
    stream
        The scan.
    first, stop
        First frame and the one past the last.

    Raises
    ------
    InputError
        If it has no such frames.
    """
    if not 0 <= first < stop <= stream.frames:
        raise InputError(
            f"{stream.path or 'stream'}: frames {first} to {stop}: it has {stream.frames}; scan for longer"
        )
    lines = slice(first * stream.header.lines_per_frame, stop * stream.header.lines_per_frame)
    truth = stream.truth
    if truth is not None:
        truth = Truth(
            truth.regions,
            truth.target,
            truth.displacement[lines],
            truth.centroid[lines],
            truth.image[first:stop],
            truth.mask[first:stop],
        )
    return dataclasses.replace(
        stream,
        ky=stream.ky[lines],
        frame=stream.frame[lines] - stream.frame.dtype.type(first),
        t_ns=stream.t_ns[lines] - lines.start * stream.header.tr_ns,
        samples=stream.samples[lines],
        truth=truth,
        path=stream.path if first == 0 else None,
    )
