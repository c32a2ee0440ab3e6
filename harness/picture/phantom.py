"""The picture of a phantom: its image, motion, coils and sampling. Needs matplotlib (extra `[report]`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.picture.methods import COLOURS
from mrsim.files.writing import whole_file
from mrsim.plotting import plotting

ONE_COLUMN = 13  # entries of a legend
SECONDS = 30.0
_FRAMES = 24
_TARGET = "#d55e00"


def draw_phantom(path: Path, name: str, *, seed: int = 0, coils: int = 8) -> None:
    """Draw a phantom.

    Parameters
    ----------
    path
        PNG file; it is written whole or not at all.
    name
        Name of a shipped phantom, or path of a .toml file.
    seed
        Seed of its motion.
    coils
        Number of receive channels whose sensitivities are drawn.

    Raises
    ------
    InputError
        If the phantom is wrong, or the file cannot be written.
    MissingExtraError
        If matplotlib is not installed.
    """
    from mrsim.anatomy.phantom import load_phantom
    from mrsim.scanner.acquisition import Scanner
    from mrsim.scanner.protocol import ScanProtocol

    Figure, FigureCanvasAgg = plotting()
    phantom = load_phantom(name)
    protocol = ScanProtocol(coils=coils)
    frame_ns = protocol.header().frame_ns
    scanner = Scanner(phantom, protocol, seed, int(SECONDS * 1e9) // frame_ns)
    times = np.arange(0, int(SECONDS * 1e9), 20_000_000, dtype=np.int64)
    path_mm = scanner.oracle.centroid(phantom.target, times) * 1e3
    figure = Figure(figsize=(15.5, 9.6), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(3, 6, height_ratios=(1.5, 1.0, 1.0))
    figure.suptitle(f"{phantom.name}: {phantom.title}", fontsize=13)
    far = path_mm - path_mm[0]
    reach = int(times[int(np.argmax((far**2).sum(axis=1)))])
    _draw_image(figure.add_subplot(grid[0, 0:2]), scanner, 0, "at the start, with the target's path", path_mm)
    _draw_image(
        figure.add_subplot(grid[0, 2:4]), scanner, reach, f"at {reach * 1e-9:.1f} s, farthest away", None
    )
    _draw_regions(figure.add_subplot(grid[0, 4:6]), scanner)
    _draw_breathing(figure.add_subplot(grid[1, :]), scanner, times, path_mm)
    _draw_sampling(figure.add_subplot(grid[2, 0:3]), scanner)
    _draw_coils(figure.add_subplot(grid[2, 3:6]), scanner)
    _write(figure, path)


def _extent(scanner: Any) -> list[float]:
    height, width = (f * 1e3 for f in scanner.header.fov_m)
    return [-width / 2, width / 2, height / 2, -height / 2]


def _plain(axes: Any, title: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("x [mm]", fontsize=8)
    axes.set_ylabel("y, head to feet [mm]", fontsize=8)
    axes.tick_params(labelsize=7)


def _draw_image(axes: Any, scanner: Any, t_ns: int, title: str, path_mm: NDArray[np.float64] | None) -> None:
    image = np.abs(scanner.oracle.image(t_ns))
    shown = {"cmap": "gray", "vmin": 0, "vmax": float(np.percentile(image, 99.7))}
    axes.imshow(image, extent=_extent(scanner), interpolation="nearest", **shown)
    target = scanner.oracle.contour(scanner.oracle.phantom.target, t_ns) * 1e3
    if len(target):
        closed = np.concatenate([target, target[:1]])
        axes.plot(closed[:, 0], closed[:, 1], color=_TARGET, lw=1.0)
    if path_mm is not None:
        axes.plot(path_mm[:, 0], path_mm[:, 1], color=COLOURS[2], lw=0.9)
    _plain(axes, title)


def _draw_regions(axes: Any, scanner: Any) -> None:
    oracle = scanner.oracle
    for region in oracle.phantom.regions:
        edge = oracle.contour(region.name, 0) * 1e3
        if len(edge) == 0:
            continue
        target, moving = region.name == oracle.phantom.target, region.moves or region.deforms
        colour = _TARGET if target else COLOURS[2] if moving else COLOURS[0]
        closed = np.concatenate([edge, edge[:1]])
        axes.plot(closed[:, 0], closed[:, 1], color=colour, lw=1.4 if target else 0.8)
    left, right, bottom, top = _extent(scanner)
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    _plain(axes, f"{len(oracle.phantom.regions)} regions: still (grey), moving (blue), the target (red)")


def _draw_breathing(axes: Any, scanner: Any, times: NDArray[np.int64], path_mm: NDArray[np.float64]) -> None:
    seconds = times * 1e-9
    for n, name in enumerate(scanner.oracle.phantom.motions):
        if name != "static":
            value = scanner.oracle.scene.anatomy.drives[name].at(times) * 1e3
            axes.plot(seconds, value, lw=1.0, alpha=0.75, color=f"C{n}", label=f"motion {name!r}")
    axes.plot(seconds, path_mm[:, 1] - path_mm[0, 1], color=_TARGET, lw=1.8, label="target along y")
    axes.plot(seconds, path_mm[:, 0] - path_mm[0, 0], color=_TARGET, lw=1.2, ls=":", label="target along x")
    axes.set_xlim(0, SECONDS)
    axes.set_title("motion", fontsize=10)
    axes.set_xlabel("t [s]", fontsize=8)
    axes.set_ylabel("[mm]", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.25)
    columns = 1 if len(axes.lines) <= ONE_COLUMN else 2
    # Beside the curves, of which a patient has some thirty.
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), fontsize=7, ncols=columns, frameon=False)


def _draw_sampling(axes: Any, scanner: Any) -> None:
    chunk = scanner.chunk(0, min(_FRAMES, scanner.frames), False)
    axes.scatter(chunk.t_ns * 1e-9, chunk.ky, s=1.6, color="black", linewidths=0)
    header = scanner.header
    axes.set_title(
        f"sampling: {header.sampler}, {header.acceleration:g}x, {header.lines_per_frame} lines a frame",
        fontsize=10,
    )
    axes.set_xlabel("t [s]", fontsize=8)
    axes.set_ylabel("ky", fontsize=8)
    axes.tick_params(labelsize=7)


def _draw_coils(axes: Any, scanner: Any) -> None:
    from mrsim.kernels.grid import Grid

    fitted = scanner.receiver.fitted
    x, y = Grid((64, 64), scanner.header.fov_m).pixels()
    if fitted is None:
        maps = np.ones((1, 64, 64))
        title = "one coil of uniform sensitivity"
    else:
        body = np.zeros((64, 64), np.bool_)
        for region in scanner.oracle.phantom.regions:
            if region.parent is None:
                body |= region.shape.inside(x, y)
        maps = np.where(body, np.abs(fitted.sensitivity(x, y)), np.nan)
        title = f"{fitted.count} coils, |sensitivity| in the body (fit to {fitted.error_rms:.2%})"
    columns = min(len(maps), 4)
    rows = -(-len(maps) // columns)
    sheet = np.full((rows * 64, columns * 64), np.nan)
    for n, map_ in enumerate(maps):
        row, column = divmod(n, columns)
        sheet[row * 64 : row * 64 + 64, column * 64 : column * 64 + 64] = map_
    axes.imshow(sheet, cmap="viridis")
    axes.set_title(title, fontsize=10)
    axes.set_axis_off()


def _write(figure: Any, path: Path) -> None:
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=110)
