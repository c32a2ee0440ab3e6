"""The frames of a run for a page: truth, image and error, with the target's outline."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.judge.result import RunResult
from harness.measure.image_quality import Quality
from harness.report.png import data_uri, error_palette, grey_palette, levels_of
from mrsim.stream import Header, Truth

MOST, LEAST = 30, 6
MAX_SIDE = 256  # pixels; larger images are averaged down
# Size that all frames together may take in the page, and the size of one pixel of one of the three maps.
BUDGET_BYTES, BYTES_A_PIXEL = 3_200_000, 0.95
ERROR_SHARE = 0.1  # error, as a share of white, that the map shows in full colour
WHITE_QUANTILE = 0.998


def choose(result: RunResult, quality: Quality) -> list[int]:
    """Choose the frames that are shown: evenly spaced ones, and the worst ones.

    Parameters
    ----------
    result
        The run.
    quality
        Its measures.

    Returns
    -------
    rows
        Rows of `quality`, ascending; none of a tracker's positions.
    """
    drawn = np.flatnonzero(result.run.images.drawn[quality.frames])
    if not len(drawn):
        return []
    ny, nx = (min(side, MAX_SIDE) for side in result.stream.header.matrix)
    count = int(np.clip(BUDGET_BYTES / (3 * ny * nx * BYTES_A_PIXEL), LEAST, MOST))
    even = np.linspace(0, len(drawn) - 1, min(count, len(drawn))).round().astype(int)
    response = result.timing.response_ns[quality.frames]
    worst = [np.argmax(quality.nmse[drawn]), np.argmin(quality.dice[drawn]), np.argmax(response[drawn])]
    return sorted({int(row) for row in drawn[[*even, *worst]]})


def pictures(result: RunResult, quality: Quality) -> list[dict[str, Any]]:
    """Return the chosen frames with their maps and figures, as JSON values.

    Parameters
    ----------
    result
        A run that kept its pixels, of a stream with truth.
    quality
        Its measures.

    Returns
    -------
    frames
        `truth`, `image` and `error` are PNG data URIs; `outline` and `found` are SVG paths in pixels of the
        whole image; figures are in ms and mm, null if they are not defined.
    """
    truth, pixels, header = result.stream.truth, result.run.images.pixels, result.stream.header
    if truth is None or pixels is None:
        return []
    rows = choose(result, quality)
    if not rows:
        return []
    middle = int(quality.frames[rows[len(rows) // 2]])
    white = float(np.quantile(np.abs(truth.image[middle]), WHITE_QUANTILE)) or 1.0
    grey, error = grey_palette(), error_palette()
    shown = []
    for row in rows:
        frame = int(quality.frames[row])
        true, image = (reduced(np.abs(p)) for p in (truth.image[frame], pixels[frame]))
        limit = ERROR_SHARE * white
        shown.append(
            {
                "frame": frame,
                "matrix": list(header.matrix),
                **_figures(result, quality, row, truth, header),
                "truth": data_uri(levels_of(true, 0, white, len(grey)), grey),
                "image": data_uri(levels_of(image, 0, white, len(grey)), grey),
                "error": data_uri(levels_of(image - true, -limit, limit, len(error)), error),
                "outline": outline(np.asarray(truth.mask[frame])),
                "found": _cross(quality.centroid_m[row], header),
            }
        )
    return shown


def _figures(
    result: RunResult, quality: Quality, row: int, truth: Truth, header: Header
) -> dict[str, float | None]:
    frame, centroid = int(quality.frames[row]), quality.centroid_m[row]
    true = truth.centroid_at(quality.shown_ns[row], header)
    missing = not np.isfinite(centroid).all()
    dice = float(quality.dice[row])
    return {
        "t_s": float(quality.t_ns[row]) / 1e9,
        "nmse": float(quality.nmse[row]),
        "dice": None if np.isnan(dice) else dice,
        "centroid_error_mm": None if missing else 1e3 * float(np.hypot(*(centroid - true))),
        "response_ms": float(result.timing.response_ns[frame]) / 1e6,
    }


def reduced(image: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return an image averaged over blocks of a whole number of pixels, so that no side exceeds `MAX_SIDE`.

    Parameters
    ----------
    image
        Shape (ny, nx), of any float type.
    """
    step = -(-max(image.shape) // MAX_SIDE)
    if step == 1:
        return image
    ny, nx = (side // step * step for side in image.shape)
    blocks: NDArray[np.floating[Any]] = image[:ny, :nx].reshape(ny // step, step, nx // step, step)
    averaged: NDArray[np.floating[Any]] = blocks.mean(axis=(1, 3))
    return averaged


def outline(mask: NDArray[np.bool_]) -> str:
    """Return the edge of a mask along its pixels, as an SVG path.

    Parameters
    ----------
    mask
        Shape (ny, nx), bool.
    """
    padded = np.pad(mask.astype(np.int8), 1)
    parts = []
    for across in (True, False):
        steps = np.diff(padded, axis=0 if across else 1) != 0
        steps = (steps[:, 1:-1] if across else steps[1:-1].T).astype(np.int8)
        for at, row in enumerate(steps):
            edges = np.flatnonzero(np.diff(np.concatenate(([0], row, [0]))))
            for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
                parts.append(f"M{start} {at}h{stop - start}" if across else f"M{at} {start}v{stop - start}")
    return "".join(parts)


def _cross(centroid_m: NDArray[np.float64], header: Header) -> str:
    """Return a cross at a point, in pixels (the centre of pixel N // 2 is 0 m); empty for no point."""
    if not np.isfinite(centroid_m).all():
        return ""
    (ny, nx), (fy, fx) = header.matrix, header.fov_m
    x = float(centroid_m[0]) / (fx / nx) + nx // 2 + 0.5
    y = float(centroid_m[1]) / (fy / ny) + ny // 2 + 0.5
    arm = max(ny, nx) / 50
    return f"M{x - arm:.2f} {y:.2f}h{2 * arm:.2f}M{x:.2f} {y - arm:.2f}v{2 * arm:.2f}"
