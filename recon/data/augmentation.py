"""Minor shifts and warps of training frames, exact for undersampled lines.

The anatomy is moved along the phase-encode direction by an amount that varies smoothly over x. A line is
complete along x, so in the hybrid space (ky, x) such a warp is a phase ramp along ky in every column. It is
exact for every acquired line, needs no interpolation, and keeps the statistics of the noise. (Dietz
2019, ISMRM 4784, names minor shifts and warps as what its training lacked.)

With several coils the lines of each are moved, and the sensitivities with them, as if the coils moved, too.
Sensitivities are smooth except at their edge, so they are interpolated linearly. Their sum of squares stays
at most 1.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mrsim.errors import TrainingError
from recon.cascade.inputs import CascadeInputs
from recon.fourier import to_image, to_kspace


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Describe how far training frames are moved, each frame of a batch by itself.

    Parameters
    ----------
    shift
        Largest shift of a whole frame along y, pixels.
    warp
        Largest amplitude of a warp along y that waves over x, pixels.
    share
        Share of the frames that are moved.
    """

    shift: float = 2.0
    warp: float = 1.0
    share: float = 0.5

    def __post_init__(self) -> None:
        for key, high in (("shift", 64.0), ("warp", 64.0), ("share", 1.0)):
            if not 0 <= getattr(self, key) <= high:  # false for NaN, too
                raise TrainingError(f"augmentation: {key} = {getattr(self, key)}: expected 0 to {high:g}")

    def __call__(
        self, inputs: CascadeInputs, target: Tensor, rng: np.random.Generator
    ) -> tuple[CascadeInputs, Tensor]:
        """Move the frames of a batch, lines and target alike.

        Parameters
        ----------
        inputs
            The batch, in the hybrid space.
        target
            Images, shape (batch, ny, nx), complex64.
        rng
            Draws the shifts and warps.

        Returns
        -------
        inputs, target
            The moved batch.
        """
        count, ny, nx = target.shape
        moved = rng.random(count) < self.share
        shift = rng.uniform(-self.shift, self.shift, count)
        wave = rng.uniform(-self.warp, self.warp, count)
        period = rng.uniform(0.5, 2.0, count) * nx
        start = rng.uniform(0.0, 2.0 * math.pi, count)
        x = np.arange(nx)
        waves = wave[:, None] * np.sin(2 * np.pi * x / period[:, None] + start[:, None])
        by = (moved[:, None] * (shift[:, None] + waves)).astype(np.float32)
        ky = (torch.arange(ny) - ny // 2).to(torch.float32)
        ramp = (-2 * math.pi / ny) * ky[None, :, None] * torch.from_numpy(by)[:, None, :]
        phase = torch.polar(torch.ones_like(ramp), ramp)
        warped = dataclasses.replace(inputs, shared=inputs.shared * phase, mean=inputs.mean * phase)
        if inputs.lines is not None and inputs.maps is not None:
            lines, maps = inputs.lines * phase[:, None], _moved(inputs.maps, torch.from_numpy(by))
            warped = dataclasses.replace(warped, lines=lines, maps=maps)
        return warped, to_image(to_kspace(target, (-2,)) * phase, (-2,))


def _moved(maps: Tensor, by: Tensor) -> Tensor:
    """Move sensitivities, shape (batch, coils, ny, nx), along y by so many pixels, shape (batch, nx)."""
    ny = maps.shape[-2]
    at = torch.arange(ny)[:, None] - by[:, None, :]
    below = at.floor()
    first = (below.long() % ny)[:, None].expand_as(maps)
    share = (at - below)[:, None]
    return (1 - share) * maps.gather(2, first) + share * maps.gather(2, (first + 1) % ny)
