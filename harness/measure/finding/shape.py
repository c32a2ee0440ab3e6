"""The target's planned shape, and how its rim is segmented in an image.

The planned masks, put together with their true centres on one point, give the outline between pixels. Well
inside it a pixel belongs to the target, well outside it does not. On the rim between, the image decides: the
level is the template's own on the outline, nearby. Where target and surroundings are equally bright, as on a
wall that it touches, the planned outline stands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.measure.finding.layers import PHASES, Layers
from harness.measure.finding.plan import Plan, eval_library

RIM_PX = 1.5
"""The image decides on pixels whose centre is this close to the planned outline."""
SMOOTHING_PX = 0.4
"""Standard deviation with which the samples of the planned masks are put together."""
ALONG_PX = 3.0
"""Standard deviation with which the level is put together along the outline."""
LEAST_SLOPE = 0.3
"""An outline with less than this share of its median slope does not show."""

Array = NDArray[np.float64]


class PlannedShape:
    """Hold the outline between pixels, and the level of the image on it.

    Parameters
    ----------
    plan
        What is known of the target.
    layers
        What it looks like.
    """

    def __init__(self, plan: Plan, layers: Layers) -> None:
        images = eval_library("scipy.ndimage", "finding the target in an image")
        self._sign = 1.0 if plan.bright else -1.0
        self._half = layers.half
        share = _share_inside(plan, layers.half, images.gaussian_filter)
        inside = share > 0.5
        fine = self._fine(layers)
        outwards = images.distance_transform_edt(~inside) / PHASES
        inwards = images.distance_transform_edt(inside) / PHASES
        distance = np.where(inside, inwards, outwards)
        edge = distance <= 1.0 / PHASES
        normal = np.array(np.gradient(share))
        normal /= np.maximum(np.linalg.norm(normal, axis=0), 1e-12)
        slope = self._sign * (np.array(np.gradient(fine)) * normal).sum(axis=0)
        shows = edge & (slope >= LEAST_SLOPE * max(float(np.median(slope[edge])), 1e-12))
        weight, self._level = (
            images.gaussian_filter(values, ALONG_PX * PHASES, mode="constant")
            for values in (shows.astype(np.float64), np.where(shows, fine, 0.0))
        )
        self._level /= np.maximum(weight, 1e-12)
        nearest = images.distance_transform_edt(~edge, return_distances=False, return_indices=True)
        self._decided = (distance > RIM_PX) | ~shows[tuple(nearest)]
        # The samples of the masks are sparse: on the rim the image tells more of the outline.
        self._inside = np.where(self._decided, inside, self._sign * (fine - self._level) > 0)

    @staticmethod
    def _fine(layers: Layers) -> Array:
        """Return the template between pixels, shape (rows, columns) of the fine grid."""
        out = np.empty([2 * n * PHASES + 1 for n in layers.half])
        for a in range(PHASES):
            for b in range(PHASES):
                # Pixels of a template shifted by a phase lie so much before the unshifted ones.
                image = layers.images((a, b), 1)[0]
                rows, columns = (
                    out[(PHASES - a) % PHASES :: PHASES],
                    slice((PHASES - b) % PHASES, None, PHASES),
                )
                part = image[1 if a else 0 :, 1 if b else 0 :]
                rows[:, columns] = part
        return out

    def segment(self, phase: tuple[int, int], image: Array) -> NDArray[np.bool_]:
        """Return the target's pixels in an image that is scaled as the template.

        Parameters
        ----------
        phase
            Shift of the target along rows and columns, in `PHASES` of a pixel, -4 to 4.
        image
            As many pixels as a template has, around the target's pixel.
        """
        rows, columns = (self._at(n, p) for n, p in zip(self._half, phase, strict=True))
        at = np.ix_(rows, columns)
        bright = self._sign * (image - self._level[at]) > 0
        return np.where(self._decided[at], self._inside[at], bright)

    @staticmethod
    def _at(half: int, phase: int) -> NDArray[np.int64]:
        """Return the points of the fine grid on which the pixels of an image lie; its edges are held."""
        at = np.arange(2 * half + 1) * PHASES - phase
        return np.clip(at, 0, 2 * half * PHASES)


def _share_inside(plan: Plan, half: NDArray[np.int64], smooth: object) -> Array:
    """Return the share of the planning frames in which a point of the fine grid is in the target."""
    shape = [2 * n * PHASES + 1 for n in half]
    count, covered = np.zeros(shape), np.zeros(shape)
    rows, columns = np.indices(plan.mask.shape[1:])
    for mask, centre in zip(plan.mask, plan.centre_px, strict=True):
        at = [
            np.rint((i - c + n) * PHASES).astype(np.int64)
            for i, c, n in zip((rows, columns), centre, half, strict=True)
        ]
        within = np.logical_and.reduce([(a >= 0) & (a < n) for a, n in zip(at, shape, strict=True)])
        index = at[0][within], at[1][within]
        np.add.at(count, index, 1.0)
        np.add.at(covered, index, mask[within].astype(np.float64))
    assert callable(smooth)
    count, covered = (smooth(one, SMOOTHING_PX * PHASES, mode="constant") for one in (count, covered))
    share: Array = covered / np.maximum(count, 1e-12)
    return share
