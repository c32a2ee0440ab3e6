"""One course of a phantom's motion: where every region is at any instant."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsim.errors import InputError
from mrsim.kspace import Grid
from mrsim.phantom import Phantom
from mrsim.seeds import check_seed, child
from mrsim.shapes import Ellipse

Array = NDArray[np.float64]

_LEAST_STRETCH = 0.05


class Anatomy:
    """Tell where the regions of a phantom are, exactly and at any instant.

    Parameters
    ----------
    phantom
        The phantom.
    seed
        Seed of the scan; it fixes the course of every motion.

    Raises
    ------
    InputError
        If the seed is not a whole number from 0 to 2^63 - 1.
    """

    def __init__(self, phantom: Phantom, seed: int) -> None:
        self.phantom, self.seed = phantom, check_seed(seed)
        self._drives = {
            name: motion.drive(child(self.seed, "motion", name)) for name, motion in phantom.motions.items()
        }
        regions = phantom.regions
        self.moves = np.array([r.moves for r in regions])
        self.deforms = np.array([r.deforms for r in regions])
        self._rest = np.array([r.shape.center for r in regions])
        self._direction = np.array([r.direction for r in regions])
        self._stretch = np.array([r.stretch_per_m for r in regions])[self.deforms]
        self._axes = np.array(
            [r.shape.axes for r in regions if r.deforms and isinstance(r.shape, Ellipse)]
        ).reshape(-1, 2, 2)

    def values(self, t_ns: ArrayLike) -> Array:
        """Return the value of each region's motion, shape (n, regions), float64, metres."""
        times = np.atleast_1d(np.asarray(t_ns, np.int64))
        drives = {name: drive.at(times) for name, drive in self._drives.items()}
        return np.stack([drives[r.motion] for r in self.phantom.regions], axis=-1)

    def displacement(self, t_ns: ArrayLike) -> Array:
        """Compute how far each region is from where it rests.

        Parameters
        ----------
        t_ns
            Instants from the start of the scan, shape (n,), nanoseconds.

        Returns
        -------
        displacement
            (x, y), shape (n, regions, 2), float64, metres.
        """
        displacement: Array = self.values(t_ns)[:, :, None] * self._direction
        return displacement

    def centers(self, t_ns: ArrayLike) -> Array:
        """Return the centre (x, y) of each region, shape (n, regions, 2), float64, metres."""
        centers: Array = self._rest + self.displacement(t_ns)
        return centers

    def axes(self, t_ns: ArrayLike) -> Array:
        """Return the matrices that map the unit disc onto the regions that deform, metres.

        Shape (n, deforming, 2, 2), float64; see `Ellipse.axes`.
        """
        stretch = 1 + self.values(t_ns)[:, self.deforms, None] * self._stretch
        axes: Array = stretch[..., None] * self._axes
        return axes

    def centroid(self, region: str, t_ns: ArrayLike) -> Array:
        """Return the centroid (x, y) of a region at each instant, shape (n, 2), or (2,) for one; metres."""
        path = self.centers(t_ns)[:, self.phantom.index(region)]
        return path if np.ndim(t_ns) else path[0]

    def mask(
        self, region: str, t_ns: int, matrix: tuple[int, int], fov_m: tuple[float, float]
    ) -> NDArray[np.bool_]:
        """Return the pixels whose centre lies in a region, children included.

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
        value = self.values(t_ns)[0, i]
        shift = value * self._direction[i]
        stretch = 1 + value * np.array(entry.stretch_per_m)
        # Points are taken back to where the region is at rest.
        cx, cy = self._rest[i]
        return entry.shape.inside(
            cx + (x - cx - shift[0]) / stretch[0], cy + (y - cy - shift[1]) / stretch[1]
        )

    def check_fits(self, fov_m: tuple[float, float], stop_ns: int, where: str) -> None:
        """Raise an error if a region leaves the field of view, or is stretched to nothing.

        Parameters
        ----------
        fov_m
            Field of view along y and x, metres.
        stop_ns
            End of the scan, nanoseconds.
        where
            How the error names the phantom.

        Raises
        ------
        InputError
            It names the region.
        """
        for region in self.phantom.regions:
            extent = region.shape.extent()
            for value in self._drives[region.motion].bounds(stop_ns):
                for axis, name, fov in ((0, "x", fov_m[1]), (1, "y", fov_m[0])):
                    stretch = 1 + region.stretch_per_m[axis] * value
                    if stretch < _LEAST_STRETCH:
                        raise InputError(
                            f"{where}: region {region.name!r}: stretch_percent_per_mm: at {value * 1e3:.1f} "
                            f"mm of {region.motion!r} it is stretched by {stretch:.2f} along {name}; above "
                            f"{_LEAST_STRETCH} is needed"
                        )
                    center = region.shape.center[axis] + region.direction[axis] * value
                    reach = abs(center) + extent[axis] * stretch
                    if reach > fov / 2:
                        raise InputError(
                            f"{where}: region {region.name!r}: center_mm, semi_axes_mm: it reaches "
                            f"{reach * 1e3:.1f} mm from the centre along {name}, the field of view ends at "
                            f"{fov / 2 * 1e3:.1f} mm; make it smaller, or the field of view larger"
                        )
