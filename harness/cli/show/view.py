"""`mrsim view`: a picture of a scan or of images, in a window where there is a screen, else as PNG."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import Any

from mrsim.errors import InputError

PICTURES = ("frames", "kspace", "trace")


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    command.add_argument(
        "source", metavar="STREAM|IMAGES", help="folder of a stream, or the .npz of mrsim replay --images"
    )
    command.add_argument("--what", choices=PICTURES, default="frames", help="of a stream (%(default)s)")
    command.add_argument(
        "-o", "--output", metavar="FILE", help="PNG to write (a window; view.png where there is no screen)"
    )


def run(*, source: str, what: str, output: str | None) -> int:
    """Draw what a file holds, and show or write it.

    Raises
    ------
    InputError
        If there is nothing to draw, or it cannot be written.
    MissingExtraError
        If matplotlib is not installed.
    """
    path = Path(source)
    target = output if output is not None or _screen() else "view.png"
    if path.is_dir():
        from mrsim.stream import load

        figure = load(path).plot(what, target)
    else:
        figure = _images(path, what, target)
    if target is None:
        _window(figure)
    else:
        print(f"{target}: {what} of {source}")
    return 0


def _screen() -> bool:
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _images(path: Path, what: str, target: str | None) -> Any:
    import numpy as np

    from mrsim.files.targets import check_target
    from mrsim.formats.images.files import read_stored
    from mrsim.stream.plot import FRAMES, draw_images, new_figure, saved

    if what != "frames":
        raise InputError(f"--what {what}: {path} holds images alone")
    check_target(target, ".png")
    series = read_stored(path)
    came = np.flatnonzero(series.shown)
    chosen = came[np.unique(np.linspace(0, len(came) - 1, FRAMES).round().astype(int))].tolist()
    figure = new_figure((12.0, 4.0))
    images = [(f"{series.seconds[n]:.1f} s", series.values[n]) for n in chosen]
    draw_images(figure, images, series.pixel_m)
    return saved(figure, target)


def _window(figure: Any) -> None:
    pyplot = importlib.import_module("matplotlib.pyplot")
    window = pyplot.figure(figsize=figure.get_size_inches())
    manager = window.canvas.manager
    manager.canvas.figure = figure
    figure.set_canvas(manager.canvas)
    pyplot.show()
