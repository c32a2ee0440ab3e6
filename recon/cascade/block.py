"""Blocks of convolutions: what a cascade does between two steps of data consistency."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from recon.cascade.network import CascadeConfig


class ConvolutionBlock(nn.Module):
    """Turn complex images into one: 3x3 convolutions with ReLU between, on folded pixels.

    Channels lie last in memory: a CPU then convolves few filters fastest, and a fold moves whole runs of
    values.

    Parameters
    ----------
    images
        Number of complex images that it sees.
    config
        The cascade.
    """

    def __init__(self, images: int, config: CascadeConfig) -> None:
        super().__init__()
        self.fold = config.fold
        widths = [
            2 * images * config.fold**2,
            *[config.filters] * (config.convolutions - 1),
            2 * config.fold**2,
        ]
        layers = [nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths)]
        self.convolutions = nn.ModuleList(layers)
        lay_channels_last(self)

    def layers(self) -> list[nn.Module]:
        """Return the layers that a ReLU follows."""
        return list(self.convolutions)[:-1]

    def begin_at_zero(self) -> None:
        """Initialize the block to add nothing, because its start image is good already.

        The hidden layers keep the variance of their input (He 2015, 10.1109/ICCV.2015.123). With torch's own
        initialization it shrinks, and the optimiser's first steps are then large enough to silence a layer.
        """
        *hidden, last = (cast(nn.Conv2d, layer) for layer in self.convolutions)
        for layer in hidden:
            nn.init.kaiming_normal_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(last.weight)
        assert last.bias is not None
        nn.init.zeros_(last.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return an image, shape (batch, ny, nx), of images, shape (batch, ny, nx, images), complex64."""
        return unfolded(self.convolve(folded(images, self.fold)), self.fold)

    def convolve(self, values: Tensor) -> Tensor:
        """Return the block's channels, float32, of those that it sees, shape (batch, channels, ny, nx)."""
        *inner, last = (cast(nn.Conv2d, module) for module in self.convolutions)
        for convolution in inner:
            values = torch.relu_(convolution(values))
        out: Tensor = last(values).float()
        return out


