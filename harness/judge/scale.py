"""A scale that is fitted once over a run, for a reconstructor whose images have none of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.measure.image_quality import FrameJudge
from harness.measure.timing import Timing
from harness.realtime.run import Run


@dataclass(frozen=True, slots=True)
class FittedScale:
    """Hold the number by which all images of a run were multiplied, and what they are without it.

    Parameters
    ----------
    gain
        The number: the real one that brings the magnitudes of the steady images nearest to the truth.
    nmse, ssim
        Means over the steady images as they came.
    """

    gain: float
    nmse: float
    ssim: float

    def __str__(self) -> str:
        return (
            f"scale=fit: images were multiplied by {self.gain:.4g}, fitted once over the run; without it "
            f"NMSE {self.nmse:.2g}, SSIM {self.ssim:.3f}"
        )


def fit_scale(judge: FrameJudge, run: Run, timing: Timing) -> FittedScale | None:
    """Multiply the images of a run by one number, in place.

    Parameters
    ----------
    judge
        What measures single images.
    run, timing
        The run, with its pixels, and its times.

    Returns
    -------
    scale
        None if no steady image came that shows anything.
    """
    pixels = run.images.pixels
    frames = np.flatnonzero(timing.shown & run.images.drawn)
    frames = frames[frames >= timing.warmup]
    if pixels is None or not len(frames):
        return None
    agreement = energy = 0.0
    errors = []
    for frame in frames:
        shown, true = (a.astype(np.float64) for a in (np.abs(pixels[frame]), judge.true(int(frame))))
        agreement += float(np.sum(shown * true))
        energy += float(np.sum(shown**2))
        errors.append(judge.compare(int(frame), pixels[frame]))
    if not 0 < energy < np.inf or not agreement > 0:
        return None
    gain = agreement / energy
    with np.errstate(over="ignore"):
        pixels *= np.float32(gain)
    nmse, ssim = np.mean(errors, axis=0)
    return FittedScale(gain, float(nmse), float(ssim))
