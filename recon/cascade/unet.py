"""A small U-Net of three resolutions, with or without a state at each of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 3
COARSEST = 2 ** (LEVELS - 1)
"""Pixels along each axis in a pixel of the coarsest resolution."""


class ConvGru(nn.Module):
    """Carry a state of channels with gates that are 3x3 convolutions.

    With x the input, h the state, * a convolution over both and . a product of each value:
    z = sigmoid(Wz * [x, h]), r = sigmoid(Wr * [x, h]), n = tanh(W * [x, r . h]), h' = (1 - z) . h + z . n.

    Parameters
    ----------
    width
        Channels of the input and of the state.

    References
    ----------
    Ballas et al. 2016, arXiv:1511.06432.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.new = nn.Conv2d(2 * width, width, 3, padding=1)

    def forward(self, values: Tensor, state: Tensor) -> Tensor:
        """Return the new state, within -1 and 1.

        Parameters
        ----------
        values, state
            Shape (batch, width, ny, nx), float32; of the state each value is within -1 and 1.
        """
        update, reset = torch.sigmoid(self.gates(torch.cat([values, state], 1))).float().chunk(2, 1)
        new = torch.tanh(self.new(torch.cat([values, reset * state], 1)).float())
        return state + update * (new - state)


class UNet(nn.Module):
    """Convolve at three resolutions: down, each half as fine as the one before, and up again.

    Within a resolution each layer adds to its input. The way up is given what the way down had there.

    Parameters
    ----------
    seen, shown
        Channels of input and output.
    fine, coarse
        Channels of the finest and of both coarser resolutions.
    layers
        3x3 convolutions of each resolution, on the way down and again on the way up.
    recurrent
        Carry on a state at each resolution, at the end of its way down.

    References
    ----------
    Ronneberger et al. 2015, 10.1007/978-3-319-24574-4_28.
    """

    def __init__(
        self, seen: int, shown: int, fine: int, coarse: int, layers: int, recurrent: bool = False
    ) -> None:
        super().__init__()
        self.widths = [fine, *[coarse] * (LEVELS - 1)]

        def added(width: int) -> nn.ModuleList:
            return nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(layers - 1))

        finer = [seen, *self.widths]
        self.enter = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1, stride=1 + (level > 0))
            for level, (a, b) in enumerate(zip(finer, self.widths, strict=False))
        )
        self.down = nn.ModuleList(added(width) for width in self.widths)
        self.carry = nn.ModuleList(ConvGru(width) for width in self.widths if recurrent)
        # A 1x1 convolution to four times the channels, which become pixels.
        self.rise = nn.ModuleList(nn.Conv2d(coarse, 4 * width, 1) for width in self.widths[:-1])
        self.up = nn.ModuleList(added(width) for width in self.widths[:-1])
        self.leave = nn.Conv2d(fine, shown, 3, padding=1)
        nn.init.zeros_(self.leave.weight)  # it begins by adding nothing to what it is given
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def layers(self) -> list[nn.Module]:
        """Return the layers that a ReLU follows."""
        return [*self.enter, *(layer for part in (*self.down, *self.up) for layer in part.children())]

    def forward(self, values: Tensor, state: tuple[Tensor, ...] = ()) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return channels, and the state of each resolution.

        Parameters
        ----------
        values
            Shape (batch, seen, ny, nx), float32, with ny and nx multiples of `COARSEST`.
        state
            Of each resolution the finest first, shape (batch, width, ny / 2^level, nx / 2^level), float32;
            empty where it is not recurrent.

        Returns
        -------
        values
            Shape (batch, shown, ny, nx), float32.
        state
            Of the same shapes as before.
        """
        kept: list[Tensor] = []
        for level, (enter, added) in enumerate(zip(self.enter, self.down, strict=True)):
            values = _add(added, torch.relu(enter(values)))
            if state:
                values = self.carry[level](values, state[level])
            kept.append(values)
        for level in reversed(range(LEVELS - 1)):
            values = kept[level] + functional.pixel_shuffle(self.rise[level](values), 2)
            values = _add(self.up[level], values)
        out: Tensor = self.leave(values).float()
        return out, tuple(kept) if state else ()


def _add(layers: nn.Module, values: Tensor) -> Tensor:
    for layer in layers.children():
        values = values + torch.relu(layer(values))
    return values
