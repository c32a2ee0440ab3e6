"""The cascade: blocks of convolutions, each followed by data consistency.

The network of Dietz 2019 (ISMRM 4784, after Schlemper 2018, 10.1109/TMI.2017.2760978) has five blocks. A
block is ten 3x3 convolutions of 64 filters with ReLU between them, plus its input, then data consistency.
The configurations here vary depth and width, the image to start from, the memory and the weight of a line.
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from mrsim.errors import WeightsError
from mrsim.stream.fields import typed_fields
from mrsim.stream.header import MAX_COILS
from recon.cascade.data_consistency import weight_of
from recon.cascade.inputs import CascadeInputs
from recon.fourier import to_image
from recon.subspace.known_positions import MAX_POSITIONS
from recon.subspace.subspace import MAX_COMPONENTS, MAX_KNOTS, Subspace

MEMORIES = ("zero-filled", "view-shared", "mean", "subspace")

MAX_SEEN = 1 << 27
"""Complex values of the components in all coils, at most: a GiB."""


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
        Further images that every block sees, joined by `+`, each one of `MEMORIES`; empty for none. Data
        consistency never uses them: with a view-shared k-space and a full mask its output would be view
        sharing itself.
    lam
        lambda of data consistency where it is fixed; infinity keeps the acquired values.
    learned
        Learn the weight of a line instead, from its row's distance to the centre and its age within the
        frame. A weak or old line may be worse than the network's prediction.
    innovation
        Show every block the innovation, too: the acquired lines minus those of its image, as an image. Noise
        is spread over all of it and motion is not, so a block can use a line where something moved.
    fold
        Pixels along each axis that are folded into channels before a block's convolutions and unfolded after
        them: at 2, four times the channels on a quarter of the pixels, and twice the view of a filter.
    rows, columns
        Size of the images it is made for; the columns matter only with a subspace, and are 0 without.
    components, knots
        Dimensions of the subspace of the patient's anatomy, and instants at which the anatomy's path is
        estimated in it; 0 without one.
    coils
        Coils of the scans that it is made for. The blocks work on the coils' combination; data consistency
        puts in the lines of each coil. With a subspace the sensitivities come from the training; without one
        they come from the lines so far.
    positions
        Positions of the training time that the subspace keeps at most, as a prior of the anatomy's position;
        0 for none.
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
    positions: int = 0

    def __post_init__(self) -> None:
        for key, low, high in (
            ("blocks", 1, 32),
            ("convolutions", 2, 64),
            ("filters", 1, 1024),
            ("fold", 1, 4),
        ):
            if not low <= getattr(self, key) <= high:
                raise WeightsError(f"cascade: {key} = {getattr(self, key)}: expected {low} to {high}")
        if self.start not in MEMORIES:
            raise WeightsError(f"cascade: start = {self.start!r}: expected one of {', '.join(MEMORIES)}")
        for name in self.memories:
            if name not in MEMORIES:
                raise WeightsError(f"cascade: memory = {self.memory!r}: {name!r} is not one of {MEMORIES}")
        if not 1 <= self.rows <= 4096:
            raise WeightsError(f"cascade: rows = {self.rows}: expected 1 to 4096")
        needed = "subspace" in (self.start, *self.memories)
        if needed != bool(self.components) or not 0 <= self.components <= MAX_COMPONENTS:
            raise WeightsError(
                f"cascade: components = {self.components}: expected 1 to {MAX_COMPONENTS} where the start or "
                "the memory is `subspace`, else 0"
            )
        if self.components and not (1 <= self.columns <= 4096 and 3 <= self.knots <= MAX_KNOTS):
            raise WeightsError(
                f"cascade: columns = {self.columns}, knots = {self.knots}: expected 1 to 4096, and 3 to "
                f"{MAX_KNOTS}"
            )
        most = MAX_POSITIONS if self.components else 0
        if not 0 <= self.positions <= most:
            raise WeightsError(
                f"cascade: positions = {self.positions}: expected 0 to {MAX_POSITIONS} with a subspace, "
                "0 without"
            )
        if not 1 <= self.coils <= MAX_COILS:
            raise WeightsError(f"cascade: coils = {self.coils}: expected 1 to {MAX_COILS}")
        seen = self.components * self.coils * self.rows * self.columns
        if seen > MAX_SEEN:
            raise WeightsError(
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
        WeightsError
            If a key is missing, unknown or out of range.
        """
        # Records of networks without a subspace, or of one coil, may lack these keys.
        values = {"columns": 0, "components": 0, "knots": 0, "coils": 1, "positions": 0} | values
        if values.get("lam") == "inf":  # strict JSON has no infinity
            values = values | {"lam": float("inf")}
        return cls(**typed_fields(cls, values, where))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        values = dataclasses.asdict(self)
        # Left out where usual, as in networks of before these keys.
        for key, usual in (("coils", 1), ("positions", 0)):
            if values[key] == usual:
                del values[key]
        return values | {"lam": "inf"} if self.lam == float("inf") else values


