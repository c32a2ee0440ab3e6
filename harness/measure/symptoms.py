"""Symptoms: what is wrong with images in a simple way, such as a transform without its scale, by name.

Each mistake of a list says what images would look like: the true ones transposed, say. The mistake that
agrees best with the images is named where it is told from no mistake at all: what differs between true images
and those with the mistake must be in the images as the mistake has it. So poor images are not taken for wrong
ones, and of a symmetric scan nothing is named that it does not show. Magnitudes alone are compared.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import InputError
from recon.convention import AS_IT_IS, ORIENTATIONS, Convention

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
STACKED_SHARE = 0.05
"""Images of lines that are stacked as they arrive differ by less than this share of energy from that."""
UNSCALED, MUCH = 1.25, 3.0
"""A scale that is off by less than the first is not told, and by more than the second is none of noise."""
KNOWN_SCALE, KNOWN_SHARE = 0.03, 0.5
"""How near a scale is to one with a name, as a share: at least the first, and this share of the NMSE left."""

Magnitudes = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Mistake:
    """State a mistake of geometry: its name, and what sets images right that have it."""

    name: str
    remedy: Convention

    def undone(self, images: Magnitudes) -> Magnitudes:
        """Return images without the mistake."""
        return self.remedy.apply(images)

    def made(self, images: Magnitudes) -> Magnitudes:
        """Return true images with the mistake."""
        back = np.roll(images, [-by for by in self.remedy.roll], (-2, -1))
        exchanged, reversed_ = ORIENTATIONS[self.remedy.orient]
        back = np.flip(back, reversed_) if reversed_ else back
        return back.swapaxes(-2, -1) if exchanged else back


def symptom(
    images: NDArray[np.complex64], true_images: NDArray[np.complex64], stated: Convention = AS_IT_IS
) -> str | None:
    """Say what simple mistake makes images differ from the truth, if one does.

    Parameters
    ----------
    images, true_images
        Some images, spread over the scan, and the truth of their frames, shape (n, ny, nx), complex64 or
        real; images that are blank or not finite are left out.
    stated
        What has been done to the images already, so that the sentence has all that is to be stated.

    Returns
    -------
    sentence
        Such as "images are transposed (y and x exchanged): NMSE falls from 1.2 to 0.004 when that is undone
        (CANDIDATE?orient=transpose)"; None if no mistake is told, or there is none.

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
    before = (energy - 2 * float(np.vdot(shown, truth))) / true_energy + 1
    if before < WORTH_NMSE:
        return None
    mistakes = _mistakes(*truth.shape[1:])
    found = _named(shown, truth, before, mistakes)
    inverted = found is None
    if inverted:
        upright = Convention(negative=True).apply(shown)
        found = _named(upright, truth, before, mistakes, worth_it=True)
    if found is None:
        return None
    what, after, remedy = found
    if inverted:
        what = " and ".join(part for part in ("inverted (dark where it should be bright)", what) if part)
        remedy = dataclasses.replace(remedy, negative=True)
    return (
        f"images are {what}: NMSE falls from {before:.2g} to {after:.2g} when that is undone "
        f"({_spelt(remedy.after(stated))})"
    )


def stacked(
    images: NDArray[np.complex64], true_images: NDArray[np.complex64], arrived: NDArray[np.floating[Any]]
) -> str | None:
    """Say whether images show the lines as they arrived, whatever row each is of.

    Parameters
    ----------
    images, true_images
        Some images and the truth of their frames, shape (n, ny, nx).
    arrived
        Magnitudes of the images that lines give if they are stacked as they arrive, shape (n, ny, nx).

    Returns
    -------
    sentence
        None if they do not, or if that is right.
    """
    shown = np.abs(images).astype(np.float64)
    usable = np.isfinite(shown).all(axis=(1, 2)) & shown.any(axis=(1, 2))
    if not usable.any():
        return None
    shown = shown[usable]
    as_arrived, as_true = (
        1 - _cosine(shown, np.abs(other[usable]).astype(np.float64)) ** 2 for other in (arrived, true_images)
    )
    if as_true < WORTH_NMSE or as_arrived > min(STACKED_SHARE, LEFT_SHARE * as_true):
        return None
    return (
        "images show the lines of a frame in the order in which they arrive, whatever row each is of; scan "
        f"with order='ascending' (NMSE {as_true:.2g} to the truth, {as_arrived:.2g} to that)"
    )


