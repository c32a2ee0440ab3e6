"""A cine played back: smoothed in time, cross-faded between frames, with its target's path.

What was between two frames nobody knows. The cross-fade of the two is a choice, and truth is what was
scanned: the image at an instant is exactly this mixture. What is white in time (flow, noise, the first
reconstruction) can be foretold by nobody. So it is smoothed away first, and the share removed is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.series.series import Series
from mrsim.anatomy.series.tracking import label_center, track
from mrsim.errors import PhantomError

SMOOTH_FRAMES, MAX_SMOOTH_FRAMES = 1.0, 10.0
_REACH = 4  # standard deviations of the Gaussian that are summed
BODY_PERCENTILE = 35
LEAST_LIKENESS = 0.3

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Playback:
    """Hold what is scanned of a cine.

    Parameters
    ----------
    images
        Smoothed frames, shape (frames, ny, nx), float32 or complex64.
    t_ns
        Instant of each, shape (frames,), int64, nanoseconds from the first.
    pixel_m
        Height and width of a pixel, metres.
    labels
        Pixels of the target, shape (k, ny, nx), bool; k is 0, 1 or the number of frames.
    path_px
        Centre of the target (row, column) in each frame, shape (frames, 2), float64, pixels; the middle of
        the image without a target.
    """

    images: NDArray[Any]
    t_ns: NDArray[np.int64]
    pixel_m: tuple[float, float]
    labels: NDArray[np.bool_]
    path_px: Array

    @property
    def stop_ns(self) -> int:
        """Return the instant of the last frame, nanoseconds."""
        return int(self.t_ns[-1])

    def between(self, t_ns: NDArray[np.int64]) -> tuple[NDArray[np.int64], Array]:
        """Return the frame before each instant, and how far it is on the way to the next, 0 to 1.

        Parameters
        ----------
        t_ns
            Instants, shape (n,), int64, nanoseconds; held at the ends.
        """
        frame = np.clip(np.searchsorted(self.t_ns, t_ns, side="right") - 1, 0, len(self.t_ns) - 2)
        part = (t_ns - self.t_ns[frame]) / (self.t_ns[frame + 1] - self.t_ns[frame])
        return frame, np.clip(part, 0.0, 1.0)

    def image(self, t_ns: int) -> NDArray[Any]:
        """Return the image of one instant, shape (ny, nx)."""
        (frame,), (part,) = self.between(np.array([t_ns], np.int64))
        mixed: NDArray[Any] = (1 - part) * self.images[frame] + part * self.images[frame + 1]
        return mixed

    def place_px(self, t_ns: NDArray[np.int64]) -> Array:
        """Return the centre of the target (row, column) at each instant, shape (n, 2), pixels."""
        frame, part = self.between(t_ns)
        place: Array = (1 - part)[:, None] * self.path_px[frame] + part[:, None] * self.path_px[frame + 1]
        return place


@dataclass(frozen=True)
class Realism:
    """Hold how a playback differs from what was recorded.

    Parameters
    ----------
    removed
        Share of the recorded energy in the body that smoothing took away.
    left_out, previous
        Mean NMSE in the body of left-out smoothed frames, met by the cross-fade of their neighbours, and by
        the frame before them.
    likeness
        Least correlation of the target's patch with what was followed; None without a label of one frame.
    """

    removed: float
    left_out: float
    previous: float
    likeness: float | None


def playback_of(series: Series, smooth_frames: float = SMOOTH_FRAMES) -> tuple[Playback, Realism]:
    """Prepare a cine for scanning.

    Parameters
    ----------
    series
        The cine.
    smooth_frames
        Standard deviation of the Gaussian in time, in median frames; 0 keeps the frames as they are.

    Returns
    -------
    playback, realism
        What is scanned, and how it differs from what was recorded.

    Raises
    ------
    PhantomError
        If the width is out of range, or the target cannot be followed.
    """
    if not 0 <= smooth_frames <= MAX_SMOOTH_FRAMES:
        raise PhantomError(
            f"{series.source}: smoothing by {smooth_frames:g} frames; expected 0 to {MAX_SMOOTH_FRAMES:g}"
        )
    images = _smoothed(series, smooth_frames)
    body = body_of(images)
    recorded, kept = series.images[:, body], images[:, body]
    removed = _energy(recorded - kept) / _energy(recorded)
    middle = _faded(series.t_ns, kept)
    energy = (np.abs(kept[1:-1]).astype(np.float64) ** 2).sum(axis=1)
    if not energy.all():
        raise PhantomError(
            f"{series.source}: images: frame {1 + int(np.argmin(energy))} is black throughout the body; "
            "leave it out, or see that time is the first axis"
        )
    left_out, previous = (
        float(((np.abs(kept[1:-1] - other).astype(np.float64) ** 2).sum(axis=1) / energy).mean())
        for other in (middle, kept[:-2])
    )
    path, likeness = _path(series, images)
    played = Playback(images, series.t_ns, series.pixel_m, series.labels, path)
    return played, Realism(removed, left_out, previous, likeness)


def body_of(images: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the pixels of the body, whose mean magnitude is above the 35th percentile, (ny, nx), bool."""
    mean = np.abs(images).mean(axis=0)
    return np.asarray(mean > np.percentile(mean, BODY_PERCENTILE), np.bool_)


