"""How hard an anatomy is for whoever knows its past: rank, and memory score.

Both come from noise-free magnitudes in the body, at a stated frame rate. The first two thirds are the time
that may be learnt from, the rest is met afterwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import InputError
from mrsim.summary import Summarised

SHARES = (1e-2, 1e-3, 1e-4)
COMPONENTS = 20
LAG_S = 0.2
BODY_PERCENTILE = 35
MIN_FRAMES = 12
MAX_VALUES = 1 << 29

Array = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Hardness(Summarised):
    """Hold how hard a series of images is.

    Parameters
    ----------
    frames
        Number of images.
    frame_s
        Time from one to the next, seconds.
    rank
        Components of the uncentred images that leave less than 1e-2, 1e-3 and 1e-4 of the energy.
    nearest
        Mean NMSE of the nearest image of the first two thirds, chosen with the truth in hand, in the rest.
    lag_s
        Time that the late image is late by, seconds: whole frames, as near to 200 ms as they come.
    late
        Mean NMSE of the true image of that time ago.
    memory_score
        `nearest / late`; NaN where nothing moves.
    outside
        Share of the energy of the last third outside 20 components of the first two.
    """

    frames: int
    frame_s: float
    rank: tuple[int, ...]
    nearest: float
    lag_s: float
    late: float
    memory_score: float
    outside: float

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        score = "-" if math.isnan(self.memory_score) else f"{self.memory_score:.3g}"
        shares = ", ".join(f"{share:.0e}".replace("e-0", "e-") for share in SHARES)
        return f"Hardness of {self.frames} images, {self.frame_s * 1e3:.1f} ms apart", [
            (f"rank for {shares}", ", ".join(map(str, self.rank))),
            ("nearest image that was seen before (NMSE)", f"{self.nearest:.2e}"),
            (f"true image of {self.lag_s * 1e3:.0f} ms ago (NMSE)", f"{self.late:.2e}"),
            ("memory score, the ratio of the two", score),
            (f"energy outside {COMPONENTS} components of what was seen before", f"{self.outside:.2e}"),
        ]


def hardness_of(images: NDArray[np.number], frame_s: float, where: str = "images") -> Hardness:
    """Compute how hard a series of images is.

    Parameters
    ----------
    images
        Noise-free images, shape (frames, ny, nx); their magnitudes count.
    frame_s
        Time from one to the next, seconds.
    where
        How errors name them.

    Raises
    ------
    InputError
        If they are too few, too large, empty or not finite.
    """
    if images.ndim != 3 or len(images) < MIN_FRAMES:
        raise InputError(f"{where}: {len(images)} images; expected {MIN_FRAMES} or more")
    if not 0 < frame_s <= 60:
        raise InputError(f"{where}: {frame_s:g} s from image to image; expected above 0, at most 60")
    lag = max(1, round(LAG_S / frame_s))
    cut = len(images) * 2 // 3
    if lag > cut:
        least = math.ceil(lag * 1.5)
        raise InputError(f"{where}: {len(images)} images are too short for a lag of 0.2 s; expected {least}")
    if images.size > MAX_VALUES:
        raise InputError(f"{where}: {images.size} pixels in all; expected at most {MAX_VALUES}")
    magnitude = np.abs(images).astype(np.float64)
    mean = magnitude.mean(axis=0)
    if not np.isfinite(mean).all() or not mean.any():
        raise InputError(f"{where}: images are empty, or have pixels that are not finite")
    seen = magnitude[:, mean > np.percentile(mean, BODY_PERCENTILE)]
    train, test = seen[:cut], seen[cut:]
    energy = (test**2).sum(axis=1)
    if not energy.all():
        raise InputError(f"{where}: image {cut + int(np.argmin(energy))} is empty")
    distance = (train**2).sum(axis=1)[:, None] + energy[None] - 2 * train @ test.T
    nearest = float(np.clip(distance / energy, 0, None).min(axis=0).mean())
    late = float((((seen[cut - lag : len(seen) - lag] - test) ** 2).sum(axis=1) / energy).mean())
    _, size, components = np.linalg.svd(train, full_matrices=False)
    # Of less than 20 directions that were seen, the rest of the components would be arbitrary.
    basis = components[:COMPONENTS][size[:COMPONENTS] > 1e-12 * size[0]]
    outside = float(((test - test @ basis.T @ basis) ** 2).sum() / energy.sum())
    return Hardness(
        len(seen), frame_s, _rank(seen), nearest, lag * frame_s, late,
        nearest / late if late > 0 else math.nan, outside,
    )  # fmt: skip


def _rank(seen: Array) -> tuple[int, ...]:
    energy = np.linalg.svd(seen, compute_uv=False) ** 2
    kept = np.cumsum(energy) / energy.sum()
    return tuple(int(np.searchsorted(kept, 1 - share)) + 1 for share in SHARES)
