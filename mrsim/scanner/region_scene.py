"""A phantom of regions as a scene: closed forms at any instant."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsim.anatomy.anatomy import Anatomy
from mrsim.anatomy.containment import check_containment
from mrsim.anatomy.masks import masks
from mrsim.anatomy.neighbours import check_neighbours
from mrsim.anatomy.phantom import Phantom
from mrsim.kernels.grid import Grid
from mrsim.reception.coil_fit import FittedCoils
from mrsim.scanner.protocol import ScanProtocol
from mrsim.scanner.raster import Raster
from mrsim.scanner.region_lines import RegionLines
from mrsim.scanner.scene import Source
from mrsim.stream import Header
from mrsim.stream.fourier import to_image

Array = NDArray[np.float64]


class RegionScene:
    """Compute what a scan of a phantom would see.

    Parameters
    ----------
    phantom
        What is scanned.
    header
        The protocol.
    seed
        Seed of the scan; it fixes the course of every motion.

    Raises
    ------
    ProtocolError
        If a tissue has no values at the field, or the tables would be too large.
    """

    def __init__(self, phantom: Phantom, header: Header, seed: int) -> None:
        self.anatomy, self._header = Anatomy(phantom, seed), header
        self.uniform = RegionLines(self.anatomy, header)

    @property
    def target_signal(self) -> float:
        """Return the magnitude of the target in an image.

        Of a phantom with texture it is the mean over the target's pixels in the first image; of others, the
        signal of the target's tissue where it fills the slice.
        """
        phantom, rows = self.anatomy.phantom, self._header.matrix[0]
        if phantom.texture:
            mask = self.mask(phantom.target, 0)
            if mask.any():
                every = (np.arange(rows) - rows // 2).astype(np.int32)
                return float(np.abs(to_image(self.instant(every, 0)))[mask].mean())
        return self.uniform.contrast.target_signal

    def check(self, stop_ns: int) -> None:
        """Raise a `PhantomError` if a region leaves its parent or the field, or enters a neighbour."""
        name = self.anatomy.phantom.name
        check_containment(self.anatomy, self._header.fov_m, stop_ns, name)
        check_neighbours(self.anatomy, stop_ns, name)

    def source(self, protocol: ScanProtocol, fitted: FittedCoils | None) -> Source:
        """Return what renders lines for some coils, exactly or from pixels, as the protocol says."""
        if protocol.rendering == "raster":
            contrast = self.uniform.contrast
            return Raster(self.anatomy, self._header, contrast, protocol.supersampling, fitted)
        return self.uniform if fitted is None else RegionLines(self.anatomy, self._header, fitted)

    def instant(self, ky: NDArray[np.int32], t_ns: int) -> NDArray[np.complex128]:
        """Return lines of one instant for a uniform coil, shape (lines, nx), complex128."""
        # All rows share one state, so that it is found once.
        return self.uniform.lines(ky, np.array([t_ns], np.int64), one_instant=True)[:, 0]

    def displacement(self, t_ns: ArrayLike) -> Array:
        """Return how far each region is from where it rests, shape (n, regions, 2), metres."""
        return self.anatomy.displacement(t_ns)

    def centroid(self, region: str, t_ns: ArrayLike) -> Array:
        """Return the centroid (x, y) of a region, shape (n, 2), or (2,) for one instant; metres."""
        return self.anatomy.centroid(region, t_ns)

    def mask(self, region: str, t_ns: int) -> NDArray[np.bool_]:
        """Return the pixels whose centre lies in a region at an instant, shape (ny, nx), bool."""
        return self.anatomy.mask(region, t_ns, self._header.matrix, self._header.fov_m)

    def masks(self, region: str, t_ns: NDArray[np.int64], window: tuple[slice, slice]) -> NDArray[np.bool_]:
        """Return the same in a window at many instants, shape (n, rows, columns), bool."""
        return masks(self.anatomy, region, t_ns, Grid(self._header.matrix, self._header.fov_m), window)

    def contour(self, region: str, t_ns: int, points: int) -> Array:
        """Return points on the outline of a region as it is seen, shape (n, 2), metres; none if it is not."""
        outline = self.anatomy.outline(region, t_ns)
        return np.empty((0, 2)) if outline is None else outline.boundary(points)
