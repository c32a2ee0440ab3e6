"""A run drawn in one line: the target's trace, frames, latency or k-space; by matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.judge.result import RunResult
from harness.realtime.scenarios import LOCKSTEP
from mrsim.errors import InputError, Option, OptionError
from mrsim.files.targets import check_target
from mrsim.stream.fourier import to_kspace
from mrsim.stream.plot import FRAMES, OTHER, TARGET, draw_images, new_figure, pixel_of, saved


def plot_run(result: RunResult, what: str, path: str | Path | None = None) -> Any:
    """Draw a run.

    Parameters
    ----------
    result
        The run.
    what
        "trace", "frames", "latency" or "kspace".
    path
        PNG to write, too; None for none.

    Returns
    -------
    figure
        A `matplotlib.figure.Figure`.

    Raises
    ------
    InputError
        If the run does not hold it, or the file cannot be written.
    MissingExtraError
        If matplotlib is not installed.
    """
    kinds = {"trace": _trace, "frames": _frames, "latency": _latency, "kspace": _kspace}
    if what not in kinds:
        raise OptionError("{}: expected one of " + ", ".join(kinds), Option("what", what))
    check_target(path, ".png")
    figure = new_figure((12.0, 4.0))
    kinds[what](figure, result)
    return saved(figure, path)


def _trace(figure: Any, result: RunResult) -> None:
    shown = result.displayed
    if shown is None:
        raise InputError(
            f"{result.candidate}: what was on display was not measured; replay a scan with truth"
        )
    axes = figure.subplots()
    along = int(np.argmax(np.ptp(shown.true_m, axis=0)))
    seconds = shown.t_ns * 1e-9
    axes.plot(seconds, shown.true_m[:, along] * 1e3, color="black", lw=1.6, label="where the target is")
    axes.plot(seconds, shown.centre_m[:, along] * 1e3, color=TARGET, lw=1.2, label="where it is shown")
    axes.set_xlabel("t, s", fontsize=9)
    axes.set_ylabel(f"{'xy'[along]}, mm", fontsize=9)
    axes.set_title(
        f"{result.candidate}: {'' if result.margin is None else result.margin.sentence}", fontsize=10
    )
    axes.grid(alpha=0.25)
    axes.legend(fontsize=9, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _frames(figure: Any, result: RunResult) -> None:
    pixels, stream = result.run.images.pixels, result.stream
    came = np.flatnonzero(result.run.images.shown & result.run.images.drawn)
    if pixels is None or not len(came):
        raise InputError(f"{result.candidate}: no image was kept; replay with keep_images=True")
    chosen = came[np.unique(np.linspace(0, len(came) - 1, FRAMES).round().astype(int))].tolist()
    images = [
        (f"image {f}, {(f + 1) * stream.header.frame_ns / 1e9:.1f} s", np.abs(pixels[f])) for f in chosen
    ]
    truth = stream.truth
    masks = None if truth is None or stream.header.window else [np.asarray(truth.mask[f]) for f in chosen]
    draw_images(figure, images, pixel_of(stream.header), masks)


def _latency(figure: Any, result: RunResult) -> None:
    timing, run = result.timing, result.run
    if not timing.shown.any():
        raise InputError(f"{result.candidate}: no image came, so there is no latency")
    over, spread = figure.subplots(1, 2)
    response = timing.response_ns[timing.shown] / 1e6
    over.plot((timing.due_ns[timing.shown] - run.t0_ns) / 1e9, response, ".", ms=4, color=OTHER)
    low, high = float(response.min()), float(response.max())
    decades = low > 0  # a deadline may be a hundred times what most images take
    spread.hist(response, bins=np.geomspace(low / 1.1, high * 1.1, 41) if decades else 40, color=OTHER)
    if decades:
        spread.set_xscale("log")
        over.set_yscale("log")
    if result.scenario != LOCKSTEP:
        over.axhline(timing.deadline_ns / 1e6, color=TARGET, lw=1.2, label="deadline")
        spread.axvline(timing.deadline_ns / 1e6, color=TARGET, lw=1.2, label="deadline")
        over.legend(fontsize=9, frameon=False)
    over.set_xlabel("t, s", fontsize=9)
    over.set_ylabel("response, ms", fontsize=9)
    over.set_title(f"{result.candidate}: {result.latency}", fontsize=9)
    spread.set_xlabel("response, ms", fontsize=9)
    spread.set_ylabel("images", fontsize=9)


def _kspace(figure: Any, result: RunResult) -> None:
    pixels, truth = result.run.images.pixels, result.stream.truth
    came = np.flatnonzero(result.run.images.shown & result.run.images.drawn)
    if pixels is None or not len(came):
        raise InputError(f"{result.candidate}: no image was kept; replay with keep_images=True")
    frame = int(came[-1])
    maps = [(f"k-space of image {frame}", pixels[frame])]
    if truth is not None and not result.stream.header.window:
        maps.append(("k-space of the truth", np.asarray(truth.image[frame])))
    for axes, (title, image) in zip(figure.subplots(1, len(maps), squeeze=False)[0], maps, strict=True):
        magnitude = np.abs(to_kspace(image))
        ny, nx = magnitude.shape
        left, top = -(nx // 2) - 0.5, -(ny // 2) - 0.5
        drawn = axes.imshow(
            np.log10(magnitude + magnitude.max() * 1e-5 + 1e-30), cmap="magma",
            extent=(left, left + nx, top + ny, top),
        )  # fmt: skip
        figure.colorbar(drawn, ax=axes, label="log10 of the magnitude")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("kx", fontsize=9)
        axes.set_ylabel("ky", fontsize=9)