def _cosine(a: Magnitudes, b: Magnitudes) -> float:
    size = math.sqrt(float(np.vdot(a, a)) * float(np.vdot(b, b)))
    return float(np.vdot(a, b)) / size if size > 0 else 0.0


def _named(
    shown: Magnitudes, truth: Magnitudes, before: float, mistakes: list[Mistake], worth_it: bool = False
) -> tuple[str, float, Convention] | None:
    """Return what is wrong in words, the NMSE without it, and what undoes it; None if nothing is told.

    `worth_it` says that something else is wrong already, so that no more need be.
    """
    energy, true_energy = float(np.vdot(shown, shown)), float(np.vdot(truth, truth))
    if not energy:
        return None
    mistakes = [*mistakes, *_other_rolls(mistakes, shown, truth)]
    products = _products(mistakes, shown, truth)
    best = max(range(len(mistakes)), key=products.__getitem__)
    if products[best] <= 0:
        return None
    alike = _not_told_apart(mistakes, products, best, truth, true_energy)
    named = [] if 0 in alike else _simplest(mistakes, alike)
    chosen = max(named, key=products.__getitem__, default=0)
    # With the scale that fits best, the NMSE is 1 - c^2 of the cosine c between image and truth.
    after = max(0.0, 1 - products[chosen] ** 2 / (energy * true_energy))
    factor = energy / products[chosen] if products[chosen] > 0 else math.inf
    scale = _scale(factor, truth.shape[1] * truth.shape[2], after)
    much = not 1 / MUCH < factor < MUCH
    helps = after < before if named or much or worth_it else after <= LEFT_SHARE * before
    if not (named or scale or worth_it) or not helps or after >= LEFT_NMSE:
        return None
    if _likeness(_smooth(mistakes[chosen].undone(shown)), _smooth(truth)) < LIKENESS:
        return None
    names = " or ".join(mistakes[number].name for number in named[:MOST_NAMES])
    unsure = " (this scan does not tell which)" if len(named) > 1 else ""
    what = " and ".join(part for part in (f"{names}{unsure}", scale) if part)
    return what, after, dataclasses.replace(mistakes[chosen].remedy, fit=bool(scale))


def _products(mistakes: list[Mistake], shown: Magnitudes, truth: Magnitudes) -> list[float]:
    """Return the scalar product of images without each mistake and true ones."""
    rolled = _of_all_rolls({mistake.remedy.orient for mistake in mistakes}, shown, truth)
    ny, nx = truth.shape[1:]
    places = ((mistake.remedy.orient, *mistake.remedy.roll) for mistake in mistakes)
    return [float(rolled[orient][dy % ny, dx % nx]) for orient, dy, dx in places]


def _of_all_rolls(orients: set[str], shown: Magnitudes, truth: Magnitudes) -> dict[str, Magnitudes]:
    """Return the same for all rolls of a turn at once, by turn, shape (ny, nx)."""
    true = np.fft.rfft2(truth)
    found = {}
    for orient in orients:
        turned = np.fft.rfft2(Convention(orient=orient).apply(shown))
        found[orient] = np.fft.irfft2((turned.conj() * true).sum(axis=0), truth.shape[1:])
    return found


def _other_rolls(mistakes: list[Mistake], shown: Magnitudes, truth: Magnitudes) -> list[Mistake]:
    """Return the best roll of each turn, where it is none of the mistakes yet."""
    names = {
        mistake.remedy.orient: "" if mistake.remedy == AS_IT_IS else mistake.name
        for mistake in mistakes
        if mistake.remedy.roll == (0, 0)
    }
    known = {mistake.remedy for mistake in mistakes}
    sides = truth.shape[1:]
    more = []
    for orient, products in _of_all_rolls(set(names), shown, truth).items():
        at = np.unravel_index(int(np.argmax(products)), sides)
        dy, dx = (int(by) if 2 * by <= side else int(by) - side for by, side in zip(at, sides, strict=True))
        remedy = Convention(orient=orient, roll=(dy, dx))
        if remedy not in known:
            steps = [(abs(by), way) for by, way in ((dy, "y"), (dx, "x")) if by]
            ways = [f"{by} pixel{'s' * (by > 1)} in {way}" for by, way in steps]
            rolled = f"rolled by {' and '.join(ways)}"
            more.append(Mistake(f"{names[orient]} and {rolled}" if names[orient] else rolled, remedy))
    return sorted(more, key=lambda mistake: list(names).index(mistake.remedy.orient))


