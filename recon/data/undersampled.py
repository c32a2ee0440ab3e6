"""Fully sampled frames, undersampled afterwards: the training data of Dietz 2019 (ISMRM 4784).

The input is a frame's own lines, each of its own instant, without the rows that a pattern leaves out. A
network that remembers sees earlier frames so, too. The target is the image of all its lines, with their noise
and the motion within the frame. A scanner can give both without a simulator. Every frame has a new pattern in
every epoch.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import TrainingError
from mrsim.sampling import Sampler
from mrsim.seeds import child
from mrsim.stream import Stream
from recon.cascade.network import CascadeConfig
from recon.data.examples import MIN_FRAMES, Examples
from recon.fourier import to_image
from recon.line_memory import LineMemory

PATTERN = "variable-density"
SEES = ("zero-filled", "")
"""Start and memory of a network that sees the present lines alone."""


def full_rows(stream: Stream) -> tuple[NDArray[np.float32], NDArray[np.complex64]]:
    """Return all rows of the frames of a fully sampled scan, in the hybrid space (ky, x).

    Parameters
    ----------
    stream
        A scan that reads every row in every frame; its truth is not looked at.

    Returns
    -------
    ages, rows
        Frames since each row was taken, shape (frames, ny), float32; the rows, shape (frames, coils, ny, nx),
        complex64.

    Raises
    ------
    TrainingError
        If some frame lacks a row, or there are too few frames.
    """
    where, header = str(stream.path or "the training stream"), stream.header
    ny = header.matrix[0]
    if stream.frames < MIN_FRAMES:
        raise TrainingError(
            f"{where}: {stream.frames} frames to train on; at least {MIN_FRAMES} are needed, scan for longer"
        )
    memory = LineMemory(header, mean=False)
    ages, rows = [], []
    for number in range(stream.frames * header.lines_per_frame):
        readout = stream.readout(number)
        if not memory.push(readout):
            continue
        if not memory.mask.all():
            raise TrainingError(
                f"{where}: frame {readout.frame} holds {int(memory.mask.sum())} of {ny} rows; only fully "
                "sampled scans (simulate --acceleration 1 --sampler full) are undersampled afterwards"
            )
        ages.append(memory.ages(readout.index))
        rows.append(memory.shared.copy())
    return np.stack(ages), np.stack(rows)


def full_examples(stream: Stream) -> Examples:
    """Return the frames of a fully sampled scan of one coil with the images that they give.

    Parameters
    ----------
    stream
        As for `full_rows`.

    Raises
    ------
    TrainingError
        If some frame lacks a row, or there are too few frames.
    """
    ages, every = full_rows(stream)
    rows = np.ascontiguousarray(every[:, 0])
    image = to_image(rows, (-2,))
    return Examples(np.ones(ages.shape, np.bool_), ages, rows, np.zeros_like(rows), image)


def pattern_of(ny: int, acceleration: float, seed: int, *use: str | int) -> Sampler:
    """Return the variable-density pattern that undersamples the frames of a full scan.

    Parameters
    ----------
    ny
        Rows of k-space.
    acceleration
        Undersampling factor R; ceil(ny / R) rows of each frame are kept.
    seed, use
        As for `undersampled`.

    Raises
    ------
    TrainingError
        If the sampler cannot give this acceleration.
    """
    drawn = int(child(seed, "undersample", *use).generate_state(1, np.uint64)[0] >> 1)
    return Sampler(PATTERN, ny, acceleration, seed=drawn)


def row_mask(pattern: Sampler, frame: int) -> NDArray[np.bool_]:
    """Return the rows that a pattern keeps of a frame, shape (ny,), bool, k = 0 at ny // 2."""
    mask = np.zeros(pattern.ny, np.bool_)
    mask[pattern.frame(frame) + pattern.ny // 2] = True
    return mask


def undersampled(full: Examples, acceleration: float, seed: int, *use: str | int) -> Examples:
    """Leave rows out of fully sampled frames.

    Parameters
    ----------
    full
        What `full_examples` returns, or a part of it.
    acceleration
        Undersampling factor R; the dynamic incoherent sampler keeps ceil(ny / R) rows of each frame.
    seed
        Draws the patterns.
    use
        What they are for, such as the scan and the epoch; another use draws others.

    Returns
    -------
    examples
        The same targets; rows that are left out are zero, as there is no memory of earlier frames.

    Raises
    ------
    TrainingError
        If the sampler cannot give this acceleration.
    """
    frames, ny = full.mask.shape
    sampler = pattern_of(ny, acceleration, seed, *use)
    mask = np.stack([row_mask(sampler, frame) for frame in range(frames)])
    return dataclasses.replace(full, mask=mask, shared=full.shared * mask[..., None])


def thin_scan(stream: Stream, acceleration: float, seed: int, *use: str | int) -> Stream:
    """Leave rows out of a fully sampled scan, for a network that remembers earlier frames.

    The first frame keeps all its rows, as that many shorter frames, so that none is missing from then on.

    Parameters
    ----------
    stream
        As for `full_rows`.
    acceleration, seed, use
        As for `undersampled`.

    Returns
    -------
    stream
        Without truth. Its last frames are those of the scan, one by one, each of fewer lines at even times.

    Raises
    ------
    TrainingError
        If the sampler cannot give this acceleration.
    """
    header = stream.header
    ny, per_frame = header.matrix[0], header.lines_per_frame
    pattern = pattern_of(ny, acceleration, seed, *use)
    kept = len(pattern.frame(0))
    first = np.arange(per_frame)
    # Some of its lines come twice, so that the shorter frames are full.
    lines = [np.concatenate([first[: -per_frame % kept], first])]
    for frame in range(1, stream.frames):
        own = np.arange(frame * per_frame, (frame + 1) * per_frame)
        lines.append(own[row_mask(pattern, frame)[stream.ky[own] + ny // 2]])
    chosen = np.concatenate(lines)
    numbers = np.arange(len(chosen), dtype=np.int64)
    thin = dataclasses.replace(
        header, tr_ns=header.frame_ns // kept, lines_per_frame=kept, acceleration=acceleration, window=0
    )
    frames = (numbers // kept).astype(np.int32)
    t_ns = numbers * thin.tr_ns + thin.te_ns
    return Stream(thin, stream.ky[chosen], frames, t_ns, stream.samples[chosen])


def sees_alone(config: CascadeConfig) -> bool:
    """Return whether a network sees the present lines of a single coil, and remembers nothing."""
    return (config.start, config.memory, config.coils) == (*SEES, 1)
