"""Training: the pixel-wise squared error, at a coarse and then at a fine learning rate.

The target of a frame is the true image at the echo of its last line, which a simulator knows and a
scanner never does: the network learns to show the present, not the middle of what it was given.
"""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import mrsim
from mrsim.errors import InputError
from mrsim.stream import Stream
from recon.cascade import Cascade, CascadeConfig, Inputs
from recon.checkpoint import Checkpoint
from recon.memory import LineMemory

MAX_EPOCHS = 100_000


@dataclass(frozen=True, slots=True)
class Stage:
    """Train for some epochs at one learning rate that decays to a tenth along a cosine.

    Parameters
    ----------
    name
        What the record calls it.
    epochs
        Passes over the training frames.
    rate
        Learning rate of Adam at its start.
    """

    name: str
    epochs: int
    rate: float

    def __post_init__(self) -> None:
        if not 0 <= self.epochs <= MAX_EPOCHS:
            raise InputError(f"{self.name}: epochs = {self.epochs}: expected 0 to {MAX_EPOCHS}")
        if not 0 < self.rate < 1:  # false for NaN, too
            raise InputError(f"{self.name}: rate = {self.rate}: expected a learning rate between 0 and 1")


@dataclass(frozen=True, slots=True)
class Plan:
    """Say how to train.

    Parameters
    ----------
    stages
        Coarse and fine, in this order.
    batch
        Frames in a step.
    columns
        Columns of the random band that a step sees; every line is complete along x, so a band is as
        exact as the whole image, at less cost.
    validation
        Share of every scan, its last part, that is kept for validation.
    seed
        Seed of the first weights and of the order of the frames.
    """

    stages: tuple[Stage, ...] = (Stage("coarse", 14, 2e-3), Stage("fine", 6, 4e-4))
    batch: int = 4
    columns: int = 64
    validation: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        if sum(stage.epochs for stage in self.stages) < 1:
            raise InputError("training: epochs: at least one epoch is needed")
        if not 1 <= self.batch <= 1024 or not 1 <= self.columns <= 4096:
            raise InputError(f"training: batch = {self.batch}, columns = {self.columns}: expected 1 and more")
        if not 0 < self.validation < 1:
            raise InputError(f"training: validation = {self.validation}: expected a share between 0 and 1")


@dataclass(frozen=True)
class Examples:
    """Hold the frames of one scan as a cascade sees them, with their targets.

    Parameters
    ----------
    mask, ages
        Shape (frames, ny), bool and float32.
    shared, mean, target
        Shape (frames, ny, nx), complex64: newest value and running mean of every row in the hybrid
        space, and the true image at the echo of the last line.
    """

    mask: NDArray[np.bool_]
    ages: NDArray[np.float32]
    shared: NDArray[np.complex64]
    mean: NDArray[np.complex64]
    target: NDArray[np.complex64]

    def __len__(self) -> int:
        return len(self.mask)

    def part(self, frames: slice) -> Examples:
        """Return some of the frames."""
        return Examples(*(getattr(self, n)[frames] for n in ("mask", "ages", "shared", "mean", "target")))


@dataclass(frozen=True, slots=True)
class Progress:
    """Tell how far a training is.

    Parameters
    ----------
    stage
        Name of the stage.
    done, total
        Steps done, and of the whole training.
    loss
        Mean squared error of the last steps, relative to the targets' mean square.
    validation
        The same on the validation frames after the last whole epoch; NaN before it.
    """

    stage: str
    done: int
    total: int
    loss: float
    validation: float


def examples_of(stream: Stream) -> Examples:
    """Replay a scan through the memory of a reconstructor and keep what it sees at each frame's end.

    The first frames, in which some row was never sampled yet, are left out.

    Parameters
    ----------
    stream
        A scan of one coil, with truth.

    Raises
    ------
    InputError
        If the scan has no truth, several coils, or too few frames.
    """
    where = str(stream.path or "the training stream")
    if stream.truth is None:
        raise InputError(f"{where}: it stores no truth; training needs the images that it should show")
    if stream.header.coils != 1:
        raise InputError(f"{where}: {stream.header.coils} coils; the cascade takes streams of 1 coil")
    memory = LineMemory(stream.header)
    kept: list[tuple[Any, ...]] = []
    frames: list[int] = []
    for readout in stream:
        if memory.push(readout) and (memory.newest >= 0).all() and readout.frame < stream.frames:
            frames.append(readout.frame)
            kept.append(
                (
                    memory.mask.copy(),
                    memory.ages(readout.index),
                    memory.shared[0].copy(),
                    memory.mean[0].copy(),
                )
            )
    if len(kept) < 10:
        raise InputError(f"{where}: {len(kept)} frames to train on; at least 10 are needed, scan for longer")
    mask, ages, shared, mean = (np.stack(column) for column in zip(*kept, strict=True))
    return Examples(mask, ages, shared, mean, np.asarray(stream.truth.image[frames]))


