"""The ruler, measured: the judge's own error, from images that nobody reconstructed.

The same finder and the same fit are put to the noise-free truth of the judged frames. What they then tell is
the ruler's own error: of a candidate that showed the truth itself they would tell the same. Gain and lag can
be told with it taken out. A fully sampled image of one instant, with its noise, is the other yardstick: the
2019 abstract compared segmentations with those of fully sampled images.
"""

from __future__ import annotations

import dataclasses
import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.measure.exact_statistics import nearest_rank
from harness.measure.finding.plan import Segment
from harness.measure.finding.segmentation import TargetFinder, finder_of
from harness.measure.lag import Lag, apparent_lag
from harness.measure.shown import shown_as
from mrsim.errors import InputError
from mrsim.seeds import child
from mrsim.stream import Header, Stream, Truth

LOST_M = 1.5e-3
"""The judge has lost the target where it finds it so far off in the truth: half of the usual margin."""


@dataclass(frozen=True)
class Ruler:
    """Hold what the judge finds in the noise-free truth of the judged frames.

    Parameters
    ----------
    method
        How the target is found: "outline" or "registration".
    planned_m
        95th percentile of its centre error in the planning breaths, by which it was chosen, metres.
    dice
        Mean overlap of the target as it is found and the true one.
    area_ratio
        Mean ratio of their areas; 1 for a ruler without error.
    p95_m
        95th percentile of the distance of their centres, metres; infinite if more are not found.
    images, not_found
        Number of frames, and of those in which the target was not found.
    lag
        Fit of the delayed truth to the centres that are found, without intervals.
    """

    method: str
    planned_m: float
    dice: float
    area_ratio: float
    p95_m: float
    images: int
    not_found: int
    lag: Lag

    def __str__(self) -> str:
        gain = "-" if self.lag.gain is None else f"{self.lag.gain:.3f}"
        p95 = f"{self.p95_m * 1e3:.3f} mm" if math.isfinite(self.p95_m) else "-"
        return f"Dice {self.dice:.3f}, gain {gain}, p95 of the centre {p95}, by {self.method}"

    def taken_out_of(self, lag: Lag) -> Lag:
        """Return a candidate's lag as a ruler without error would have told it.

        The delay of the ruler is subtracted and the gain divided by its gain. The residual is left as it is.

        Parameters
        ----------
        lag
            The fit to the centres that were found in the candidate's images.

        Returns
        -------
        lag
            Without delay and gain if there is no fit to the candidate or to the ruler.
        """
        if lag.tau_ns is None or lag.gain is None:
            return lag
        if self.lag.tau_ns is None or not self.lag.gain:
            return dataclasses.replace(
                lag,
                tau_ns=None,
                gain=None,
                interval_ns=None,
                gain_interval=None,
                reason=lag.reason or f"the ruler has none: {self.lag.reason}",
            )
        delay, gain = self.lag.tau_ns, self.lag.gain
        delays, gains = lag.interval_ns, lag.gain_interval
        return dataclasses.replace(
            lag,
            tau_ns=lag.tau_ns - delay,
            gain=lag.gain / gain,
            interval_ns=None if delays is None else (delays[0] - delay, delays[1] - delay),
            gain_interval=None if gains is None else (gains[0] / gain, gains[1] / gain),
        )


@dataclass
class _Known:
    """Keep what a finder found in the truth, and in fully sampled images of one seed, by frame."""

    own: dict[int, Segment | None] = field(default_factory=dict)
    full: dict[int, Segment | None] = field(default_factory=dict)
    seed: int = 0


_known: weakref.WeakKeyDictionary[TargetFinder, _Known] = weakref.WeakKeyDictionary()


def measure_ruler(stream: Stream, frames: NDArray[np.int64]) -> Ruler | None:
    """Find the target in the noise-free truth of some frames; what was found once is kept.

    Parameters
    ----------
    stream
        A scan with truth.
    frames
        The judged frames, ascending, shape (n,), int64.

    Returns
    -------
    ruler
        None if there is no target to find, or no frame.

    Raises
    ------
    InputError
        If the stream has no truth.
    """
    truth, header = _truth(stream), stream.header
    if not len(frames) or not truth.mask.any():
        return None
    finder = finder_of(truth, header)
    dice, areas = np.zeros(len(frames)), []
    segments = _in_truth(finder, truth, frames)
    for i, (frame, segment) in enumerate(zip(frames, segments, strict=True)):
        if segment is not None:
            true = truth.mask[frame]
            both, size = int((true[finder.window] & segment.mask).sum()), int(true.sum())
            dice[i] = 2 * both / max(size + int(segment.mask.sum()), 1)
            if size:
                areas.append(float(segment.mask.sum()) / size)
    centroid, error = _centres(segments, truth, header, frames)
    t_ns = np.asarray(stream.t_ns)[(frames + 1) * header.lines_per_frame - 1]
    # All frames are one block: the ruler has no noise, and so no interval.
    lag = apparent_lag(t_ns, centroid, truth, header, np.zeros(len(t_ns), np.int64))
    return Ruler(
        method=finder.method,
        planned_m=finder.error_mm * 1e-3,
        dice=float(dice.mean()),
        area_ratio=float(np.mean(areas)) if areas else math.nan,
        p95_m=float(nearest_rank(np.where(np.isfinite(error), error, np.inf), 0.95)),
        images=len(frames),
        not_found=int(np.isnan(error).sum()),
        lag=lag,
    )


