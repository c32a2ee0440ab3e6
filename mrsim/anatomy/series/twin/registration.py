"""Fields of displacement from a reference to frames: smooth splines, fitted by least squares.

A point r of the reference is at r + u(r) in the frame. u is a tensor product of cubic B-splines on a coarse
grid, and its roughness is penalised. The gradient of the reference stands for the frame's, so that the
normal equations of a level are solved once for all frames.

Baker and Matthews 2004, 10.1023/B:VISI.0000011205.11775.fd; Rueckert et al. 1999, 10.1109/42.796284.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.kernels.compilation import kernel
from mrsim.kernels.fma import fma

Array = NDArray[np.float64]

KNOT_PX, MAX_KNOTS = 8.0, 32
"""Distance of the spline's knots, pixels, and the most of them along an axis."""
BLURS_PX = (3.0, 1.5, 0.8)
"""Width of the Gaussian that images are seen through, level by level."""
STEPS, SETTLED_PX, MAX_STEP_PX = 8, 0.02, 2.0
_REACH = 4.0  # widths of the Gaussian
_STIFF = 1e-3  # of the mean curvature: what no edge holds stays where it is


@dataclass(frozen=True)
class _Level:
    """Hold a level: its Gaussian, the reference through it, the weighted gradient, and solved equations."""

    blur: tuple[Array, Array]
    reference: Array
    gradient: tuple[Array, Array]
    inverse: Array
    penalty: Array


class Registration:
    """Register frames to a reference.

    Parameters
    ----------
    reference
        Magnitudes, shape (ny, nx).
    strength
        Weight of roughness against that of the images: the larger, the smoother the fields.
    weight
        How much each pixel counts, shape (ny, nx).
    """

    def __init__(self, reference: Array, strength: float, weight: Array) -> None:
        self._across = tuple(splines(side) for side in reference.shape)
        self._shape = tuple(basis.shape[1] for basis in self._across)
        self._down, self._right = (np.ascontiguousarray(basis.T) for basis in self._across)
        self._levels = [self._level(reference, weight, blur, strength) for blur in BLURS_PX]

    def coefficients(self, frames: NDArray[Any]) -> Array:
        """Return coefficients of the field of each frame, shape (frames, 2, rows, columns), pixels.

        Parameters
        ----------
        frames
            Shape (frames, ny, nx), whose magnitudes count, in the order of time: each begins where the one
            before ended.
        """
        return np.stack(list(self.followed(frames)))

    def followed(self, frames: NDArray[Any]) -> Iterator[Array]:
        """Yield the same frame by frame, shape (2, rows, columns)."""
        last = np.zeros((2, *self._shape))
        for frame in frames:
            last = self._fitted(np.abs(frame).astype(np.float64), last)
            yield last

    def roots(self) -> tuple[Array, Array]:
        """Return matrices (rows, rows) and (columns, columns) that give coefficients the length of fields."""
        down, right = (
            np.asarray(np.linalg.cholesky(basis.T @ basis).T, np.float64) for basis in self._across
        )
        return down, right

    def dense(self, coefficients: Array) -> Array:
        """Return fields (row, column), shape (..., 2, ny, nx), of coefficients (..., 2, rows, columns)."""
        down, right = self._across
        flat = coefficients.reshape(-1, *self._shape)
        dense = np.stack([product(product(down, one), self._right) for one in flat])
        return dense.reshape(*coefficients.shape[:-2], len(down), len(right))

    def _level(self, reference: Array, weight: Array, blur: float, strength: float) -> _Level:
        across = gaussian(reference.shape[0], blur), gaussian(reference.shape[1], blur)
        seen = through(reference, across)
        slopes = np.gradient(seen)
        b, a = self._across
        (rows, columns), size = self._shape, self._shape[0] * self._shape[1]
        down = np.einsum("yi,yk->yik", b, b).reshape(len(b), -1)
        right = np.einsum("xj,xl->xjl", a, a).reshape(len(a), -1)
        normal = np.empty((2, size, 2, size))
        for d in range(2):
            for e in range(2):
                block = (down.T @ (weight * slopes[d] * slopes[e]) @ right).reshape(
                    rows, rows, columns, columns
                )
                normal[d, :, e] = block.transpose(0, 2, 1, 3).reshape(size, size)
        flat = normal.reshape(2 * size, 2 * size)
        mean = float(np.trace(flat)) / (2 * size) or 1.0
        penalty = mean * (strength * _roughness(rows, columns) + _STIFF * np.eye(size))
        for d in range(2):
            flat[d * size : (d + 1) * size, d * size : (d + 1) * size] += penalty
        return _Level(across, seen, (slopes[0] * weight, slopes[1] * weight), np.linalg.inv(flat), penalty)

    def _fitted(self, frame: Array, start: Array) -> Array:
        found = start.copy()
        for level in self._levels:
            seen = through(frame, level.blur)
            there = np.empty(seen.shape)
            for _ in range(STEPS):
                field = self.dense(found)
                sample_into(seen, field[0], field[1], there)
                error = level.reference - there
                pull = np.stack(
                    [
                        product(product(self._down, slope * error), self._across[1]).ravel()
                        for slope in level.gradient
                    ]
                )
                pull -= product(found.reshape(2, -1), level.penalty)
                step = product(pull.reshape(1, -1), level.inverse).reshape(found.shape)
                found = found + np.clip(step, -MAX_STEP_PX, MAX_STEP_PX)
                if np.abs(step).max() < SETTLED_PX:
                    break
        return found


