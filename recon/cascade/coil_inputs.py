"""The inputs of a cascade with several coils: their combination, and the lines of each.

The sensitivities are causal: they come from the running mean of the lines so far
(`recon.coils.sensitivities`). One function makes the inputs in the stream and in training.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon.cascade.inputs import CascadeInputs
from recon.coils.combination import combine
from recon.fourier import to_kspace
from recon.line_memory import LineMemory


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


def coil_inputs(memory: LineMemory, maps: Tensor, line: int, scale: float) -> CascadeInputs:
    """Return the inputs of a cascade at the end of a frame, as a batch of one.

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
    return CascadeInputs(
        mask=torch.from_numpy(memory.mask)[None],
        ages=torch.from_numpy(memory.ages(line))[None],
        shared=combined_rows(memory.shared, maps)[None] / scale,
        mean=combined_rows(memory.mean, maps)[None] / scale,
        lines=torch.from_numpy(memory.shared)[None] / scale,
        maps=maps[None],
    )


@dataclass(frozen=True)
class CoilLines:
    """Hold the lines of every coil of some frames, and the sensitivities of the time.

    A line is used until its row comes again, and sensitivities for many frames. So each is kept once, and a
    batch puts them together.

    Parameters
    ----------
    lines
        Every line once, in the order of their coming, shape (lines, coils, nx), complex64.
    newest
        Which of them each row was last taken from at each frame's end, shape (frames, ny), int64.
    maps
        Shape (versions, coils, ny, nx), complex64.
    version
        Which sensitivities each frame has, shape (frames,), int64.
    """

    lines: NDArray[np.complex64]
    newest: NDArray[np.int64]
    maps: NDArray[np.complex64]
    version: NDArray[np.int64]

    def part(self, frames: slice) -> CoilLines:
        """Return some of the frames."""
        return CoilLines(self.lines, self.newest[frames], self.maps, self.version[frames])

    def maps_of(self, frame: int) -> NDArray[np.complex64]:
        """Return the sensitivities at a frame, shape (coils, ny, nx), complex64."""
        maps: NDArray[np.complex64] = self.maps[self.version[frame]]
        return maps

    def shared(self, frame: int) -> NDArray[np.complex64]:
        """Return the newest value of every row at a frame's end, shape (coils, ny, nx), complex64."""
        return np.ascontiguousarray(self.lines[self.newest[frame]].transpose(1, 0, 2))


@dataclass
class CoilRecorder:
    """Collect `CoilLines` from a memory, at each frame's end."""

    _lines: list[NDArray[np.complex64]] = field(default_factory=list)
    _newest: list[NDArray[np.int64]] = field(default_factory=list)
    _maps: list[Tensor] = field(default_factory=list)
    _version: list[int] = field(default_factory=list)
    _seen: NDArray[np.int64] | None = None
    _count: int = 0

    def take(self, memory: LineMemory, maps: Tensor) -> None:
        """Take a frame.

        Parameters
        ----------
        memory
            At the end of the frame; every row has come.
        maps
            Its sensitivities, shape (coils, ny, nx), complex64.
        """
        if not self._maps or self._maps[-1] is not maps:
            self._maps.append(maps)
        first = self._seen is None
        came = np.flatnonzero(memory.newest != (-1 if first else self._seen))
        newest = np.empty_like(memory.newest) if first else self._newest[-1].copy()
        newest[came] = self._count + np.arange(len(came))
        self._seen, self._count = memory.newest.copy(), self._count + len(came)
        self._lines.append(memory.shared[:, came].transpose(1, 0, 2))
        self._newest.append(newest)
        self._version.append(len(self._maps) - 1)

    def lines(self) -> CoilLines:
        """Return all that was taken."""
        maps = np.stack([m.numpy() for m in self._maps])
        return CoilLines(np.concatenate(self._lines), np.stack(self._newest), maps, np.array(self._version))
