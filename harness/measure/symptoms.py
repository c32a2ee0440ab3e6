"""Symptoms: what is wrong with images in a simple way, such as a transform without its scale, by name.

Each mistake of a list says what images would look like: the true ones transposed, say. The mistake that
agrees best with the images is named where it is told from no mistake at all: what differs between true images
and those with the mistake must be in the images as the mistake has it. So poor images are not taken for wrong
ones, and of a symmetric scan nothing is named that it does not show. Magnitudes alone are compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import InputError

MOST, MOST_NAMES = 16, 3
"""Images that are looked at, spread over those given, and names that are given."""
WORTH_NMSE = 0.05
"""Images with less than this are as they should be, or nearly so."""
TOLD = 0.5
"""A mistake is told from another if their difference is in the images by at least this (1: in full; -1: the
other has it right; 0: neither)."""
SAME_NMSE = 0.01
"""Mistakes that change true images by less than this are not told from each other, nor from none."""
LEFT_SHARE, LEFT_NMSE = 0.1, 0.4
"""A scale below `MUCH` leaves at most this share of the NMSE, and all that is named less than this NMSE."""
LIKENESS = 0.8
"""What is put right correlates with the truth by at least this, both smoothed."""
SMOOTH = 1 / 40
"""Width of that smoothing, as a share of an image's length."""
UNSCALED, MUCH = 1.25, 3.0
"""A scale that is off by less than the first is not told, and by more than the second is none of noise."""
KNOWN_SCALE, KNOWN_SHARE = 0.03, 0.5
"""How near a scale is to one with a name, as a share: at least the first, and this share of the NMSE left."""

Magnitudes = NDArray[np.float64]
Change = Callable[[Magnitudes], Magnitudes]


@dataclass(frozen=True, slots=True)
class Mistake:
    """State a mistake of geometry: its name, what it makes of true images, and what undoes it."""

    name: str
    make: Change
    undo: Change


def symptom(images: NDArray[np.complex64], true_images: NDArray[np.complex64]) -> str | None:
    """Say what simple mistake makes images differ from the truth, if one does.

    Parameters
    ----------
    images, true_images
        Some images, spread over the scan, and the truth of their frames, shape (n, ny, nx), complex64 or
        real; images that are blank or not finite are left out.

    Returns
    -------
    sentence
        Such as "images are transposed (y and x exchanged): NMSE falls from 1.2 to 0.004 when that is undone";
        None if no mistake is told, or there is none.

    Raises
    ------
    InputError
        If the shapes are not the same, or not of images.
    """
    if images.shape != true_images.shape or images.ndim != 3 or 0 in images.shape[1:]:
        raise InputError(
            f"images {images.shape} and true images {true_images.shape}: expected the same (n, ny, nx)"
        )
    shown, truth = _usable(images, true_images)
    energy, true_energy = float(np.vdot(shown, shown)), float(np.vdot(truth, truth))
    if not 0 < energy < math.inf or not 0 < true_energy < math.inf:
        return None
    mistakes = _mistakes(*truth.shape[1:])
    products = [float(np.vdot(shown, mistake.make(truth))) for mistake in mistakes]
    before = (energy - 2 * products[0]) / true_energy + 1
    best = max(range(len(mistakes)), key=products.__getitem__)
    if before < WORTH_NMSE or products[best] <= 0:
        return None
    alike = _not_told_apart(mistakes, products, best, truth, true_energy)
    named = [] if 0 in alike else alike
    chosen = best if named else 0
    # With the scale that fits best, the NMSE is 1 - c^2 of the cosine c between image and truth.
    after = max(0.0, 1 - products[chosen] ** 2 / (energy * true_energy))
    factor = energy / products[chosen] if products[chosen] > 0 else math.inf
    scale = _scale(factor, truth.shape[1] * truth.shape[2], after)
    much = not 1 / MUCH < factor < MUCH
    helps = after < before if named or much else after <= LEFT_SHARE * before
    if not (named or scale) or not helps or after >= LEFT_NMSE:
        return None
    if _likeness(_smooth(mistakes[chosen].undo(shown)), _smooth(truth)) < LIKENESS:
        return None
    names = " or ".join(mistakes[number].name for number in named[:MOST_NAMES])
    unsure = " (this scan does not tell which)" if len(named) > 1 else ""
    what = " and ".join(part for part in (f"{names}{unsure}", scale) if part)
    return f"images are {what}: NMSE falls from {before:.2g} to {after:.2g} when that is undone"


def _usable(
    images: NDArray[np.complex64], true_images: NDArray[np.complex64]
) -> tuple[Magnitudes, Magnitudes]:
    """Return the magnitudes of some images that can be looked at, and of their truth."""
    chosen = np.unique(np.linspace(0, len(images) - 1, min(MOST, len(images))).round().astype(np.int64))
    shown, truth = (np.abs(a[chosen]).astype(np.float64) for a in (images, true_images))
    finite = np.isfinite(shown).all(axis=(1, 2)) & np.isfinite(truth).all(axis=(1, 2))
    usable = finite & shown.any(axis=(1, 2))
    return shown[usable], truth[usable]