def _simplest(mistakes: list[Mistake], alike: list[int]) -> list[int]:
    """Return mistakes without those that are but a roll away from one that is as good, in their order."""
    kept: dict[str, int] = {}
    for number in alike:
        kept.setdefault(mistakes[number].remedy.orient, number)
    return list(kept.values())


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
    like_best = _products(mistakes, mistakes[best].made(truth), truth)
    alike = []
    for number in range(len(mistakes)):
        # The share of the energy in which images with the one mistake and with the other differ, and how much
        # of it the images have as the best one says: 1 if that is right, 0 if the images hold nothing of it.
        differ = 1 - like_best[number] / true_energy
        found = 1 - products[number] / products[best]
        if number == best or 2 * differ < SAME_NMSE or found < TOLD * differ:
            alike.append(number)
    return alike


def _mistakes(ny: int, nx: int) -> list[Mistake]:
    """Return the mistakes, none at all first, then the likeliest, and last those that are rolled as well."""
    half, odd = (ny // 2, nx // 2), (1 - ny % 2, 1 - nx % 2)
    or_twice = "" if ny % 2 or nx % 2 else ", or there twice"
    # A reflection through the pixel of k = 0, n // 2: in an array of even length one beside the middle.
    found = [
        Mistake("as they should be", Convention()),
        Mistake(
            f"shifted by half the matrix in y and x (fftshift is missing{or_twice})",
            Convention(roll=half),
        ),
        Mistake(
            "shifted by half the matrix in y (fftshift is missing along y)", Convention(roll=(half[0], 0))
        ),
        Mistake(
            "shifted by half the matrix in x (fftshift is missing along x)", Convention(roll=(0, half[1]))
        ),
        Mistake(
            "reflected through the centre (k-space is conjugated, or transformed the wrong way)",
            Convention(orient="rot180", roll=odd),
        ),
        Mistake("mirrored in y (ky has the wrong sign)", Convention(orient="flipud", roll=(odd[0], 0))),
        Mistake("mirrored in x (kx has the wrong sign)", Convention(orient="fliplr", roll=(0, odd[1]))),
    ]
    if ny % 2 or nx % 2:  # of an odd length, once too often is not the same as once too few
        twice = "shifted by half the matrix in y and x (fftshift is there twice)"
        found.append(Mistake(twice, Convention(roll=(ny - half[0], nx - half[1]))))
    turned = [
        ("transpose", "transposed (y and x exchanged)"),
        # What is turned one way is set right by the other.
        ("rot270", "turned by 90 degrees"),
        ("rot90", "turned by -90 degrees"),
        ("antitranspose", "transposed about the other diagonal"),
    ]
    names = {
        **dict(turned if ny == nx else []),
        "flipud": "upside down (rows reversed)",
        "fliplr": "left to right (columns reversed)",
        "rot180": "turned by 180 degrees (rows and columns reversed)",
    }
    found += [Mistake(name, Convention(orient=orient)) for orient, name in names.items()]
    known = {mistake.remedy for mistake in found}
    ways = {(0, 1): "x", (1, 0): "y", (1, 1): "y and x"}
    for orient, name in {"as-is": "", **names}.items():
        for by in itertools.product((0, 1, -1), repeat=2):
            remedy = Convention(orient=orient, roll=(by[0], by[1]))
            if remedy not in known:
                rolled = f"rolled by one pixel in {ways[abs(by[0]), abs(by[1])]}"
                found.append(Mistake(f"{name} and {rolled}" if name else rolled, remedy))
    return found


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


def _spelt(convention: Convention) -> str:
    return f"CANDIDATE?{convention.options}" if convention.options else "CANDIDATE without these options"