def train(
    streams: Sequence[Stream],
    config: CascadeConfig,
    plan: Plan | None = None,
    *,
    command: str = "",
    progress: Callable[[Progress], None] | None = None,
) -> Checkpoint:
    """Train a cascade on some scans.

    Parameters
    ----------
    streams
        Scans with truth, all of one protocol.
    config
        The cascade.
    plan
        Stages, batch, split and seed.
    command
        The command that makes the weights again, for the record.
    progress
        Called after every step.

    Returns
    -------
    checkpoint
        Weights of the last epoch and their record.

    Raises
    ------
    InputError
        If the scans differ in protocol, or cannot be trained on.
    """
    plan = plan or Plan()
    header = streams[0].header
    for stream in streams[1:]:
        if stream.header != header:
            raise InputError(f"{stream.path}: its protocol differs from {streams[0].path}'s; train on one")
    if header.matrix[0] != config.rows:
        raise InputError(f"cascade: rows = {config.rows}, the streams have {header.matrix[0]}")
    sets = [examples_of(stream) for stream in streams]
    cuts = [max(1, round(len(s) * (1.0 - plan.validation))) for s in sets]
    learn = [s.part(slice(0, c)) for s, c in zip(sets, cuts, strict=True)]
    check = [s.part(slice(c, None)) for s, c in zip(sets, cuts, strict=True)]
    power = float(np.mean([np.mean(np.abs(s.target) ** 2) for s in learn]))
    # Signal fills a part of the view: three times the root mean square is about the brightest tissue.
    scale = 3.0 * power**0.5
    torch.manual_seed(plan.seed)
    cascade = Cascade(config)
    history = _fit(cascade, learn, check, scale, power, plan, progress)
    record = {
        "matrix": list(header.matrix),
        "header": header.to_dict(),
        "target_instant": "last",
        "data": [_describe(stream) for stream in streams],
        "split": {"train": [len(s) for s in learn], "validation": [len(s) for s in check]},
        "seed": plan.seed,
        "batch": plan.batch,
        "columns": plan.columns,
        "stages": [{"name": s.name, "epochs": s.epochs, "rate": s.rate} for s in plan.stages],
        "losses": history,
        "versions": {
            "mrsim": mrsim.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "command": command,
    }
    return Checkpoint(cascade.eval(), scale, record)


def _fit(
    cascade: Cascade,
    learn: list[Examples],
    check: list[Examples],
    scale: float,
    power: float,
    plan: Plan,
    progress: Callable[[Progress], None] | None,
) -> list[dict[str, Any]]:
    index = np.array([(s, f) for s, examples in enumerate(learn) for f in range(len(examples))])
    steps = -(-len(index) // plan.batch)
    total, done = steps * sum(stage.epochs for stage in plan.stages), 0
    history: list[dict[str, Any]] = []
    validation = float("nan")
    relative = scale**2 / power
    for number, stage in enumerate(plan.stages):
        optimiser = torch.optim.Adam(
            [
                {"params": cascade.blocks.parameters(), "lr": stage.rate},
                # A line's weight lives behind a sigmoid: its steps must be larger to be as wide.
                {"params": cascade.weights.parameters(), "lr": 10 * stage.rate},
            ]
        )
        length = max(1, stage.epochs * steps)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _cosine(length))
        for epoch in range(stage.epochs):
            rng = np.random.default_rng([plan.seed, number, epoch])
            cascade.train()
            losses = []
            for batch in np.array_split(rng.permutation(index), steps):
                inputs, target = _batch(learn, batch, scale, plan.columns, rng)
                loss = torch.view_as_real(cascade(inputs) - target).square().sum(-1).mean()
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                optimiser.step()
                schedule.step()
                done += 1
                losses.append(float(loss.detach()) * relative)
                if progress is not None:
                    progress(Progress(stage.name, done, total, float(np.mean(losses[-50:])), validation))
            validation = _validate(cascade, check, scale) * relative
            history.append(
                {
                    "stage": stage.name,
                    "epoch": epoch,
                    "train": float(np.mean(losses)),
                    "validation": validation,
                }
            )
    return history


def _cosine(length: int) -> Callable[[int], float]:
    """Return a factor that falls from 1 to a tenth along half a cosine, over so many steps."""
    return lambda step: 0.55 + 0.45 * math.cos(math.pi * min(step / length, 1.0))


def _validate(cascade: Cascade, check: list[Examples], scale: float) -> float:
    cascade.eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for inputs, target in _whole(check, scale):
            total += float(
                torch.view_as_real(cascade(inputs) - target).square().sum(-1).mean(dim=(1, 2)).sum()
            )
            count += len(target)
    return total / max(count, 1)


def _whole(sets: list[Examples], scale: float) -> Iterator[tuple[Inputs, Tensor]]:
    for s, examples in enumerate(sets):
        for start in range(0, len(examples), 8):
            rows = np.array([(s, f) for f in range(start, min(start + 8, len(examples)))])
            yield _batch(sets, rows, scale, examples.target.shape[-1], None)


def _batch(
    sets: list[Examples],
    rows: NDArray[np.int64],
    scale: float,
    columns: int,
    rng: np.random.Generator | None,
) -> tuple[Inputs, Tensor]:
    nx = sets[0].target.shape[-1]
    columns = min(columns, nx)
    first = 0 if rng is None else int(rng.integers(0, nx - columns + 1))
    band = slice(first, first + columns)

    def stack(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(sets[s], name)[f] for s, f in rows]))

    def image(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(sets[s], name)[f][:, band] for s, f in rows])) / scale

    return Inputs(stack("mask"), stack("ages"), image("shared"), image("mean")), image("target")


def _describe(stream: Stream) -> dict[str, Any]:
    known = stream.provenance
    return {
        "frames": stream.frames,
        "samples_sha256": hashlib.sha256(stream.samples.tobytes()).hexdigest(),
        "phantom": known.phantom if known else None,
        "phantom_text": known.phantom_text if known else None,
        "seed": known.seed if known else None,
        "target_snr": known.target_snr if known else None,
    }
