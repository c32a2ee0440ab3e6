"""What the images of a step are held to: known images, or the lines that a scan reads next."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon.coils.combination import expand
from recon.data.examples import Examples
from recon.fourier import to_kspace


class Wanted(Protocol):
    """Say how far the images of a batch are from what is wanted."""

    def error(self, shown: Tensor) -> Tensor:
        """Return the mean squared error of each image, shape (batch,), float32.

        Parameters
        ----------
        shown
            Shape (batch, ny, nx), complex64.
        """

    def objective(self, shown: Tensor) -> Tensor:
        """Return what a step makes smaller: the mean error of the batch, where pixels may weigh."""

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Apply a function to every tensor, whose first axis is the batch."""

    def band(self, columns: slice) -> Self:
        """Return a band of columns."""


@dataclass(frozen=True, slots=True)
class KnownImages:
    """Hold the images that are wanted, as a simulator knows them.

    Parameters
    ----------
    images
        Shape (batch, ny, nx), complex64.
    weights
        How much each pixel counts in the objective, same shape, float32; None for all alike.
    """

    images: Tensor
    weights: Tensor | None = None

    def error(self, shown: Tensor) -> Tensor:
        """Return the mean squared error of each image, shape (batch,), float32."""
        return squared_error(shown, self.images)

    def objective(self, shown: Tensor) -> Tensor:
        """Return the mean of the squared errors with their weights."""
        if self.weights is None:
            return self.error(shown).mean()
        return (torch.view_as_real(shown - self.images).square().sum(-1) * self.weights).mean()

    def map(self, function: Callable[[Tensor], Tensor]) -> KnownImages:
        """Apply a function to images and weights."""
        return KnownImages(function(self.images), None if self.weights is None else function(self.weights))

    def band(self, columns: slice) -> KnownImages:
        """Return a band of columns."""
        return self.map(lambda values: values[..., columns])


@dataclass(frozen=True, slots=True)
class ForetoldLines:
    """Hold the lines that come after each image, in the hybrid space (ky, x).

    Parameters
    ----------
    lines
        Shape (batch, coils, ny, nx), complex64.
    weights
        How much each row counts, 0 where it was not read, shape (batch, ny), float32.
    maps
        Sensitivities at the image, shape (batch, coils, ny, nx), complex64; None with a single coil.
    """

    lines: Tensor
    weights: Tensor
    maps: Tensor | None

    def error(self, shown: Tensor) -> Tensor:
        """Return the mean squared difference from the lines, all coils together, shape (batch,), float32.

        It is that of the whole image on average, and the noise of the lines beside it.
        """
        rows = to_kspace(shown, (-2,))[:, None] if self.maps is None else expand(shown, self.maps)
        off = torch.view_as_real(rows - self.lines).square().sum(-1).sum(1).mean(-1)
        return (off * self.weights).mean(-1)

    def objective(self, shown: Tensor) -> Tensor:
        """Return the mean of the errors: no pixel of an unknown image can weigh more."""
        return self.error(shown).mean()

    def map(self, function: Callable[[Tensor], Tensor]) -> ForetoldLines:
        """Apply a function to every tensor."""
        maps = None if self.maps is None else function(self.maps)
        return ForetoldLines(function(self.lines), function(self.weights), maps)

    def band(self, columns: slice) -> ForetoldLines:
        """Return a band of columns."""
        maps = None if self.maps is None else self.maps[..., columns]
        return dataclasses.replace(self, lines=self.lines[..., columns], maps=maps)


def foretold(
    sets: Sequence[Examples], rows: NDArray[np.int64], scale: float, maps: Tensor | None
) -> ForetoldLines:
    """Return the lines that come after some frames of scans that keep them (`Examples.later`).

    Parameters
    ----------
    sets
        Scans.
    rows
        Number of the scan and of the frame in it, shape (batch, 2), int64.
    scale
        Value by which samples are divided.
    maps
        Sensitivities at these frames, shape (batch, coils, ny, nx), complex64; None with a single coil.
    """
    held = [(later, int(f)) for s, f in rows if (later := sets[s].later) is not None]
    lines = torch.from_numpy(np.stack([later.lines(f) for later, f in held])) / scale
    weights = torch.from_numpy(np.stack([later.weights(f) for later, f in held]))
    return ForetoldLines(lines, weights, maps)


def squared_error(shown: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error of each image, shape (batch,), float32.

    Parameters
    ----------
    shown, target
        Shape (batch, ny, nx), complex64.
    """
    return torch.view_as_real(shown - target).square().sum(-1).mean(dim=(1, 2))
