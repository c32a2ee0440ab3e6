"""How hard another day is for whoever knows one: the same numbers, learnt on one day, asked on the next.

A person lies elsewhere on another day. So the images that were learnt from are moved as a whole, by the one
shift that lets the two days' means agree best, before anything is compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.hardness.score import BODY_PERCENTILE, COMPONENTS, LAG_S, MAX_VALUES, MIN_FRAMES
from mrsim.errors import InputError
from mrsim.summary import Summarised

Array = NDArray[np.float64]

MAX_SHIFT_PX = 8.0
_STEP_PX = 0.25


@dataclass(frozen=True, repr=False)
class OtherDay(Summarised):
    """Hold how hard a day is after another.

    Parameters
    ----------
    shift_px
        By how many pixels (rows, columns) the images of the first day were moved.
    nearest
        Mean NMSE of the nearest image of the first day, chosen with the truth in hand.
    late
        Mean NMSE of the true image of 200 ms ago, in whole frames.
    memory_score
        `nearest / late`; NaN where nothing moves.
    outside
        Share of the second day's energy outside 20 components of the first.
    """

    shift_px: tuple[float, float]
    nearest: float
    late: float
    memory_score: float
    outside: float

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        score = "-" if math.isnan(self.memory_score) else f"{self.memory_score:.3g}"
        return "Hardness of another day", [
            ("shift (rows, columns)", f"{self.shift_px[0]:+.2f}, {self.shift_px[1]:+.2f} pixels"),
            ("nearest image of the first day (NMSE)", f"{self.nearest:.2e}"),
            ("true image of 200 ms ago (NMSE)", f"{self.late:.2e}"),
            ("memory score, the ratio of the two", score),
            (f"energy outside {COMPONENTS} components of the first day", f"{self.outside:.2e}"),
        ]


def hardness_of_other_day(
    first: NDArray[np.number], second: NDArray[np.number], frame_s: float, where: str = "images"
) -> OtherDay:
    """Compute how hard a second day is.

    Parameters
    ----------
    first, second
        Noise-free images of the two days, shape (frames, ny, nx) each; their magnitudes count.
    frame_s
        Time from one to the next, seconds.
    where
        How errors name them.

    Raises
    ------
    InputError
        If they are too few, too large, empty, not finite, or of two sizes.
    """
    for images in (first, second):
        if images.ndim != 3 or len(images) < MIN_FRAMES or images.size > MAX_VALUES:
            raise InputError(
                f"{where}: {images.shape}: expected {MIN_FRAMES} images or more, and not too many"
            )
    if first.shape[1:] != second.shape[1:]:
        raise InputError(f"{where}: {first.shape[1:]} and {second.shape[1:]} pixels: expected one size")
    if not 0 < frame_s <= 60:
        raise InputError(f"{where}: {frame_s:g} s from image to image; expected above 0, at most 60")
    before, after = np.abs(first).astype(np.float64), np.abs(second).astype(np.float64)
    mean = after.mean(axis=0)
    if not (np.isfinite(mean).all() and np.isfinite(before.sum()) and mean.any() and before.any()):
        raise InputError(f"{where}: images are empty, or have pixels that are not finite")
    shift = best_shift(before.mean(axis=0), mean)
    body = mean > np.percentile(mean, BODY_PERCENTILE)
    train, test = moved(before, shift)[:, body], after[:, body]
    energy = (test**2).sum(axis=1)
    distance = (train**2).sum(axis=1)[:, None] + energy[None] - 2 * train @ test.T
    nearest = float(np.clip(distance / energy, 0, None).min(axis=0).mean())
    lag = max(1, round(LAG_S / frame_s))
    late = float((((test[:-lag] - test[lag:]) ** 2).sum(axis=1) / energy[lag:]).mean())
    _, size, components = np.linalg.svd(train, full_matrices=False)
    basis = components[:COMPONENTS][size[:COMPONENTS] > 1e-12 * size[0]]
    outside = float(((test - test @ basis.T @ basis) ** 2).sum() / energy.sum())
    return OtherDay(shift, nearest, late, nearest / late if late > 0 else math.nan, outside)


def best_shift(first: Array, second: Array) -> tuple[float, float]:
    """Return by how many pixels (rows, columns) one image is to be moved to agree best with another.

    Parameters
    ----------
    first, second
        The images, shape (ny, nx).
    """
    steps = np.arange(-MAX_SHIFT_PX, MAX_SHIFT_PX + _STEP_PX / 2, _STEP_PX)
    # The agreement at a shift is one value of the inverse transform of the cross spectrum.
    cross = np.fft.fft2(second) * np.fft.fft2(first).conj()
    fy, fx = np.fft.fftfreq(first.shape[0]), np.fft.fftfreq(first.shape[1])
    down, along = np.exp(2j * np.pi * steps[:, None] * fy), np.exp(2j * np.pi * fx[:, None] * steps)
    agreement = (down @ cross @ along).real
    row, column = np.unravel_index(agreement.argmax(), agreement.shape)
    return float(steps[row]), float(steps[column])


def moved(images: Array, shift_px: tuple[float, float]) -> Array:
    """Return images moved by a shift (rows, columns), periodic, shape as given."""
    fy, fx = np.fft.fftfreq(images.shape[1]), np.fft.fftfreq(images.shape[2])
    turn = np.exp(-2j * np.pi * (fy[:, None] * shift_px[0] + fx * shift_px[1]))
    out = np.empty_like(images)
    for n, image in enumerate(images):
        out[n] = np.fft.ifft2(np.fft.fft2(image) * turn).real
    return out
