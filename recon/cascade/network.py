"""The cascade: blocks of convolutions, each followed by data consistency.

The network of Dietz 2019 (ISMRM 4784, after Schlemper 2018, 10.1109/TMI.2017.2760978) has five blocks. A
block is ten 3x3 convolutions of 64 filters with ReLU between them, plus its input, then data consistency.
The configurations here vary depth and width, the image to start from, the memory and the weight of a line.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from mrsim.errors import WeightsError
from mrsim.stream.fields import typed_fields
from mrsim.stream.header import MAX_COILS
from recon.cascade.block import ConvolutionBlock, StatefulBlock
from recon.cascade.data_consistency import weight_of
from recon.cascade.inputs import CascadeInputs
from recon.cascade.opponents import OWN_START, STATEFUL
from recon.cascade.state import CascadeState
from recon.fourier import to_image
from recon.subspace.known_positions import MAX_POSITIONS
from recon.subspace.subspace import MAX_COMPONENTS, MAX_KNOTS, Subspace

MEMORIES = ("zero-filled", "view-shared", "mean", "subspace", "previous")
PREVIOUS = "previous"
"""The image of the frame before."""

INNOVATION = 3.0
"""Factor of the innovation that a recurrent block sees: few rows are in it, so it is small."""

MAX_SEEN = 1 << 27
"""Complex values of the components in all coils, at most: a GiB."""

_LATER = {"positions": 0, "features": 0, "context": 0, "block": ""}


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
        Image that the first block starts from. With `previous` the image of the frame before, and features
        beside it, are carried on.
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
    features
        Channels that are carried on beside the image of the frame before, such as where it moves; 0 without.
    context
        Filters of the coarse paths of blocks that have them; 0 without.
    block
        Kind of the blocks, one of `STATEFUL`; empty for the usual one, which carries nothing on, or is
        `recurrent` where the start is `previous`.
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
    features: int = 0
    context: int = 0
    block: str = ""

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
        if PREVIOUS in self.memories:
            raise WeightsError(f"cascade: memory = {self.memory!r}: {PREVIOUS!r} can only be the start")
        if not 1 <= self.coils <= MAX_COILS:
            raise WeightsError(f"cascade: coils = {self.coils}: expected 1 to {MAX_COILS}")
        seen = self.components * self.coils * self.rows * self.columns
        if seen > MAX_SEEN:
            raise WeightsError(
                f"cascade: {self.components} components of {self.rows} x {self.columns} in {self.coils} "
                f"coils are {seen} values: expected at most {MAX_SEEN}; take fewer components, or fewer coils"
            )
        weight_of(self.lam)
        self._check_block()

    def _check_block(self) -> None:
        """Refuse blocks of which nothing is known, and keys that do not belong to them."""
        others = [name for name in STATEFUL if name != OWN_START]
        if self.block not in ("", *others):
            raise WeightsError(
                f"cascade: block = {self.block!r}: expected {', '.join(others)}, or nothing for the usual one"
            )
        if self.block and self.start == PREVIOUS:
            raise WeightsError(
                f"cascade: start = {PREVIOUS!r}: the block {self.block!r} starts from an image of the present"
            )
        kind = self.stateful
        if kind is not None and self.components:
            raise WeightsError("cascade: blocks that carry something on see no 'subspace'")
        for key in ("features", "context"):
            least, most = (1, 1024) if kind is not None and key in kind.keys else (0, 0)
            if not least <= getattr(self, key) <= most:
                takes = [f"the block is {n!r}" for n in others if key in STATEFUL[n].keys]
                raise WeightsError(
                    f"cascade: {key} = {getattr(self, key)}: expected 1 to 1024 where "
                    f"{' or '.join([f'the start is {PREVIOUS!r}', *takes])}, else 0"
                )
        if kind is not None:
            kind.check(self)

    @property
    def memories(self) -> tuple[str, ...]:
        """Return the names of the images that every block sees besides its own."""
        return tuple(self.memory.split("+")) if self.memory else ()

    @property
    def stateful(self) -> type[StatefulBlock] | None:
        """Return the class of its blocks where they carry something on from frame to frame; None else."""
        return STATEFUL.get(OWN_START if self.start == PREVIOUS else self.block)

    @property
    def recurrent(self) -> bool:
        """Return whether it carries something on from frame to frame."""
        return self.stateful is not None

    @property
    def grain(self) -> int:
        """Return of how many pixels along each axis an image, or a band of it, must be a multiple."""
        return self.fold * (1 if self.stateful is None else self.stateful.coarsest)

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str = "cascade") -> CascadeConfig:
        """Build a configuration from JSON values, read from `where`.

        Raises
        ------
        WeightsError
            If a key is missing, unknown or out of range.
        """
        # Records of networks without a subspace, or of one coil, may lack these keys.
        values = {"columns": 0, "components": 0, "knots": 0, "coils": 1} | _LATER | values
        if values.get("lam") == "inf":  # strict JSON has no infinity
            values = values | {"lam": float("inf")}
        return cls(**typed_fields(cls, values, where))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        values = dataclasses.asdict(self)
        # Left out where usual, as in networks of before these keys.
        for key, usual in {"coils": 1, **_LATER}.items():
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
        running mean, for anatomy that it was not trained on; `recurrent`: a block of two resolutions from
        its own image of the frame before, for the same.

        Opponents of `recurrent`, of about as many multiplications: `unet-gru`, a U-Net with a state at each
        resolution, after Jaubert 2021; `video`, a denoiser of five frames, after Tassano 2020
        (10.1109/CVPR42600.2020.00143); `crnn`, a convolutional recurrent network, after Qin 2019
        (10.1109/TMI.2018.2863670); `varnet`, 5 x 3 x 32 from the zero-filled image, a variational network
        after Hammernik 2018 (10.1002/mrm.26977). The first two have no data consistency.
    rows, columns
        Size of the images.
    coils
        Coils of the scans.

    Raises
    ------
    WeightsError
        If there is no such name.
    """
    if name not in NETWORKS:
        *first, last = NETWORKS
        raise WeightsError(f"cascade: {name!r}: expected {', '.join(first)} or {last}")
    wide = columns if NETWORKS[name].components else 0
    return dataclasses.replace(NETWORKS[name], rows=rows, columns=wide, coils=coils)


