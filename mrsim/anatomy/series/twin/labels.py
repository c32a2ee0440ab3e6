"""How well a twin's moved label agrees with labels that were given, and with the path that was followed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.series.playback import Playback
from mrsim.anatomy.series.twin.twin import Twin
from mrsim.kernels.compilation import kernel

Array = NDArray[np.float64]

TURNS, SETTLED_PX = 60, 1e-9
"""Steps at most in which the point of the reference is found that is at a place, and when it is."""


@dataclass(frozen=True)
class LabelErrors:
    """Hold how a moved label differs from others.

    Parameters
    ----------
    dice
        Mean Dice of the moved label and the given ones, in the frames that have one.
    median_px, p95_px
        Distance of the moved label's centre from the target's path, over all frames, pixels. The path is that
        of the given labels, or what was followed from the first of them.
    """

    dice: float
    median_px: float
    p95_px: float


def label_errors(played: Playback, twin: Twin) -> LabelErrors | None:
    """Compare the moved label with what else is known of the target; None without a label.

    Parameters
    ----------
    played
        The playback, with the given labels and the target's path.
    twin
        The twin.
    """
    if not len(twin.rest_label):
        return None
    pixels = np.argwhere(twin.rest_label[0])
    here = twin.modes[:, :, pixels[:, 0], pixels[:, 1]].mean(-1, dtype=np.float64)
    centre = pixels.mean(axis=0) + twin.values @ here
    away = np.hypot(*(centre - played.path_px).T)
    dice = [_dice(moved_label(twin, n), label) for n, label in enumerate(played.labels)]
    return LabelErrors(float(np.mean(dice)), float(np.median(away)), float(np.percentile(away, 95)))


def moved_label(twin: Twin, frame: int) -> NDArray[np.bool_]:
    """Return the pixels at whose middle the label is in a frame, shape (ny, nx), bool."""
    rows, columns = twin.sides
    field, out = twin.field(twin.values[frame]), np.zeros(twin.sides, np.bool_)
    label = np.ascontiguousarray(twin.rest_label[0])
    label_at(label, field[0], field[1], np.arange(rows) * 1.0, np.arange(columns) * 1.0, out)
    return out


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    both = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / both if both else 1.0


@kernel(nogil=True)
def label_at(
    label: NDArray[np.bool_], down: Array, right: Array, rows: Array, columns: Array, out: NDArray[np.bool_]
) -> None:
    """Write whether the point of the reference that has moved to a place lies in a labelled pixel.

    The point r with r + u(r) = place is found by repeating r = place - u(r), with u linear between pixels.
    """
    ny, nx = label.shape
    for i in range(len(rows)):
        for j in range(len(columns)):
            y, x = rows[i], columns[j]
            for _ in range(TURNS):
                cy, cx = min(max(y, 0.0), ny - 1.0), min(max(x, 0.0), nx - 1.0)
                iy, ix = min(int(cy), ny - 2), min(int(cx), nx - 2)
                p, q = cy - iy, cx - ix
                u = (1 - p) * ((1 - q) * down[iy, ix] + q * down[iy, ix + 1]) + p * (
                    (1 - q) * down[iy + 1, ix] + q * down[iy + 1, ix + 1]
                )
                v = (1 - p) * ((1 - q) * right[iy, ix] + q * right[iy, ix + 1]) + p * (
                    (1 - q) * right[iy + 1, ix] + q * right[iy + 1, ix + 1]
                )
                step = max(abs(rows[i] - u - y), abs(columns[j] - v - x))
                y, x = rows[i] - u, columns[j] - v
                if step < SETTLED_PX:
                    break
            near_y, near_x = int(np.rint(y)), int(np.rint(x))
            out[i, j] = 0 <= near_y < ny and 0 <= near_x < nx and label[near_y, near_x]
