"""Errors of the target's centroid over the images of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measure.exact_statistics import nearest_rank, samples_needed
from harness.measure.intervals import Interval, quantile_interval


@dataclass(frozen=True, slots=True)
class Centroids:
    """Summarise centroid errors, metres.

    Parameters
    ----------
    rms, max
        Root mean square and maximum over the images in which the target was found; None if there are none.
    p95
        Nearest rank; an image without a target counts as an infinite error. None for too few images.
    p95_interval
        Interval of `p95`; its upper bound may be infinite. None for too few breaths.
    count, not_found
        Number of images that were judged, and of those in which no target was found.
    """

    rms: float | None
    p95: float | None
    max: float | None
    p95_interval: Interval | None
    count: int
    not_found: int

    def to_json(self) -> dict[str, Any]:
        """Return them as JSON values, millimetres."""

        def mm(metres: float | None) -> float | None:
            return None if metres is None or not math.isfinite(metres) else metres * 1e3

        return {
            "rms": mm(self.rms),
            "p95": mm(self.p95),
            "max": mm(self.max),
            "p95_interval": None if self.p95_interval is None else [mm(bound) for bound in self.p95_interval],
            "images": self.count,
            "not_found": self.not_found,
        }


def centroid_errors(
    measured: NDArray[np.float64], true: NDArray[np.float64], blocks: NDArray[np.int64]
) -> Centroids:
    """Summarise the distances of measured centroids from true ones.

    Parameters
    ----------
    measured, true
        Centroids (x, y), shape (n, 2), metres; measured ones are NaN where no target was found.
    blocks
        Breath of each, shape (n,), int64.
    """
    errors = np.hypot(*(measured - true).T)
    found = errors[np.isfinite(errors)]
    errors = np.where(np.isfinite(errors), errors, np.inf)
    enough = len(errors) >= samples_needed(0.95)
    value = float(nearest_rank(errors, 0.95)) if enough else math.inf
    return Centroids(
        rms=float(np.sqrt(np.mean(found**2))) if len(found) else None,
        p95=value if math.isfinite(value) else None,
        max=float(found.max()) if len(found) else None,
        p95_interval=quantile_interval(errors, blocks, 0.95) if math.isfinite(value) else None,
        count=len(errors),
        not_found=len(errors) - len(found),
    )
