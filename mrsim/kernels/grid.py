"""The k-space grid of a scan and its pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """Hold the k-space grid of a scan.

    Parameters
    ----------
    matrix
        Rows (ky) and columns (kx).
    fov_m
        Field of view along y and x, metres.
    """

    matrix: tuple[int, int]
    fov_m: tuple[float, float]

    @property
    def step(self) -> tuple[float, float]:
        """Return the distance of samples along ky and kx, cycles per metre."""
        return 1 / self.fov_m[0], 1 / self.fov_m[1]

    @property
    def scale(self) -> float:
        """Return what a transform is multiplied by, so that the unitary inverse FFT gives the density."""
        return math.sqrt(self.matrix[0] * self.matrix[1]) / (self.fov_m[0] * self.fov_m[1])

    def k(self) -> tuple[Array, Array]:
        """Return kx, shape (1, nx), and ky, shape (ny, 1), centred, cycles per metre."""
        (ny, nx), (dky, dkx) = self.matrix, self.step
        kx = np.asarray((np.arange(nx) - nx // 2) * dkx, np.float64)
        ky = np.asarray((np.arange(ny) - ny // 2) * dky, np.float64)
        return kx[None, :], ky[:, None]

    def pixels(self) -> tuple[Array, Array]:
        """Return the pixel centres: x, shape (1, nx), and y, shape (ny, 1), metres."""
        ny, nx = self.matrix
        x = np.asarray((np.arange(nx) - nx // 2) * (self.fov_m[1] / nx), np.float64)
        y = np.asarray((np.arange(ny) - ny // 2) * (self.fov_m[0] / ny), np.float64)
        return x[None, :], y[:, None]
