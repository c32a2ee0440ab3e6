"""The floor of hard data consistency: the best images that keep every acquired line unchanged.

The lines of a frame are acquired at different instants and contain noise. Even with a perfect prediction of
all other lines, the image still shows the acquired ones, so it lags by up to half a frame. A reconstructor
below this floor has learnt to give old lines less weight.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from harness.measure.image_quality import FrameJudge, Quality, judge_frames
from mrsim.errors import InputError
from mrsim.seeds import child
from mrsim.stream import Stream
from recon.classical.zero_filled import combine_coils
from recon.fourier import to_image, to_kspace


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


def full_image(stream: Stream, frame: int, seed: int = 0) -> NDArray[np.complex64]:
    """Return the image that instantaneous full sampling would give at a frame's last line: truth plus noise.

    Parameters
    ----------
    stream
        A scan with truth. Its provenance states the noise; without provenance none is added.
    frame
        Number of the frame.
    seed
        Seed of the noise, which differs in every frame.

    Returns
    -------
    image
        Shape (ny, nx), complex64.

    Raises
    ------
    InputError
        If the stream has no truth.
    """
    if stream.truth is None:
        raise InputError(f"{stream.path or 'stream'}: a fully sampled image needs the truth")
    image = np.asarray(stream.truth.image[frame])
    std = 0.0 if stream.provenance is None else stream.provenance.noise_std
    rng = np.random.default_rng(child(seed, "fully-sampled", frame))
    noise = rng.standard_normal((*image.shape, 2), np.float32).view(np.complex64)[..., 0]
    return np.asarray(image + np.float32(std / math.sqrt(2)) * noise, np.complex64)