def named_config(name: str, rows: int = 128, columns: int = 128, coils: int = 1) -> CascadeConfig:
    """Return a named configuration.

    Parameters
    ----------
    name
        `dietz2019`: 5 x 10 x 64 from the zero-filled image, the network of Dietz 2019; `compact`: 3 x 4 x 24
        from the subspace of the patient's anatomy, small enough for a CPU; `population`: 3 x 5 x 32 from the
        running mean, for anatomy that it was not trained on.
    rows, columns
        Size of the images.
    coils
        Coils of the scans.

    Raises
    ------
    WeightsError
        If there is no such name.
    """
    unlimited = float("inf")
    if name == "dietz2019":
        return CascadeConfig(5, 10, 64, "zero-filled", "", unlimited, False, False, 1, rows, coils=coils)
    if name == "population":
        return CascadeConfig(3, 5, 32, "mean", "view-shared", unlimited, True, True, 2, rows, coils=coils)
    if name == "compact":
        start, memory, known = "subspace", "view-shared", {"components": 20, "knots": 6, "positions": 2048}
        return CascadeConfig(
            3, 4, 24, start, memory, unlimited, True, True, 2, rows, columns, coils=coils, **known
        )
    raise WeightsError(f"cascade: {name!r}: expected dietz2019, compact or population")


class LineWeight(nn.Module):
    """Learn the weight lambda / (1 + lambda) of a line from its row and its age.

    Parameters
    ----------
    rows
        Rows of the image.
    trust
        Initial value; the weight is its logistic function.
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
        Its size, start and memory.
    """

    def __init__(self, config: CascadeConfig) -> None:
        super().__init__()
        self.config = config
        images = 1 + len(config.memories) + config.innovation
        self.blocks = nn.ModuleList(ConvolutionBlock(images, config) for _ in range(config.blocks))
        # The subspace's estimate has used every line, so its noise is below that of a single line.
        trust = -4.0 if config.start == "subspace" else 2.0
        self.weights = nn.ModuleList(
            LineWeight(config.rows, trust) for _ in range(config.blocks if config.learned else 0)
        )
        self.weight = weight_of(config.lam)
        self.subspace: Subspace | None = None
        if config.components:
            matrix = config.rows, config.columns
            self.subspace = Subspace(matrix, config.components, config.knots, config.positions, config.coils)
            for block in self.blocks:
                cast(ConvolutionBlock, block).begin_at_zero()

    def prepare(self, inputs: CascadeInputs, frame_s: float) -> CascadeInputs:
        """Add the estimate within the subspace, where the cascade has one; it needs all columns.

        Parameters
        ----------
        inputs
            A batch in full width.
        frame_s
            Time of a frame, seconds.

        Raises
        ------
        WeightsError
            If the images have another width than the subspace.
        """
        if self.subspace is None:
            return inputs
        if inputs.shared.shape[-1] != self.config.columns:
            raise WeightsError(
                f"cascade: columns = {self.config.columns}, the lines have {inputs.shared.shape[-1]} samples"
            )
        with torch.no_grad():
            estimate, misfit = self.subspace(inputs.ages * frame_s, inputs.shared, inputs.lines)
        return dataclasses.replace(inputs, subspace=estimate, misfit=misfit)

    def forward(self, inputs: CascadeInputs) -> Tensor:
        """Reconstruct a batch of frames.

        Parameters
        ----------
        inputs
            Lines of the frames, and memory of earlier ones.

        Returns
        -------
        images
            Shape (batch, ny, nx), complex64, on the scale of the inputs.

        Raises
        ------
        WeightsError
            If the fold does not divide the matrix, or the number of coils is another.
        """
        config = self.config
        if inputs.coils != config.coils:
            raise WeightsError(f"cascade: coils = {config.coils}, the lines have {inputs.coils}")
        ny, nx = inputs.shared.shape[-2:]
        if ny % config.fold or nx % config.fold:
            raise WeightsError(f"cascade: fold = {config.fold} does not divide the matrix of {ny} x {nx}")
        images = {n: to_image(inputs.named(n), (-2,)) for n in {config.start, *config.memories}}
        memory = [images[name] for name in config.memories]
        image = images[config.start]
        innovation = inputs.consistent(image, 0.0, True)[1] if config.innovation else None
        unexplained: Tensor | float = 1.0
        if config.start == "subspace" and inputs.misfit is not None:  # explained lines need no correction
            unexplained = (inputs.misfit - 1).clamp(0, 1).to(image.real.dtype)[:, None, None]
        for i, block in enumerate(self.blocks):
            seen = [image, *memory] if innovation is None else [image, *memory, innovation]
            weight: Tensor | float = self.weights[i](inputs.ages) if len(self.weights) else self.weight
            predicted = image + unexplained * block(torch.stack(seen, -1))
            wanted = config.innovation and i + 1 < len(self.blocks)  # no block follows the last one
            image, innovation = inputs.consistent(predicted, weight, wanted)
        return image


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
        for layer in layers:
            layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
        self.convolutions = nn.ModuleList(layers)

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
