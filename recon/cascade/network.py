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
from mrsim.stream.fields import typed_fields
from mrsim.stream.header import MAX_COILS
from recon.cascade.data_consistency import weight_of
from recon.cascade.inputs import Inputs
from recon.fourier import to_image
from recon.subspace.known_positions import MAX_STATES
from recon.subspace.subspace import MAX_COMPONENTS, MAX_KNOTS, Subspace

MEMORIES = ("zero-filled", "view-shared", "mean", "subspace")

MAX_SEEN = 1 << 27
"""Complex values that the components may have as all coils see them: a GiB."""


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
    rows, columns
        Size of the images it is made for; the columns matter only with a subspace, and are 0 without.
    components, knots
        Dimensions of the subspace of the patient's anatomy, and instants at which the anatomy's path is
        estimated in it; 0 without one.
    coils
        Coils of the scans that it is made for. It works on their combination whatever their number, and puts
        the lines of each into it. With a subspace it knows their sensitivities from its training; without, it
        takes them from the lines so far.
    states
        Positions of the training time that the subspace keeps at most, to know where the anatomy may be; 0
        for none.
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
    columns: int = 0
    components: int = 0
    knots: int = 0
    coils: int = 1
    states: int = 0

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
        needed = "subspace" in (self.start, *self.memories)
        if needed != bool(self.components) or not 0 <= self.components <= MAX_COMPONENTS:
            raise InputError(
                f"cascade: components = {self.components}: expected 1 to {MAX_COMPONENTS} where the start or "
                "the memory is `subspace`, else 0"
            )
        if self.components and not (1 <= self.columns <= 4096 and 3 <= self.knots <= MAX_KNOTS):
            raise InputError(
                f"cascade: columns = {self.columns}, knots = {self.knots}: expected 1 to 4096, and 3 to "
                f"{MAX_KNOTS}"
            )
        most = MAX_STATES if self.components else 0
        if not 0 <= self.states <= most:
            raise InputError(
                f"cascade: states = {self.states}: expected 0 to {MAX_STATES} with a subspace, 0 without"
            )
        if not 1 <= self.coils <= MAX_COILS:
            raise InputError(f"cascade: coils = {self.coils}: expected 1 to {MAX_COILS}")
        seen = self.components * self.coils * self.rows * self.columns
        if seen > MAX_SEEN:
            raise InputError(
                f"cascade: {self.components} components of {self.rows} x {self.columns} in {self.coils} "
                f"coils are {seen} values: expected at most {MAX_SEEN}; take fewer components, or fewer coils"
            )
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
        # Networks of before there was a subspace, or of one coil, do not mention it.
        values = {"columns": 0, "components": 0, "knots": 0, "coils": 1, "states": 0} | values
        if values.get("lam") == "inf":  # strict JSON has no infinity
            values = values | {"lam": float("inf")}
        return cls(**typed_fields(cls, values, where))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        values = dataclasses.asdict(self)
        for key, usual in (("coils", 1), ("states", 0)):  # as networks were written before there were others
            if values[key] == usual:
                del values[key]
        return values | {"lam": "inf"} if self.lam == float("inf") else values


def named_config(name: str, rows: int = 128, columns: int = 128, coils: int = 1) -> CascadeConfig:
    """Return a named configuration.

    Parameters
    ----------
    name
        `seed`: 5 x 10 x 64 from the zero-filled image, as the abstract; `compact`: 3 x 4 x 24 from the
        subspace of the patient's anatomy, which a CPU can carry; `population`: 3 x 5 x 32 from the running
        mean, for anatomy that it was not trained on.
    rows, columns
        Size of the images.
    coils
        Coils of the scans.

    Raises
    ------
    InputError
        If there is no such name.
    """
    unlimited = float("inf")
    if name == "seed":
        return CascadeConfig(5, 10, 64, "zero-filled", "", unlimited, False, False, 1, rows, coils=coils)
    if name == "population":
        return CascadeConfig(3, 5, 32, "mean", "view-shared", unlimited, True, True, 2, rows, coils=coils)
    if name == "compact":
        start, memory, known = "subspace", "view-shared", {"components": 20, "knots": 6, "states": 2048}
        return CascadeConfig(
            3, 4, 24, start, memory, unlimited, True, True, 2, rows, columns, coils=coils, **known
        )
    raise InputError(f"cascade: {name!r}: expected `seed`, `compact` or `population`")