def loses_target(stream: Stream, frames: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return in which frames the judge loses the target in the noise-free truth; what was found once is kept.

    Parameters
    ----------
    stream
        A scan with truth.
    frames
        Frames, ascending, shape (n,), int64.

    Returns
    -------
    lost
        Shape (n,), bool: the target is not found, or more than `LOST_M` from where it is. False where there
        is none to find.

    Raises
    ------
    InputError
        If the stream has no truth.
    """
    truth = _truth(stream)
    if not len(frames) or not truth.mask.any():
        return np.zeros(len(frames), np.bool_)
    segments = _in_truth(finder_of(truth, stream.header), truth, frames)
    _, error = _centres(segments, truth, stream.header, frames)
    return np.asarray(~(error <= LOST_M))


def _in_truth(finder: TargetFinder, truth: Truth, frames: NDArray[np.int64]) -> list[Segment | None]:
    """Return the target as it is found in the truth of some frames."""
    known = _known.setdefault(finder, _Known()).own
    for frame in map(int, frames):
        if frame not in known:
            known[frame] = finder.find(np.abs(truth.image[frame]))
    return [known[int(frame)] for frame in frames]


def _centres(
    segments: Sequence[Segment | None], truth: Truth, header: Header, frames: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the centre that was found in each frame, NaN where none was, and how far it is off, metres."""
    found = [(math.nan, math.nan) if segment is None else segment.centroid_m for segment in segments]
    centroid = np.array(found, np.float64)
    last = (frames + 1) * header.lines_per_frame - 1
    return centroid, np.hypot(*(centroid - np.asarray(truth.centroid)[last]).T)


def dice_to_full(
    stream: Stream, frames: NDArray[np.int64], found: Sequence[NDArray[np.bool_] | None], seed: int = 0
) -> NDArray[np.float64]:
    """Return the overlap with the target as it is found in fully sampled images: the 2019 abstract's Dice.

    Parameters
    ----------
    stream
        A scan with truth.
    frames
        Frames, shape (n,), int64.
    found
        Pixels of the target that was found in each, in the judge's window, bool; None where none was.
    seed
        Seed of the noise in the fully sampled images.

    Returns
    -------
    dice
        Shape (n,), float64; 0 where the candidate's target was not found, NaN where that of the fully sampled
        image was not.

    Raises
    ------
    InputError
        If the stream has no truth.
    """
    truth = _truth(stream)
    if not truth.mask.any():
        return np.full(len(frames), math.nan)
    finder = finder_of(truth, stream.header)
    known = _known.setdefault(finder, _Known())
    if known.seed != seed:
        known.full, known.seed = {}, seed
    dice = np.full(len(frames), math.nan)
    for i, (frame, mask) in enumerate(zip(map(int, frames), found, strict=True)):
        if frame not in known.full:
            known.full[frame] = finder.find(np.abs(full_image(stream, frame, seed)))
        full = known.full[frame]
        if full is not None:
            dice[i] = 0.0
            if mask is not None:
                dice[i] = 2 * (mask & full.mask).sum() / max(int(mask.sum()) + int(full.mask.sum()), 1)
    return dice


def full_image(stream: Stream, frame: int, seed: int = 0) -> NDArray[np.complex64]:
    """Return the image that instantaneous full sampling would give at a frame's last line: truth plus noise.

    Parameters
    ----------
    stream
        A scan with truth. Its provenance states the noise; without provenance none is added.
    frame
        Number of the frame.
    seed
        Seed of the noise, which differs in every frame.

    Returns
    -------
    image
        Shape (ny, nx), complex64.

    Raises
    ------
    InputError
        If the stream has no truth.
    """
    if stream.header.coils > 1:  # as one uniform coil would show it that has the noise of all of them
        return shown_as(stream).full(frame, seed)
    image = np.asarray(_truth(stream).image[frame])
    std = 0.0 if stream.provenance is None else stream.provenance.noise_std
    rng = np.random.default_rng(child(seed, "fully-sampled", frame))
    noise = rng.standard_normal((*image.shape, 2), np.float32).view(np.complex64)[..., 0]
    return np.asarray(image + np.float32(std / math.sqrt(2)) * noise, np.complex64)


def _truth(stream: Stream) -> Truth:
    if stream.truth is None:
        raise InputError(f"{stream.path or 'stream'}: a yardstick for images needs the truth")
    return stream.truth
