"""The images of a run as a series that can be written."""

from __future__ import annotations

import numpy as np

from harness.judge.result import RunResult
from mrsim.errors import InputError
from mrsim.formats.images.series import ImageSeries


def images_of(result: RunResult) -> ImageSeries:
    """Return what a run showed, image by image; zero where none came.

    Parameters
    ----------
    result
        A run whose images were kept.

    Raises
    ------
    InputError
        If they were not kept, or none came.
    """
    pixels, images = result.run.images.pixels, result.run.images
    if pixels is None:
        raise InputError(f"{result.candidate}: its images were not kept")
    came = images.shown & images.drawn
    if not came.any():
        raise InputError(f"{result.candidate}: no image came, so there is nothing to write")
    return ImageSeries.of(
        np.asarray(pixels), result.stream.header, f"images of {result.candidate}"[:120], came
    )
