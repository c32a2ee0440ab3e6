"""The inputs of a cascade: the lines of a batch of frames, and the memory of earlier ones."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from recon.cascade.data_consistency import enforce_alone, enforce_coils, enforce_image, innovation_of
from recon.coils.combination import combine
from recon.fourier import to_kspace


@dataclass(frozen=True, slots=True)
class CascadeInputs:
    """Hold the lines and the memory of a batch of frames, in the hybrid space (ky, x), scaled to about 1.

    With several coils, `shared` and `mean` are those of the coils' combination; `recon.cascade.coil_inputs`
    makes them.

    Parameters
    ----------
    mask
        Rows that the frame sampled, shape (batch, ny), bool.
    ages
        Frames since each row was taken, shape (batch, ny), float32.
    shared
        Newest value of every row, shape (batch, ny, nx), complex64; on the mask's rows it is the frame's own.
    mean
        Running mean of every row, same shape.
    subspace
        Estimate within the anatomy's subspace, same shape; None without a subspace, and before
        `Cascade.prepare`.
    misfit
        Residual variance of that estimate over the noise variance, shape (batch,), float64.
    lines
        Newest value of every row in every coil, shape (batch, coils, ny, nx), complex64; on the mask's rows
        it is the frame's own. None with a single coil, where it is `shared`.
    maps
        Sensitivities, same shape; None with a single coil.
    """

    mask: Tensor
    ages: Tensor
    shared: Tensor
    mean: Tensor
    subspace: Tensor | None = None
    misfit: Tensor | None = None
    lines: Tensor | None = None
    maps: Tensor | None = None

    @property
    def coils(self) -> int:
        """Return the number of coils."""
        return 1 if self.maps is None else self.maps.shape[-3]

    def named(self, name: str) -> Tensor:
        """Return the hybrid space of a named image."""
        if name == "zero-filled":
            if self.lines is None or self.maps is None:
                return self.shared * self.mask.unsqueeze(-1)
            return to_kspace(combine(self.lines * self.mask[:, None, :, None], self.maps), (-2,))
        if name == "subspace":
            assert self.subspace is not None, "Cascade.prepare comes first"
            return self.subspace
        return {"view-shared": self.shared, "mean": self.mean}[name]

    def map(self, function: Any) -> CascadeInputs:
        """Apply a function to every tensor."""
        values = (getattr(self, f.name) for f in dataclasses.fields(self))
        mapped: list[Any] = [None if value is None else function(value) for value in values]
        return CascadeInputs(*mapped)

    def band(self, columns: slice) -> CascadeInputs:
        """Return a band of columns, which is as exact as the whole because every line is complete along x."""

        def cut(values: Tensor | None) -> Tensor | None:
            return None if values is None else values[..., columns]

        return dataclasses.replace(
            self,
            shared=self.shared[..., columns],
            mean=self.mean[..., columns],
            subspace=cut(self.subspace),
            lines=cut(self.lines),
            maps=cut(self.maps),
        )

    def consistent(
        self, image: Tensor, weight: Tensor | float, innovation: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Make an image consistent with the present lines.

        Parameters
        ----------
        image
            Shape (batch, ny, nx), complex64.
        weight
            lambda / (1 + lambda) of all rows, or of each, shape (batch, ny), float32.
        innovation
            Whether to return the innovation: the lines minus those of the returned image, as an image.

        Returns
        -------
        image, innovation
            Of the same shape; the second is None where it was not asked for.
        """
        if self.lines is None or self.maps is None:
            if not innovation:
                return enforce_alone(image, self.shared, self.mask, weight), None
            return enforce_image(image, self.shared, self.mask, weight)
        ignored = isinstance(weight, float) and weight == 0.0
        kept = image if ignored else enforce_coils(image, self.lines, self.mask, self.maps, weight)
        return kept, innovation_of(kept, self.lines, self.mask, self.maps) if innovation else None
