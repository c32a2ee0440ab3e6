"""What the target looks like, at any sub-pixel shift: the mean of the planning images and how they differ.

Every planning image is moved, by its Fourier transform, so that the true centre of its target lies on one
pixel. Complex images are moved, and their magnitude is taken afterwards: where edges ring, a moved magnitude
is not the magnitude of what has moved. The target then stands still and its surroundings move. The mean is
the template. The principal modes of the rest are how the target turns, deforms or leaves the slice, and how
what is near it comes and goes (active appearance: Cootes et al. 2001, 10.1109/34.927467).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.measure.finding.plan import Plan, eval_library

PHASES = 8
"""Sub-pixel shifts along each axis for which templates are kept; between them their slopes serve."""
RIM_PX = 4
"""Pixels around the target that a template holds."""
SUPPORT_PX = (1.5, 2.5)
"""Pixels up to this distance from the target are compared with an image, those beyond the second are not."""
MODES = 5
FRAMES_PER_MODE = 4

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """Hold what a linear fit of one template to an image needs; `n` pixels are compared.

    Parameters
    ----------
    basis
        Template, its derivatives by the shift of the target along rows and columns, 1, and the modes; shape
        (n, 4 + modes).
    inverse
        The weighted pseudo-inverse of `basis`, shape (4 + modes, n).
    """

    basis: Array
    inverse: Array


class Layers:
    """Hold template and modes, and give them at any shift.

    Parameters
    ----------
    plan
        What is known of the target.

    Attributes
    ----------
    half
        Rows and columns of the template on either side of its centre.
    inside
        Share of the planning frames in which the target covers each pixel, shape (rows, columns).
    template
        The template at no shift, shape (rows, columns).
    kept, weight
        Pixels that are compared, shape (rows, columns), bool, and their weights, shape (n,).
    """

    def __init__(self, plan: Plan) -> None:
        images = plan.image / (plan.magnitude.max() or 1.0)
        shape = images.shape[1:]
        nearest = np.rint(plan.centre_px).astype(np.int64)
        self.half = half_size(plan)
        self._middle = tuple(slice(n // 2 - h, n // 2 + h + 1) for n, h in zip(shape, self.half, strict=True))
        self._frequency = tuple(np.fft.fftfreq(n) for n in shape)
        self._slope = tuple(-2j * np.pi * f for f in self._frequency)
        self._shape = shape
        spectra = np.stack([self._moved(image, at) for image, at in zip(images, plan.centre_px, strict=True)])
        self.inside = np.mean(
            [self._cut(mask, at) for mask, at in zip(plan.mask, nearest, strict=True)], axis=0
        )
        mean = spectra.mean(axis=0)
        moved = np.stack([np.fft.ifft2(one)[self._middle] for one in spectra])
        patches = _along(moved.mean(axis=0), moved)
        self.template = patches.mean(axis=0)
        full, none = SUPPORT_PX
        weight = np.clip((none - distance_to(self.inside >= 0.5)) / (none - full), 0, 1)
        self.kept = weight > 1e-6
        self.weight = weight[self.kept]
        count = min(MODES, len(patches) // FRAMES_PER_MODE)
        mixes = self._modes(patches, count)
        self._spectra = np.concatenate([mean[None], np.einsum("kf,fyx->kyx", mixes, spectra - mean)])
        self._rows: dict[int, list[NDArray[np.complex128]]] = {}
        self._fits: dict[tuple[int, int], Fit] = {}

    def _moved(self, image: NDArray[np.complex128], centre: Array) -> NDArray[np.complex128]:
        """Return the transform of an image, moved so that a place (row, column) comes to the middle pixel."""
        rows, columns = (
            np.exp(2j * np.pi * f * (c - n // 2))
            for f, c, n in zip(self._frequency, centre, self._shape, strict=True)
        )
        moved: NDArray[np.complex128] = np.fft.fft2(image) * rows[:, None] * columns
        return moved

    def _cut(self, image: NDArray[np.generic], at: NDArray[np.int64]) -> Array:
        """Return the pixels of a template around a pixel; zero beyond the image."""
        out = np.zeros([2 * n + 1 for n in self.half])
        low, high = at - self.half, at + self.half + 1
        inner = tuple(slice(max(a, 0), min(b, n)) for a, b, n in zip(low, high, self._shape, strict=True))
        outer = tuple(slice(i.start - a, i.stop - a) for i, a in zip(inner, low, strict=True))
        out[outer] = image[inner]
        return out

    def _modes(self, patches: Array, count: int) -> Array:
        """Return how planning images are to be mixed into modes of unit size, shape (count, frames)."""
        if not count:
            return np.zeros((0, len(patches)))
        root = np.sqrt(self.weight)
        rest = (patches - self.template)[:, self.kept] * root
        # Brightness and offset are fitted anyway.
        plain = np.stack([self.template[self.kept], np.ones(len(root))], axis=1) * root[:, None]
        axes = np.linalg.qr(plain)[0]
        rest -= np.einsum("fi,ij->fj", np.einsum("fi,ij->fj", rest, axes), axes.T)
        # einsum, not BLAS: on a busy host BLAS threads wait for each other far longer than this takes.
        square, mixes = np.linalg.eigh(np.einsum("fi,gi->fg", rest, rest))
        size, mixes = np.sqrt(np.maximum(square, 0))[::-1][:count], mixes[:, ::-1][:, :count]
        real = size > 1e-6 * np.linalg.norm(plain[:, 0])
        return np.asarray((mixes[:, real] / size[real]).T, np.float64)

    def images(self, phase: tuple[int, int], first: int | None = None) -> Array:
        """Return the template, its derivatives by the shift, and the modes at a shift.

        Parameters
        ----------
        phase
            The shift of the target along rows and columns, in `PHASES` of a pixel.
        first
            How many of them are wanted; None for all.

        Returns
        -------
        images
            Template, its derivatives by rows and by columns, and the modes; shape (3 + modes, rows, columns).
        """
        a, b = phase
        if a not in self._rows:
            ramp, slope = self._ramp(0, a)[:, None], self._slope[0][:, None]
            layers = [self._spectra[0], self._spectra[0] * slope, *self._spectra[1:]]
            self._rows[a] = [np.fft.ifft(one * ramp, axis=0)[self._middle[0]] for one in layers]
        plain, once, *modes = self._rows[a]
        spectra = np.stack([plain, once, plain * self._slope[1], *modes][:first]) * self._ramp(1, b)
        images = np.fft.ifft(spectra, axis=2)[:, :, self._middle[1]]
        return _along(images[0], images)

    def _ramp(self, axis: int, phase: int) -> NDArray[np.complex128]:
        """Return what shifts the target along an axis, in the transform."""
        ramp: NDArray[np.complex128] = np.exp(-2j * np.pi * self._frequency[axis] * phase / PHASES)
        return ramp

    def fit(self, phase: tuple[int, int]) -> Fit:
        """Return what a fit at a shift needs, made once; see `images`."""
        if phase not in self._fits:
            flat = self.images(phase)[:, self.kept].T
            basis = np.concatenate([flat[:, :3], np.ones((len(flat), 1)), flat[:, 3:]], axis=1)
            weighted = (basis * self.weight[:, None]).T
            self._fits[phase] = Fit(basis, np.linalg.pinv(weighted @ basis, hermitian=True) @ weighted)
        return self._fits[phase]


def _along(image: NDArray[np.complex128], others: NDArray[np.complex128]) -> Array:
    """Return the parts of images in phase with one: by how much they change its magnitude, to first order."""
    size = np.abs(image)
    turn = np.where(size > 0, image.conj(), 1.0) / np.where(size > 0, size, 1.0)
    return np.asarray((turn * others).real, np.float64)


def half_size(plan: Plan) -> NDArray[np.int64]:
    """Return the rows and columns that a template has on either side of its centre, shape (2,), int64."""
    nearest = np.rint(plan.centre_px).astype(np.int64)
    extent = [np.abs(np.argwhere(mask) - at).max(axis=0) for mask, at in zip(plan.mask, nearest, strict=True)]
    half: NDArray[np.int64] = np.max(extent, axis=0) + RIM_PX
    return half


def distance_to(mask: NDArray[np.bool_]) -> Array:
    """Return how far each pixel is from the nearest one of a mask, pixels; 0 inside."""
    transform = eval_library("scipy.ndimage", "finding the target in an image").distance_transform_edt
    distance: Array = transform(~mask)
    return distance
