"""Bands: ranges of columns that are shown before the whole image, when they come and how good they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.measure.exact_statistics import Summary, summarise
from harness.measure.shown import shown_as
from harness.measure.timing import Timing
from harness.realtime.collector import MISSING
from harness.realtime.run import Run
from mrsim.stream import Stream
from recon.protocol import UNIFORM


@dataclass(frozen=True)
class Band:
    """Hold the measures of a run's bands.

    Parameters
    ----------
    columns
        First column and the one past the last.
    images
        Number of steady frames whose band came.
    response
        Time from when a frame's last line was due to its band.
    nmse, nmse_whole
        ||m - t||^2 / ||t||^2 of magnitudes over these columns and frames, of the bands and of the same
        columns of whole images; None if no pixels were kept, or there is no truth.
    """

    columns: tuple[int, int]
    images: int
    response: Summary
    nmse: float | None
    nmse_whole: float | None


def band_of(stream: Stream, run: Run, timing: Timing, combination: str = UNIFORM) -> Band:
    """Measure the bands of a run that has some.

    Parameters
    ----------
    stream
        The scan that was played.
    run, timing
        The run and its times.
    combination
        How its images show several coils.
    """
    assert run.images.band is not None
    columns, pixels = run.images.band
    came = run.images.band_ns != MISSING
    came[: timing.warmup] = False
    response = summarise(run.images.band_ns[came] - timing.due_ns[came])
    whole, both = run.images.pixels, came & timing.shown
    if whole is None or stream.truth is None or not both.any():
        return Band(columns, int(came.sum()), response, None, None)
    cut = slice(*columns)
    true = np.abs(stream.truth.image[: len(both)][both][:, :, cut]).astype(np.float64)
    if (shading := shown_as(stream, combination).shading) is not None:
        true *= shading[:, cut]

    def error(shown: NDArray[np.complex64]) -> float:
        return float(np.sum(np.square(np.abs(shown) - true)) / np.sum(np.square(true)))

    return Band(columns, int(came.sum()), response, error(pixels[both]), error(whole[both][:, :, cut]))
