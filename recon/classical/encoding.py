"""The encoding operator of a frame: sensitivities, the transform along y, and the weights of the rows.

Along x every line is complete. So lines are transformed along x as they arrive, and the operator works in the
hybrid space (ky, x) of `recon.line_memory`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recon.fourier import to_image, to_kspace


class EncodingOperator:
    """Hold E = W^(1/2) F S: an image times each coil's sensitivity, transformed along y, its rows weighted.

    Parameters
    ----------
    weights
        Weight of each row, 0 for an unknown row and at most 1, shape (ny,), float32.
    sensitivities
        Shape (coils, ny, nx), complex64; None for one uniform coil.

    References
    ----------
    Pruessmann et al. 2001, 10.1002/mrm.1241.
    """

    def __init__(self, weights: Tensor, sensitivities: Tensor | None = None) -> None:
        self._roots = weights.sqrt()[:, None]
        # Between the transform and its inverse the shifts cancel, except for the order of the rows.
        self._plain = torch.fft.ifftshift(weights)[:, None].to(torch.complex64)
        self._maps = sensitivities
        self._conjugate = None if sensitivities is None else sensitivities.conj().resolve_conj()
        # F is unitary and no weight is above 1, so the coils' sum of squares bounds the whole.
        self.lipschitz = 1.0 if sensitivities is None else float(sensitivities.abs().square().sum(0).max())

    def forward(self, image: Tensor) -> Tensor:
        """Return the weighted rows of an image, shape (coils, ny, nx), complex64."""
        coils = image[None] if self._maps is None else self._maps * image
        return self._roots * to_kspace(coils, (-2,))

    def adjoint(self, rows: Tensor) -> Tensor:
        """Return the image of weighted rows, shape (ny, nx), complex64."""
        return self._combine(to_image(self._roots * rows, (-2,)))

    def normal(self, image: Tensor) -> Tensor:
        """Return `adjoint(forward(image))`, shape (ny, nx), complex64."""
        coils = image[None] if self._maps is None else self._maps * image
        rows = torch.fft.fft(coils, dim=-2)
        rows *= self._plain
        return self._combine(torch.fft.ifft(rows, dim=-2))

    def _combine(self, coils: Tensor) -> Tensor:
        return coils[0] if self._conjugate is None else (self._conjugate * coils).sum(0)
