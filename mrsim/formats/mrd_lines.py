"""Which readouts of an MRD file are lines of an image, in what order they came, and in which frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import FormatError
from mrsim.formats.mrd_acquisition import TICK_NS, Flag, imaging, unwrap
from mrsim.formats.mrd_file import ReadoutSource
from mrsim.formats.mrd_header import Encoding

_WRAP = 1 << 32  # of both counters
_DAY_TICKS = 24 * 3600 * 1_000_000_000 // TICK_NS
_COUNTERS = ("average", "contrast", "phase", "set")


def imaging_readouts(found: ReadoutSource, chosen: int | None, notes: list[str]) -> NDArray[np.int64]:
    """Return which readouts of a file are lines of an image.

    Parameters
    ----------
    found
        The file.
    chosen
        Slice to take; None where there is but one.
    notes
        Told what was left out.

    Returns
    -------
    readouts
        Their numbers in the file, ascending, int64.

    Raises
    ------
    FormatError
        If there are none, or of several slices none was chosen.
    """
    heads = found.heads
    other = ~imaging(heads["flags"])
    kept = Flag.NOISE | Flag.CALIBRATION if found.encoding.exact else Flag.NOISE  # beside the lines
    skipped = int(np.sum(other & ((heads["flags"] & np.uint64(kept)) == 0)))
    if skipped:
        notes.append(f"{skipped} readouts that are no lines of an image were left out")
    slices = np.unique(heads["idx"]["slice"][~other])
    if slices.size == 0:
        raise FormatError(f"{found.path}: none of its {len(heads)} readouts is a line of an image")
    if chosen is None and slices.size > 1:
        listed = ", ".join(str(s) for s in slices[:8])
        raise FormatError(f"{found.path}: it has {slices.size} slices ({listed}): choose one with --slice")
    if chosen is not None:
        if chosen not in slices:
            raise FormatError(f"{found.path}: it has no slice {chosen}: {slices[0]} to {slices[-1]}")
        other = other | (heads["idx"]["slice"] != chosen)
    return np.flatnonzero(~other)


def acquired_order(heads: NDArray[Any]) -> NDArray[np.int64]:
    """Return the order of acquisition: by the counter where it tells, else by time stamps, else as stored.

    Parameters
    ----------
    heads
        Heads of the lines, as they stand in the file.

    Returns
    -------
    order
        Shape (lines,), int64: the place in the file of each line in turn.
    """
    counter = heads["scan_counter"]
    if np.unique(counter).size == counter.size:
        return np.argsort(_straight(counter, _WRAP), kind="stable").astype(np.int64)
    stamps = heads["acquisition_time_stamp"]
    if stamps.min() < stamps.max():
        around = _DAY_TICKS if stamps.max() < _DAY_TICKS else _WRAP
        return np.argsort(_straight(stamps, around), kind="stable").astype(np.int64)
    return np.argsort(unwrap(heads["idx"]["repetition"]), kind="stable").astype(np.int64)


def _straight(values: NDArray[Any], around: int) -> NDArray[np.int64]:
    """Undo a counter's return to 0, at midnight or at its end: a scan takes less than half of the way around.

    Where the values take more, the longest stretch that none of them lies in is what the scan left out.
    """
    found = values.astype(np.int64)
    ordered = np.unique(found)
    if ordered[-1] - ordered[0] <= around // 2:
        return found
    gaps = np.diff(ordered)
    widest = int(np.argmax(gaps))
    if gaps[widest] <= around // 2:
        return found  # it is everywhere: a counter that says nothing of a return
    return np.where(found <= ordered[widest], found + around, found)


def number_frames(heads: NDArray[Any], encoding: Encoding, path: Path) -> tuple[NDArray[np.int64], int]:
    """Number the frames by their counters: a new one begins where a counter changes.

    Parameters
    ----------
    heads
        Heads of the lines, in the order of their acquisition.
    encoding
        What the header says.
    path
        The file, for errors.

    Returns
    -------
    frame
        Frame of each line, shape (lines,), int64.
    lines_per_frame
        Lines of a frame; the last may be cut short.

    Raises
    ------
    FormatError
        If frames are interleaved, or differ in length.
    """
    idx = heads["idx"]
    labels = np.stack([unwrap(idx["repetition"]), *(idx[name].astype(np.int64) for name in _COUNTERS)])
    frame = np.concatenate([[0], np.cumsum((np.diff(labels, axis=1) != 0).any(axis=0))]).astype(np.int64)
    distinct = np.unique(labels, axis=1).shape[1]
    if distinct != frame[-1] + 1:
        raise FormatError(
            f"{path}: the lines of {distinct} frames are interleaved: cut them anew by --lines-per-frame"
        )
    counts = np.bincount(frame)
    longest = int(counts.max())
    short = np.flatnonzero(counts[:-1] != longest)
    if short.size or longest > encoding.matrix[0]:
        at = int(short[0]) if short.size else 0
        raise FormatError(
            f"{path}: frame {at} has {int(counts[at])} lines, the longest {longest}, and an image "
            f"{encoding.matrix[0]} rows: cut them evenly with --lines-per-frame"
        )
    return frame, longest


def counters_that_change(heads: NDArray[Any]) -> list[str]:
    """Return which counters beside the repetition differ between lines: each makes frames.

    Parameters
    ----------
    heads
        Heads of the lines.
    """
    return [name for name in _COUNTERS if np.ptp(heads["idx"][name]) > 0]
