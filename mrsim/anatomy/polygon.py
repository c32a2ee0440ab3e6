"""Polygons: shapes of any outline, whose transform is a closed-form sum over their edges.

With the divergence theorem the transform becomes an integral along the outline, and each edge gives
(i / 2 pi |k|^2) (k.n) l sinc(k.e) exp(-2 pi i k.m), where e is the edge, l its length, n its outward normal
and m its middle. An edge that stands still is summed once, whatever the others do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import PhantomError
from mrsim.kernels.bessel import sincos
from mrsim.kernels.compilation import inlined, kernel
from mrsim.kernels.fma import fma
from mrsim.kernels.rows import phase_row

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

TWO_PI = 2 * math.pi
MAX_CORNERS = 512
_SERIES_BELOW = 1e-4  # of 2 pi |k| times the size: there the sum over edges cancels, and two terms suffice


@dataclass(frozen=True)
class Polygon:
    """Hold a simple polygon of unit density.

    Parameters
    ----------
    points
        Corners (x, y) in order, metres; they are stored so that they run from x towards y.

    Raises
    ------
    PhantomError
        If there are too few or too many corners, they are not finite, or edges cross or have no length.
    """

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        corners = np.array(self.points, np.float64)
        if corners.ndim != 2 or corners.shape[1] != 2 or not 3 <= len(corners) <= MAX_CORNERS:
            raise PhantomError(
                f"polygon: {len(self.points)} points: expected 3 to {MAX_CORNERS} pairs (x, y)"
            )
        if not np.isfinite(corners).all():
            raise PhantomError("polygon: a point is not finite")
        crossed = _first_crossing(corners)
        if crossed is not None:
            raise PhantomError(
                f"polygon: edge {crossed[0]} meets edge {crossed[1]}, or one has no length: expected "
                "a simple outline"
            )
        if _doubled_area(corners) < 0:
            object.__setattr__(self, "points", tuple(tuple(p) for p in self.points[::-1]))

    @cached_property
    def vertices(self) -> Array:
        """Return the corners, shape (corners, 2), metres."""
        return np.array(self.points, np.float64)

    @cached_property
    def center(self) -> tuple[float, float]:
        """Return the centroid, metres."""
        x, y = centroids(self.vertices)
        return float(x), float(y)

    @property
    def area(self) -> float:
        """Return the area, square metres."""
        return _doubled_area(self.vertices) / 2

    def moved(self, vertices: Array) -> Polygon:
        """Return the polygon with other corners, shape (corners, 2), metres."""
        return Polygon(tuple((float(x), float(y)) for x, y in vertices))

    def form_factor(self, kx: Array, ky: Array) -> Complex:
        """Compute the transform about the centroid.

        Parameters
        ----------
        kx, ky
            Spatial frequencies, cycles per metre; they broadcast.

        Returns
        -------
        form
            complex128, square metres. Its value at k = 0 is the area.

        References
        ----------
        Lee and Mittra 1983, 10.1109/TAP.1983.1142964.
        """
        kx, ky = np.broadcast_arrays(np.asarray(kx, np.float64), np.asarray(ky, np.float64))
        corners = self.vertices - np.array(self.center)
        out = edge_transform(corners, np.roll(corners, -1, axis=0), kx, ky)
        near = TWO_PI * np.hypot(kx, ky) * float(np.linalg.norm(corners, axis=1).max()) < _SERIES_BELOW
        if near.any():
            xx, xy, yy = _second_moments(corners)
            turn = xx * kx[near] ** 2 + 2 * xy * kx[near] * ky[near] + yy * ky[near] ** 2
            out[near] = self.area - TWO_PI**2 / 2 * turn
        return out

    def inside(self, x: Array, y: Array) -> NDArray[np.bool_]:
        """Return where the points (x, y), metres, lie inside; an edge belongs to one of its sides."""
        return even_odd(self.vertices, x, y)

    def boundary(self, points: int) -> Array:
        """Return at least so many points on the outline, corners among them, shape (n, 2), metres."""
        share = max(1, math.ceil(points / len(self.points)))
        step = np.arange(share)[None, :, None] / share
        ends = np.roll(self.vertices, -1, axis=0)
        edge: Array = self.vertices[:, None] * (1 - step) + ends[:, None] * step
        return edge.reshape(-1, 2)

    def extent(self) -> tuple[float, float]:
        """Return how far it reaches from its centroid along x and along y, metres."""
        reach = np.abs(self.vertices - np.array(self.center)).max(axis=0)
        return float(reach[0]), float(reach[1])


def even_odd(vertices: Array, x: Array, y: Array) -> NDArray[np.bool_]:
    """Return which points (x, y) an outline, shape (corners, 2), goes round an odd number of times."""
    x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
    inside = np.zeros(x.shape, np.bool_)
    for (x0, y0), (x1, y1) in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            inside ^= crosses & (x < x0 + (y - y0) * ((x1 - x0) / (y1 - y0)))
    return inside


def centroids(vertices: Array) -> Array:
    """Return the centroids of polygons, shape (..., 2), of their corners, shape (..., corners, 2)."""
    start = vertices - vertices[..., :1, :]  # about a corner, so that nothing cancels
    end = np.roll(start, -1, axis=-2)
    cross = start[..., 0] * end[..., 1] - end[..., 0] * start[..., 1]
    moment = ((start + end) * cross[..., None]).sum(axis=-2)
    return np.asarray(vertices[..., 0, :] + moment / (3 * cross.sum(axis=-1)[..., None]), np.float64)


def _doubled_area(corners: Array) -> float:
    a, b = corners, np.roll(corners, -1, axis=0)
    return float((a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1]).sum())


def _second_moments(corners: Array) -> tuple[float, float, float]:
    a, b = corners, np.roll(corners, -1, axis=0)
    cross = a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1]
    (ax, ay), (bx, by) = a.T, b.T
    xx = float((cross * (ax * ax + ax * bx + bx * bx)).sum() / 12)
    yy = float((cross * (ay * ay + ay * by + by * by)).sum() / 12)
    xy = float((cross * (ax * by + 2 * ax * ay + 2 * bx * by + bx * ay)).sum() / 24)
    return xx, xy, yy


def _first_crossing(corners: Array) -> tuple[int, int] | None:
    """Return two edges that meet where they should not, or the number of one without length twice."""
    count = len(corners)
    a, b = corners, np.roll(corners, -1, axis=0)
    for i in np.flatnonzero((a == b).all(axis=1)).tolist():
        return i, i
    for i in range(count):
        js = np.array([j for j in range(i + 1, count) if j != i + 1 and (j + 1) % count != i], np.int64)
        if len(js) == 0:
            continue
        d1, d2 = _side(a[i], b[i], a[js]), _side(a[i], b[i], b[js])
        d3, d4 = _side(a[js], b[js], a[i]), _side(a[js], b[js], b[i])
        hits = js[(d1 * d2 <= 0) & (d3 * d4 <= 0) & (np.abs(d1) + np.abs(d2) > 0)]
        if len(hits):
            return i, int(hits[0])
    return None


def _side(a: Array, b: Array, p: Array) -> Array:
    side: Array = (b[..., 0] - a[..., 0]) * (p[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (
        p[..., 0] - a[..., 0]
    )
    return side


def edge_transform(starts: Array, ends: Array, kx: Array, ky: Array) -> Complex:
    """Sum what edges give to a transform; parameters as for `Polygon.form_factor`, corners in metres."""
    kx, ky = np.broadcast_arrays(np.asarray(kx, np.float64), np.asarray(ky, np.float64))
    out = np.empty(kx.size, np.complex128)
    edges_into(starts, ends, np.ascontiguousarray(kx).ravel(), np.ascontiguousarray(ky).ravel(), out)
    return out.reshape(kx.shape)


@kernel(nogil=True)
def edges_into(starts: Array, ends: Array, kx: Array, ky: Array, out: Complex) -> None:
    """Write the sum over edges at every (kx, ky); one-dimensional arrays."""
    for i in range(out.size):
        re, im = 0.0, 0.0
        k2 = kx[i] * kx[i] + ky[i] * ky[i]
        for e in range(len(starts)):
            x0, y0, x1, y1 = starts[e, 0], starts[e, 1], ends[e, 0], ends[e, 1]
            if k2 == 0.0:
                re += 0.5 * (x0 * y1 - x1 * y0)
                continue
            half_turn = math.pi * (kx[i] * (x1 - x0) + ky[i] * (y1 - y0))
            across = (kx[i] * (y1 - y0) - ky[i] * (x1 - x0)) * _sinc(half_turn) / (TWO_PI * k2)
            sine, cosine = sincos(math.pi * (kx[i] * (x0 + x1) + ky[i] * (y0 + y1)))
            re += across * sine
            im += across * cosine
        out[i] = complex(re, im)


@inlined
def _sinc(x: float) -> float:
    """Return sin(x) / x."""
    small = abs(x) < 1e-4
    safe = 1.0 if small else x
    sine, _ = sincos(safe)
    return float(1.0 - x * x / 6.0 if small else sine / safe)


@kernel(nogil=True)
def add_edges(
    ky: NDArray[np.int32],
    starts: Array,
    ends: Array,
    weights: Complex,
    dky: float,
    dkx: float,
    out: Complex,
) -> None:
    """Add what weighted edges give to lines of k-space.

    `starts` and `ends` have the shape (lines, edges, 2), `weights` (lines, edges), `out` (lines, nx).
    """
    columns = out.shape[1]
    re0, im0, re1, im1 = np.empty(columns), np.empty(columns), np.empty(columns), np.empty(columns)
    total_re, total_im = np.empty(columns), np.empty(columns)
    k_first = -(columns // 2) * dkx
    for line in range(ky.size):
        k_y = ky[line] * dky
        total_re[:] = 0.0
        total_im[:] = 0.0
        area = 0j
        for e in range(starts.shape[1]):
            weight = weights[line, e]
            if weight == 0:
                continue
            x0, y0, x1, y1 = starts[line, e, 0], starts[line, e, 1], ends[line, e, 0], ends[line, e, 1]
            dx, dy = x1 - x0, y1 - y0
            area += weight * (0.5 * (x0 * y1 - x1 * y0))
            follows = (
                e > 0
                and weights[line, e - 1] == weight
                and ends[line, e - 1, 0] == x0
                and ends[line, e - 1, 1] == y0
            )
            if follows:  # it starts where the last one ended, so its phase is known
                re0, re1 = re1, re0
                im0, im1 = im1, im0
            else:
                phase_row(weight, x0, y0, k_first, k_y, dkx, re0, im0)
            phase_row(weight, x1, y1, k_first, k_y, dkx, re1, im1)
            # With x = pi k.e the phases at the ends are those of the middle times exp(+-i x), so that
            # sin(x) / x of the middle is their difference over 2 i x; near 0, where it cancels, their mean.
            for i in range(columns):
                k_x = fma(i, dkx, k_first)
                x = math.pi * fma(k_x, dx, k_y * dy)
                across = fma(k_x, dy, -(k_y * dx))
                small = abs(x) < 1e-4
                part = across * (0.5 / (1.0 if small else x))
                mean = across * fma(x, x / 6.0, 0.5)
                total_re[i] += mean * (re0[i] + re1[i]) if small else part * (im0[i] - im1[i])
                total_im[i] += mean * (im0[i] + im1[i]) if small else part * (re1[i] - re0[i])
        for i in range(columns):
            k_x = fma(i, dkx, k_first)
            k2 = fma(k_x, k_x, k_y * k_y)
            if k2 == 0.0:
                out[line, i] += area
            else:
                out[line, i] += complex(-total_im[i], total_re[i]) / (TWO_PI * k2)
