"""What a cascade carries on from frame to frame."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class CascadeState(NamedTuple):
    """Hold what a recurrent cascade carries on from frame to frame.

    Parameters
    ----------
    image
        Its last image, shape (batch, ny, nx), complex64, on the scale of the inputs.
    carried
        What its blocks carry on, such as features or past images: tensors whose last two axes are rows and
        columns, of any resolution.
    """

    image: Tensor
    carried: tuple[Tensor, ...]

    def band(self, columns: slice) -> CascadeState:
        """Return a band of columns, whose first and last are multiples of the configuration's grain."""
        nx = self.image.shape[-1]
        first, last, _ = columns.indices(nx)

        def cut(values: Tensor) -> Tensor:
            step = nx // values.shape[-1]  # pixels of the image in one of these
            return values[..., first // step : last // step]

        return CascadeState(cut(self.image), tuple(map(cut, self.carried)))

    def detach(self) -> CascadeState:
        """Return the same values, through which no error is carried back."""
        return CascadeState(self.image.detach(), tuple(values.detach() for values in self.carried))

    def is_finite(self) -> bool:
        """Return whether every value is finite."""
        return all(bool(torch.isfinite(values).all()) for values in (self.image, *self.carried))
