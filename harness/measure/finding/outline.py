"""The target's outline: the contour at the level of Otsu's threshold in the window, with sub-pixel accuracy.

Otsu 1979, 10.1109/TSMC.1979.4310076. It needs a target that stands alone: where it touches what is as bright,
the contour leaves the window or takes that in, too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness.measure.finding.plan import Plan, Segment, eval_library, to_metres

# An outline is not the target if its area differs from the planned one by more than this factor.
AREA_FACTOR = 2.5


class Outline:
    """Find the target by its outline.

    Parameters
    ----------
    plan
        What is known of the target.

    Raises
    ------
    MissingExtraError
        If scikit-image is not installed.
    """

    name = "outline"

    def __init__(self, plan: Plan) -> None:
        measure = eval_library("skimage.measure", "finding the target in an image")
        self._contours: Callable[..., list[NDArray[np.float64]]] = measure.find_contours
        self._inside: Callable[..., NDArray[np.bool_]] = measure.grid_points_in_poly
        self._header, self._window = plan.header, plan.window
        self._area_px, self._bright = plan.area_px, plan.bright
        self._origin = np.array([part.start for part in plan.window])

    def find(self, magnitude: NDArray[np.floating]) -> Segment | None:
        """Find the target in one image.

        Parameters
        ----------
        magnitude
            Shape (ny, nx).

        Returns
        -------
        segment
            Its centre is that of the area inside the contour. None if no closed outline of about the planned
            area is found.
        """
        view = np.ascontiguousarray(magnitude[self._window], dtype=np.float64)
        level = otsu_level(view)
        if level is None:
            return None
        best, outline = AREA_FACTOR, None
        for contour in self._contours(view, level):
            if len(contour) < 4 or not np.array_equal(contour[0], contour[-1]):
                continue  # an open contour leaves the window, so it is not the target
            # find_contours gives a bright island a negative area and a dark one a positive area.
            area, row, column = polygon_moments(contour)
            if (area < 0) is not self._bright:
                continue
            factor = max(abs(area) / self._area_px, self._area_px / max(abs(area), 1e-9))
            if factor < best:
                best, outline = factor, (contour, row, column)
        if outline is None:
            return None
        contour, row, column = outline
        centre = to_metres(self._origin + np.array([row, column]), self._header)
        return Segment(centre, self._inside(view.shape, contour))


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
