"""The six measures of TrackRAD2025, under its own names, in millimetres.

Each output is compared with the truth of its own frame, however late it is: these are measures of a
segmentation, not of what is on display. Outlines are the pixels of a mask that have a neighbour outside, at a
side. Where no target was found, Dice is 0 and every distance is the longer side of the image. Two things
differ from the challenge: no first frame is given away, so none is left out; and pixels are the scan's own,
not 1 mm. https://trackrad2025.grand-challenge.org/metrics
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.measure.dose import LUNG_FALLOFF_M, pixel_of, relative_d98
from harness.measure.finding.plan import eval_library
from mrsim.stream import Header

FAR_M = 1e3  # from one image of a stack to the next: no outline is nearest to one of another image
STACK = 256  # images whose distances are computed together


@dataclass(frozen=True)
class TrackRad:
    """Hold the measures, each a mean over the images whose true mask is not empty.

    Parameters
    ----------
    dice_similarity_coefficient
        Overlap of the masks.
    hausdorff_distance_95
        95th percentile of the distances from one outline to the other, the greater of both directions,
        millimetres.
    surface_distance_average
        Mean distance from the outline that was found to the true one, millimetres.
    center_distance
        Distance of the masks' centres of mass, millimetres.
    relative_d98_dose
        D98 of the target in the first image as a share of that without error, with the fall-off in the lung.
    runtime
        Mean time for an image, milliseconds; None if it was not measured.
    images, not_found
        Number of images, and of those in which no target was found.
    """

    dice_similarity_coefficient: float
    hausdorff_distance_95: float
    surface_distance_average: float
    center_distance: float
    relative_d98_dose: float | None
    runtime: float | None
    images: int
    not_found: int


def track_rad(
    found: Sequence[NDArray[np.bool_] | None],
    true: NDArray[np.bool_],
    header: Header,
    runtime_ms: float | None = None,
) -> TrackRad | None:
    """Compute the measures of TrackRAD2025.

    Parameters
    ----------
    found
        Pixels of the target that was found in each image, shape (rows, columns), bool; None where none was.
    true
        Its true pixels, shape (n, rows, columns), bool.
    header
        The protocol.
    runtime_ms
        Mean time for an image, milliseconds; None if it was not measured.

    Returns
    -------
    measures
        None if every true mask is empty.

    Raises
    ------
    MissingExtraError
        If scikit-image, and SciPy with it, is not installed.
    InputError
        If the pixels are of a size that no dose is told for.
    """
    judged = true.any(axis=(1, 2))
    if not judged.any():
        return None
    masks = np.stack([np.zeros(true.shape[1:], np.bool_) if one is None else one for one in found])[judged]
    true = true[judged]
    pixel_m = pixel_of(header)
    has = masks.any(axis=(1, 2))
    both, sizes = (masks & true).sum(axis=(1, 2)), masks.sum(axis=(1, 2)) + true.sum(axis=(1, 2))
    hausdorff, surface, centre = (np.full(len(true), max(header.fov_m)) for _ in range(3))
    hausdorff[has], surface[has] = surface_distances(masks[has], true[has], pixel_m)
    error = np.full((len(true), 2), math.nan)
    error[has] = centres(masks[has], pixel_m) - centres(true[has], pixel_m)
    centre[has] = np.hypot(*error[has].T)
    return TrackRad(
        dice_similarity_coefficient=float(np.mean(2 * both / sizes)),
        hausdorff_distance_95=float(hausdorff.mean()) * 1e3,
        surface_distance_average=float(surface.mean()) * 1e3,
        center_distance=float(centre.mean()) * 1e3,
        relative_d98_dose=relative_d98(true[0], pixel_m, error[:, ::-1], falloff_m=LUNG_FALLOFF_M),
        runtime=runtime_ms,
        images=len(true),
        not_found=int((~has).sum()),
    )


def centres(masks: NDArray[np.bool_], pixel_m: tuple[float, float]) -> NDArray[np.float64]:
    """Return the centre of mass (y, x) of each mask from the first pixel, shape (n, 2), metres.

    Parameters
    ----------
    masks
        None of them empty, shape (n, rows, columns), bool.
    pixel_m
        Size of a pixel along y and x, metres.
    """
    size = masks.sum(axis=(1, 2))
    rows, columns = (np.arange(n) * step for n, step in zip(masks.shape[1:], pixel_m, strict=True))
    # einsum, not BLAS: on a busy host BLAS threads wait for each other far longer than this takes.
    y = np.einsum("nr,r->n", masks.sum(axis=2).astype(np.float64), rows)
    x = np.einsum("nc,c->n", masks.sum(axis=1).astype(np.float64), columns)
    return np.stack([y / size, x / size], axis=1)


def surface_distances(
    found: NDArray[np.bool_], true: NDArray[np.bool_], pixel_m: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the 95th percentile Hausdorff distance and the mean surface distance of each image.

    Parameters
    ----------
    found, true
        Masks, none of them empty, shape (n, rows, columns), bool.
    pixel_m
        Size of a pixel along y and x, metres.

    Returns
    -------
    hausdorff, surface
        Shape (n,) each, metres: the greater of the percentiles of both directions, and the mean from the
        outlines that were found to the true ones.
    """
    transform = eval_library("scipy.ndimage", "measuring distances of outlines").distance_transform_edt
    hausdorff, surface = np.empty(len(true)), np.empty(len(true))
    for start in range(0, len(true), STACK):
        part = slice(start, start + STACK)
        edges = _edges(found[part]), _edges(true[part])
        percentiles = []
        for own, other in (edges, edges[::-1]):
            distance = transform(~other, sampling=(FAR_M, *pixel_m))
            image = np.nonzero(own)[0]
            percentiles.append(_percentiles(distance[own], image, len(own)))
            if other is edges[1]:
                surface[part] = np.bincount(image, distance[own]) / np.bincount(image)
        hausdorff[part] = np.maximum(*percentiles)
    return hausdorff, surface


def _edges(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of each mask with a neighbour outside, at a side; beyond the image is outside."""
    padded = np.pad(masks, ((0, 0), (1, 1), (1, 1)))
    inner = padded[:, 1:-1, 1:-1] & padded[:, :-2, 1:-1] & padded[:, 2:, 1:-1]
    inner &= padded[:, 1:-1, :-2] & padded[:, 1:-1, 2:]
    return masks & ~inner


def _percentiles(
    values: NDArray[np.float64], image: NDArray[np.int64], count: int, share: float = 0.95
) -> NDArray[np.float64]:
    """Return a percentile of the values of each image, interpolated linearly, shape (count,)."""
    order = np.lexsort((values, image))
    ordered, sizes = values[order], np.bincount(image, minlength=count)
    at = np.cumsum(sizes) - sizes + share * (sizes - 1)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, len(ordered) - 1)
    # Where a percentile is a value itself, the next one may be of another image: it has no weight.
    out: NDArray[np.float64] = ordered[low] + (at - low) * (ordered[high] - ordered[low])
    return out
