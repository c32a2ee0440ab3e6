"""What a cascade sees of several coils: their combination, and the lines of each.

The sensitivities are those that a causal reconstructor has, from the running mean of the lines so far
(`recon.sensitivities`). In the stream and in training the same function makes the same inputs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon.combination import combine
from recon.fourier import to_kspace
from recon.inputs import Inputs
from recon.memory import LineMemory


def combined_rows(rows: NDArray[np.complex64], maps: Tensor) -> Tensor:
    """Return the hybrid space (ky, x) of the coils' combination, shape (ny, nx), complex64.

    Parameters
    ----------
    rows
        Rows of every coil, shape (coils, ny, nx), complex64.
    maps
        Sensitivities, same shape.
    """
    return to_kspace(combine(torch.from_numpy(rows), maps), (-2,))


def coil_inputs(memory: LineMemory, maps: Tensor, line: int, scale: float) -> Inputs:
    """Return what a cascade sees at the end of a frame, as a batch of one.

    Parameters
    ----------
    memory
        Lines of several coils so far, with their running mean.
    maps
        Sensitivities, shape (coils, ny, nx), complex64.
    line
        Index of the frame's last line.
    scale
        Value by which samples are divided.
    """
    return Inputs(
        mask=torch.from_numpy(memory.mask)[None],
        ages=torch.from_numpy(memory.ages(line))[None],
        shared=combined_rows(memory.shared, maps)[None] / scale,
        mean=combined_rows(memory.mean, maps)[None] / scale,
        acquired=torch.from_numpy(memory.acquired)[None] / scale,
        maps=maps[None],
    )


@dataclass(frozen=True)
class CoilLines:
    """Hold the lines of every coil of some frames, and the sensitivities of the time.

    Most rows of a frame are not sampled and sensitivities serve many frames, so both are kept apart, and put
    together for a batch.

    Parameters
    ----------
    rows
        Row of every line, -1 where one is missing, shape (frames, lines), int64.
    lines
        Shape (frames, lines, coils, nx), complex64.
    maps
        Shape (versions, coils, ny, nx), complex64.
    version
        Which sensitivities each frame has, shape (frames,), int64.
    """

    rows: NDArray[np.int64]
    lines: NDArray[np.complex64]
    maps: NDArray[np.complex64]
    version: NDArray[np.int64]

    def part(self, frames: slice) -> CoilLines:
        """Return some of the frames."""
        return CoilLines(self.rows[frames], self.lines[frames], self.maps, self.version[frames])

    def maps_of(self, frame: int) -> NDArray[np.complex64]:
        """Return the sensitivities at a frame, shape (coils, ny, nx), complex64."""
        maps: NDArray[np.complex64] = self.maps[self.version[frame]]
        return maps

    def acquired(self, frame: int) -> NDArray[np.complex64]:
        """Return a frame's lines in their rows, zero elsewhere, shape (coils, ny, nx), complex64."""
        found = np.zeros(self.maps.shape[1:], np.complex64)
        there = self.rows[frame] >= 0
        found[:, self.rows[frame][there]] = self.lines[frame][there].transpose(1, 0, 2)
        return found


@dataclass
class CoilRecorder:
    """Gather `CoilLines` frame by frame, as a memory shows them at each frame's end."""

    _rows: list[NDArray[np.int64]] = field(default_factory=list)
    _lines: list[NDArray[np.complex64]] = field(default_factory=list)
    _maps: list[Tensor] = field(default_factory=list)
    _version: list[int] = field(default_factory=list)

    def take(self, memory: LineMemory, maps: Tensor) -> None:
        """Take a frame.

        Parameters
        ----------
        memory
            At the end of the frame.
        maps
            Its sensitivities, shape (coils, ny, nx), complex64.
        """
        rows = np.flatnonzero(memory.mask)
        if not self._maps or self._maps[-1] is not maps:
            self._maps.append(maps)
        self._rows.append(rows)
        self._lines.append(memory.shared[:, rows].transpose(1, 0, 2))
        self._version.append(len(self._maps) - 1)

    def lines(self) -> CoilLines:
        """Return all that was taken."""
        maps = np.stack([m.numpy() for m in self._maps])
        most = max(len(rows) for rows in self._rows)
        rows = np.full((len(self._rows), most), -1, np.int64)
        lines = np.zeros((len(rows), most, len(maps[0]), maps.shape[-1]), np.complex64)
        for frame, (taken, values) in enumerate(zip(self._rows, self._lines, strict=True)):
            rows[frame, : len(taken)] = taken
            lines[frame, : len(taken)] = values
        return CoilLines(rows, lines, maps, np.array(self._version))
