"""Estimate the anatomy while lines arrive: `Subspace`, with its work done line by line.

The projection of a line onto the subspace depends on its row and samples alone, so it is computed when the
line comes. A frame's last line then costs a small linear system over all rows, each with its age, and one sum
of components. That sum is the image itself, with no transform after it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from recon.fourier import to_kspace
from recon.line_memory import LineMemory
from recon.subspace.subspace import Subspace
from recon.subspace.tracker_arrays import model_of, rows_of, workspace_for
from recon.subspace.tracker_kernels import locate, take_lines


@dataclass(frozen=True)
class Estimate:
    """Hold the estimated position at the instant that is shown.

    Parameters
    ----------
    position
        Posterior mean of the weight of every component, shape (components,), float32.
    misfit
        Residual variance over noise variance: about 1 where the subspace explains the lines.
    """

    position: torch.Tensor
    misfit: float


class Tracker:
    """Follow the lines of one scan in the subspace of the anatomy.

    Parameters
    ----------
    subspace
        The subspace, on the scale of the network.
    scale
        Factor from the network's images to the scan's.
    tr_s
        Time from line to line, seconds.
    columns
        First column and the one past the last of a band that can be shown by itself; None for none.
    """

    def __init__(
        self, subspace: Subspace, scale: float, tr_s: float, columns: tuple[int, int] | None = None
    ) -> None:
        n, (ny, nx) = subspace.components, subspace.mean.shape[:2]
        self._inverse_scale = 1 / scale
        with torch.inference_mode(False), torch.no_grad():
            self._rows, self._model = rows_of(subspace), model_of(subspace, tr_s)
            self._shape = (ny, nx)
            # Real and imaginary parts in turn, on the scan's scale.
            self._basis = (subspace.basis.reshape(n, -1) * scale).contiguous()
            self._mean = (subspace.mean.reshape(-1) * scale).contiguous()
            start, stop = columns or (0, 0)
            self._band_shape = (ny, stop - start)
            self._band_basis = (subspace.basis[:, :, start:stop].reshape(n, -1) * scale).contiguous()
            self._band_mean = (subspace.mean[:, start:stop].reshape(-1) * scale).contiguous()
        coils = subspace.coils
        self._work, self._line = workspace_for(self._model, self._rows), np.zeros(2 * coils * nx, np.float32)
        self._take(np.full(ny, -1, np.int64), np.zeros((coils, ny, nx), np.complex64))

    def follow(self, memory: LineMemory) -> None:
        """Take the lines that came into the memory since the last call."""
        self._take(memory.newest, memory.shared)

    def _take(self, newest: NDArray[np.int64], lines: NDArray[np.complex64]) -> None:
        take_lines(newest, lines.view(np.float32), self._inverse_scale, self._rows, self._line)

    def estimate(self, line: int) -> Estimate:
        """Estimate the position at a line, as `Subspace.forward` does.

        Parameters
        ----------
        line
            Index of the newest line.
        """
        position = np.empty(len(self._model.prior_mean), np.float32)
        misfit = locate(line, self._rows, self._model, self._work, position)
        return Estimate(torch.from_numpy(position), misfit)

    def image(self, estimate: Estimate) -> NDArray[np.complex64]:
        """Return the estimated image, shape (ny, nx), on the scan's scale."""
        pixels = torch.addmv(self._mean, self._basis.T, estimate.position)
        return np.asarray(pixels.numpy().view(np.complex64).reshape(self._shape))

    def band(self, estimate: Estimate) -> NDArray[np.complex64]:
        """Return the band of the estimated image, shape (ny, stop - start), on the scan's scale."""
        pixels = torch.addmv(self._band_mean, self._band_basis.T, estimate.position)
        return np.asarray(pixels.numpy().view(np.complex64).reshape(self._band_shape))

    def hybrid(self, estimate: Estimate) -> torch.Tensor:
        """Return the estimate in the hybrid space (ky, x), shape (1, ny, nx), on the network's scale."""
        return to_kspace(torch.from_numpy(self.image(estimate)), (-2,))[None] * self._inverse_scale
