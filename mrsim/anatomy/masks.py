"""The pixels of one region at many instants: what a judge needs at every line, fast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.anatomy import Anatomy
from mrsim.anatomy.polygon import centroids
from mrsim.anatomy.shapes import Ellipse
from mrsim.kernels.compilation import kernel
from mrsim.kernels.grid import Grid

Array = NDArray[np.float64]

SEEN_EVERY = 16
"""Instants from one exact share of a solid to the next; a solid moves by micrometres in so many lines."""


def masks(
    anatomy: Anatomy, region: str, t_ns: NDArray[np.int64], grid: Grid, window: tuple[slice, slice]
) -> NDArray[np.bool_]:
    """Return the pixels of a window whose centre lies in a region as it is seen, at each instant.

    Parameters
    ----------
    anatomy
        What moves.
    region
        Name of the region.
    t_ns
        Instants from the start of the scan, ascending, shape (n,), int64, nanoseconds.
    grid
        The pixels of the whole image.
    window
        Rows and columns of the window.

    Returns
    -------
    masks
        Shape (n, rows, columns), bool. Between every 16th instant the share of a solid that the slice sees is
        interpolated; the rest is exact.
    """
    number = anatomy.phantom.index(region)
    shape = anatomy.phantom.regions[number].shape
    x, y = grid.pixels()
    xs, ys = np.ravel(x)[window[1]], np.ravel(y)[window[0]]
    seen = _seen(anatomy, number, t_ns)
    out = np.zeros((len(t_ns), len(ys), len(xs)), np.bool_)
    if isinstance(shape, Ellipse) and anatomy.shears[number]:
        centre = np.array(shape.center) + anatomy.displacement(t_ns)[:, number]
        there = seen > 0
        back = np.zeros((len(t_ns), 2, 2))
        back[there] = np.linalg.inv(
            seen[there, None, None] * anatomy.linear(number, t_ns[there]) @ shape.axes
        )
        _fill_mapped(centre, back, there, xs, ys, out)
        return out
    if isinstance(shape, Ellipse):
        centre = np.array(shape.center) + anatomy.displacement(t_ns)[:, number]
        scale = anatomy.stretch(t_ns)[:, number, :2] * seen[:, None]
        _fill_ellipses(centre, scale, np.array(shape.semi_axes), shape.angle, xs, ys, out)
        return out
    corners = anatomy.vertices(number, t_ns)
    middle = centroids(corners)[:, None, :]
    _fill_polygons(middle + seen[:, None, None] * (corners - middle), xs, ys, out)
    out[seen == 0] = False
    return out


def _seen(anatomy: Anatomy, number: int, t_ns: NDArray[np.int64]) -> Array:
    """Return the scale of the outline at each instant; 0 where the slice does not see the region."""
    chosen = np.unique(np.append(np.arange(0, len(t_ns), SEEN_EVERY), len(t_ns) - 1))
    exact = np.array([anatomy.seen(number, int(t_ns[i])) for i in chosen])
    scale = np.interp(np.arange(len(t_ns)), chosen, exact)
    # Where a solid comes or goes there is nothing to interpolate.
    for left, right, a, b in zip(chosen[:-1], chosen[1:], exact[:-1], exact[1:], strict=True):
        if (a == 0) is not (b == 0):
            scale[left:right] = [anatomy.seen(number, int(t)) for t in t_ns[left:right]]
    return np.asarray(scale, np.float64)


@kernel(nogil=True)
def _fill_ellipses(
    centre: Array, scale: Array, semi_axes: Array, angle: float, xs: Array, ys: Array, out: NDArray[np.bool_]
) -> None:
    c, s = np.cos(angle), np.sin(angle)
    for i in range(out.shape[0]):
        if scale[i, 0] == 0 or scale[i, 1] == 0:
            continue
        for row in range(len(ys)):
            dy = (ys[row] - centre[i, 1]) / scale[i, 1]
            for column in range(len(xs)):
                dx = (xs[column] - centre[i, 0]) / scale[i, 0]
                u, v = (dx * c + dy * s) / semi_axes[0], (dy * c - dx * s) / semi_axes[1]
                out[i, row, column] = u * u + v * v <= 1


@kernel(nogil=True)
def _fill_mapped(
    centre: Array, back: Array, there: NDArray[np.bool_], xs: Array, ys: Array, out: NDArray[np.bool_]
) -> None:
    """Fill where `back` maps a point, from the centre, into the unit disc."""
    for i in range(out.shape[0]):
        if not there[i]:
            continue
        for row in range(len(ys)):
            dy = ys[row] - centre[i, 1]
            for column in range(len(xs)):
                dx = xs[column] - centre[i, 0]
                u = back[i, 0, 0] * dx + back[i, 0, 1] * dy
                v = back[i, 1, 0] * dx + back[i, 1, 1] * dy
                out[i, row, column] = u * u + v * v <= 1


@kernel(nogil=True)
def _fill_polygons(corners: Array, xs: Array, ys: Array, out: NDArray[np.bool_]) -> None:
    """Fill by the even-odd rule, row by row."""
    count = corners.shape[1]
    for i in range(out.shape[0]):
        for row in range(len(ys)):
            y = ys[row]
            for a in range(count):
                b = (a + 1) % count
                ya, yb = corners[i, a, 1], corners[i, b, 1]
                if (ya > y) == (yb > y):
                    continue
                crossing = corners[i, a, 0] + (y - ya) / (yb - ya) * (corners[i, b, 0] - corners[i, a, 0])
                for column in range(len(xs)):
                    if xs[column] < crossing:
                        out[i, row, column] = not out[i, row, column]
