"""Shapes whose Fourier transform is known in closed form.

A shape stands where the phantom puts it; the motion of its region shifts it, or stretches it about its
centre. `form_factor` is the transform about its own centre: a shift only multiplies it by a phase, so a
shape that keeps its form is transformed once and for all. Forward is exp(-2 pi i k.r), k in cycles per
metre. A new kind of shape needs the methods of `Shape`; one that also gives `axes` (an ellipse) can be
evaluated anew on every line, while it deforms, by the kernels of `mrsim.scanner.render`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import PhantomError
from mrsim.kernels.bessel import jinc
from mrsim.kernels.compilation import kernel
from mrsim.kernels.fma import fma

Array = NDArray[np.float64]
TWO_PI = 2 * math.pi


class Shape(Protocol):
    """Describe what a region needs of its shape; lengths in metres, positions as (x, y)."""

    @property
    def center(self) -> tuple[float, float]:
        """Return the centroid, metres."""

    @property
    def area(self) -> float:
        """Return the area, square metres."""

    def form_factor(self, kx: Array, ky: Array) -> NDArray[Any]:
        """Return the transform about the shape's own centre, square metres; kx and ky broadcast."""

    def inside(self, x: Array, y: Array) -> NDArray[np.bool_]:
        """Return where the points (x, y) lie inside or on the edge; x and y broadcast."""

    def boundary(self, points: int) -> Array:
        """Return points on the edge, shape (points, 2), metres."""

    def extent(self) -> tuple[float, float]:
        """Return half the width and half the height of the bounding box, metres."""


@dataclass(frozen=True)
class Ellipse:
    """Hold an ellipse of unit density.

    Parameters
    ----------
    center
        Centre (x, y), metres.
    semi_axes
        Semi-axes (a, b), metres: a along x and b along y before the turn.
    angle
        Turn from x towards y, radians.

    Raises
    ------
    PhantomError
        If a semi-axis is not positive, or a value is not finite.
    """

    center: tuple[float, float]
    semi_axes: tuple[float, float]
    angle: float = 0.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in (*self.center, *self.semi_axes, self.angle)):
            raise PhantomError(
                f"ellipse: {self.center}, {self.semi_axes}, {self.angle}: expected finite values"
            )
        if min(self.semi_axes) <= 0:
            raise PhantomError(f"ellipse: semi-axes = {self.semi_axes}: expected two positive lengths")

    @property
    def area(self) -> float:
        """Return the area, square metres."""
        return math.pi * self.semi_axes[0] * self.semi_axes[1]

    @property
    def axes(self) -> Array:
        """Return the matrix that maps the unit disc onto the ellipse, shape (2, 2), metres."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        return np.array([[c, -s], [s, c]]) @ np.diag(self.semi_axes)

    def stretched(self, x: float, y: float) -> Ellipse:
        """Return the ellipse scaled about its centre by x along x and by y along y."""
        return self.mapped(np.diag([x, y]))

    def mapped(self, matrix: Array) -> Ellipse:
        """Return the ellipse mapped about its centre by a matrix, shape (2, 2).

        The image of an ellipse under a linear map is an ellipse: its axes are the singular vectors.
        """
        u, lengths, _ = np.linalg.svd(matrix @ self.axes)
        return Ellipse(self.center, (float(lengths[0]), float(lengths[1])), math.atan2(u[1, 0], u[0, 0]))

    def form_factor(self, kx: Array, ky: Array) -> Array:
        """Compute the transform about the ellipse's own centre.

        F(k) = 2 pi a b J1(u) / u with u = 2 pi |L^T k|, where L maps the unit disc onto the ellipse.

        Parameters
        ----------
        kx, ky
            Spatial frequencies, cycles per metre; they broadcast.

        Returns
        -------
        form
            float64, square metres: the transform is real. Its value at k = 0 is the area.

        References
        ----------
        Koay et al. 2007, 10.1002/mrm.21292.
        """
        kx, ky = np.broadcast_arrays(np.asarray(kx, np.float64), np.asarray(ky, np.float64))
        out = np.empty(kx.shape)
        form_into(self.axes, np.ascontiguousarray(kx).ravel(), np.ascontiguousarray(ky).ravel(), out.ravel())
        return out

    def transform(self, kx: Array, ky: Array) -> NDArray[np.complex128]:
        """Compute the transform where the ellipse stands: the form factor times exp(-2 pi i k.r0)."""
        phase = np.multiply(kx, self.center[0]) + np.multiply(ky, self.center[1])
        return np.asarray(self.form_factor(kx, ky) * np.exp(-1j * TWO_PI * phase), np.complex128)

    def inside(self, x: Array, y: Array) -> NDArray[np.bool_]:
        """Return where the points (x, y), metres, lie inside or on the edge."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        dx, dy = np.subtract(x, self.center[0]), np.subtract(y, self.center[1])
        u = (dx * c + dy * s) / self.semi_axes[0]
        v = (dy * c - dx * s) / self.semi_axes[1]
        return np.asarray(u * u + v * v <= 1)

    def boundary(self, points: int) -> Array:
        """Return points on the edge, shape (points, 2), metres."""
        t = np.arange(points) * (TWO_PI / points)
        edge: Array = np.array(self.center) + np.stack([np.cos(t), np.sin(t)], axis=-1) @ self.axes.T
        return edge

    def extent(self) -> tuple[float, float]:
        """Return half the width and half the height of the bounding box, metres."""
        half = np.linalg.norm(self.axes, axis=1)
        return float(half[0]), float(half[1])


@kernel()
def form_into(axes: Array, kx: Array, ky: Array, out: Array) -> None:
    """Write the form factor of the ellipse L u, |u| <= 1, at each (kx, ky); one-dimensional arrays."""
    a, b, c, d = TWO_PI * axes[0, 0], TWO_PI * axes[0, 1], TWO_PI * axes[1, 0], TWO_PI * axes[1, 1]
    scale = TWO_PI * abs(axes[0, 0] * axes[1, 1] - axes[0, 1] * axes[1, 0])
    for i in range(out.size):
        u = fma(a, kx[i], c * ky[i])
        v = fma(b, kx[i], d * ky[i])
        out[i] = scale * jinc(np.sqrt(fma(u, u, v * v)))
