"""Segmentation of the target in a magnitude image, with the prior knowledge of a planning system.

The prior knowledge is the same for every candidate and frame: the window in which the target moves, its area,
and whether it is brighter than its surroundings. The outline is the contour at the level of Otsu's threshold
in that window, with sub-pixel accuracy. Otsu 1979, 10.1109/TSMC.1979.4310076.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import InputError, MissingExtraError
from mrsim.stream import Header, Truth

MARGIN_M = 0.02
# An outline is not the target if its area differs from the planned one by more than this factor.
AREA_FACTOR = 2.5
# Frames that the plan is made from; more frames change it by less than a pixel.
PLAN_FRAMES = 64


def eval_library(module: str, purpose: str) -> Any:
    """Import a module of scikit-image.

    Parameters
    ----------
    module
        Its name.
    purpose
        What it is needed for, as the error states it.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtraError("scikit-image", "eval", purpose) from None


@dataclass(frozen=True)
class Segment:
    """Hold the target as it was segmented.

    Parameters
    ----------
    centroid_m
        Centroid (x, y) of the area that the contour encloses, metres.
    mask
        Which pixels of the window have their centre inside the contour, bool.
    """

    centroid_m: tuple[float, float]
    mask: NDArray[np.bool_]


class TargetFinder:
    """Segment one target in every image of a stream.

    Parameters
    ----------
    truth
        Truth of the whole stream, for the plan.
    header
        The protocol.
    margin_m
        Margin of the window around all positions of the target, metres.

    Raises
    ------
    InputError
        If no frame contains the target.
    MissingExtraError
        If scikit-image is not installed.
    """

    def __init__(self, truth: Truth, header: Header, margin_m: float = MARGIN_M) -> None:
        measure = eval_library("skimage.measure", "finding the target in an image")
        self._contours: Callable[..., list[NDArray[np.float64]]] = measure.find_contours
        self._inside: Callable[..., NDArray[np.bool_]] = measure.grid_points_in_poly
        self._pixel_m = (header.fov_m[0] / header.matrix[0], header.fov_m[1] / header.matrix[1])
        union = np.zeros(header.matrix, np.bool_)
        for mask in truth.mask:
            union |= mask
        if not union.any():
            raise InputError(f"truth: the target {truth.target!r} is in no frame of the stream")
        margin = [int(np.ceil(margin_m / p)) for p in self._pixel_m]
        ranges = []
        for axis in (0, 1):
            at = np.flatnonzero(union.any(axis=1 - axis))
            start = max(int(at[0]) - margin[axis], 0)
            ranges.append(slice(start, min(int(at[-1]) + 1 + margin[axis], union.shape[axis])))
        self.window = (ranges[0], ranges[1])
        self._origin = tuple(r.start - n // 2 for r, n in zip(ranges, header.matrix, strict=True))
        chosen = np.linspace(0, len(truth.mask) - 1, min(len(truth.mask), PLAN_FRAMES)).astype(int)
        self.area_px = float(np.mean([truth.mask[f].sum() for f in chosen]))
        self.bright = bool(np.mean([_contrast(np.abs(truth.image[f]), truth.mask[f]) for f in chosen]) >= 0)

    def find(self, magnitude: NDArray[np.float32]) -> Segment | None:
        """Find the target in one image.

        Parameters
        ----------
        magnitude
            Shape (ny, nx), float32.

        Returns
        -------
        segment
            None if no closed outline of about the planned area is found.
        """
        view = np.ascontiguousarray(magnitude[self.window], dtype=np.float64)
        level = otsu_level(view)
        if level is None:
            return None
        best, outline = AREA_FACTOR, None
        for contour in self._contours(view, level):
            if len(contour) < 4 or not np.array_equal(contour[0], contour[-1]):
                continue  # an open contour leaves the window, so it is not the target
            # find_contours gives a bright island a negative area and a dark one a positive area.
            area, row, column = polygon_moments(contour)
            if (area < 0) is not self.bright:
                continue
            factor = max(abs(area) / self.area_px, self.area_px / max(abs(area), 1e-9))
            if factor < best:
                best, outline = factor, (contour, row, column)
        if outline is None:
            return None
        contour, row, column = outline
        centroid = (
            (column + self._origin[1]) * self._pixel_m[1],
            (row + self._origin[0]) * self._pixel_m[0],
        )
        return Segment(centroid, self._inside(view.shape, contour))


def otsu_level(values: NDArray[np.float64]) -> float | None:
    """Return the level that splits the values into two classes with the greatest variance between them.

    The level is evaluated at every gap between sorted values, without a histogram.

    Parameters
    ----------
    values
        Any shape, float64.

    Returns
    -------
    level
        Midway between the means of the two classes; None if all values are equal.
    """
    ordered = np.sort(values, axis=None)
    count = np.arange(1, len(ordered))
    below = np.cumsum(ordered)[:-1]
    total = float(ordered.sum())
    mean_low, mean_high = below / count, (total - below) / (len(ordered) - count)
    between = count * (len(ordered) - count) * (mean_high - mean_low) ** 2
    split = int(np.argmax(between))
    if not between[split] > 0:
        return None
    return float(mean_low[split] + mean_high[split]) / 2


def polygon_moments(vertices: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the signed area and the centroid of a closed polygon (Green's theorem).

    Parameters
    ----------
    vertices
        Shape (n, 2), float64, (row, column), the first repeated at the end.

    Returns
    -------
    area, row, column
        Signed area, positive for a path that turns from the row axis to the column axis, and centroid.
    """
    origin = vertices[0]
    r, c = (vertices - origin).T  # relative to a vertex, which reduces cancellation
    cross = r[:-1] * c[1:] - r[1:] * c[:-1]
    area = float(cross.sum()) / 2
    if area == 0:
        return 0.0, float(origin[0]), float(origin[1])
    row = float(((r[:-1] + r[1:]) * cross).sum()) / (6 * area) + float(origin[0])
    column = float(((c[:-1] + c[1:]) * cross).sum()) / (6 * area) + float(origin[1])
    return area, row, column


def _contrast(magnitude: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """Return the mean inside a mask minus the mean in a ring of two pixels around it."""
    grown = mask.copy()
    for _ in range(2):
        padded = np.pad(grown, 1)
        grown = (
            padded[1:-1, 1:-1] | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
        )
    ring = grown & ~mask
    if not mask.any() or not ring.any():
        return 0.0
    return float(magnitude[mask].mean() - magnitude[ring].mean())
