"""Trained opponents of the recurrent cascade: blocks that carry something on, as their publications do.

Each is the idea of a publication in a size for two processors: on folded pixels, and with as many
multiplications as the recurrent cascade. None is the published network itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mrsim.errors import WeightsError
from recon.cascade.block import RecurrentBlock, StatefulBlock, folded, lay_channels_last, unfolded
from recon.cascade.unet import COARSEST, UNet

if TYPE_CHECKING:
    from recon.cascade.network import CascadeConfig


class RecurrentUNetBlock(StatefulBlock):
    """Take aliasing out of images with a U-Net that carries on a state at each resolution.

    The published network has layers of long short-term memory; this one has gated recurrent units, which do
    the same with three quarters of the multiplications (`recon.cascade.unet.ConvGru`).

    Parameters
    ----------
    images
        Number of complex images that it sees.
    config
        The cascade; `filters` and `context` are the channels of the finest and of the coarser resolutions.
    number
        Which of the cascade's blocks it is, from 0.

    References
    ----------
    Jaubert et al. 2021, Magnetic Resonance in Medicine 86:1904.
    """

    keys = frozenset({"context"})
    coarsest = COARSEST

    def __init__(self, images: int, config: CascadeConfig, number: int) -> None:
        super().__init__(images, config, number)
        seen, shown = 2 * images * config.fold**2, 2 * config.fold**2
        self.net = UNet(seen, shown, config.filters, config.context, config.convolutions, recurrent=True)
        lay_channels_last(self)

    def layers(self) -> list[nn.Module]:
        """Return the layers that a ReLU follows."""
        return self.net.layers()

    def begin(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return states of zero, shape (batch, width, ny / fold / 2^level, nx / fold / 2^level), float32."""
        batch, ny, nx = image.shape
        return tuple(
            torch.zeros(batch, width, ny // step, nx // step, device=image.device)
            for width, step in ((width, self.fold << level) for level, width in enumerate(self.net.widths))
        )

    def forward(self, images: Tensor, carried: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return a change of the first image, and the states for the next frame."""
        change, carried = self.net(folded(images, self.fold), carried)
        return unfolded(change, self.fold), carried


class VideoBlock(StatefulBlock):
    """Denoise the newest of five images with two stages of small U-Nets.

    The first stage makes an estimate of three images in turn, with the same weights each time; the second
    one makes the image of three estimates in turn. Each adds to the newest that it is given. The published
    network has the frame to denoise in the middle of the five, so its image is two frames late. Here the
    frame is the newest of them. An estimate is made once and carried on for two frames, with the two images
    before.

    Parameters
    ----------
    images
        Number of complex images that it sees: 1.
    config
        The cascade; `filters` and `context` are the channels of the finest and of the coarser resolutions.
    number
        Which of the cascade's blocks it is: 0.

    References
    ----------
    Tassano et al. 2020, 10.1109/CVPR42600.2020.00143.
    """

    keys = frozenset({"context"})
    coarsest = COARSEST

    def __init__(self, images: int, config: CascadeConfig, number: int) -> None:
        super().__init__(images, config, number)
        shown = 2 * config.fold**2
        sizes = 3 * shown, shown, config.filters, config.context, config.convolutions
        self.first, self.second = UNet(*sizes), UNet(*sizes)
        lay_channels_last(self)

    @classmethod
    def check(cls, config: CascadeConfig) -> None:
        """Refuse more blocks than one, and more images than that to start from."""
        if config.blocks != 1 or config.memory or config.innovation:
            raise WeightsError(
                f"cascade: blocks = {config.blocks}, memory = {config.memory!r}, innovation = "
                f"{str(config.innovation).lower()}: expected 1, '' and false with the block 'video', which "
                "sees the start image of five frames and nothing else"
            )

    def layers(self) -> list[nn.Module]:
        """Return the layers that a ReLU follows."""
        return self.first.layers() + self.second.layers()

    def begin(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return two images and two estimates, each shape (batch, ny, nx), complex64: nothing moved yet."""
        estimate = self._denoise(self.first, image, image, image)
        return image, image, estimate, estimate

    def forward(self, images: Tensor, carried: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return a change of the image, and the last two images and estimates, the newest first."""
        newest = images[..., 0]
        image, image_before, estimate, estimate_before = carried
        now = self._denoise(self.first, newest, image, image_before)
        shown = self._denoise(self.second, now, estimate, estimate_before)
        return shown - newest, (newest, image, now, estimate)

    def _denoise(self, net: nn.Module, *images: Tensor) -> Tensor:
        change, _ = net(folded(torch.stack(images, -1), self.fold))
        return images[0] + unfolded(change, self.fold)


class CrnnBlock(StatefulBlock):
    """Take one iteration of a convolutional recurrent network, from earlier frames alone.

    The channels of a hidden layer are h = relu(W x + Wi h_iteration + Wt h_frame): x is the layer before, and
    the others are the same layer of the iteration before and of the frame before. The published network
    takes them from the frame after, too, and only in its first layer from other frames. It has the same
    weights in all iterations; here each has its own, since they cost no time.

    Parameters
    ----------
    images
        Number of complex images that it sees.
    config
        The cascade; `blocks` are the iterations, and the last of the `convolutions` has no hidden channels.
    number
        Which of the iterations it is, from 0.

    References
    ----------
    Qin et al. 2019, 10.1109/TMI.2018.2863670.
    """

    def __init__(self, images: int, config: CascadeConfig, number: int) -> None:
        super().__init__(images, config, number)
        self._blocks, self._number, self._width = config.blocks, number, config.filters
        widths = [2 * images * config.fold**2, *[config.filters] * (config.convolutions - 1)]
        again = config.filters * (1 + (number > 0))  # there is no iteration before the first one
        self.hidden = nn.ModuleList(
            nn.Conv2d(width + again, config.filters, 3, padding=1) for width in widths[:-1]
        )
        self.leave = nn.Conv2d(widths[-1], 2 * config.fold**2, 3, padding=1)
        lay_channels_last(self)
        # They keep the variance of all that they see, of which their own past is a part: it fades.
        for layer in self.hidden:
            assert isinstance(layer, nn.Conv2d)
            nn.init.kaiming_normal_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.leave.weight)  # it begins by changing nothing
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def layers(self) -> list[nn.Module]:
        """Return the layers that a ReLU follows."""
        return list(self.hidden)

    def begin(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return channels of zero for every hidden layer of every iteration.

        Each has the shape (batch, filters, ny / fold, nx / fold), float32.
        """
        batch, ny, nx = image.shape
        shape = batch, self._width, ny // self.fold, nx // self.fold
        return (torch.zeros(shape, device=image.device),) * (self._blocks * len(self.hidden))

    def forward(self, images: Tensor, carried: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return a change of the first image, and the channels with those of this iteration renewed."""
        held, count = list(carried), len(self.hidden)
        values = folded(images, self.fold)
        for depth, layer in enumerate(self.hidden):
            own = self._number * count + depth
            # One convolution of all that is seen is the sum of one convolution of each.
            seen = [values, held[own]]
            if self._number:
                seen.append(held[own - count])
            values = held[own] = torch.relu(layer(torch.cat(seen, 1))).float()
        return unfolded(self.leave(values).float(), self.fold), tuple(held)


OWN_START = "recurrent"
STATEFUL: dict[str, type[StatefulBlock]] = {
    OWN_START: RecurrentBlock,
    "unet-gru": RecurrentUNetBlock,
    "video": VideoBlock,
    "crnn": CrnnBlock,
}
"""Blocks that carry something on by their names; the first starts from its own image of the frame before."""
