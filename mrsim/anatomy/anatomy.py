"""One course of a phantom's motion: where every region is at any instant, and how it is seen."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsim.anatomy.follows import Ways
from mrsim.anatomy.phantom import Phantom
from mrsim.anatomy.polygon import Polygon, centroids
from mrsim.anatomy.region import STATIC, Region
from mrsim.anatomy.shapes import Ellipse, Shape
from mrsim.errors import PhantomError
from mrsim.kernels.grid import Grid
from mrsim.motion.courses import Drive
from mrsim.motion.drives import Derived
from mrsim.seeds import check_seed, child

Array = NDArray[np.float64]

_KEPT_INSTANTS = 8  # of which what was asked for once is kept: an image is one instant


class Anatomy:
    """Compute where the regions of a phantom are, exactly and at any instant.

    Parameters
    ----------
    phantom
        The phantom.
    seed
        Seed of the scan; it fixes the course of every motion.

    Raises
    ------
    PhantomError
        If the seed is not a whole number from 0 to 2^128 - 1.
    """

    def __init__(self, phantom: Phantom, seed: int) -> None:
        self.phantom, self.seed = phantom, check_seed(seed)
        self.drives: dict[str, Drive] = {}
        for name, motion in phantom.motions.items():
            if isinstance(motion, Derived):
                self.drives[name] = motion.derive(self.drives)
            else:
                self.drives[name] = motion.drive(child(self.seed, "motion", name))
        regions = phantom.regions
        self.moves = np.array([r.moves for r in regions])
        self.deforms = np.array([r.deforms for r in regions])
        self.shears = np.array([any(any(f.shear_per_m) for f in r.follows) for r in regions])
        self._rest = np.array([r.shape.center for r in regions])
        self._used = sorted({f.motion for r in regions for f in r.follows} | {STATIC})
        self._number = {name: n for n, name in enumerate(self._used)}
        self._ways = {
            key: Ways(
                [
                    [(self._number[f.motion], np.array(getattr(f, key), np.float64)) for f in r.follows]
                    for r in regions
                ],
                width,
            )
            for key, width in (("direction", 3), ("stretch_per_m", 3), ("shear_per_m", 2))
        }
        self._corner_ways: dict[int, Ways] = {}
        self._latest: tuple[bytes, dict[object, Array]] = (b"", {})

    def values(self, t_ns: ArrayLike) -> Array:
        """Return the value of each region's first motion, shape (n, regions), float64, metres."""
        drives = self._drive_values(t_ns)
        return np.stack([drives[:, self._number[r.motion]] for r in self.phantom.regions], axis=-1)

    def shift(self, t_ns: ArrayLike) -> Array:
        """Return how far each region is from where it rests, (x, y, z), shape (n, regions, 3), metres."""
        return self._summed(t_ns, "direction").copy()

    def stretch(self, t_ns: ArrayLike) -> Array:
        """Return how much each region is stretched along (x, y, z), 1 for not, shape (n, regions, 3)."""
        return np.asarray(1 + self._summed(t_ns, "stretch_per_m"), np.float64)

    def linear(self, number: int, t_ns: ArrayLike) -> Array:
        """Return the matrix that a region is mapped by about its centre, in the plane, shape (n, 2, 2)."""
        stretch = self.stretch(t_ns)[:, number, :2]
        shear = self._summed(t_ns, "shear_per_m")[:, number]
        out = np.zeros((len(stretch), 2, 2))
        out[:, 0, 0], out[:, 1, 1] = stretch[:, 0], stretch[:, 1]
        out[:, 0, 1], out[:, 1, 0] = shear[:, 0], shear[:, 1]
        return out

    def values_of(self, names: tuple[str, ...], t_ns: ArrayLike) -> Array:
        """Return the values of motions by name, shape (n, names), float64, metres."""
        times = np.atleast_1d(np.asarray(t_ns, np.int64))
        return (
            np.stack([self.drives[n].at(times) for n in names], axis=-1)
            if names
            else np.zeros((len(times), 0))
        )

    def displacement(self, t_ns: ArrayLike) -> Array:
        """Compute how far each region is from where it rests.

        Parameters
        ----------
        t_ns
            Instants from the start of the scan, shape (n,), nanoseconds.

        Returns
        -------
        displacement
            (x, y) in the plane, shape (n, regions, 2), float64, metres.
        """
        return self._summed(t_ns, "direction")[:, :, :2].copy()

    def centers(self, t_ns: ArrayLike) -> Array:
        """Return the centroid (x, y) of each region, shape (n, regions, 2), float64, metres."""
        centers: Array = self._rest + self.displacement(t_ns)
        for i, region in enumerate(self.phantom.regions):
            if (region.vertex_share is not None or region.uneven) and region.moves:
                centers[:, i] = centroids(self.vertices(i, t_ns))
        return centers

    def axes(self, t_ns: ArrayLike) -> Array:
        """Return the matrices that map the unit disc onto the ellipses that deform, metres.

        Shape (n, deforming ellipses, 2, 2), float64; see `Ellipse.axes`.
        """
        shapes = [r.shape for r in self.phantom.regions]
        which = [i for i, s in enumerate(shapes) if self.deforms[i] and isinstance(s, Ellipse)]
        rest = np.array([s.axes for i, s in enumerate(shapes) if i in which and isinstance(s, Ellipse)])
        rest = rest.reshape(-1, 2, 2)
        axes: Array = self.stretch(t_ns)[:, which, :2, None] * rest
        if self.shears[which].any():
            axes = axes + self._summed(t_ns, "shear_per_m")[:, which, :, None] * rest[:, ::-1]
        return axes

    def vertices(self, number: int, t_ns: ArrayLike) -> Array:
        """Return the corners of a polygon region at each instant, shape (n, corners, 2), metres."""
        region = self.phantom.regions[number]
        if not isinstance(region.shape, Polygon):
            raise PhantomError(f"{self.phantom.name}: region {region.name!r}: not a polygon")
        corners = region.shape.vertices
        if number not in self._corner_ways:
            self._corner_ways[number] = Ways([self._ways_of_corners(region, corners)], corners.size)
        moved = self._once(
            t_ns,
            ("vertices", number),
            lambda values: corners + self._corner_ways[number].summed(values).reshape(-1, *corners.shape),
        )
        return moved.copy()

    def _ways_of_corners(self, region: Region, corners: Array) -> list[tuple[int, Array]]:
        share = np.ones(len(corners)) if region.vertex_share is None else np.array(region.vertex_share)
        ways = [(self._number[STATIC], np.zeros(corners.shape))]  # a sum begins with 0
        for follow in region.follows:
            if follow.corners is not None:
                ways.append((self._number[follow.motion], np.array(follow.corners)))
                continue
            away = corners - np.array(region.shape.center)
            way = share[:, None] * np.array(follow.direction[:2]) + away * np.array(follow.stretch_per_m[:2])
            if any(follow.shear_per_m):
                way = way + away[:, ::-1] * np.array(follow.shear_per_m)
            ways.append((self._number[follow.motion], way))
        return ways

    def depth(self, number: int, t_ns: ArrayLike) -> tuple[Array, Array]:
        """Return the height of a solid region's centre and half its height, each of shape (n,), metres."""
        depth = self.phantom.regions[number].depth
        if depth is None:
            whole = np.zeros(np.size(t_ns))
            return whole, np.full(np.size(t_ns), math.inf)
        shift, stretch = self.shift(t_ns)[:, number, 2], self.stretch(t_ns)[:, number, 2]
        return depth.center_z + shift, depth.half * stretch

    def centroid(self, region: str, t_ns: ArrayLike) -> Array:
        """Return the centroid (x, y) of a region at each instant, shape (n, 2), or (2,) for one; metres.

        A solid is not tilted, so that this is its centroid as it is seen, too.
        """
        path = self.centers(t_ns)[:, self.phantom.index(region)]
        return path if np.ndim(t_ns) else path[0]

    def outline(self, region: str, t_ns: int) -> Shape | None:
        """Return a region's shape at an instant as the slice sees it; None if it is not seen.

        A solid is seen where it fills at least a half of the slice; see `Slice.seen_share`.
        """
        i = self.phantom.index(region)
        entry, scale = self.phantom.regions[i], self.seen(i, t_ns)
        if scale == 0:
            return None
        if isinstance(entry.shape, Polygon):
            corners = self.vertices(i, t_ns)[0]
            middle = centroids(corners)
            return entry.shape.moved(middle + scale * (corners - middle))
        if not isinstance(entry.shape, Ellipse):
            raise PhantomError(f"{self.phantom.name}: region {region!r}: its shape has no outline that moves")
        x, y = self._rest[i] + self.displacement(t_ns)[0, i]
        at = Ellipse((float(x), float(y)), entry.shape.semi_axes, entry.shape.angle)
        return at.mapped(scale * self.linear(i, t_ns)[0])

    def mask(
        self, region: str, t_ns: int, matrix: tuple[int, int], fov_m: tuple[float, float]
    ) -> NDArray[np.bool_]:
        """Return the pixels whose centre lies in a region as it is seen, children included.

        Parameters
        ----------
        region
            Its name.
        t_ns
            Instant from the start of the scan, nanoseconds.
        matrix
            Rows and columns.
        fov_m
            Field of view along y and x, metres.

        Returns
        -------
        mask
            Shape `matrix`, bool.
        """
        i = self.phantom.index(region)
        entry = self.phantom.regions[i]
        x, y = Grid(matrix, fov_m).pixels()
        if not isinstance(entry.shape, Ellipse):
            outline = self.outline(region, t_ns)
            return np.zeros(matrix, np.bool_) if outline is None else outline.inside(x, y)
        scale = self.seen(i, t_ns)
        if scale == 0:
            return np.zeros(matrix, np.bool_)
        shift = self.displacement(t_ns)[0, i]
        # Points are taken back to where the region is at rest.
        cx, cy = self._rest[i]
        if self.shears[i]:
            (a, b), (c, d) = np.linalg.inv(scale * self.linear(i, t_ns)[0])
            dx, dy = x - cx - shift[0], y - cy - shift[1]
            return entry.shape.inside(cx + a * dx + b * dy, cy + c * dx + d * dy)
        stretch = self.stretch(t_ns)[0, i] * scale
        return entry.shape.inside(
            cx + (x - cx - shift[0]) / stretch[0], cy + (y - cy - shift[1]) / stretch[1]
        )

    def seen(self, number: int, t_ns: int) -> float:
        """Return the scale of a region's outline as the slice sees it at an instant; 0 if it does not."""
        slice_ = self.phantom.slice_
        if slice_ is None or self.phantom.regions[number].depth is None:
            return 1.0
        center, half = self.depth(number, t_ns)
        return slice_.seen_share(float(center[0]), float(half[0]))

    def _drive_values(self, t_ns: ArrayLike) -> Array:
        """Return the values of all motions that regions follow, shape (n, motions)."""
        times = np.atleast_1d(np.asarray(t_ns, np.int64))
        return np.stack([self.drives[name].at(times) for name in self._used], axis=-1)

    def _summed(self, t_ns: ArrayLike, key: str) -> Array:
        return self._once(t_ns, key, self._ways[key].summed)

    def _once(self, t_ns: ArrayLike, what: object, of: Callable[[Array], Array]) -> Array:
        """Return something of the motions' values; of a few instants it is kept until others come."""
        times = np.atleast_1d(np.asarray(t_ns, np.int64))
        if len(times) > _KEPT_INSTANTS:
            return of(self._drive_values(times))
        latest, key = self._latest, times.tobytes()
        if latest[0] != key:
            latest = self._latest = (key, {})
        kept = latest[1]
        if what not in kept:
            if "" not in kept:
                kept[""] = self._drive_values(times)
            kept[what] = of(kept[""])
        return kept[what]