def _not_told_apart(
    mistakes: list[Mistake], products: list[float], best: int, truth: Magnitudes, true_energy: float
) -> list[int]:
    """Return the mistakes that may be the one, the best among them; number 0 is none."""
    like_best = mistakes[best].make(truth)
    alike = []
    for number, mistake in enumerate(mistakes):
        # The share of the energy in which images with the one mistake and with the other differ, and how much
        # of it the images have as the best one says: 1 if that is right, 0 if the images hold nothing of it.
        differ = 1 - float(np.vdot(like_best, mistake.make(truth))) / true_energy
        found = 1 - products[number] / products[best]
        if number == best or 2 * differ < SAME_NMSE or found < TOLD * differ:
            alike.append(number)
    return alike


def _mistakes(ny: int, nx: int) -> list[Mistake]:
    """Return the mistakes, none at all first, then the likeliest."""

    def twice(name: str, change: Change) -> Mistake:
        return Mistake(name, change, change)

    def flipped(*axes: int) -> Change:
        return lambda m: np.flip(m, axes)

    def reflected(*axes: int) -> Change:
        # Through the pixel n // 2 of k = 0: in an array of even length that is one pixel beside the middle.
        by = [1 - (ny, nx)[axis - 1] % 2 for axis in axes]
        return lambda m: np.roll(np.flip(m, axes), by, axes)

    def shifted(name: str, *axes: int) -> Mistake:
        return Mistake(name, lambda m: np.fft.ifftshift(m, axes), lambda m: np.fft.fftshift(m, axes))

    def turned(name: str, by: int) -> Mistake:
        return Mistake(name, lambda m: np.rot90(m, by, (1, 2)), lambda m: np.rot90(m, -by, (1, 2)))

    found = [
        twice("as they should be", lambda m: m),
        shifted("shifted by half the matrix in y and x (fftshift is missing, or there twice)", 1, 2),
        shifted("shifted by half the matrix in y (fftshift is missing along y)", 1),
        shifted("shifted by half the matrix in x (fftshift is missing along x)", 2),
        twice(
            "reflected through the centre (k-space is conjugated, or transformed the wrong way)",
            reflected(1, 2),
        ),
        twice("mirrored in y (ky has the wrong sign)", reflected(1)),
        twice("mirrored in x (kx has the wrong sign)", reflected(2)),
    ]
    if ny == nx:
        found += [
            twice("transposed (y and x exchanged)", lambda m: m.swapaxes(1, 2)),
            turned("turned by 90 degrees", 1),
            turned("turned by -90 degrees", -1),
        ]
    return [
        *found,
        twice("upside down (rows reversed)", flipped(1)),
        twice("left to right (columns reversed)", flipped(2)),
        twice("turned by 180 degrees (rows and columns reversed)", flipped(1, 2)),
    ]


def _scale(factor: float, pixels: int, after: float) -> str:
    """Return by what factor images are too large or too small; empty if they are not."""
    if not 0 < factor < math.inf or 1 / UNSCALED <= factor <= UNSCALED:
        return ""
    times, way = (factor, "large") if factor > 1 else (1 / factor, "small")
    for known, why in (
        (pixels, "the number of pixels: the transform has the wrong norm"),
        (math.sqrt(pixels), "the root of the number of pixels: the transform is not unitary, norm='ortho'"),
    ):
        off = abs(times / known - 1)
        if off < max(KNOWN_SCALE, KNOWN_SHARE * after):
            return f"{'' if off < KNOWN_SCALE else 'about '}{round(known)} times too {way} ({why})"
    return f"{times:.3g} times too {way}"


def _smooth(magnitudes: Magnitudes) -> Magnitudes:
    ny, nx = magnitudes.shape[1:]
    y, x = np.fft.fftfreq(ny)[:, None] * ny, np.fft.rfftfreq(nx)[None, :] * nx
    window = np.exp(-2 * (math.pi * SMOOTH) ** 2 * (y**2 + x**2))
    found: Magnitudes = np.fft.irfft2(np.fft.rfft2(magnitudes) * window, (ny, nx))
    return found


def _likeness(shown: Magnitudes, truth: Magnitudes) -> float:
    """Return the correlation of image and truth about their means; 0 if one of both is uniform."""
    a, b = shown - shown.mean(), truth - truth.mean()
    size = math.sqrt(float(np.vdot(a, a)) * float(np.vdot(b, b)))
    whole = math.sqrt(float(np.vdot(shown, shown)) * float(np.vdot(truth, truth)))
    return float(np.vdot(a, b)) / size if size > 1e-9 * whole else 0.0
