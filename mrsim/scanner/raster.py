"""The object drawn on pixels and transformed by an FFT: what most simulations do, kept for comparison.

Whatever is reconstructed on the same pixels finds a world that it can represent exactly (the inverse crime),
so results look better than a scanner would have them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.anatomy import Anatomy
from mrsim.anatomy.polygon import Polygon, centroids
from mrsim.anatomy.shapes import Ellipse
from mrsim.kernels.grid import Grid
from mrsim.reception.coil_fit import FittedCoils
from mrsim.scanner.blobs import Blobs
from mrsim.scanner.contrast import Contrast
from mrsim.stream import Header
from mrsim.stream.fourier import to_kspace

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


class Raster:
    """Render lines of k-space from pixels.

    Parameters
    ----------
    anatomy
        Where everything is.
    header
        The protocol.
    contrast
        Signals of the regions.
    supersampling
        Points a side in each pixel.
    fitted
        The coils; None for one of uniform sensitivity.
    """

    def __init__(
        self,
        anatomy: Anatomy,
        header: Header,
        contrast: Contrast,
        supersampling: int = 1,
        fitted: FittedCoils | None = None,
    ) -> None:
        self._anatomy, self._header, self._contrast = anatomy, header, contrast
        self._points = supersampling
        self._blobs = Blobs(anatomy, contrast, header.flip_rad) if anatomy.phantom.texture else None
        x, y = Grid(header.matrix, header.fov_m).pixels()
        (ny, nx), (fy, fx) = header.matrix, header.fov_m
        within = (np.arange(supersampling) + 0.5) / supersampling - 0.5
        self._x = (x[0][:, None] + within * fx / nx).reshape(1, -1)
        self._y = (y[:, 0][:, None] + within * fy / ny).reshape(-1, 1)
        self._coils: Complex = np.ones((1, 1, 1), np.complex128)
        if fitted is not None:
            self._coils = fitted.sensitivity(x, y)

    def image(self, t_ns: int) -> Complex:
        """Draw one instant, shape (ny, nx), complex128: the mean signal at the points of each pixel."""
        anatomy, at = self._anatomy, np.array([t_ns], np.int64)
        total = np.zeros((self._y.size, self._x.size), np.complex128)
        centers, stretch = anatomy.centers(at)[0], anatomy.stretch(at)[0]
        for i, region in enumerate(anatomy.phantom.regions):
            shape = region.shape
            if region.lean is not None and isinstance(shape, Polygon):
                corners = anatomy.vertices(i, at)[0]
                _, moved, weights = self._contrast.leaning(i)
                for further, weight in zip(moved, weights.tolist(), strict=True):
                    there = corners + np.stack([0 * further, further], axis=-1)
                    total += weight * shape.moved(there).inside(self._x, self._y)
                continue
            for scale, weight in self._contrast.cuts(i, at):
                if weight == 0:
                    continue
                if isinstance(shape, Polygon):
                    corners = anatomy.vertices(i, at)[0]
                    middle = centroids(corners)
                    drawn = shape.moved(middle + scale * (corners - middle)).inside(self._x, self._y)
                else:
                    placed = Ellipse((0, 0), shape.semi_axes, shape.angle)  # type: ignore[attr-defined]
                    across, down = self._x - centers[i, 0], self._y - centers[i, 1]
                    if anatomy.shears[i]:
                        (a, b), (c, d) = np.linalg.inv(anatomy.linear(i, at)[0])
                        drawn = placed.inside(
                            (a * across + b * down) / scale, (c * across + d * down) / scale
                        )
                    else:
                        drawn = placed.inside(
                            across / (stretch[i, 0] * scale), down / (stretch[i, 1] * scale)
                        )
                total += weight * drawn
        if self._blobs is not None:
            places, widths, weights = self._blobs.placed(anatomy.values_of(self._blobs.names, at)[0])
            for (x, y, _), width, weight in zip(places.T.tolist(), widths.tolist(), weights, strict=True):
                across = np.exp(-0.5 * ((self._x - x) / width) ** 2)
                total += weight * across * np.exp(-0.5 * ((self._y - y) / width) ** 2)
        (ny, nx), s = self._header.matrix, self._points
        return np.asarray(total.reshape(ny, s, nx, s).mean(axis=(1, 3)), np.complex128)

    def lines(self, ky: NDArray[np.int32], t_ns: NDArray[np.int64]) -> Complex:
        """Compute lines, shape (lines, coils, nx), complex128; parameters as for `Scene.lines`."""
        ny, nx = self._header.matrix
        out = np.empty((len(ky), len(self._coils), nx), np.complex128)
        y = np.arange(ny) - ny // 2
        image, drawn_at = np.empty((0, 0), np.complex128), None
        for n, (row, t) in enumerate(zip(ky.tolist(), t_ns.tolist(), strict=True)):
            if t != drawn_at:
                image, drawn_at = self.image(t), t
            turn = np.exp(-2j * np.pi * row * y / ny)
            hybrid = (self._coils * image * turn[:, None]).sum(axis=1)
            out[n] = to_kspace(hybrid, (-1,), unitary=False) / np.sqrt(ny * nx)
        return out