def splines(side: int) -> Array:
    """Return the values of cubic B-splines at pixels, shape (side, knots)."""
    step = max(KNOT_PX, side / (MAX_KNOTS - 3))
    spans = max(1, math.ceil((side - 1) / step))
    place = np.arange(side) * (spans / max(side - 1, 1))
    away = np.abs(place[:, None] - np.arange(-1, spans + 2))
    near, far = 2 / 3 - away**2 + away**3 / 2, np.clip(2 - away, 0, None) ** 3 / 6
    return np.asarray(np.where(away < 1, near, far), np.float64)


def gaussian(side: int, width: float) -> Array:
    """Return the matrix of a Gaussian along an axis, shape (side, side); each row sums to 1."""
    away = np.arange(side)[:, None] - np.arange(side)
    weight = np.where(abs(away) <= _REACH * width, np.exp(-(away**2) / (2 * width**2)), 0.0)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), np.float64)


def through(image: Array, across: tuple[Array, Array]) -> Array:
    """Return an image through two Gaussians, of rows and of columns, shape (ny, nx)."""
    return product(product(across[0], image), np.ascontiguousarray(across[1].T))


def product(a: Array, b: Array) -> Array:
    """Return the product of two matrices, of which the first may be sparse.

    On no other thread: for matrices as small as these, waiting for one takes longer than they do.
    """
    out = np.zeros((a.shape[0], b.shape[1]))
    _add_product(np.ascontiguousarray(a), np.ascontiguousarray(b), out)
    return out


@kernel(nogil=True)
def _add_product(a: Array, b: Array, out: Array) -> None:
    for i in range(a.shape[0]):
        row = out[i]
        for k in range(a.shape[1]):
            factor, other = a[i, k], b[k]
            if factor != 0.0:
                for j in range(np.uint64(b.shape[1])):
                    row[j] = fma(factor, other[j], row[j])


def _roughness(rows: int, columns: int) -> Array:
    """Return the matrix of a grid's squared differences from knot to neighbouring knot."""

    def chain(n: int) -> Array:
        step = np.diff(np.eye(n), axis=0)
        return np.asarray(step.T @ step, np.float64)

    rough = np.kron(chain(rows), np.eye(columns)) + np.kron(np.eye(rows), chain(columns))
    return np.asarray(rough, np.float64)


@kernel(nogil=True)
def sample_into(image: Array, down: Array, right: Array, out: Array) -> None:
    """Write the values of an image at displaced pixels, by the cubic through four pixels along each axis."""
    rows, columns = image.shape
    across = np.empty(4)
    for i in range(rows):
        for j in range(columns):
            y, x = i + down[i, j], j + right[i, j]
            y, x = min(max(y, -1.0), float(rows)), min(max(x, -1.0), float(columns))
            iy, ix = math.floor(y), math.floor(x)
            p = x - ix
            w0, w1 = ((2.0 - p) * p - 1.0) * p / 2, ((3.0 * p - 5.0) * p * p + 2.0) / 2
            w2, w3 = ((4.0 - 3.0 * p) * p + 1.0) * p / 2, (p - 1.0) * p * p / 2
            x0, x1 = min(max(ix - 1, 0), columns - 1), min(max(ix, 0), columns - 1)
            x2, x3 = min(max(ix + 1, 0), columns - 1), min(max(ix + 2, 0), columns - 1)
            for n in range(4):
                row = min(max(iy + n - 1, 0), rows - 1)
                across[n] = (
                    w0 * image[row, x0] + w1 * image[row, x1] + w2 * image[row, x2] + w3 * image[row, x3]
                )
            p = y - iy
            out[i, j] = (
                ((2.0 - p) * p - 1.0) * p / 2 * across[0]
                + ((3.0 * p - 5.0) * p * p + 2.0) / 2 * across[1]
                + ((4.0 - 3.0 * p) * p + 1.0) * p / 2 * across[2]
                + (p - 1.0) * p * p / 2 * across[3]
            )
