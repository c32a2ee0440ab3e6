"""The plan of the target: what the judge learns of it from the first breaths, and nothing of the time after.

The plan is made of the noise-free truth of the first three whole breaths, but at least of 12 s and at most of
30 s, counted from the first frame that shows the target; of all of a shorter scan. It is the same for every
candidate. What comes later, such as a drift of the baseline, is not known to it: the margin is for that.
"""

from __future__ import annotations

import dataclasses
import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measure.breaths import breath_starts
from mrsim.errors import InputError, MissingExtraError
from mrsim.stream import Header, Truth

BREATHS = 3
SHORTEST_NS, LONGEST_NS = 12_000_000_000, 30_000_000_000
STEP_NS = 1_000_000_000
MARGIN_M = 0.02
"""Margin of the window around all planned positions: room for deeper breaths and a drifting baseline."""
FRAMES = 64
"""Frames that the plan is made from; as many others show how well it works."""
MOST_PIXELS = 1 << 22
"""Pixels of all of them together, beyond which fewer frames, but not fewer than 16, bound the memory."""
FEW = 16
"""Fewer frames than this are not parted: what the plan is made from shows how well it works, too."""


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
    """Hold the target as it was found.

    Parameters
    ----------
    centroid_m
        Its centre (x, y), metres.
    mask
        Its pixels in the judge's window, bool.
    """

    centroid_m: tuple[float, float]
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Plan:
    """Hold what is known of the target beforehand.

    Parameters
    ----------
    header
        The protocol.
    stop
        Frame past the planning breaths.
    frames, others
        Frames that the plan is made from, and frames of the same breaths that show how well it works, shape
        (n,), int64. The target is in all of them.
    image, mask
        Truth of `frames`, shape (n, ny, nx), complex128 and bool.
    centre_px
        True centre (row, column) in each of `frames`, from the centre of the first pixel, shape (n, 2).
    window
        Rows and columns in which the target is looked for.
    area_px
        Mean area of the target, pixels.
    bright
        Whether the target is brighter than what is around it.
    """

    header: Header
    stop: int
    frames: NDArray[np.int64]
    others: NDArray[np.int64]
    image: NDArray[np.complex128]
    mask: NDArray[np.bool_]
    centre_px: NDArray[np.float64]
    window: tuple[slice, slice]
    area_px: float
    bright: bool

    @property
    def magnitude(self) -> NDArray[np.float64]:
        """Return the magnitude of `image`, shape (n, ny, nx), float64."""
        return np.abs(self.image)

    @property
    def reach_px(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the least and the greatest pixel (row, column) at which the centre is looked for."""
        margin = np.ceil(MARGIN_M / pixel_m(self.header)).astype(np.int64)
        low, high = np.floor(self.centre_px.min(axis=0)), np.ceil(self.centre_px.max(axis=0))
        return low.astype(np.int64) - margin, high.astype(np.int64) + margin


def pixel_m(header: Header) -> NDArray[np.float64]:
    """Return the size of a pixel along y and x, shape (2,), metres."""
    size: NDArray[np.float64] = np.array(header.fov_m) / np.array(header.matrix)
    return size


def to_pixel(centroid_m: NDArray[np.float64], header: Header) -> NDArray[np.float64]:
    """Return places (row, column), in pixels from the centre of the first one, of places (x, y) in metres.

    Parameters
    ----------
    centroid_m
        Places, shape (n, 2), metres.
    header
        The protocol.
    """
    pixel: NDArray[np.float64] = centroid_m[:, ::-1] / pixel_m(header) + np.array(header.matrix) // 2
    return pixel


def to_metres(pixel: NDArray[np.float64], header: Header) -> tuple[float, float]:
    """Return the place (x, y) in metres of a place (row, column) in pixels; see `to_pixel`."""
    row, column = (pixel - np.array(header.matrix) // 2) * pixel_m(header)
    return float(column), float(row)


def planning_frames(truth: Truth, header: Header) -> tuple[int, int]:
    """Return the first frame of the planning breaths and the one past the last.

    Parameters
    ----------
    truth
        The scan's truth; only what is before the second of these frames has a say.
    header
        The protocol.

    Raises
    ------
    InputError
        If no frame shows the target.
    """
    seen = (f for f in range(len(truth.mask)) if truth.mask[f].any())
    first = next(seen, None)
    if first is None:
        raise InputError(f"truth: the target {truth.target!r} is in no frame of the stream")
    lines = header.lines_per_frame
    for length_ns in range(SHORTEST_NS, LONGEST_NS + 1, STEP_NS):
        stop = min(first + -(-length_ns // header.frame_ns), len(truth.mask))
        part = dataclasses.replace(truth, centroid=truth.centroid[first * lines : stop * lines])
        if stop == len(truth.mask) or len(breath_starts(part, header)) > BREATHS:
            break
    return first, stop


def make_plan(truth: Truth, header: Header) -> Plan:
    """Learn the target from the first breaths.

    Parameters
    ----------
    truth
        The scan's truth.
    header
        The protocol.

    Raises
    ------
    InputError
        If no frame shows the target.
    """
    first, stop = planning_frames(truth, header)
    part = np.asarray(truth.mask[first:stop])
    seen = first + np.flatnonzero(part.any(axis=(1, 2)))
    most = min(FRAMES, max(FEW, MOST_PIXELS // truth.mask[0].size))
    count = min(most, len(seen) if len(seen) < FEW else len(seen) // 2)
    at = np.linspace(0, len(seen) - 1, count).round().astype(np.int64)
    rest = np.setdiff1d(np.arange(len(seen)), at)
    rest = rest[np.linspace(0, len(rest) - 1, min(most, len(rest))).round().astype(np.int64)]
    frames = seen[at]
    image, mask = np.asarray(truth.image[frames], np.complex128), np.asarray(truth.mask[frames])
    last = (frames + 1) * header.lines_per_frame - 1
    contrast = [_contrast(image, inside) for image, inside in zip(np.abs(image), mask, strict=True)]
    return Plan(
        header=header,
        stop=stop,
        frames=frames,
        others=frames if len(seen) < FEW else seen[rest],
        image=image,
        mask=mask,
        centre_px=to_pixel(np.asarray(truth.centroid)[last], header),
        window=_window(np.asarray(part.any(axis=0)), header),
        area_px=float(mask.sum(axis=(1, 2)).mean()),
        bright=bool(np.mean(contrast) >= 0),
    )


def _window(union: NDArray[np.bool_], header: Header) -> tuple[slice, slice]:
    """Return the rows and columns of everything that the target covers, with the margin."""
    margin = np.ceil(MARGIN_M / pixel_m(header)).astype(int)
    ranges = []
    for axis in (0, 1):
        at = np.flatnonzero(union.any(axis=1 - axis))
        start = max(int(at[0]) - int(margin[axis]), 0)
        ranges.append(slice(start, min(int(at[-1]) + 1 + int(margin[axis]), union.shape[axis])))
    return ranges[0], ranges[1]


def _contrast(magnitude: NDArray[np.float64], mask: NDArray[np.bool_]) -> float:
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
