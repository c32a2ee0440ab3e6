"""The cascade: blocks of convolutions, each followed by data consistency.

The seed's network is five times { ten 3x3 convolutions of 64 filters with ReLU between, plus the
input; then data consistency } (Dietz 2019, ISMRM 4784, after Schlemper 2018,
10.1109/TMI.2017.2760978). The family around it varies depth and width, what it starts from, what it
remembers and how far it trusts a line.
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from mrsim.errors import InputError
from mrsim.stream import typed_fields
from recon.consistency import enforce_image, weight_of
from recon.fourier import to_image

MEMORIES = ("zero-filled", "view-shared", "mean")


@dataclass(frozen=True, slots=True)
class CascadeConfig:
    """Describe a cascade.

    Parameters
    ----------
    blocks
        Number of blocks of convolutions and data consistency.
    convolutions
        3x3 convolutions in a block.
    filters
        Filters of each but a block's last, which returns the real and the imaginary part.
    start
        Image that the first block starts from.
    memory
        Images that every block sees besides, joined by `+`, each of `MEMORIES`; empty for none. Memory enters
        here and never through data consistency: with a view-shared k-space and a full mask the output
        would be view sharing itself.
    lam
        lambda of data consistency where it is fixed; infinity keeps the acquired values.
    learned
        Learn the weight of a line instead, from its row's distance to the centre and its age within the
        frame: where the signal is weak or the line is old, the network may know better than the noise.
    innovation
        Show every block, besides, what the present lines say beyond its image: the residual of data
        consistency, as an image. Noise fills all of it and motion stands out where it is, so a block
        can follow a line where something moved and leave its noise elsewhere.
    fold
        Pixels along each axis that are folded into channels before a block's convolutions and unfolded after
        them: at 2, four times the channels on a quarter of the pixels, and twice the view of a filter.
    rows
        Rows of the images it is made for.
    """

    blocks: int
    convolutions: int
    filters: int
    start: str
    memory: str
    lam: float
    learned: bool
    innovation: bool
    fold: int
    rows: int

    def __post_init__(self) -> None:
        for key, low, high in (
            ("blocks", 1, 32),
            ("convolutions", 2, 64),
            ("filters", 1, 1024),
            ("fold", 1, 4),
        ):
            if not low <= getattr(self, key) <= high:
                raise InputError(f"cascade: {key} = {getattr(self, key)}: expected {low} to {high}")
        if self.start not in MEMORIES:
            raise InputError(f"cascade: start = {self.start!r}: expected one of {', '.join(MEMORIES)}")
        for name in self.memories:
            if name not in MEMORIES:
                raise InputError(f"cascade: memory = {self.memory!r}: {name!r} is not one of {MEMORIES}")
        if not 1 <= self.rows <= 4096:
            raise InputError(f"cascade: rows = {self.rows}: expected 1 to 4096")
        weight_of(self.lam)

    @property
    def memories(self) -> tuple[str, ...]:
        """Return the names of the images that every block sees besides its own."""
        return tuple(self.memory.split("+")) if self.memory else ()

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str = "cascade") -> CascadeConfig:
        """Build a configuration from JSON values, read from `where`.

        Raises
        ------
        InputError
            If a key is missing, unknown or out of range.
        """
        if values.get("lam") == "inf":  # strict JSON has no infinity
            values = values | {"lam": float("inf")}
        return cls(**typed_fields(cls, values, where))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        values = dataclasses.asdict(self)
        return values | {"lam": "inf"} if self.lam == float("inf") else values


def named_config(name: str, rows: int = 128) -> CascadeConfig:
    """Return a named configuration.

    Parameters
    ----------
    name
        `seed`: 5 x 10 x 64 from the zero-filled image, as the abstract; `compact`: 3 x 5 x 16 with
        causal memory, which a CPU can carry.
    rows
        Rows of the images.

    Raises
    ------
    InputError
        If there is no such name.
    """
    if name == "seed":
        return CascadeConfig(5, 10, 64, "zero-filled", "", float("inf"), False, False, 1, rows)
    if name == "compact":
        return CascadeConfig(3, 5, 32, "mean", "view-shared", float("inf"), True, True, 2, rows)
    raise InputError(f"cascade: {name!r}: expected `seed` or `compact`")


@dataclass(frozen=True, slots=True)
class Inputs:
    """Carry what a batch of frames gives to a cascade, in the hybrid space (ky, x), scaled to about 1.

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
    """

    mask: Tensor
    ages: Tensor
    shared: Tensor
    mean: Tensor

    def named(self, name: str) -> Tensor:
        """Return the hybrid space of a named image."""
        if name == "zero-filled":
            return self.shared * self.mask.unsqueeze(-1)
        return {"view-shared": self.shared, "mean": self.mean}[name]

    def map(self, function: Any) -> Inputs:
        """Apply a function to every tensor."""
        return Inputs(*(function(getattr(self, f.name)) for f in dataclasses.fields(self)))


class LineWeight(nn.Module):
    """Learn how far a line is to be trusted, lambda / (1 + lambda), from its row and its age.

    Parameters
    ----------
    rows
        Rows of the image.
    """

    def __init__(self, rows: int) -> None:
        super().__init__()
        distance = torch.arange(rows) - rows // 2
        self.register_buffer("distance", distance.abs(), persistent=False)
        self.trust = nn.Parameter(torch.full((rows // 2 + 1,), 2.0))
        self.fade = nn.Parameter(torch.zeros(rows // 2 + 1))
        self.distance: Tensor

    def forward(self, ages: Tensor) -> Tensor:
        """Return the weight of every row, shape (batch, ny), in (0, 1)."""
        return torch.sigmoid(self.trust[self.distance] - self.fade[self.distance] * ages.clamp(0.0, 1.0))


class Cascade(nn.Module):
    """Reconstruct frames: convolutions and data consistency in turn.

    Parameters
    ----------
    config
        Its size, what it starts from and what it remembers.
    """

    def __init__(self, config: CascadeConfig) -> None:
        super().__init__()
        self.config = config
        images = 1 + len(config.memories) + config.innovation
        self.blocks = nn.ModuleList(ConvolutionBlock(images, config) for _ in range(config.blocks))
        self.weights = nn.ModuleList(
            LineWeight(config.rows) for _ in range(config.blocks if config.learned else 0)
        )
        self.weight = weight_of(config.lam)

    def forward(self, inputs: Inputs) -> Tensor:
        """Reconstruct a batch of frames.

        Parameters
        ----------
        inputs
            What was acquired and what is remembered.

        Returns
        -------
        images
            Shape (batch, ny, nx), complex64, on the scale of the inputs.

        Raises
        ------
        InputError
            If the fold does not divide the matrix.
        """
        config = self.config
        ny, nx = inputs.shared.shape[-2:]
        if ny % config.fold or nx % config.fold:
            raise InputError(f"cascade: fold = {config.fold} does not divide the matrix of {ny} x {nx}")
        images = {n: to_image(inputs.named(n), (-2,)) for n in {config.start, *config.memories}}
        memory = [images[name] for name in config.memories]
        image = images[config.start]
        if config.innovation:
            _, innovation = enforce_image(image, inputs.shared, inputs.mask, 0.0)
        for i, block in enumerate(self.blocks):
            seen = [image, *memory, innovation] if config.innovation else [image, *memory]
            weight: Tensor | float = self.weights[i](inputs.ages) if len(self.weights) else self.weight
            image, innovation = enforce_image(
                image + block(torch.stack(seen, -1)), inputs.shared, inputs.mask, weight
            )
        return image


class ConvolutionBlock(nn.Module):
    """Turn complex images into one: 3x3 convolutions with ReLU between, on folded pixels.

    Channels lie last in memory, which is how a CPU convolves few filters fastest; a fold then moves whole
    runs of them.

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
        for layer in layers:
            layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
        self.convolutions = nn.ModuleList(layers)

    def forward(self, images: Tensor) -> Tensor:
        """Return an image, shape (batch, ny, nx), of images, shape (batch, ny, nx, images), complex64."""
        batch, ny, nx, count = images.shape
        n = self.fold
        folded = torch.view_as_real(images).reshape(batch, ny // n, n, nx // n, n * 2 * count).transpose(2, 3)
        values = folded.reshape(batch, ny // n, nx // n, -1).permute(0, 3, 1, 2)
        *inner, last = (cast(nn.Conv2d, module) for module in self.convolutions)
        for convolution in inner:
            values = torch.relu_(convolution(values))
        values = last(values).float().permute(0, 2, 3, 1)
        unfolded = values.reshape(batch, ny // n, nx // n, n, n * 2).transpose(2, 3)
        return torch.view_as_complex(unfolded.reshape(batch, ny, nx, 2))
