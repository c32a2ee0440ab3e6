"""What a candidate has seen of the scan that judges it: training scans and stored images, by their lines."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np

from harness.candidates.objects import Given
from mrsim.errors import InputError
from mrsim.stream import Stream, load

PIECE = 4096


def seen_lines(candidate: Given, stream: Stream) -> tuple[int, int] | None:
    """Return which lines of a scan a candidate was made from.

    Two scans are the same breathing where phantom and seed are the same, whatever the noise or the sampling,
    and the same lines where their samples are. Only what is stored with the candidate can be compared: images
    (`nearest-frame:STREAM`) and the record of weights (`cascade:WEIGHTS`). Of anyone's own code nothing is
    known.

    Parameters
    ----------
    candidate
        As for `harness.replay`.
    stream
        The scan that judges it.

    Returns
    -------
    lines
        First line, and the one past the last; None where it has seen none, or nothing is known.
    """
    if not isinstance(candidate, str):
        return None
    kind, _, argument = candidate.partition(":")
    try:
        if kind == "nearest-frame":
            return _of_scan(load(argument), stream)
        if kind == "cascade":
            from recon.cascade.checkpoint import load as load_weights

            path = re.sub(r"(,[a-z-]+)?(,\d{1,6}-\d{1,6})?$", "", argument)
            return _of_record(load_weights(path).record.get("data"), stream)
    except InputError:
        return None  # it is told where the candidate is built
    return None


def _of_scan(training: Stream, stream: Stream) -> tuple[int, int] | None:
    lines = min(len(training), len(stream))
    one, other = training.provenance, stream.provenance
    if (
        one is not None
        and other is not None
        and (one.phantom_text, one.seed) == (other.phantom_text, other.seed)
    ):
        stop = len(training) * training.header.tr_ns // stream.header.tr_ns
        return 0, min(int(stop), len(stream))
    same = training.header.coils == stream.header.coils and training.header.matrix == stream.header.matrix
    for first in range(0, lines if same else 0, PIECE):
        part = slice(first, min(first + PIECE, lines))
        if not np.array_equal(training.samples[part], stream.samples[part]):
            same = False
            break
    return (0, lines) if same else None


def _of_record(data: Any, stream: Stream) -> tuple[int, int] | None:
    made = stream.provenance
    for scan in data if isinstance(data, list) else ():
        if not isinstance(scan, dict):
            continue
        used, frames = scan.get("used_s"), scan.get("frames")
        if made is not None and (scan.get("phantom_text"), scan.get("seed")) == (
            made.phantom_text,
            made.seed,
        ):
            if isinstance(used, list) and len(used) == 2:
                first, stop = (round(float(t) * 1e9 / stream.header.tr_ns) for t in used)
                if first < len(stream):
                    return first, min(stop, len(stream))
        elif isinstance(frames, int) and 0 < frames <= stream.frames:
            lines = frames * stream.header.lines_per_frame
            found = hashlib.sha256(np.ascontiguousarray(stream.samples[:lines]).tobytes()).hexdigest()
            if scan.get("samples_sha256") == found:
                return 0, lines
    return None


def told_overlap(candidate: Given, stream: Stream) -> str | None:
    """Return in one line that a candidate has seen what judges it; None where nothing of that is known."""
    lines = seen_lines(candidate, stream)
    if lines is None:
        return None
    where = stream.path or "the scan"
    return (
        f"{candidate} was made from k-space lines {lines[0]} to {lines[1] - 1} of the breathing in {where}, "
        "which judges it: its images may be remembered, not reconstructed; judge it on a scan of another seed"
    )