def _smoothed(series: Series, width: float) -> NDArray[Any]:
    if width == 0:
        return series.images
    step_ns = float(np.median(np.diff(series.t_ns)))
    place = series.t_ns / (step_ns * width)
    out = np.empty_like(series.images)
    for frame, at in enumerate(place):
        first, last = np.searchsorted(place, [at - _REACH, at + _REACH])
        weight = np.exp(-((place[first:last] - at) ** 2) / 2)
        out[frame] = np.tensordot((weight / weight.sum()).astype(np.float32), series.images[first:last], 1)
    return out


def _faded(t_ns: NDArray[np.int64], kept: NDArray[Any]) -> NDArray[Any]:
    part = ((t_ns[1:-1] - t_ns[:-2]) / (t_ns[2:] - t_ns[:-2])).astype(np.float32)[:, None]
    faded: NDArray[Any] = (1 - part) * kept[:-2] + part * kept[2:]
    return faded


def _path(series: Series, images: NDArray[Any]) -> tuple[Array, float | None]:
    frames, *sides = images.shape
    if not len(series.labels):
        return np.tile((np.array(sides) // 2).astype(np.float64), (frames, 1)), None
    if len(series.labels) == frames:
        return np.stack([label_center(label) for label in series.labels]), None
    shift, likeness = track(np.abs(images), series.labels[0])
    worst = int(np.argmin(likeness))
    if likeness[worst] < LEAST_LIKENESS:
        raise PhantomError(
            f"{series.source}: first_label: what it marks cannot be followed: in frame {worst} "
            f"({series.t_ns[worst] * 1e-9:.1f} s) its correlation is {likeness[worst]:.2f}, expected "
            f"{LEAST_LIKENESS:g} or more; mark a structure with edges, or give a label of every frame"
        )
    path = label_center(series.labels[0]) + shift
    far = np.argwhere(series.labels[0])
    low, high = far.min(axis=0) + shift, far.max(axis=0) + shift
    out = ((low < 0) | (high > np.array(sides) - 1)).any(axis=1)
    if out.any():
        frame = int(np.argmax(out))
        raise PhantomError(
            f"{series.source}: first_label: the target leaves the image in frame {frame} "
            f"({series.t_ns[frame] * 1e-9:.1f} s); take fewer frames, or another target"
        )
    return path, float(likeness[worst])


def _energy(values: NDArray[Any]) -> float:
    return float((np.abs(values).astype(np.float64) ** 2).sum())
