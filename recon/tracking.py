"""Estimate the anatomy while lines arrive: `Subspace`, with its work done line by line.

What a line says of the subspace depends on its row and samples alone, so it is worked out when the line
comes. What is left for a frame's last line is a small linear system over all rows, each with its age, and one
sum of components: the image itself, with no transform after it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from recon.memory import LineMemory
from recon.subspace import EXPLAINED, LEAST_AIR, NOISE_DIFFERS, SURE, Subspace

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """Hold where the anatomy is at the instant that is shown.

    Parameters
    ----------
    position
        Weight of every component, shape (components,), float32.
    misfit
        Variance that the fit leaves over that of the noise: about 1 where the subspace explains the lines.
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
        What the network's images are multiplied by, to be those of the scan.
    tr_s
        Time from line to line, seconds.
    columns
        First column and the one past the last of a band that can be shown by itself; None for none.
    """

    def __init__(
        self, subspace: Subspace, scale: float, tr_s: float, columns: tuple[int, int] | None = None
    ) -> None:
        with torch.inference_mode(False), torch.no_grad():
            mean, basis, gram = subspace.hybrid()
            n, (ny, nx) = subspace.components, subspace.mean.shape[:2]
            self._shape = (ny, nx)
            self._inverse_scale = np.float32(1 / scale)
            self._mean_rows: Floats = mean.reshape(ny, -1).numpy()
            self._basis_rows: Floats = basis.reshape(n, ny, -1).transpose(0, 1).contiguous().numpy()
            self._gram = gram.reshape(ny, -1).contiguous()
            air = subspace.air.repeat_interleave(2, dim=1)
            self._air: Floats = air.contiguous().numpy()
            self._air_samples: Doubles = subspace.air.sum(1).double().numpy()
            self._root: Doubles = subspace.root.double().numpy()
            self._to_shown: Doubles = subspace.to_shown().numpy()
            self._shown: Doubles = subspace.predict[:, -1].double().numpy()
            self._known = subspace.known()
            # Real and imaginary parts in turn, on the scan's scale.
            self._basis = (subspace.basis.reshape(n, -1) * scale).contiguous()
            self._mean = (subspace.mean.reshape(-1) * scale).contiguous()
            start, stop = columns or (0, 0)
            self._band_shape = (ny, stop - start)
            self._band_basis = (subspace.basis[:, :, start:stop].reshape(n, -1) * scale).contiguous()
            self._band_mean = (subspace.mean[:, start:stop].reshape(-1) * scale).contiguous()
            # A row's share in the knots depends on how many lines ago it came; beyond the last, it is 0.
            oldest = int((subspace.knots - 1) * float(subspace.spacing) / tr_s) + 2
            used, terms = subspace.terms(torch.arange(oldest + 1)[None] * tr_s)
            self._used: Doubles = used[0].numpy()
            self._terms: Doubles = terms[:, 0].numpy()
        assert not self._used[oldest]
        self._oldest = oldest
        self._noise, self._knots, self._components = float(subspace.noise), subspace.knots, n
        self._eye = np.eye(len(self._root))
        self._seen = np.full(ny, -1, np.int64)
        self._said: Doubles = np.zeros((ny, n))
        self._energy: Doubles = np.zeros(ny)
        self._power: Doubles = np.zeros(ny)
        self._take(np.arange(ny), np.zeros((ny, nx), np.complex64))

    def follow(self, memory: LineMemory) -> None:
        """Take what the memory has learnt since the last call."""
        rows = np.flatnonzero(memory.newest != self._seen)
        if len(rows):
            self._take(rows, memory.shared[0, rows])
            self._seen[rows] = memory.newest[rows]

    def _take(self, rows: NDArray[np.int64], lines: NDArray[np.complex64]) -> None:
        values = (lines * self._inverse_scale).view(np.float32)
        innovation = values - self._mean_rows[rows]
        self._said[rows] = np.matmul(self._basis_rows[rows], innovation[:, :, None])[:, :, 0]
        self._energy[rows] = np.einsum("ri,ri->r", innovation, innovation)
        self._power[rows] = np.einsum("ri,ri,ri->r", self._air[rows], values, values)

    def estimate(self, line: int) -> Estimate:
        """Find where the anatomy is at a line, as `Subspace.fit` does.

        Parameters
        ----------
        line
            Index of the newest line.
        """
        age = np.minimum(line - self._seen, self._oldest)
        used, terms = self._used[age], self._terms[:, age]
        n, knots = self._components, self._knots
        said = self._root.T @ (terms @ self._said).reshape(-1)
        pairs = (terms[:, None] * terms[None]).reshape(knots * knots, -1)
        # Large products are torch's, which keeps to the threads that it is told to use; numpy's does not.
        blocks = torch.mm(torch.from_numpy(pairs), self._gram).view(knots, knots, n, n)
        normal = blocks.transpose(1, 2).reshape(knots * n, knots * n)
        root = torch.from_numpy(self._root)
        known: Doubles = torch.mm(root.T, torch.mm(normal, root)).numpy()
        energy, samples = float(used @ self._energy), 2 * self._shape[1] * max(float(used.sum()), 1.0)
        noise = self._noise_in(used)
        state, spread = self._solve(known, said, noise)
        left = (energy - 2 * float(state @ said) + float(state @ (known @ state))) / samples
        if left > EXPLAINED * noise:  # the lines are believed less; see `Subspace.fit`
            state, spread = self._solve(known, said, left)
        shown: Doubles = self._to_shown @ state + self._shown
        if self._known is not None:
            covariance: Doubles = self._to_shown @ spread
            shown = self._known.correct(shown, covariance)
        return Estimate(torch.from_numpy(shown.astype(np.float32)), left / noise)

    def _solve(self, known: Doubles, said: Doubles, noise: float) -> tuple[Doubles, Doubles]:
        """Return the state, and its covariance with the position that is shown."""
        asked = np.column_stack((said / noise, self._to_shown.T))
        solved = np.asarray(np.linalg.solve(known / noise + self._eye, asked), np.float64)
        return solved[:, 0], solved[:, 1:]

    def _noise_in(self, used: Doubles) -> float:
        count = float(used @ self._air_samples)
        if count < LEAST_AIR:
            return self._noise
        found = float(used @ self._power) / (2 * count)
        least = max(NOISE_DIFFERS, SURE / math.sqrt(count))
        return max(found, 1e-12) if abs(found / self._noise - 1) > least else self._noise

    def image(self, estimate: Estimate) -> NDArray[np.complex64]:
        """Return the estimated image, shape (ny, nx), on the scan's scale."""
        pixels = torch.addmv(self._mean, self._basis.T, estimate.position)
        return np.asarray(pixels.numpy().view(np.complex64).reshape(self._shape))

    def band(self, estimate: Estimate) -> NDArray[np.complex64]:
        """Return the band of the estimated image, shape (ny, stop - start), on the scan's scale."""
        pixels = torch.addmv(self._band_mean, self._band_basis.T, estimate.position)
        return np.asarray(pixels.numpy().view(np.complex64).reshape(self._band_shape))

    def hybrid(self, estimate: Estimate) -> torch.Tensor:
        """Return the estimate as the cascade takes it: (ky, x), shape (1, ny, nx), on the network's scale."""
        values = np.einsum("k,rkx->rx", estimate.position.numpy(), self._basis_rows) + self._mean_rows
        return torch.from_numpy(values.view(np.complex64))[None]
