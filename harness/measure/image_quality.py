"""Image quality: NMSE, SSIM, Dice, the target's centroid and its lag.

All measures use unscaled magnitudes and the truth at the echo of each frame's last line, NMSE and SSIM as the
candidate's combination of coils shows it (`harness.measure.shown`). The centroid is also compared with the
truth when the image was shown. What the candidate claims (`last_line`, `shows_ns`) is not used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measure.breaths import breath_blocks, breath_starts
from harness.measure.centroids import Centroids, centroid_errors
from harness.measure.finding.plan import eval_library
from harness.measure.finding.segmentation import finder_of
from harness.measure.intervals import Interval, mean_interval
from harness.measure.lag import Lag, apparent_lag
from harness.measure.ruler import Ruler, dice_to_full, measure_ruler
from harness.measure.shown import nmse_of_full, shown_as
from harness.measure.timing import Timing
from harness.measure.trackrad import TrackRad, track_rad
from harness.realtime.run import Run
from mrsim.errors import InputError
from mrsim.stream import Header, Stream, Truth
from mrsim.summary import Summarised, counted
from recon.protocol import UNIFORM

SSIM_WINDOW = 7
RANGES = {"nmse": (0.0, math.inf), "ssim": (-1.0, 1.0), "dice": (0.0, 1.0)}
"""What no value of a measure is outside of, nor the interval of its mean."""
SINGLE = 1e8
"""Above it, or where all is below its inverse, the fourth powers of SSIM leave the range of float32."""


@dataclass(frozen=True, slots=True)
class FrameScore:
    """Hold the measures of one image.

    Parameters
    ----------
    nmse
        ||m - t||^2 / ||t||^2 of the magnitudes.
    ssim
        Mean structural similarity of the magnitudes (Wang 2004, 10.1109/TIP.2003.819861).
    dice
        Overlap of the segmented and the true target; 0 if no target was found, NaN if there is none to find.
    centroid_m
        Centroid (x, y) of the segmented target, metres; None if no target was found.
    found
        Pixels of the segmented target in the judge's window, bool; None if no target was found.
    """

    nmse: float
    ssim: float
    dice: float
    centroid_m: tuple[float, float] | None
    found: NDArray[np.bool_] | None = None


class FrameJudge:
    """Measure single images against the truth of a stream.

    Parameters
    ----------
    truth
        The stream's truth.
    header
        Its protocol.
    shading
        Factor by which the images show the truth, shape (ny, nx), float32; None for the truth itself.

    Raises
    ------
    MissingExtraError
        If scikit-image is not installed.
    """

    def __init__(self, truth: Truth, header: Header, shading: NDArray[np.float32] | None = None) -> None:
        self._truth, self._shading = truth, np.float32(1) if shading is None else shading
        self._finder = finder_of(truth, header) if truth.mask.any() else None
        self._ssim = eval_library("skimage.metrics", "measuring SSIM").structural_similarity
        self._window = min(SSIM_WINDOW, min(header.matrix) - 1 + min(header.matrix) % 2)

    @property
    def has_target(self) -> bool:
        """Return whether there is a target to look for."""
        return self._finder is not None

    @property
    def window(self) -> tuple[slice, slice]:
        """Return the rows and columns in which the target is looked for."""
        whole = slice(0, self._truth.mask.shape[1]), slice(0, self._truth.mask.shape[2])
        return whole if self._finder is None else self._finder.window

    def score_run(self, run: Run) -> dict[int, FrameScore]:
        """Measure every image of a run that came, and every position that stands for one.

        Parameters
        ----------
        run
            The run.

        Returns
        -------
        scores
            By frame.
        """
        images, positions = run.images, run.images.positions
        scores = {}
        for frame in map(int, np.flatnonzero(images.shown)):
            if not images.drawn[frame]:
                assert positions is not None
                scores[frame] = self.score_position(frame, run)
            elif images.pixels is not None:
                scores[frame] = self.score(frame, images.pixels[frame])
        return scores

    def score_position(self, frame: int, run: Run) -> FrameScore:
        """Measure the position that stands for a frame's image: by its centre, and by its mask if it has one.

        Parameters
        ----------
        frame
            Number of a frame that has a position and no image.
        run
            The run.
        """
        positions = run.images.positions
        assert positions is not None
        x, y = run.images.centre_m(frame)
        found, dice = None, math.nan
        if positions.mask is not None:  # a frame without one, of a run that has some, has a Dice of 0
            found = positions.mask[frame][self.window] if positions.mask[frame].any() else None
            dice = overlap(self._truth.mask[frame], positions.mask[frame])
        return FrameScore(math.nan, math.nan, dice, (float(x), float(y)), found)

    def score(self, frame: int, pixels: NDArray[np.complex64]) -> FrameScore:
        """Measure the image of one frame.

        Parameters
        ----------
        frame
            Number of the frame.
        pixels
            Shape (ny, nx), complex64.
        """
        segment, dice = None, math.nan
        error, similarity = self.compare(frame, pixels)
        if self._finder is not None:
            segment = self._finder.find(np.abs(pixels))
            dice = 0.0 if segment is None else overlap(self._truth.mask[frame], self._whole(segment.mask))
        return FrameScore(
            error,
            similarity,
            dice,
            None if segment is None else segment.centroid_m,
            None if segment is None else segment.mask,
        )

    def compare(self, frame: int, pixels: NDArray[np.complex64]) -> tuple[float, float]:
        """Return NMSE and SSIM of the image of one frame.

        Parameters
        ----------
        frame
            Number of the frame.
        pixels
            Shape (ny, nx), complex64.
        """
        magnitude, true = np.abs(pixels), self.true(frame)
        return nmse(magnitude, true), self._similarity(magnitude, true)

    def true(self, frame: int) -> NDArray[np.float32]:
        """Return the magnitude of a frame's truth as the images show it, shape (ny, nx)."""
        return np.asarray(np.abs(self._truth.image[frame]) * self._shading)

    def _similarity(self, magnitude: NDArray[np.floating[Any]], true: NDArray[np.floating[Any]]) -> float:
        most = float(true.max())
        if max(most, float(magnitude.max())) > SINGLE or most < 1 / SINGLE:
            magnitude, true = magnitude.astype(np.float64), true.astype(np.float64)
        return float(self._ssim(magnitude, true, data_range=most, win_size=self._window))

    def _whole(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return a mask of the window as one of the image, so that a target that leaves the window counts."""
        whole = np.zeros(self._truth.mask.shape[1:], np.bool_)
        whole[self.window] = mask
        return whole


def overlap(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return the Dice coefficient of two masks (Dice 1945, 10.2307/1932409); 0 for two empty ones.

    Parameters
    ----------
    first, second
        Masks of the same shape, bool.
    """
    size = int(first.sum()) + int(second.sum())
    return 2 * float((first & second).sum()) / size if size else 0.0


def nmse(magnitude: NDArray[np.floating[Any]], true: NDArray[np.floating[Any]]) -> float:
    """Return the squared error of a magnitude image over the squared truth, computed in float64.

    Parameters
    ----------
    magnitude, true
        Magnitudes of the image and of the truth, shape (ny, nx).

    Raises
    ------
    InputError
        If the truth is zero everywhere.
    """
    # Sums, not BLAS: on a busy host BLAS threads wait for each other far longer than the sums take.
    error = float(np.sum(np.square(np.asarray(magnitude, np.float64) - true)))
    energy = float(np.sum(np.square(true, dtype=np.float64)))
    if not energy:
        raise InputError("truth: an image of it is blank: there is nothing to compare with")
    return error / energy


@dataclass(frozen=True, repr=False)
class Quality(Summarised):
    """Hold the measures of a run's steady images.

    Parameters
    ----------
    frames
        Frames that were judged, shape (n,), int64.
    t_ns
        Echo of the last line of each, from the start of the scan, shape (n,), int64, nanoseconds.
    shown_ns
        When each image was completed, from the start of the scan, shape (n,), int64, nanoseconds.
    nmse, ssim, dice
        Measures of each image, shape (n,), float64.
    centroid_m
        Centroid (x, y) of the segmented target, shape (n, 2), metres; NaN if no target was found.
    last_line, when_shown
        Centroid errors against the truth at the last line and at the instant when the image was shown. The
        second leaves out images that were shown after the scan's end, for which there is no truth.
    lag
        Apparent lag.
    total_lag_ns
        Apparent lag plus the mean time from last echo to completed image, nanoseconds; None without a lag.
    breaths
        Number of breaths, the blocks of the intervals.
    intervals
        Intervals of the means of `nmse`, `ssim` and `dice`.
    dice_segmented
        Overlap with the target as it is found in the fully sampled image, shape (n,), float64, as the 2019
        abstract has it; NaN where none is found there, or a position has no mask.
    ruler
        The judge's own error, from the noise-free truth of the same frames; None if there is no target.
    lag_without_ruler
        Apparent lag with the delay and the gain of the ruler taken out; None if there is no ruler.
    trackrad
        TrackRAD2025's measures, each image against its own frame; None without a target.
    nmse_full
        Mean NMSE of fully sampled images with the scan's noise, combined alike; None without known noise.
    combination
        How the images show several coils, as the candidate says.
    """

    frames: NDArray[np.int64]
    t_ns: NDArray[np.int64]
    shown_ns: NDArray[np.int64]
    nmse: NDArray[np.float64]
    ssim: NDArray[np.float64]
    dice: NDArray[np.float64]
    centroid_m: NDArray[np.float64]
    last_line: Centroids
    when_shown: Centroids
    lag: Lag
    total_lag_ns: float | None
    breaths: int
    intervals: dict[str, Interval | None]
    dice_segmented: NDArray[np.float64]
    ruler: Ruler | None
    lag_without_ruler: Lag | None
    trackrad: TrackRad | None
    nmse_full: float | None = None
    combination: str = UNIFORM

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        def in_(unit: float, value: float | None, digits: int, name: str) -> str:
            return "-" if value is None else f"{value * unit:.{digits}f} {name}"

        lag_ms, total_ms = (in_(1e-6, ns, 0, "ms") for ns in (self.lag.claimed_ns, self.total_lag_ns))
        errors = [in_(1e3, one.p95, 2, "mm") for one in (self.last_line, self.when_shown)]
        # A position has no image, and perhaps no mask.
        facts = [
            *(
                (name, f"{mean:.{digits}}")
                for name, digits in (("NMSE", "2g"), ("SSIM", "3f"), ("Dice", "3f"))
                if math.isfinite(mean := float(getattr(self, name.lower()).mean()))
            ),
            *([] if self.nmse_full is None else [("fully sampled", f"NMSE {self.nmse_full:.2g}")]),
            ("lag", f"{lag_ms}, to the shown image {total_ms}"),
            ("centroid", f"p95 of the error {errors[0]} at the last line, {errors[1]} when shown"),
        ]
        if self.ruler is not None:
            facts.append(("the judge's own", str(self.ruler)))
        return f"Quality of {counted(len(self.frames), 'image')}, {counted(self.breaths, 'breath')}", facts


def assess(
    stream: Stream,
    run: Run,
    timing: Timing,
    scores: Mapping[int, FrameScore] | None = None,
    combination: str = UNIFORM,
) -> Quality | None:
    """Judge the steady images of a run.

    Parameters
    ----------
    stream
        The scan that was played, or a longer one that begins with it: its truth is used to its end.
    run
        The run, with its pixels.
    timing
        Its times.
    scores
        Measures of every image that came, by frame; None to make them here.
    combination
        How its images show several coils.

    Returns
    -------
    quality
        None if no steady image came.

    Raises
    ------
    InputError
        If the stream has no truth, or the run kept no pixels.
    """
    if stream.truth is None or run.images.pixels is None:
        raise InputError(f"{stream.path or 'stream'}: quality needs a stream with truth, and the pixels")
    frames = np.flatnonzero(timing.shown[timing.warmup :]) + timing.warmup
    if not len(frames):
        return None
    if scores is None:
        shading = shown_as(stream, combination).shading
        scores = FrameJudge(stream.truth, stream.header, shading).score_run(run)
    completed_ns = run.images.completed_ns[frames] - run.t0_ns
    service_ns = timing.service_ns[frames]
    runtime_ms = float(service_ns.mean()) * 1e-6 if (service_ns >= 0).all() else None
    chosen = [scores[int(f)] for f in frames]
    return judge_frames(stream, frames, completed_ns, chosen, runtime_ms, combination)


def judge_frames(
    stream: Stream,
    frames: NDArray[np.int64],
    shown_ns: NDArray[np.int64],
    scores: list[FrameScore],
    runtime_ms: float | None = None,
    combination: str = UNIFORM,
) -> Quality:
    """Combine the measures of single images.

    Parameters
    ----------
    stream
        The scan with its truth.
    frames
        Frames that were scored, ascending, shape (n,), int64.
    shown_ns
        When each image was shown, from the start of the scan, shape (n,), int64, nanoseconds.
    scores
        Score of each frame.
    runtime_ms
        Mean time that an image took, milliseconds; None if it was not measured.
    combination
        How the images show several coils.

    Raises
    ------
    InputError
        If the stream has no truth.
    """
    truth, header = stream.truth, stream.header
    if truth is None:
        raise InputError(f"{stream.path or 'stream'}: quality needs a stream with truth")
    last = (frames + 1) * header.lines_per_frame - 1
    t_ns = np.asarray(stream.t_ns)[last]
    starts = breath_starts(truth, header)
    blocks = breath_blocks(t_ns, starts)
    values = {key: np.array([getattr(s, key) for s in scores]) for key in ("nmse", "ssim", "dice")}
    centroid = np.array([s.centroid_m or (math.nan, math.nan) for s in scores], dtype=np.float64)
    lag = apparent_lag(t_ns, centroid, truth, header, blocks)
    found, ruler = [s.found for s in scores], measure_ruler(stream, frames)
    without_mask = [mask is None for mask in found]
    within = shown_ns <= (len(stream) + 1) * header.tr_ns
    return Quality(
        frames,
        t_ns,
        shown_ns,
        **values,
        centroid_m=centroid,
        last_line=centroid_errors(centroid, truth.centroid[last], blocks),
        when_shown=centroid_errors(
            centroid[within], truth.centroid_at(shown_ns[within], header), blocks[within]
        ),
        lag=lag,
        total_lag_ns=None if lag.claimed_ns is None else lag.claimed_ns + float(np.mean(shown_ns - t_ns)),
        breaths=len(np.unique(blocks)),
        intervals={key: mean_interval(one, blocks, *RANGES[key]) for key, one in values.items()},
        dice_segmented=np.where(np.isnan(values["dice"]), math.nan, dice_to_full(stream, frames, found)),
        ruler=ruler,
        lag_without_ruler=None if ruler is None else ruler.taken_out_of(lag),
        trackrad=None
        if ruler is None or np.isfinite(centroid[without_mask]).any()
        else track_rad(found, truth.mask[frames][:, *finder_of(truth, header).window], header, runtime_ms),
        nmse_full=nmse_of_full(shown_as(stream, combination), frames),
        combination=combination,
    )