class LineWeight(nn.Module):
    """Learn how far a line is to be trusted, lambda / (1 + lambda), from its row and its age.

    Parameters
    ----------
    rows
        Rows of the image.
    trust
        What the learning starts from: the weight is the logistic function of it.
    """

    def __init__(self, rows: int, trust: float = 2.0) -> None:
        super().__init__()
        distance = torch.arange(rows) - rows // 2
        self.register_buffer("distance", distance.abs(), persistent=False)
        self.trust = nn.Parameter(torch.full((rows // 2 + 1,), trust))
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
        # An estimate that has used every line already has less noise than any of them.
        trust = -4.0 if config.start == "subspace" else 2.0
        self.weights = nn.ModuleList(
            LineWeight(config.rows, trust) for _ in range(config.blocks if config.learned else 0)
        )
        self.weight = weight_of(config.lam)
        self.subspace: Subspace | None = None
        if config.components:
            self.subspace = Subspace(
                (config.rows, config.columns), config.components, config.knots, config.states, config.coils
            )
            for block in self.blocks:
                cast(ConvolutionBlock, block).begin_at_zero()

    def prepare(self, inputs: Inputs, frame_s: float) -> Inputs:
        """Add the estimate within the subspace, where the cascade has one; it needs all columns.

        Parameters
        ----------
        inputs
            A batch in full width.
        frame_s
            Time of a frame, seconds.

        Raises
        ------
        InputError
            If the images have another width than the subspace.
        """
        if self.subspace is None:
            return inputs
        if inputs.shared.shape[-1] != self.config.columns:
            raise InputError(
                f"cascade: columns = {self.config.columns}, the lines have {inputs.shared.shape[-1]} samples"
            )
        with torch.no_grad():
            estimate, misfit = self.subspace(inputs.ages * frame_s, inputs.shared, inputs.lines)
        return dataclasses.replace(inputs, subspace=estimate, misfit=misfit)

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
            If the fold does not divide the matrix, or the number of coils is another.
        """
        config = self.config
        if inputs.coils != config.coils:
            raise InputError(f"cascade: coils = {config.coils}, the lines have {inputs.coils}")
        ny, nx = inputs.shared.shape[-2:]
        if ny % config.fold or nx % config.fold:
            raise InputError(f"cascade: fold = {config.fold} does not divide the matrix of {ny} x {nx}")
        images = {n: to_image(inputs.named(n), (-2,)) for n in {config.start, *config.memories}}
        memory = [images[name] for name in config.memories]
        image = images[config.start]
        innovation = inputs.consistent(image, 0.0, True)[1] if config.innovation else None
        unexplained: Tensor | float = 1.0
        if config.start == "subspace" and inputs.misfit is not None:  # the less there is to mend, the less is
            unexplained = (inputs.misfit - 1).clamp(0, 1).to(image.real.dtype)[:, None, None]
        for i, block in enumerate(self.blocks):
            seen = [image, *memory] if innovation is None else [image, *memory, innovation]
            weight: Tensor | float = self.weights[i](inputs.ages) if len(self.weights) else self.weight
            mended = image + unexplained * block(torch.stack(seen, -1))
            told = config.innovation and i + 1 < len(self.blocks)  # after the last block no one looks at it
            image, innovation = inputs.consistent(mended, weight, told)
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

    def begin_at_zero(self) -> None:
        """Let the block add nothing at first: what it starts from is good already.

        The layers before the last keep the size of what goes through them (He 2015, 10.1109/ICCV.2015.123):
        with torch's own start it shrinks, and the optimiser's first steps, large beside it, silence a layer.
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
        batch, ny, nx, count = images.shape
        n = self.fold
        folded = torch.view_as_real(images).reshape(batch, ny // n, n, nx // n, n * 2 * count).transpose(2, 3)
        values = folded.reshape(batch, ny // n, nx // n, -1).permute(0, 3, 1, 2)
        values = self.convolve(values).permute(0, 2, 3, 1)
        unfolded = values.reshape(batch, ny // n, nx // n, n, n * 2).transpose(2, 3)
        return torch.view_as_complex(unfolded.reshape(batch, ny, nx, 2))

    def convolve(self, values: Tensor) -> Tensor:
        """Return the block's channels, float32, of those that it sees, shape (batch, channels, ny, nx)."""
        *inner, last = (cast(nn.Conv2d, module) for module in self.convolutions)
        for convolution in inner:
            values = torch.relu_(convolution(values))
        out: Tensor = last(values).float()
        return out
