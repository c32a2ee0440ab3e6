"""Where the target is in each frame of a series: a patch of the first frame, fitted to all others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RIM_PX = 3
"""Pixels around the label that are compared, too: the target's edge tells most."""
REACH_PX = 6
"""How far from its last place the target is looked for, pixels."""
STEPS = 20
SETTLED_PX = 1e-4

Array = NDArray[np.float64]


def label_center(label: NDArray[np.bool_]) -> Array:
    """Return the mean (row, column) of a label's pixels, shape (2,), float64, pixels."""
    return np.asarray(np.argwhere(label).mean(axis=0), np.float64)


def track(images: NDArray[np.floating], label: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Follow the pixels of a label from the first frame on.

    A frame is compared with the first one, so that nothing adds up. Brightness and offset are fitted, too
    (Lucas and Kanade 1981).

    Parameters
    ----------
    images
        Magnitudes, shape (frames, ny, nx).
    label
        Pixels of the target in the first frame, shape (ny, nx), bool.

    Returns
    -------
    shift
        How far it is from where it was in the first frame, (row, column), shape (frames, 2), pixels.
    likeness
        Correlation of the patch with what is found, shape (frames,); 1 for the same pixels.
    """
    kept = _grown(label, RIM_PX)
    points = np.argwhere(kept).astype(np.float64)
    template = np.asarray(images[0], np.float64)[kept]
    shift, likeness = np.zeros((len(images), 2)), np.ones(len(images))
    place = np.zeros(2)
    for frame in range(1, len(images)):
        image = np.asarray(images[frame], np.float64)
        start = _nearest(image, points, template, np.rint(place).astype(np.int64))
        place, likeness[frame] = _fitted(image, points, template, start.astype(np.float64))
        shift[frame] = place
    return shift, likeness


def _grown(label: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    out = label.copy()
    for axis in (0, 1):
        grown = out.copy()
        for step in range(1, by + 1):
            grown |= np.roll(out, step, axis) | np.roll(out, -step, axis)
        out = grown
    out[[0, -1]] = False
    out[:, [0, -1]] = False
    return out


def _nearest(image: Array, points: Array, template: Array, last: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the whole-pixel shift near the last one at which the patch is most alike."""
    best, found = -np.inf, last
    base = points.astype(np.int64)
    limit = np.array(image.shape) - 1
    for dy in range(-REACH_PX, REACH_PX + 1):
        for dx in range(-REACH_PX, REACH_PX + 1):
            at = np.clip(base + last + (dy, dx), 0, limit)
            likeness = _correlation(image[at[:, 0], at[:, 1]], template)
            if likeness > best:
                best, found = likeness, last + np.array((dy, dx))
    return found


def _fitted(image: Array, points: Array, template: Array, place: Array) -> tuple[Array, float]:
    """Return the shift to a fraction of a pixel, and how alike the patch is there."""
    start = place.copy()
    for _ in range(STEPS):
        seen, down, right = _sampled(image, points + place)
        basis = np.stack([template, np.ones_like(template), -down, -right], axis=1)
        fitted, *_ = np.linalg.lstsq(basis, seen, rcond=None)
        step = np.clip(fitted[2:], -1, 1)
        place = place + step
        if np.abs(place - start).max() > 2:  # it left the pixel that it began at: keep that
            place = start
            break
        if np.abs(step).max() < SETTLED_PX:
            break
    return place, _correlation(_sampled(image, points + place)[0], template)


def _sampled(image: Array, at: Array) -> tuple[Array, Array, Array]:
    """Return values and derivatives along rows and columns at places, by the cubic through four pixels."""
    limit = np.array(image.shape) - 1
    whole = np.floor(at).astype(np.int64)
    part = at - whole
    weight, slope = _cubic(part)
    value, down, right = (np.zeros(len(at)) for _ in range(3))
    for i in range(4):
        row = np.clip(whole[:, 0] + i - 1, 0, limit[0])
        for j in range(4):
            pixel = image[row, np.clip(whole[:, 1] + j - 1, 0, limit[1])]
            value += weight[i][:, 0] * weight[j][:, 1] * pixel
            down += slope[i][:, 0] * weight[j][:, 1] * pixel
            right += weight[i][:, 0] * slope[j][:, 1] * pixel
    return value, down, right


def _cubic(part: Array) -> tuple[list[Array], list[Array]]:
    """Return weights and their derivatives of the Catmull-Rom cubic at a fraction of a pixel."""
    p, q = part, part * part
    r = q * p
    weight = [(-r + 2 * q - p) / 2, (3 * r - 5 * q + 2) / 2, (-3 * r + 4 * q + p) / 2, (r - q) / 2]
    slope = [(-3 * q + 4 * p - 1) / 2, (9 * q - 10 * p) / 2, (-9 * q + 8 * p + 1) / 2, (3 * q - 2 * p) / 2]
    return weight, slope


def _correlation(one: Array, other: Array) -> float:
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / size if size > 0 else 0.0
