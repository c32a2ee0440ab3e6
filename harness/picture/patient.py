"""A picture of a patient made of a cine: frames with the target, and its path over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mrsim.anatomy.series.patient import Patient
from mrsim.files.writing import whole_file
from mrsim.plotting import plotting

FRAMES = 5
_TARGET = "#d62728"


def draw_patient(path: Path, patient: Patient) -> Path:
    """Draw frames of a patient over its time, a column through the target over time, and the target's path.

    Parameters
    ----------
    path
        PNG to write.
    patient
        The patient.

    Returns
    -------
    path
        The same path.

    Raises
    ------
    InputError
        If the file cannot be written.
    MissingExtraError
        If matplotlib is not installed.
    """
    Figure, FigureCanvasAgg = plotting()
    played = patient.playback
    frames, rows, columns = played.images.shape
    height, width = (1e3 * side for side in played.pixel_m)
    extent = (0.0, columns * width, rows * height, 0.0)
    magnitude = np.abs(played.images)
    white = float(np.percentile(magnitude, 99.7))
    figure = Figure(figsize=(15.5, 7.5), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, FRAMES, height_ratios=(1.6, 1.0))
    steps = played.path_px - played.path_px[0]
    for n, frame in enumerate(np.linspace(0, frames - 1, FRAMES).astype(int).tolist()):
        axes = figure.add_subplot(grid[0, n])
        axes.imshow(magnitude[frame], cmap="gray", vmin=0, vmax=white, extent=extent)
        if len(played.labels):
            number = frame if len(played.labels) > 1 else 0
            shift = np.zeros(2) if len(played.labels) > 1 else steps[frame]
            x = (np.arange(columns) + 0.5 + shift[1]) * width
            y = (np.arange(rows) + 0.5 + shift[0]) * height
            axes.contour(x, y, played.labels[number], [0.5], colors=_TARGET, linewidths=1.0)
        axes.set(xlim=extent[:2], ylim=extent[2:])
        axes.set_title(f"{played.t_ns[frame] * 1e-9:.1f} s", fontsize=10)
        axes.set_xlabel("[mm]", fontsize=8)
        axes.tick_params(labelsize=7)
    seconds = played.t_ns * 1e-9
    axes = figure.add_subplot(grid[1, :])
    column = round(float(played.path_px[:, 1].mean()))
    over = (float(seconds[0]), float(seconds[-1]), rows * height, 0.0)
    axes.imshow(magnitude[:, :, column].T, cmap="gray", vmin=0, vmax=white, extent=over, aspect="auto")
    if len(played.labels):
        axes.plot(seconds, (played.path_px[:, 0] + 0.5) * height, color=_TARGET, lw=1.0)
    axes.set_title("the column through the target's mean place, and its centre (red)", fontsize=10)
    axes.set_xlabel("t [s]", fontsize=8)
    axes.set_ylabel("rows [mm]", fontsize=8)
    axes.tick_params(labelsize=7)
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=80)
    return path
