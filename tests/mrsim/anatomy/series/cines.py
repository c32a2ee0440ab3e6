"""Cines whose motion is known exactly, and where real ones lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mrsim

REAL = Path(mrsim.__file__).parents[2] / "shared" / "data" / "cine-abdomen"
"""Real cines, beside the project where there are any; they are never part of it."""
SHAPE = (40, 36)
STEP_S = 0.15


def smooth_image(seed: int = 3, shape: tuple[int, int] = SHAPE) -> NDArray[np.float64]:
    """Draw an image of blobs whose transform has nothing beyond a third of the band."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    image = np.zeros(shape)
    for _ in range(14):
        (cy, cx), width = rng.uniform(0.25, 0.75, 2) * shape, rng.uniform(1.6, 3.0)
        image += rng.uniform(0.3, 1.0) * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * width**2))
    return image


def moved(image: NDArray[np.float64], dy: float, dx: float) -> NDArray[np.float64]:
    """Return an image moved by a part of a pixel, exactly as its transform says."""
    ky, kx = np.fft.fftfreq(image.shape[0])[:, None], np.fft.fftfreq(image.shape[1])
    turned = np.fft.fft2(image) * np.exp(-2j * np.pi * (ky * dy + kx * dx))
    return np.fft.ifft2(turned).real


def breathing(frames: int) -> NDArray[np.float64]:
    """Return shifts (row, column) of a slow breath, shape (frames, 2), pixels; none in the first frame."""
    t = np.arange(frames)
    return np.stack([3.0 * np.sin(t / 6) ** 2, 0.8 * np.sin(t / 9)], axis=1)


def cine(frames: int = 24, **changes: Any) -> dict[str, Any]:
    """Return the arrays of a cine whose image moves as a whole."""
    image, shifts = smooth_image(), breathing(frames)
    label = np.zeros(SHAPE, np.bool_)
    label[14:24, 12:22] = True
    given = {
        "images": np.stack([moved(image, *shift) for shift in shifts]),
        "seconds": STEP_S * np.arange(frames),
        "pixel_mm": np.array([3.0, 2.5]),
        "first_label": label,
    }
    return {key: value for key, value in {**given, **changes}.items() if value is not None}
