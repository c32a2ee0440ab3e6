"""A check that every region stays inside its parent, and the phantom inside the field of view, at all times.

The check tries the extremes that the motions can reach. If all is well there, it ends, however long the scan
is. If not, it follows the course itself, in steps of `STEP_NS`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.anatomy import Anatomy
from mrsim.anatomy.polygon import Polygon
from mrsim.anatomy.region import STATIC, Region
from mrsim.anatomy.shapes import Ellipse
from mrsim.errors import PhantomError

Array = NDArray[np.float64]

STEP_NS = 20_000_000
LEAST_STRETCH = 0.05
BEYOND_FOV = 1.3
"""How many times as long as the field of view a body may be that goes on beyond it."""
_POINTS = 48
_HEIGHTS = 7
_CHUNK = 4096
_RIDING_INSTANTS = 32
_TOLERANCE = 1e-9  # of a parent's size: a child may touch its edge
_KEYS = {"ellipse": "center_mm, semi_axes_mm", "polygon": "points_mm"}


def check_containment(anatomy: Anatomy, fov_m: tuple[float, float], stop_ns: int, where: str) -> None:
    """Raise an error if a region leaves its parent or the field of view, or is stretched to nothing.

    Parameters
    ----------
    anatomy
        The phantom and the course of its motions.
    fov_m
        Field of view along y and x, metres.
    stop_ns
        End of the scan, nanoseconds.
    where
        How the error names the phantom.

    Raises
    ------
    PhantomError
        It names the region, the key, and the instant of the scan.
    """
    regions = anatomy.phantom.regions
    if anatomy.phantom.fields:
        _check_riding(anatomy, fov_m, stop_ns, where)
        return
    limits = {name: drive.bounds(stop_ns) for name, drive in anatomy.drives.items()}
    for region in regions:
        used = _motions(region, None)
        _check_corner(region, used, limits, fov_m, where, anatomy, stop_ns)
    by_name = {r.name: r for r in regions}
    for region in regions:
        if region.parent is not None:
            _check_child(region, by_name[region.parent], anatomy, limits, stop_ns, where)


def _check_riding(anatomy: Anatomy, fov_m: tuple[float, float], stop_ns: int, where: str) -> None:
    """Check regions that ride on fields.

    Neighbours ride alike, so that no extreme of all motions together says what happens: they are tried at
    instants all over the scan.
    """
    times = np.unique(np.linspace(0, stop_ns, _RIDING_INSTANTS).astype(np.int64))
    names = tuple(sorted({f.motion for r in anatomy.phantom.regions for f in r.follows} - {STATIC}))
    values = {name: anatomy.drives[name].at(times) for name in names}
    state = State({STATIC: np.zeros(len(times)), **values}, len(times))
    by_name = {r.name: r for r in anatomy.phantom.regions}
    reach = (fov_m[0] * BEYOND_FOV, fov_m[1]) if anatomy.phantom.beyond_fov else fov_m
    for region in anatomy.phantom.regions:
        found = _complaint(state, region, reach)
        if found is not None:
            i, text = found
            when = f"at t = {times[i] * 1e-9:.2f} s"
            raise PhantomError(f"{where}: region {region.name!r}: {text.format(when=when)}")
        if region.parent is not None:
            parent = by_name[region.parent]
            _complain_outside(state, region, parent, heights_of(anatomy, region, parent), times, where)


class State:
    """Place regions for given values of the motions, each of shape (n,)."""

    def __init__(self, values: dict[str, Array], count: int) -> None:
        self.values, self.count = values, count

    def stretch(self, region: Region) -> Array:
        out = np.ones((self.count, 3))
        for f in region.follows:
            out = out + self.values[f.motion][:, None] * np.array(f.stretch_per_m)
        return out

    def linear(self, region: Region) -> Array:
        out = np.broadcast_to(np.eye(2), (self.count, 2, 2)).copy()
        for f in region.follows:
            out += self.values[f.motion][:, None, None] * np.array(f.linear)
        return out

    def mapped(self, region: Region, away: Array) -> Array:
        """Return points, relative to where the region is centred, as it is stretched and turned."""
        return np.asarray(away @ np.swapaxes(self.linear(region), 1, 2), np.float64)

    def shift(self, region: Region) -> Array:
        out = np.zeros((self.count, 3))
        for f in region.follows:
            out = out + self.values[f.motion][:, None] * np.array(f.direction)
        return out

    def edge(self, region: Region, z: float | None) -> tuple[Array, NDArray[np.bool_]]:
        """Return points on the edge at a height, shape (n, points, 2), and where the region is there."""
        shape, center = region.shape, np.array(region.shape.center)
        scale, there = self.scale(region, z)
        if isinstance(shape, Polygon):
            corners = self.corners(region, shape)
            parts = max(1, _POINTS // len(shape.vertices))
            step = np.arange(parts)[:, None] / parts
            after = np.roll(corners, -1, axis=1)
            points = corners[:, :, None] * (1 - step) + after[:, :, None] * step
            points = points.reshape(self.count, -1, 2)
            middle = points.mean(axis=1, keepdims=True)
            return middle + scale[:, None, None] * (points - middle), there
        away = self.mapped(region, shape.boundary(_POINTS) - center)
        return center + self.shift(region)[:, None, :2] + scale[:, None, None] * away, there

    def corners(self, region: Region, shape: Polygon) -> Array:
        rest, center = shape.vertices, np.array(shape.center)
        share = np.ones(len(rest)) if region.vertex_share is None else np.array(region.vertex_share)
        out = np.broadcast_to(rest, (self.count, *rest.shape))
        for f in region.follows:
            if f.corners is not None:
                way = np.array(f.corners)
            else:
                way = share[:, None] * np.array(f.direction[:2]) + (rest - center) @ np.array(f.linear).T
            out = out + self.values[f.motion][:, None, None] * way
        return np.asarray(out, np.float64)

    def scale(self, region: Region, z: float | None) -> tuple[Array, NDArray[np.bool_]]:
        if region.depth is None or z is None:
            return np.ones(self.count), np.ones(self.count, np.bool_)
        half = region.depth.half * self.stretch(region)[:, 2]
        u = (z - region.depth.center_z - self.shift(region)[:, 2]) / half
        return np.sqrt(np.maximum(1 - u * u, 0.0)), np.abs(u) < 1

    def inside(self, parent: Region, points: Array, z: float | None) -> NDArray[np.bool_]:
        """Return which points, shape (n, points, 2), lie in a region at a height."""
        shape = parent.shape
        scale, there = self.scale(parent, z)
        size = np.maximum(scale, 1e-9)[:, None, None]
        if isinstance(shape, Polygon):
            corners = self.corners(parent, shape)
            middle = corners.mean(axis=1, keepdims=True)
            points = middle + (points - middle) / size
            inside = np.zeros(points.shape[:2], np.bool_)
            after = np.roll(corners, -1, axis=1)
            x, y = points[..., 0], points[..., 1]
            for e in range(corners.shape[1]):
                x0, y0, x1, y1 = (v[:, None] for v in (*corners[:, e].T, *after[:, e].T))
                crosses = (y0 > y) != (y1 > y)
                rise = np.where(y1 == y0, 1.0, y1 - y0)
                inside ^= crosses & (x < x0 + (y - y0) * ((x1 - x0) / rise))
            return inside & there[:, None]
        assert isinstance(shape, Ellipse)
        center = np.array(shape.center)
        back = points - center - self.shift(parent)[:, None, :2]
        axes = size * self.linear(parent) @ shape.axes
        unit = back @ np.swapaxes(np.linalg.inv(axes), 1, 2)
        return np.asarray(((unit**2).sum(axis=-1) <= 1 + _TOLERANCE) & there[:, None], np.bool_)


def _motions(region: Region, parent: Region | None) -> tuple[str, ...]:
    both = (*region.follows, *(parent.follows if parent is not None else ()))
    return tuple(sorted({f.motion for f in both if f.motion != STATIC}))


def _corners(names: tuple[str, ...], limits: dict[str, tuple[float, float]]) -> State:
    """Return all combinations of the least, middle and greatest values (of many motions, of the extremes)."""
    steps = 9 if len(names) == 1 else 3 if len(names) <= 4 else 2
    axes = [np.linspace(*limits[name], steps) for name in names]
    mesh = [m.ravel() for m in np.meshgrid(*axes)] if axes else []
    count = mesh[0].size if mesh else 1
    return State({STATIC: np.zeros(count), **dict(zip(names, mesh, strict=True))}, count)


def _course(
    anatomy: Anatomy, names: tuple[str, ...], start_ns: int, stop_ns: int
) -> tuple[State, NDArray[np.int64]]:
    times = np.arange(start_ns, min(stop_ns, start_ns + _CHUNK * STEP_NS) + 1, STEP_NS, dtype=np.int64)
    values = {name: anatomy.drives[name].at(times) for name in names}
    return State({STATIC: np.zeros(len(times)), **values}, len(times)), times


def _check_child(
    region: Region,
    parent: Region,
    anatomy: Anatomy,
    limits: dict[str, tuple[float, float]],
    stop_ns: int,
    where: str,
) -> None:
    if region.follows == parent.follows and not (region.deforms or parent.deforms):
        names: tuple[str, ...] = ()  # they move as one
    else:
        names = _motions(region, parent)
    heights = heights_of(anatomy, region, parent)
    if not names:
        still = State({n: np.zeros(1) for n in (STATIC, *_motions(region, parent))}, 1)
        _complain_outside(still, region, parent, heights, np.zeros(1, np.int64), where)
        return
    if _outside(_corners(names, limits), region, parent, heights) is None:
        return
    for start in range(0, stop_ns + 1, _CHUNK * STEP_NS):
        state, times = _course(anatomy, names, start, stop_ns)
        _complain_outside(state, region, parent, heights, times, where)


def heights_of(anatomy: Anatomy, region: Region, parent: Region) -> list[float | None]:
    """Return the heights in the slice at which two regions are compared; None where neither has any."""
    slice_ = anatomy.phantom.slice_
    if slice_ is None or (region.depth is None and parent.depth is None):
        return [None]
    low, high = slice_.limits
    if region.depth is not None:
        reach = region.depth.half
        low, high = max(low, region.depth.center_z - reach), min(high, region.depth.center_z + reach)
        if low >= high:
            low, high = slice_.limits
    return [float(z) for z in np.linspace(low, high, _HEIGHTS)]


def _outside(
    state: State, region: Region, parent: Region, heights: list[float | None]
) -> tuple[int, float, float, float | None] | None:
    """Return the first state in which a point lies outside, and the point (x, y) and its height."""
    found: tuple[int, float, float, float | None] | None = None
    for z in heights:
        points, there = state.edge(region, z)
        outside = ~state.inside(parent, points, z) & there[:, None]
        # A flat child of a solid must be inside wherever the slice is; a point of no size is nowhere.
        if outside.any():
            i = int(np.argmax(outside.any(axis=1)))
            if found is None or i < found[0]:
                x, y = points[i, int(np.argmax(outside[i]))]
                found = (i, float(x), float(y), z)
    return found


def _complain_outside(
    state: State,
    region: Region,
    parent: Region,
    heights: list[float | None],
    times: NDArray[np.int64],
    where: str,
) -> None:
    found = _outside(state, region, parent, heights)
    if found is None:
        return
    i, x, y, z = found
    height = "" if z is None else f" at z = {z * 1e3:.1f} mm"
    raise PhantomError(
        f"{where}: region {region.name!r}: {_key(region)}: at t = {times[i] * 1e-9:.2f} s it leaves its "
        f"parent {parent.name!r} at ({x * 1e3:.1f}, {y * 1e3:.1f}) mm{height}; make it smaller, or its motion"
    )


def _check_corner(
    region: Region,
    names: tuple[str, ...],
    limits: dict[str, tuple[float, float]],
    fov_m: tuple[float, float],
    where: str,
    anatomy: Anatomy,
    stop_ns: int,
) -> None:
    """Check the stretch and the field of view: at the extremes, and if they fail, along the course."""
    if _complaint(_corners(names, limits), region, fov_m) is None:
        return
    for start in range(0, stop_ns + 1, _CHUNK * STEP_NS):
        state, times = _course(anatomy, names, start, stop_ns)
        found = _complaint(state, region, fov_m)
        if found is not None:
            i, text = found
            when = f"at t = {times[i] * 1e-9:.2f} s"
            raise PhantomError(f"{where}: region {region.name!r}: {text.format(when=when)}")
    if (
        len(names) == 1
    ):  # the last cycle goes on beyond the scan; of several motions no corner need be reached
        state = _corners(names, limits)
        found = _complaint(state, region, fov_m)
        if found is not None:
            value = state.values[names[0]][found[0]] * 1e3
            when = f"at {value:.1f} mm of {names[0]!r}"
            raise PhantomError(f"{where}: region {region.name!r}: {found[1].format(when=when)}")


def _complaint(state: State, region: Region, fov_m: tuple[float, float]) -> tuple[int, str] | None:
    stretch = state.stretch(region)
    for axis, name in ((0, "x"), (1, "y"), (2, "z")):
        low = stretch[:, axis] < LEAST_STRETCH
        if low.any():
            i = int(np.argmax(low))
            return i, (
                f"stretch_percent_per_mm: {{when}} it is stretched by {stretch[i, axis]:.2f} along {name}; "
                f"above {LEAST_STRETCH} is needed"
            )
    points, _ = state.edge(region, None)
    for axis, name, fov in ((0, "x", fov_m[1]), (1, "y", fov_m[0])):
        reach = np.abs(points[..., axis]).max(axis=1)
        if (reach > fov / 2).any():
            i = int(np.argmax(reach > fov / 2))
            return i, (
                f"{_key(region)}: {{when}} it reaches {reach[i] * 1e3:.1f} mm from the centre along {name}, "
                f"the field of view ends at {fov / 2 * 1e3:.1f} mm; make it smaller, or the field larger"
            )
    return None


def _key(region: Region) -> str:
    return _KEYS["polygon" if isinstance(region.shape, Polygon) else "ellipse"]