_EXACT = float("inf")
NETWORKS = {
    "dietz2019": CascadeConfig(5, 10, 64, "zero-filled", "", _EXACT, False, False, 1, 128),
    "compact": CascadeConfig(
        3, 4, 24, "subspace", "view-shared", _EXACT, True, True, 2, 128, 128, 20, 6, positions=2048
    ),
    "population": CascadeConfig(3, 5, 32, "mean", "view-shared", _EXACT, True, True, 2, 128),
    "recurrent": CascadeConfig(
        1, 3, 32, PREVIOUS, "view-shared+mean", _EXACT, True, True, 2, 128, features=16, context=48
    ),
    "unet-gru": CascadeConfig(
        1, 2, 16, "view-shared", "", 0.0, False, False, 2, 128, context=40, block="unet-gru"
    ),
    "video": CascadeConfig(1, 2, 24, "view-shared", "", 0.0, False, False, 2, 128, context=40, block="video"),
    "crnn": CascadeConfig(3, 3, 24, "view-shared", "", _EXACT, True, False, 2, 128, block="crnn"),
    "varnet": CascadeConfig(5, 3, 32, "zero-filled", "", _EXACT, True, False, 2, 128),
}
"""The named configurations, for one coil."""


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
        images, kind = 1 + len(config.memories) + config.innovation, config.stateful
        self.blocks = nn.ModuleList(
            ConvolutionBlock(images, config) if kind is None else kind(images, config, number)
            for number in range(config.blocks)
        )
        # What is estimated from many lines has less noise than a single one.
        trust = {"subspace": -4.0, PREVIOUS: -1.0}.get(config.start, 2.0)
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
        """Reconstruct a batch of frames; a recurrent cascade takes them for the first of their scans.

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
        self._check(inputs)
        if self.config.recurrent:
            return self.step(inputs, None).image
        config = self.config
        images = {n: to_image(inputs.named(n), (-2,)) for n in {config.start, *config.memories}}
        memory = [images[name] for name in config.memories]
        image = images[config.start]
        innovation = inputs.consistent(image, 0.0, True)[1] if config.innovation else None
        unexplained: Tensor | float = 1.0
        if config.start == "subspace" and inputs.misfit is not None:  # explained lines need no correction
            unexplained = (inputs.misfit - 1).clamp(0, 1).to(image.real.dtype)[:, None, None]
        for i, block in enumerate(self.blocks):
            seen = [image, *memory] if innovation is None else [image, *memory, innovation]
            predicted = image + unexplained * block(torch.stack(seen, -1))
            wanted = config.innovation and i + 1 < len(self.blocks)  # no block follows the last one
            image, innovation = inputs.consistent(predicted, self._line_weight(i, inputs), wanted)
        return image

    def step(self, inputs: CascadeInputs, state: CascadeState | None) -> CascadeState:
        """Reconstruct the next frame of each scan of a batch, with a recurrent cascade.

        Parameters
        ----------
        inputs
            Lines of the frames, and memory of earlier ones.
        state
            What it returned for the frames before; None at the first.

        Returns
        -------
        state
            With the images.

        Raises
        ------
        WeightsError
            If the fold does not divide the matrix, or the number of coils is another.
        """
        self._check(inputs)
        config = self.config
        memory = [to_image(inputs.named(name), (-2,)) for name in config.memories]
        own = config.start == PREVIOUS
        if state is not None and own:
            image = state.image
        else:
            image = to_image(inputs.shared if own else inputs.named(config.start), (-2,))
        carried = cast(StatefulBlock, self.blocks[0]).begin(image) if state is None else state.carried
        innovation = inputs.consistent(image, 0.0, True)[1] if config.innovation else None
        for i, block in enumerate(self.blocks):
            # What differs from the image is what there is to learn from: the image itself is known.
            seen = [image, *(other - image for other in memory)]
            if innovation is not None:
                seen.append(INNOVATION * innovation)
            change, carried = block(torch.stack(seen, -1), carried)
            wanted = config.innovation and i + 1 < len(self.blocks)
            image, innovation = inputs.consistent(image + change, self._line_weight(i, inputs), wanted)
        return CascadeState(image, carried)

    def _line_weight(self, block: int, inputs: CascadeInputs) -> Tensor | float:
        return self.weights[block](inputs.ages) if len(self.weights) else self.weight

    def _check(self, inputs: CascadeInputs) -> None:
        config = self.config
        if inputs.coils != config.coils:
            raise WeightsError(f"cascade: coils = {config.coils}, the lines have {inputs.coils}")
        ny, nx = inputs.shared.shape[-2:]
        if ny % config.grain or nx % config.grain:
            coarse = config.grain // config.fold
            again = f", and {coarse} again for its coarse path," if coarse > 1 else ""
            raise WeightsError(
                f"cascade: fold = {config.fold}{again} does not divide the matrix of {ny} x {nx}"
            )
