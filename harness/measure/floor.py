"""Two floors: of hard data consistency, and of what the noise of a scan lets anyone know.

The lines of a frame are acquired at different instants and contain noise. Even with a perfect prediction of
all other lines, the image still shows the acquired ones, so it lags by up to half a frame. A reconstructor
below this floor has learnt to give old lines less weight.

Noise bounds what can be known of the anatomy at all. Say that it stood still and that all lines of the scan,
those to come included, were averaged. Every row was then visited V = lines x coils / ny times, and each of
the ny nx pixels of a magnitude has the variance std^2 / 2 / V. That is an NMSE of

    carried = ny nx std^2 / (2 V ||truth||^2).

A reconstructor may know much beforehand, and then has fewer numbers to find: the error of an unbiased
estimate is in proportion to how many. The bound of `least_nmse` grants that it knows all but one of the ny
nx: say, where the target is. By chance one image may err less, so the bound is for the mean of all images.
Whoever is below it has the truth from somewhere else. So has who shows the bits of the truth once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.measure.image_quality import FrameJudge, Quality, judge_frames
from mrsim.errors import InputError
from mrsim.stream import Stream
from recon.classical.zero_filled import combine_coils
from recon.fourier import to_image, to_kspace

COPY_NMSE = 1e-14
"""Below this an image is the truth itself, but for rounding."""


def consistency_floor(stream: Stream, frames: NDArray[np.int64]) -> tuple[NDArray[np.complex64], Quality]:
    """Fill the lines that a frame did not sample with the truth at its last line.

    Parameters
    ----------
    stream
        A scan of one coil, with truth.
    frames
        Frames to make, shape (n,), int64.

    Returns
    -------
    pixels
        Shape (last frame + 1, ny, nx), complex64, zero for frames that are not in `frames`.
    quality
        Measures of the images, each shown at the instant when its last line is due.

    Raises
    ------
    InputError
        If the stream has no truth, or several coils.
    """
    truth, header = stream.truth, stream.header
    if truth is None or header.coils != 1:
        raise InputError(f"{stream.path or 'stream'}: the floor needs the truth of a scan of 1 coil")
    pixels = np.zeros((int(frames.max()) + 1, *header.matrix), np.complex64)
    for frame in frames:
        pixels[frame] = floor_image(stream, int(frame))
    judge = FrameJudge(truth, header)
    due_ns = (frames + 1) * header.frame_ns
    return pixels, judge_frames(stream, frames, due_ns, [judge.score(int(f), pixels[f]) for f in frames])


def floor_image(stream: Stream, frame: int) -> NDArray[np.complex64]:
    """Return the truth at a frame's last line with the frame's acquired lines in it.

    Parameters
    ----------
    stream
        A scan of one coil, with truth.
    frame
        Number of the frame.

    Returns
    -------
    image
        Shape (ny, nx), complex64.

    Raises
    ------
    InputError
        If the stream has no truth, or several coils.
    """
    truth, header = stream.truth, stream.header
    if truth is None or header.coils != 1:
        raise InputError(f"{stream.path or 'stream'}: the floor needs the truth of a scan of 1 coil")
    lines = slice(frame * header.lines_per_frame, (frame + 1) * header.lines_per_frame)
    kspace = to_kspace(truth.image[frame])
    kspace[stream.ky[lines] + header.matrix[0] // 2] = stream.samples[lines, 0]
    return combine_coils(to_image(kspace)[None])


def least_nmse(stream: Stream, frames: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean NMSE below which images of some frames cannot be.

    Parameters
    ----------
    stream
        The scan that was played, with truth.
    frames
        The frames, shape (n,), int64.

    Returns
    -------
    bound
        Shape (n,), float64; 0 where the scan has no noise, or the frame no signal.
    """
    assert stream.truth is not None
    std = 0.0 if stream.provenance is None else stream.provenance.noise_std
    if not std:
        return np.zeros(len(frames))
    (ny, nx), coils = stream.header.matrix, stream.header.coils
    visits = len(stream) * coils / ny
    energy = np.array([np.sum(np.abs(stream.truth.image[f]).astype(np.float64) ** 2) for f in frames])
    carried: NDArray[np.float64] = np.divide(
        ny * nx * std**2 / 2 / visits, energy, out=np.zeros(len(frames)), where=energy > 0
    )
    return carried / (ny * nx)


def impossible_quality(stream: Stream, quality: Quality | None) -> str | None:
    """Return what is impossible of the images' quality, in one sentence; None if nothing is.

    Parameters
    ----------
    stream
        The scan that was played, with truth.
    quality
        Measures of its images; None if they were not measured.
    """
    if quality is None:
        return None
    bound = float(least_nmse(stream, quality.frames).mean())
    nmse = quality.nmse[np.isfinite(quality.nmse)]  # a tracker shows no image
    if not bound or not len(nmse):
        return None
    copies = np.flatnonzero(quality.nmse < COPY_NMSE)
    if len(copies):
        first = int(copies[0])
        return (
            f"impossible quality: the image of frame {quality.frames[first]} is the truth itself (NMSE "
            f"{quality.nmse[first]:.2g}; {len(copies)} of {len(nmse)} images), and the scan has noise"
        )
    if nmse.mean() >= bound:
        return None
    return (
        f"impossible quality: mean NMSE {nmse.mean():.2g} of {len(nmse)} images, below the {bound:.2g} that "
        "noise and all lines of the scan leave to whoever does not have the truth itself"
    )
