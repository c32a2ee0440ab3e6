"""A check that regions of one parent do not lie in each other, where both signals would add up."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.anatomy import Anatomy
from mrsim.anatomy.containment import State, heights_of
from mrsim.anatomy.region import STATIC, Region
from mrsim.errors import PhantomError

INSTANTS = 24
"""Instants, from the start of a scan to its end, at which neighbours are tried."""

_EVERY = 2  # points of an outline


def check_neighbours(anatomy: Anatomy, stop_ns: int, where: str) -> None:
    """Raise an error if two regions of one parent lie in each other within the slice.

    Parameters
    ----------
    anatomy
        The phantom and the course of its motions.
    stop_ns
        End of the scan, nanoseconds.
    where
        How the error names the phantom.

    Raises
    ------
    PhantomError
        It names both regions, the place, and the instant of the scan.
    """
    regions = anatomy.phantom.regions
    times = np.unique(np.linspace(0, stop_ns, INSTANTS).astype(np.int64))
    names = {f.motion for r in regions for f in r.follows} - {STATIC}
    values = {name: anatomy.drives[name].at(times) for name in names}
    state = State({STATIC: np.zeros(len(times)), **values}, len(times))
    boxes = [_box(state, region) for region in regions]
    for (a, box_a), (b, box_b) in combinations(zip(regions, boxes, strict=True), 2):
        if a.parent != b.parent:
            continue
        near = (box_a[:, :2] <= box_b[:, 2:]).all(axis=1) & (box_b[:, :2] <= box_a[:, 2:]).all(axis=1)
        if near.any():
            _complain(anatomy, state, a, b, times, where)
            _complain(anatomy, state, b, a, times, where)


def _box(state: State, region: Region) -> NDArray[np.float64]:
    """Return the least and greatest x and y at each instant, shape (n, 4)."""
    points, _ = state.edge(region, None)
    return np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)


def _complain(
    anatomy: Anatomy, state: State, one: Region, other: Region, times: NDArray[np.int64], where: str
) -> None:
    for z in heights_of(anatomy, one, other)[:: 1 if one.depth or other.depth else 7]:
        points, there = state.edge(one, z)
        points = points[:, ::_EVERY]
        inside = state.inside(other, points, z) & there[:, None]
        if inside.any():
            i = int(np.argmax(inside.any(axis=1)))
            x, y = points[i, int(np.argmax(inside[i]))] * 1e3
            height = "" if z is None else f" at z = {z * 1e3:.1f} mm"
            raise PhantomError(
                f"{where}: region {one.name!r}: at t = {times[i] * 1e-9:.2f} s it lies in its neighbour "
                f"{other.name!r} at ({x:.1f}, {y:.1f}) mm{height}, where both would add up; "
                "make it smaller, or a child of the other"
            )
