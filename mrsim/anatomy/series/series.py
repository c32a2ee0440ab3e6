"""A series of images: frames, their instants, the size of a pixel, and the target's label in some of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsim.errors import PhantomError
from mrsim.summary import Summarised

MIN_FRAMES, MAX_FRAMES, MAX_SIDE, MAX_BYTES = 4, 20_000, 2048, 4 << 30
MAX_PIXEL_M, MAX_STEP_S = 0.05, 60.0
KEYS = ("images", "seconds", "pixel_mm", "first_label", "labels")


@dataclass(frozen=True, repr=False)
class Series(Summarised):
    """Hold the frames of a cine.

    Parameters
    ----------
    images
        Shape (frames, ny, nx), float32 or complex64; rows head to feet, columns along the readout.
    t_ns
        Instant of each frame from the first one, shape (frames,), int64, ascending, nanoseconds.
    pixel_m
        Height and width of a pixel, metres.
    labels
        Pixels of the target, shape (k, ny, nx), bool; k is 0 without a label, 1 for the first frame alone, or
        the number of frames.
    source
        Where it comes from, for messages and the record.
    orientation
        Where rows and columns run, in words.
    notes
        What else its file says, and what was done to it.
    """

    images: NDArray[Any]
    t_ns: NDArray[np.int64]
    pixel_m: tuple[float, float]
    labels: NDArray[np.bool_]
    source: str = "arrays"
    orientation: str = "rows and columns as they are stored"
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Return the time from the first frame to the last, seconds."""
        return float(self.t_ns[-1]) * 1e-9

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        frames, rows, columns = self.images.shape
        steps = np.diff(self.t_ns) * 1e-6
        labels = {0: "none", 1: "of the first frame"}.get(len(self.labels), "of every frame")
        return f"Series of {frames} frames from {self.source}", [
            (
                "image",
                f"{rows} x {columns}, pixels of {self.pixel_m[0] * 1e3:g} x {self.pixel_m[1] * 1e3:g} mm",
            ),
            ("time", f"{self.seconds:.1f} s, {np.median(steps):.1f} ms a frame (at most {steps.max():.1f})"),
            ("orientation", self.orientation),
            ("label", labels),
            *(("note", note) for note in self.notes),
        ]


def series_from_arrays(
    images: ArrayLike,
    seconds: ArrayLike,
    pixel_mm: ArrayLike,
    *,
    first_label: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    source: str = "arrays",
    orientation: str = Series.orientation,
    notes: tuple[str, ...] = (),
) -> Series:
    """Check the arrays of a cine and return it.

    Parameters
    ----------
    images
        Shape (frames, ny, nx), real magnitudes or complex; rows head to feet.
    seconds
        Instant of each frame, shape (frames,), ascending; the first is taken for 0.
    pixel_mm
        Height and width of a pixel, or one number for both, millimetres.
    first_label
        Pixels of the target in the first frame, shape (ny, nx).
    labels
        Pixels of the target in every frame, shape of `images`; in place of `first_label`.
    source
        How errors name the series.
    orientation, notes
        What is told of it, in words.

    Returns
    -------
    series
        With times in whole nanoseconds.

    Raises
    ------
    PhantomError
        If an array has the wrong shape, values that are not finite, or times that do not ascend.
    """
    image, times = np.asarray(images), np.asarray(seconds)
    _check_images(image, source)
    if times.dtype.kind not in "fiu" or times.shape != image.shape[:1] or not np.isfinite(times).all():
        raise PhantomError(
            f"{source}: seconds: expected {len(image)} finite numbers, one a frame, not {times.dtype} "
            f"{times.shape}"
        )
    t_ns = np.rint((times.astype(np.float64) - float(times[0])) * 1e9)
    steps = np.diff(t_ns)
    if (steps <= 0).any() or steps.max() > MAX_STEP_S * 1e9:
        frame = int(np.argmax((steps <= 0) | (steps > MAX_STEP_S * 1e9))) + 1
        raise PhantomError(
            f"{source}: seconds: frame {frame} comes {steps[frame - 1] * 1e-9:g} s after the one before; "
            f"expected more than 0 and at most {MAX_STEP_S:g}"
        )
    pixel = np.asarray(pixel_mm, np.float64).ravel() * 1e-3
    pixel = np.repeat(pixel, 2) if len(pixel) == 1 else pixel
    if len(pixel) != 2 or not ((pixel > 0) & (pixel <= MAX_PIXEL_M)).all():
        raise PhantomError(
            f"{source}: pixel_mm: expected one or two lengths above 0 and up to {MAX_PIXEL_M * 1e3:g} mm"
        )
    if first_label is not None and labels is not None:
        raise PhantomError(f"{source}: it has both first_label and labels; keep one of them")
    label = _labels(first_label, labels, image.shape, source)
    kind = np.complex64 if image.dtype.kind == "c" else np.float32
    return Series(
        image.astype(kind), t_ns.astype(np.int64), (float(pixel[0]), float(pixel[1])), label, source,
        orientation, notes,
    )  # fmt: skip


def _check_images(image: NDArray[Any], source: str) -> None:
    if image.ndim != 3 or image.dtype.kind not in "fiuc":
        raise PhantomError(
            f"{source}: images: expected numbers, (frames, rows, columns), not {image.dtype} {image.shape}"
        )
    frames, *sides = image.shape
    if not MIN_FRAMES <= frames <= MAX_FRAMES or not all(4 <= side <= MAX_SIDE for side in sides):
        raise PhantomError(
            f"{source}: images: {frames} frames of {sides[0]} x {sides[1]}; expected {MIN_FRAMES} to "
            f"{MAX_FRAMES} frames of 4 to {MAX_SIDE} rows and columns, time first"
        )
    if math.prod(image.shape) * 8 > MAX_BYTES:
        raise PhantomError(
            f"{source}: images: more than {MAX_BYTES >> 33} Gi pixels in all; take fewer frames"
        )
    if not np.isfinite(image).all():
        frame = int(np.argmax(~np.isfinite(image).all(axis=(1, 2))))
        raise PhantomError(f"{source}: images: frame {frame} has pixels that are not finite")
    if float(np.abs(image).max()) > 1e15:
        raise PhantomError(f"{source}: images: a pixel above 1e15; scale them")
    if not image.any():
        raise PhantomError(f"{source}: images: all pixels are zero")


def _labels(
    first: ArrayLike | None, every: ArrayLike | None, shape: tuple[int, ...], source: str
) -> NDArray[np.bool_]:
    key, given = ("first_label", first) if every is None else ("labels", every)
    if given is None:
        return np.zeros((0, *shape[1:]), np.bool_)
    label = np.asarray(given)
    expected = shape[1:] if every is None else shape
    if label.shape != expected or label.dtype.kind not in "biuf":
        raise PhantomError(f"{source}: {key}: expected the shape {expected}, not {label.dtype} {label.shape}")
    pixels: NDArray[np.bool_] = (label.reshape(-1, *shape[1:]) > 0).astype(np.bool_)
    for frame, one in enumerate(pixels):
        if not one.any():
            raise PhantomError(f"{source}: {key}: no pixel in frame {frame}")
        if one[[0, -1]].any() or one[:, [0, -1]].any():
            raise PhantomError(f"{source}: {key}: in frame {frame} it touches the edge of the image")
    return pixels
