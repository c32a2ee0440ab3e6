"""Fully sampled frames, undersampled afterwards: the training data of Dietz 2019 (ISMRM 4784).

The input is a frame's own lines, each of its own instant, without the rows that a pattern leaves out. The
target is the image of all its lines, with their noise and the motion within the frame. A scanner can give
both without a simulator. Every frame has a new pattern in every epoch.
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


def full_examples(stream: Stream) -> Examples:
    """Return the frames of a fully sampled scan with the images that they give.

    Parameters
    ----------
    stream
        A scan of one coil that reads every row in every frame; its truth is not looked at.

    Raises
    ------
    TrainingError
        If some frame lacks a row, or there are several coils or too few frames.
    """
    where, header = str(stream.path or "the training stream"), stream.header
    ny = header.matrix[0]
    if header.coils != 1:
        raise TrainingError(
            f"{where}: {header.coils} coils: only scans of one coil are undersampled afterwards"
        )
    if stream.frames < MIN_FRAMES:
        raise TrainingError(
            f"{where}: {stream.frames} frames to train on; at least {MIN_FRAMES} are needed, scan for longer"
        )
    memory = LineMemory(header, mean=False)
    ages, lines = [], []
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
        lines.append(memory.shared[0].copy())
    rows = np.stack(lines)
    image = to_image(rows, (-2,))
    return Examples(np.ones((len(rows), ny), np.bool_), np.stack(ages), rows, np.zeros_like(rows), image)


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


def check_sees(config: CascadeConfig) -> None:
    """Refuse a network that remembers earlier frames: fully sampled ones leave it another memory.

    Raises
    ------
    TrainingError
        If it starts from anything but the zero-filled image, or has a memory.
    """
    if (config.start, config.memory) != SEES:
        raise TrainingError(
            f"undersample: a network with start = {config.start!r}, memory = {config.memory!r} remembers "
            "other lines than those that are left; take --network dietz2019"
        )
