"""What a cascade is trained on: the frames of a scan as it would see them, and the image to show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mrsim.errors import InputError
from mrsim.stream import Stream
from recon.cascade import Inputs
from recon.memory import LineMemory

MIN_FRAMES = 10


@dataclass(frozen=True)
class Examples:
    """Hold the frames of one scan as a cascade sees them, with their targets.

    Parameters
    ----------
    mask, ages
        Shape (frames, ny), bool and float32.
    shared, mean, target
        Shape (frames, ny, nx), complex64: newest value and running mean of every row in the hybrid
        space, and the image that is to be shown.
    """

    mask: NDArray[np.bool_]
    ages: NDArray[np.float32]
    shared: NDArray[np.complex64]
    mean: NDArray[np.complex64]
    target: NDArray[np.complex64]

    def __len__(self) -> int:
        return len(self.mask)

    def part(self, frames: slice) -> Examples:
        """Return some of the frames."""
        return Examples(*(getattr(self, n)[frames] for n in ("mask", "ages", "shared", "mean", "target")))


def examples_of(stream: Stream, target: NDArray[np.complex64] | None = None) -> Examples:
    """Replay a scan through the memory of a reconstructor and keep what it sees at each frame's end.

    The first frames, in which some row was never sampled yet, are left out.

    Parameters
    ----------
    stream
        A scan of one coil, with truth.
    target
        Image to show at the end of every frame, shape (frames, ny, nx), complex64; None for the true image
        at the echo of its last line.

    Raises
    ------
    InputError
        If the scan has no truth, several coils, or too few frames.
    """
    where = str(stream.path or "the training stream")
    header = stream.header
    if target is None:
        if stream.truth is None:
            raise InputError(f"{where}: it stores no truth; training needs the images that it should show")
        target = stream.truth.image
    if header.coils != 1:
        raise InputError(f"{where}: {header.coils} coils; the cascade takes streams of 1 coil")
    memory = LineMemory(header)
    seen: list[int] = []
    kept: list[tuple[Any, ...]] = []
    for line in range(stream.frames * header.lines_per_frame):
        readout = stream.readout(line)
        if memory.push(readout) and (memory.newest >= 0).all():
            seen.append(readout.frame)
            ages = memory.ages(readout.index)
            kept.append((memory.mask.copy(), ages, memory.shared[0].copy(), memory.mean[0].copy()))
    if len(kept) < MIN_FRAMES:
        raise InputError(
            f"{where}: {len(kept)} frames to train on; at least {MIN_FRAMES} are needed, scan for longer"
        )
    mask, ages, shared, mean = (np.stack(column) for column in zip(*kept, strict=True))
    return Examples(mask, ages, shared, mean, np.asarray(target[seen]))


def batch_of(sets: Sequence[Examples], rows: NDArray[np.int64], scale: float) -> tuple[Inputs, Tensor]:
    """Make a batch of some frames.

    Parameters
    ----------
    sets
        Scans.
    rows
        Number of the scan and of the frame in it, shape (batch, 2), int64.
    scale
        Value by which samples and targets are divided.

    Returns
    -------
    inputs, target
        `target` has the shape (batch, ny, nx), complex64.
    """

    def stack(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(sets[s], name)[f] for s, f in rows]))

    return (
        Inputs(stack("mask"), stack("ages"), stack("shared") / scale, stack("mean") / scale),
        stack("target") / scale,
    )


def whole(sets: Sequence[Examples], scale: float, batch: int = 8) -> Iterator[tuple[Inputs, Tensor]]:
    """Yield all frames in their order."""
    for s, examples in enumerate(sets):
        for start in range(0, len(examples), batch):
            rows = np.array([(s, f) for f in range(start, min(start + batch, len(examples)))])
            yield batch_of(sets, rows, scale)
