"""A scan drawn in one line: frames, k-space, or the path of the target; by matplotlib (extra `[report]`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import Option, OptionError, StreamError
from mrsim.files.targets import check_target
from mrsim.files.writing import whole_file
from mrsim.plotting import plotting
from mrsim.stream.fourier import to_image

if TYPE_CHECKING:
    from mrsim.stream.header import Header
    from mrsim.stream.stream import Stream

FRAMES = 5
KSPACE_LINES = 1024
TARGET, OTHER = "#d55e00", "#0072b2"


def plot_stream(stream: Stream, what: str, path: str | Path | None) -> Any:
    """Draw a scan; parameters and errors as for `Stream.plot`."""
    kinds = {"frames": _frames, "kspace": _kspace, "trace": _trace}
    if what not in kinds:
        raise OptionError("{}: expected one of " + ", ".join(kinds), Option("what", what))
    check_target(path, ".png")
    figure = new_figure((12.0, 4.0))
    kinds[what](figure, stream)
    return saved(figure, path)


def new_figure(size: tuple[float, float]) -> Any:
    """Return a figure of so many inches that needs no display."""
    Figure, FigureCanvasAgg = plotting()
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def saved(figure: Any, path: str | Path | None) -> Any:
    """Write a figure as PNG, whole or not at all, where a path is given; return it."""
    if path is not None:
        with whole_file(path) as partial:
            figure.savefig(partial, format="png", dpi=100)
    return figure


def extent_mm(shape: tuple[int, int], pixel_m: tuple[float, float]) -> tuple[float, float, float, float]:
    """Return the edges of an image in millimetres, rows downwards; 0 is the centre of pixel N // 2."""
    (ny, nx), (dy, dx) = shape, (1e3 * side for side in pixel_m)
    left, top = -(nx // 2 + 0.5) * dx, -(ny // 2 + 0.5) * dy
    return left, left + nx * dx, top + ny * dy, top


def draw_images(
    figure: Any,
    images: list[tuple[str, NDArray[Any]]],
    pixel_m: tuple[float, float],
    masks: list[NDArray[np.bool_]] | None = None,
) -> None:
    """Draw magnitudes side by side, with the target's true outline where masks are given.

    Parameters
    ----------
    figure
        Where.
    images
        A title and an image, shape (ny, nx), each.
    pixel_m
        Height and width of a pixel, metres.
    masks
        Pixels of the target in each, shape (ny, nx), bool; None for no outline.
    """
    white = float(np.quantile(np.stack([image for _, image in images]), 0.998)) or 1.0
    for place, (title, image) in enumerate(images):
        extent = extent_mm((image.shape[0], image.shape[1]), pixel_m)
        axes = figure.add_subplot(1, len(images), place + 1)
        axes.imshow(image, cmap="gray", vmin=0, vmax=white, extent=extent)
        if masks is not None and masks[place].any():
            axes.contour(
                masks[place].astype(float), levels=[0.5], colors=TARGET, linewidths=0.9, extent=extent,
                origin="upper",
            )  # fmt: skip
            if not place:
                axes.text(
                    0.03, 0.03, "target, true outline", color=TARGET, fontsize=8, transform=axes.transAxes
                )
        axes.set_title(title, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.set_xlabel("x, mm", fontsize=8)
        if not place:
            axes.set_ylabel("y, mm", fontsize=8)


def pixel_of(header: Header) -> tuple[float, float]:
    """Return height and width of a pixel, metres."""
    return header.fov_m[0] / header.matrix[0], header.fov_m[1] / header.matrix[1]


def _frames(figure: Any, stream: Stream) -> None:
    header, truth = stream.header, stream.truth
    if not stream.frames:
        raise StreamError(f"{stream.path or 'stream'}: it has no whole frame")
    chosen = np.unique(np.linspace(0, stream.frames - 1, FRAMES).round().astype(int)).tolist()
    images = [
        (f"{'truth' if truth is not None else 'lines of a frame'}, {(f + 1) * header.frame_ns / 1e9:.1f} s",
         np.abs(truth.image[f]) if truth is not None else _of_lines(stream, f))
        for f in chosen
    ]  # fmt: skip
    draw_images(
        figure,
        images,
        pixel_of(header),
        None if truth is None else [np.asarray(truth.mask[f]) for f in chosen],
    )


def _of_lines(stream: Stream, frame: int) -> NDArray[np.floating[Any]]:
    """Return the image of a frame's own lines, zeros where none was scanned, all coils together."""
    header = stream.header
    part = slice(frame * header.lines_per_frame, (frame + 1) * header.lines_per_frame)
    kspace = np.zeros((header.coils, *header.matrix), np.complex64)
    kspace[:, np.asarray(stream.ky[part]) + header.matrix[0] // 2] = np.asarray(
        stream.samples[part]
    ).swapaxes(0, 1)
    return np.asarray(np.sqrt((np.abs(to_image(kspace)) ** 2).sum(axis=0)))


def _kspace(figure: Any, stream: Stream) -> None:
    lines = min(len(stream), KSPACE_LINES)
    magnitude = np.abs(np.asarray(stream.samples[:lines, 0]))
    left, right = figure.subplots(1, 2)
    left.imshow(np.log10(magnitude + magnitude.max() * 1e-5 + 1e-30).T, cmap="magma", aspect="auto")
    left.set_title("log |samples|, coil 0, as the lines come", fontsize=10)
    left.set_xlabel("line", fontsize=9)
    left.set_ylabel("kx index", fontsize=9)
    right.scatter(np.asarray(stream.t_ns[:lines]) * 1e-9, stream.ky[:lines], s=2, color=OTHER, linewidths=0)
    header = stream.header
    right.set_title(f"{header.sampler}, {header.acceleration:g}x: which line comes when", fontsize=10)
    right.set_xlabel("t, s", fontsize=9)
    right.set_ylabel("ky", fontsize=9)


def _trace(figure: Any, stream: Stream) -> None:
    truth = stream.truth
    if truth is None:
        raise StreamError(f"{stream.path or 'stream'}: it has no truth, so nothing tells the target's path")
    axes = figure.subplots()
    seconds, centre = np.asarray(stream.t_ns) * 1e-9, np.asarray(truth.centroid) * 1e3
    for column, name, colour in ((1, "y, head to feet", TARGET), (0, "x", OTHER)):
        axes.plot(seconds, centre[:, column] - centre[0, column], color=colour, lw=1.3, label=name)
    axes.set_xlabel("t, s", fontsize=9)
    axes.set_ylabel(f"{truth.target} from its start, mm", fontsize=9)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