class StatefulBlock(nn.Module):
    """Turn complex images, and what is carried on from frame to frame, into a change of the first image.

    All blocks of a cascade share what is carried: each gets it from the block before it, and the first one
    from the frame before. So a block may see what an earlier one made of the same frame.

    Parameters
    ----------
    images
        Number of complex images that it sees.
    config
        The cascade.
    number
        Which of the cascade's blocks it is, from 0.

    Attributes
    ----------
    keys
        Keys of the configuration, of those that not every block has, that it takes.
    coarsest
        Folded pixels along each axis in a pixel of its coarsest path.
    """

    keys: ClassVar[frozenset[str]] = frozenset()
    coarsest: ClassVar[int] = 1

    def __init__(self, images: int, config: CascadeConfig, number: int) -> None:
        super().__init__()
        self.fold = config.fold

    @classmethod
    def check(cls, config: CascadeConfig) -> None:
        """Refuse a configuration that such blocks cannot be made for.

        Raises
        ------
        WeightsError
            With the keys that are wrong.
        """

    def begin(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return what is carried before a scan's first frame.

        Parameters
        ----------
        image
            Image that the first frame starts from, shape (batch, ny, nx), complex64.

        Returns
        -------
        carried
            Tensors of any number and resolution, each with the rows and columns in its last two axes.
        """
        raise NotImplementedError

    def layers(self) -> list[nn.Module]:
        """Return the layers that a ReLU follows."""
        raise NotImplementedError

    def forward(self, images: Tensor, carried: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return a change of the first image, and what is carried on.

        Parameters
        ----------
        images
            Shape (batch, ny, nx, images), complex64.
        carried
            As `begin` returns it.

        Returns
        -------
        change
            Shape (batch, ny, nx), complex64.
        carried
            Tensors of the same shapes.
        """
        raise NotImplementedError


class RecurrentBlock(StatefulBlock):
    """Turn complex images and the features of the frame before into a change of an image, and features.

    It works on folded pixels. A coarse path, at half their resolution, has the wide view; a fine one has the
    detail and is given the coarse one's. Each layer of either adds to its input.

    Parameters
    ----------
    images
        Number of complex images that it sees.
    config
        The cascade; `convolutions` are those of each path, `filters` the fine one's and `context` the coarse
        one's. `features` are carried on, within -1 and 1.
    number
        Which of the cascade's blocks it is, from 0.

    References
    ----------
    Ronneberger et al. 2015, 10.1007/978-3-319-24574-4_28 (two resolutions). He et al. 2016,
    10.1109/CVPR.2016.90 (layers that add to their input).
    """

    keys = frozenset({"features", "context"})
    coarsest = 2

    def __init__(self, images: int, config: CascadeConfig, number: int) -> None:
        super().__init__(images, config, number)
        self.features = config.features
        seen, fine, coarse = 2 * images * config.fold**2, config.filters, config.context
        layers = range(config.convolutions)
        self._shown = 2 * config.fold**2
        self.enter = nn.Conv2d(seen + config.features, fine, 3, padding=1)
        self.down = nn.Conv2d(fine, coarse, 3, padding=1, stride=2)
        self.coarse = nn.ModuleList(nn.Conv2d(coarse, coarse, 3, padding=1) for _ in layers)
        self.up = nn.Conv2d(coarse, 4 * fine, 1)
        self.fine = nn.ModuleList(nn.Conv2d(fine, fine, 3, padding=1) for _ in layers)
        self.leave = nn.Conv2d(fine, self._shown + config.features, 3, padding=1)
        lay_channels_last(self)
        nn.init.zeros_(self.leave.weight[: self._shown])  # it begins by showing what it starts from
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def layers(self) -> list[nn.Module]:
        """Return the layers that a ReLU follows."""
        return [self.enter, self.down, *self.coarse, *self.fine]

    def begin(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return features of zero, shape (batch, features, ny / fold, nx / fold), float32."""
        batch, ny, nx = image.shape
        shape = batch, self.features, ny // self.fold, nx // self.fold
        return (torch.zeros(shape, device=image.device),)

    def forward(self, images: Tensor, carried: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return a change of the first image, and the features for the next frame."""
        out = self.convolve(torch.cat([folded(images, self.fold), *carried], 1))
        change = unfolded(out[:, : self._shown], self.fold)
        return change, (torch.tanh(out[:, self._shown :]),)

    def convolve(self, values: Tensor) -> Tensor:
        """Return the block's channels, float32, of those that it sees, shape (batch, channels, ny, nx)."""
        values = torch.relu(self.enter(values))
        coarse = torch.relu(self.down(values))
        for layer in self.coarse:
            coarse = coarse + torch.relu(layer(coarse))
        values = values + functional.pixel_shuffle(self.up(coarse), 2)
        for layer in self.fine:
            values = values + torch.relu(layer(values))
        out: Tensor = self.leave(values).float()
        return out


def lay_channels_last(block: nn.Module) -> None:
    """Lay the weights of all convolutions of a block with the channels last in memory."""
    for layer in block.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)


def folded(images: Tensor, fold: int) -> Tensor:
    """Return images, shape (batch, ny, nx, images), complex64, as channels of pixels folded each way."""
    batch, ny, nx, count = images.shape
    parts = torch.view_as_real(images).reshape(batch, ny // fold, fold, nx // fold, fold * 2 * count)
    return parts.transpose(2, 3).reshape(batch, ny // fold, nx // fold, -1).permute(0, 3, 1, 2)


def unfolded(channels: Tensor, fold: int) -> Tensor:
    """Return channels as a complex image, shape (batch, ny, nx); the inverse of `folded` for one image."""
    batch, _, ny, nx = channels.shape
    values = channels.permute(0, 2, 3, 1).reshape(batch, ny, nx, fold, fold * 2).transpose(2, 3)
    return torch.view_as_complex(values.reshape(batch, ny * fold, nx * fold, 2).contiguous())
