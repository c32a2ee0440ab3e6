"""The picture of a demonstration: images, errors, the profile over time and the target's path.

It shows what Figure 4 of the 2019 abstract shows for a motion phantom (Dietz et al., ISMRM 4784), and adds
profiles and centroids over time. Needs matplotlib, the extra `[report]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.console import significant
from harness.measure.image_quality import Quality
from mrsim.errors import InputError
from mrsim.files.writing import whole_file
from mrsim.plotting import plotting
from mrsim.stream import Header, Stream, Truth

COLOURS = ("#9aa0a6", "#e69f00", "#0072b2", "#d55e00")
"""Of the methods in turn; distinct to colour-blind readers (Okabe and Ito)."""
ERROR_GAIN = 5.0
VIEW_MM = (164.0, 128.0)
ZOOM_MM = (41.0, 32.0)


def draw_frames(
    path: Path, stream: Stream, methods: Mapping[str, tuple[NDArray[np.complex64], Quality]]
) -> None:
    """Draw every method next to the truth.

    Parameters
    ----------
    path
        PNG file; it is written whole or not at all.
    stream
        The scan, with truth.
    methods
        For each method its images by frame, shape (frames, ny, nx), complex64, and their measures.

    Raises
    ------
    InputError
        If the stream has no truth.
    MissingExtraError
        If matplotlib is not installed.
    """
    Figure, FigureCanvasAgg = plotting()
    truth, header = stream.truth, stream.header
    if truth is None:
        raise InputError(f"{stream.path or 'stream'}: a picture needs a stream with truth")
    frames = next(iter(methods.values()))[1].frames
    frame = _fastest(truth, header, frames)
    figure = Figure(figsize=(2.75 * (len(methods) + 1) + 0.4, 12.9), facecolor="white")
    FigureCanvasAgg(figure)
    # Of stated places: to look for room draws everything once more.
    images, profiles, traces = figure.add_gridspec(
        3, 1, height_ratios=(3.1, 0.9, 1.25), left=0.055, right=0.99, bottom=0.04, top=0.945, hspace=0.19
    )
    columns = len(methods) + 1
    _images(figure, images.subgridspec(3, columns, wspace=0.05, hspace=0.15), frame, stream, truth, methods)
    _profiles(figure, profiles.subgridspec(1, columns, wspace=0.05), frames, stream, truth, methods)
    _traces(figure, traces, stream, truth, methods)
    figure.suptitle(
        f"A moving phantom at {header.acceleration:g}x, every line at its own TR of {header.tr_ns / 1e6:g} ms"
        f": frame {frame}, where the target moves fastest",
        fontsize=13,
    )
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=110)


def _fastest(truth: Truth, header: Header, frames: NDArray[np.int64]) -> int:
    """Return the frame in which the target moves furthest."""
    ends = truth.centroid[(frames + 1) * header.lines_per_frame - 1]
    starts = truth.centroid[frames * header.lines_per_frame]
    return int(frames[np.argmax(np.linalg.norm(ends - starts, axis=1))])


def _extent(header: Header) -> tuple[float, float, float, float]:
    """Return the edges of the image in millimetres, rows downwards."""
    (ny, nx), (fy, fx) = header.matrix, header.fov_m
    dy, dx = 1e3 * fy / ny, 1e3 * fx / nx
    left, top = -(nx // 2 + 0.5) * dx, -(ny // 2 + 0.5) * dy
    return left, left + nx * dx, top + ny * dy, top


def _images(figure: Any, grid: Any, frame: int, stream: Stream, truth: Truth, methods: Any) -> None:
    header = stream.header
    true = np.abs(truth.image[frame])
    white = float(np.quantile(true, 0.998))
    centre = 1e3 * truth.centroid[(frame + 1) * header.lines_per_frame - 1]
    shown = [("truth at the last line", truth.image[frame], None)]
    shown += [(name, pixels[frame], quality) for name, (pixels, quality) in methods.items()]
    maps: list[Any] = []
    for column, (name, pixels, quality) in enumerate(shown):
        image = np.abs(pixels)
        grey = {"cmap": "gray", "vmin": 0, "vmax": white, "extent": _extent(header)}
        axes = _view(figure, grid[0, column], (0.0, 0.0), VIEW_MM)
        axes.imshow(image, **grey)
        axes.set_title(name, fontsize=11)
        zoom = _view(figure, grid[1, column], centre, ZOOM_MM)
        zoom.imshow(image, interpolation="bicubic", **grey)
        zoom.contour(
            truth.mask[frame].astype(float), levels=[0.5], colors="#00d5ff", linewidths=0.9,
            extent=_extent(header), origin="upper",
        )  # fmt: skip
        if quality is None:
            zoom.text(
                0.03, 0.04, "target, true outline", transform=zoom.transAxes, color="#00d5ff", fontsize=8.5
            )
            continue
        axes = _view(figure, grid[2, column], (0.0, 0.0), VIEW_MM)
        limit = white / ERROR_GAIN
        maps.append(axes.imshow(image - true, cmap="RdBu_r", vmin=-limit, vmax=limit, extent=_extent(header)))
        at = int(np.flatnonzero(quality.frames == frame)[0])
        axes.set_title(f"error, NMSE {significant(quality.nmse[at])}", fontsize=10)
    note = figure.add_subplot(grid[2, 0])
    note.axis("off")
    bar = figure.colorbar(maps[0], cax=note.inset_axes((0.06, 0.30, 0.88, 0.05)), orientation="horizontal")
    bar.set_label("magnitude - truth, in units of the white above", fontsize=9)
    bar.set_ticks([-white / ERROR_GAIN, 0, white / ERROR_GAIN], labels=["-20 %", "0", "+20 %"])
    made = stream.provenance
    snr = "" if made is None else f", target SNR {made.target_snr:g}"
    note.text(
        0.5, 0.72,
        f"{header.lines_per_frame} of {header.matrix[0]} lines,\n"
        f"{header.frame_ns / 1e6:.1f} ms a frame,\nbSSFP at {header.field_t:g} T{snr}",
        ha="center", va="center", fontsize=10, transform=note.transAxes,
    )  # fmt: skip


def _view(figure: Any, cell: Any, centre: Any, half: tuple[float, float]) -> Any:
    """Return axes without ticks that show a field of given half widths, mm, around a point."""
    axes = figure.add_subplot(cell)
    axes.set_xlim(centre[0] - half[0], centre[0] + half[0])
    axes.set_ylim(centre[1] + half[1], centre[1] - half[1])
    axes.set_aspect("equal", adjustable="box")
    axes.set_autoscale_on(False)
    axes.set_xticks([])
    axes.set_yticks([])
    return axes


def _profiles(
    figure: Any, grid: Any, frames: NDArray[np.int64], stream: Stream, truth: Truth, methods: Any
) -> None:
    """Draw y over time through the target: motion appears as a wave, and lag shifts it."""
    header = stream.header
    ny, nx = header.matrix
    column = round(float(truth.centroid[:, 0].mean()) / (header.fov_m[1] / nx)) + nx // 2
    y = 1e3 * (np.arange(ny) - ny // 2) * header.fov_m[0] / ny
    path = 1e3 * truth.centroid[:, 1]
    middle, half = (path.min() + path.max()) / 2, (path.max() - path.min()) / 2 + 26
    rows = np.flatnonzero(np.abs(y - middle) <= half)
    lines = (frames + 1) * header.lines_per_frame - 1
    seconds = stream.t_ns[lines] * 1e-9
    white = float(np.quantile(np.abs(truth.image[frames[0]])[:, column], 0.995))
    shown = [("truth", truth.image), *((name, pixels) for name, (pixels, _) in methods.items())]
    for number, (name, pixels) in enumerate(shown):
        axes = figure.add_subplot(grid[0, number])
        profile = np.abs(np.stack([pixels[f][rows, column] for f in frames], axis=1))
        axes.imshow(
            profile, cmap="gray", vmin=0, vmax=white, aspect="auto", interpolation="nearest",
            extent=(seconds[0], seconds[-1], y[rows[-1]], y[rows[0]]),
        )  # fmt: skip
        axes.plot(seconds, path[lines], color="#00d5ff", lw=0.9, ls=(0, (4, 3)))
        axes.set_title(f"y over time: {name}", fontsize=9)
        axes.set_xlabel("s", fontsize=9)
        axes.tick_params(labelsize=8)
        if number == 0:
            axes.set_ylabel("y, mm (dashed: true centroid)", fontsize=9)
        else:
            axes.set_yticklabels([])


def _traces(figure: Any, cell: Any, stream: Stream, truth: Truth, methods: Any) -> None:
    """Draw the measured centroid at the instant each image is shown, and its error below."""
    upper, lower = cell.subgridspec(2, 1, height_ratios=(1.7, 1.0), hspace=0.08).subplots(sharex=True)
    shown = np.concatenate([quality.shown_ns for _, quality in methods.values()])
    t = np.linspace(shown.min(), shown.max(), 2000).astype(np.int64)
    upper.plot(
        t * 1e-9, 1e3 * truth.centroid_at(t, stream.header)[:, 1], color="black", lw=2.2, label="truth"
    )
    for (name, (_, quality)), colour in zip(methods.items(), COLOURS, strict=False):
        measured = 1e3 * quality.centroid_m[:, 1]
        true = 1e3 * truth.centroid_at(quality.shown_ns, stream.header)[:, 1]
        lag = quality.lag.claimed_ns
        lag_text = "no lag can be stated" if lag is None else f"lag {lag / 1e6:.0f} ms by image"
        style = {"color": colour, "lw": 1.3, "marker": ".", "ms": 3.5}
        if lag is None and name == next(iter(methods)):
            style |= {"lw": 0.0}
        upper.plot(quality.shown_ns * 1e-9, measured, label=f"{name}, {lag_text}", **style)
        lower.plot(quality.shown_ns * 1e-9, measured - true, **style)
    path = 1e3 * truth.centroid_at(t, stream.header)[:, 1]
    upper.set_ylim(path.max() + 7, path.min() - 4)
    upper.set_ylabel("centroid y, mm", fontsize=9)
    upper.legend(fontsize=8.5, ncol=5, loc="lower center", framealpha=0.9, edgecolor="white")
    upper.set_title("the target's centroid in each image, at the instant the image is shown", fontsize=10)
    lower.axhline(0, color="black", lw=0.8)
    lower.set_ylim(-7, 7)
    lower.set_ylabel("error, mm", fontsize=9)
    lower.set_xlabel("time since the start of the scan, s", fontsize=9)
    lower.set_xlim(t[0] * 1e-9, t[-1] * 1e-9)
    for axes in (upper, lower):
        axes.grid(alpha=0.25)
        axes.tick_params(labelsize=8)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
