"""What was measured of every judged image of one scan: the result that comparison and experiment share."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.comparison.order import BY_NAME, Difference, paired
from harness.measure.breaths import breath_blocks, breath_starts
from harness.measure.image_quality import FrameScore, overlap
from mrsim.errors import InputError
from mrsim.stream import Stream

COLUMNS = {
    "nmse": ("nmse", 1.0),
    "dice": ("dice", 1.0),
    "centroid_mm": ("error_last_m", 1e3),
    "centroid_shown_mm": ("error_shown_m", 1e3),
}
"""Column of `Series` that holds a measure's value of every image, and the factor to its unit."""


@dataclass(frozen=True)
class Series:
    """Hold what was measured of every judged image; arrays have shape (images,).

    Parameters
    ----------
    frame
        Frame of the part that was played, int64.
    t_ns, shown_ns
        Echo of its last line and when it was shown, from the start of the part, int64, nanoseconds; the
        second -1 where no time was taken.
    response_ns
        Shown less due, int64, nanoseconds; -1 where nothing was played.
    nmse, ssim, dice
        Against the truth.
    dice_full
        Overlap with the target as it is segmented in the fully sampled image; NaN where none is found there,
        or no such image was made.
    dice_own
        Overlap of that segmentation with the true target: the segmentation's own error; NaN where no such
        image was made.
    own_error_m
        Centroid error of that segmentation, metres; infinite where none is found.
    x_m, y_m
        Centroid of the segmented target, metres; NaN where none was found.
    error_last_m, error_shown_m
        Distance to the true centroid at the last line and when shown, metres; infinite where none was found,
        and the second NaN where the scan had ended or no time was taken.
    block
        Number of the breath, int64.
    """

    frame: NDArray[np.int64]
    t_ns: NDArray[np.int64]
    shown_ns: NDArray[np.int64]
    response_ns: NDArray[np.int64]
    nmse: NDArray[np.float64]
    ssim: NDArray[np.float64]
    dice: NDArray[np.float64]
    dice_full: NDArray[np.float64]
    dice_own: NDArray[np.float64]
    own_error_m: NDArray[np.float64]
    x_m: NDArray[np.float64]
    y_m: NDArray[np.float64]
    error_last_m: NDArray[np.float64]
    error_shown_m: NDArray[np.float64]
    block: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.frame)

    def part(self, chosen: NDArray[np.bool_]) -> Series:
        """Return the series of some of the images."""
        return Series(*(getattr(self, f.name)[chosen] for f in dataclasses.fields(self)))

    def values(self, measure: str) -> NDArray[np.float64]:
        """Return the value of every image in one of `COLUMNS`, shape (images,), in the measure's unit."""
        column, factor = COLUMNS[measure]
        values: NDArray[np.float64] = getattr(self, column) * factor
        return values


def series_of(
    stream: Stream,
    frames: NDArray[np.int64],
    shown_ns: NDArray[np.int64],
    response_ns: NDArray[np.int64],
    scores: Sequence[FrameScore],
    full: Sequence[FrameScore] | None = None,
) -> Series:
    """Put the scores of single images into columns.

    Parameters
    ----------
    stream
        The scan, with its truth.
    frames
        Frames that were scored, ascending, shape (images,), int64.
    shown_ns, response_ns
        When each was shown, from the start of the scan, and its response, shape (images,), int64; -1 where no
        time was taken.
    scores
        Their scores.
    full
        Scores of the fully sampled images of the same frames; None where none were made.

    Raises
    ------
    InputError
        If the stream has no truth.
    """
    truth, header = stream.truth, stream.header
    if truth is None:
        raise InputError(f"{stream.path or 'stream'}: images are judged by scans with truth")
    last = (frames + 1) * header.lines_per_frame - 1
    t_ns = np.asarray(stream.t_ns)[last]
    centroid, true = _centroids(scores), truth.centroid[last]
    shown_error = _distance(centroid, truth.centroid_at(shown_ns, header))
    shown_error[(shown_ns < 0) | (shown_ns > (len(stream) + 1) * header.tr_ns)] = math.nan
    nothing = np.full(len(frames), math.nan)
    return Series(
        frame=frames,
        t_ns=t_ns,
        shown_ns=shown_ns,
        response_ns=response_ns,
        nmse=np.array([s.nmse for s in scores]),
        ssim=np.array([s.ssim for s in scores]),
        dice=np.array([s.dice for s in scores]),
        dice_full=nothing
        if full is None
        else np.array([_overlap(*two) for two in zip(scores, full, strict=True)]),
        dice_own=nothing if full is None else np.array([f.dice for f in full]),
        own_error_m=nothing if full is None else _distance(_centroids(full), true),
        x_m=centroid[:, 0],
        y_m=centroid[:, 1],
        error_last_m=_distance(centroid, true),
        error_shown_m=shown_error,
        block=breath_blocks(t_ns, breath_starts(truth, header)),
    )


def _centroids(scores: Sequence[FrameScore]) -> NDArray[np.float64]:
    return np.array([s.centroid_m or (math.nan, math.nan) for s in scores], np.float64).reshape(-1, 2)


def _overlap(score: FrameScore, full: FrameScore) -> float:
    if full.found is None:
        return math.nan
    return 0.0 if score.found is None else overlap(score.found, full.found)


def _distance(measured: NDArray[np.float64], true: NDArray[np.float64]) -> NDArray[np.float64]:
    error = np.hypot(*(measured - true).T)
    return np.where(np.isfinite(error), error, np.inf)


def compare_series(measure: str, one: Sequence[Series], other: Sequence[Series]) -> Difference:
    """Set two candidates against each other in a measure of single images, on the frames that both have.

    The same breaths are left out of both sides, so that what is hard for both counts for neither.

    Parameters
    ----------
    measure
        One of `COLUMNS`.
    one, other
        What was measured of both on each scan.
    """
    pairs, blocks, offset, alike = [np.empty((0, 2))], [np.empty(0, np.int64)], 0, 0
    for a, b in zip(one, other, strict=True):
        _, first, second = np.intersect1d(a.frame, b.frame, return_indices=True)
        both = np.stack([a.values(measure)[first], b.values(measure)[second]], axis=1)
        within = ~np.isnan(both).any(axis=1)
        pairs.append(both[within])
        blocks.append(a.block[first][within] + offset)
        offset += int(a.block.max(initial=-1)) + 1
        alike += len(both)
    if alike and not sum(map(len, pairs)):
        return Difference(None, None, "none", "one of the two has no such figure")
    return paired(BY_NAME[measure], np.concatenate(pairs), np.concatenate(blocks))
