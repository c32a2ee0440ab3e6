"""Training: the pixel-wise squared error, at a coarse and then at a fine learning rate.

What a network is to show is a choice: the true image at the echo of a frame's last line, at its centre (as
the seed), or some time ahead. A simulator knows all of them and a scanner none: the network learns to show
the present, not the middle of what it was given.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import mrsim
from mrsim.errors import InputError
from mrsim.stream import Stream
from recon.augmentation import Augmentation
from recon.cascade import Cascade, CascadeConfig
from recon.checkpoint import Checkpoint
from recon.examples import Examples, batch_of, examples_of, whole
from recon.fourier import to_image
from recon.inputs import Inputs
from recon.instants import offset_ns
from recon.subspace_learning import learn_subspace
from recon.training_state import Position, load_state, save_state

MAX_EPOCHS = 100_000
PRECISIONS = ("float32", "bfloat16")
EASIEST = 1e-5
"""Relative squared error of a start below which a frame counts no more than others."""

SAVE_EVERY_S = 30.0
"""Seconds between two writings of the state within an epoch."""


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
    patience
        Epochs without a lower validation error after which a stage ends early; 0 for never. A stage that may
        end early leaves the weights of its best epoch, another one those of its last.
    instant
        What the targets show, for the record and for whoever judges: `last`, `centre` or `last+MS`.
    augmentation
        Shifts and warps of the training frames; None for none.
    balanced
        Divide the error of a frame by that of the image that it starts from, so that the few that start far
        off do not drown those that start near; else the plain squared error.
    precision
        Of the convolutions, one of `PRECISIONS`; data consistency and weights stay in float32.
    device
        `cpu`, `cuda` or `cuda:N`.
    seed
        Seed of the first weights, of the order of the frames and of everything drawn.
    """

    stages: tuple[Stage, ...] = (Stage("coarse", 14, 2e-3), Stage("fine", 6, 4e-4))
    batch: int = 4
    columns: int = 64
    validation: float = 0.15
    patience: int = 0
    instant: str = "last"
    augmentation: Augmentation | None = None
    balanced: bool = False
    precision: str = "float32"
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        if sum(stage.epochs for stage in self.stages) < 1:
            raise InputError("training: epochs: at least one epoch is needed")
        if not 1 <= self.batch <= 1024 or not 1 <= self.columns <= 4096:
            raise InputError(f"training: batch = {self.batch}, columns = {self.columns}: expected 1 and more")
        if not 0 < self.validation < 1:
            raise InputError(f"training: validation = {self.validation}: expected a share between 0 and 1")
        if not 0 <= self.patience <= MAX_EPOCHS:
            raise InputError(f"training: patience = {self.patience}: expected 0 to {MAX_EPOCHS} epochs")
        if self.precision not in PRECISIONS:
            raise InputError(f"training: precision = {self.precision!r}: expected {' or '.join(PRECISIONS)}")
        kind, colon, number = self.device.partition(":")
        if kind not in ("cpu", "cuda") or (colon and not number.isdigit()):
            raise InputError(f"training: device = {self.device!r}: expected cpu, cuda or cuda:N")
        if kind == "cuda" and not torch.cuda.is_available():
            raise InputError(f"training: device = {self.device!r}: no CUDA device is found; take cpu")


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
    left_s
        Time left at the present pace, seconds; NaN before the first step.
    """

    stage: str
    done: int
    total: int
    loss: float
    validation: float
    left_s: float


def train(
    streams: Sequence[Stream],
    config: CascadeConfig,
    plan: Plan | None = None,
    *,
    targets: Sequence[NDArray[np.complex64] | None] | None = None,
    redraw: Callable[[int], Sequence[Stream]] | None = None,
    first: Checkpoint | None = None,
    blocks: Checkpoint | None = None,
    state: Path | None = None,
    command: str = "",
    progress: Callable[[Progress], None] | None = None,
    stage_end: Callable[[Stage, Checkpoint], None] | None = None,
    runner: type[_Run] | None = None,
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
    targets
        Image to show at the end of every frame of each scan, shape (frames, ny, nx), complex64; None for
        the true image at the last line.
    redraw
        Returns the scans of an epoch, counted from 0 through all stages: the same anatomy at the same
        times, sampled anew. None for `streams` in every epoch.
    first
        Weights to start from; None for random ones.
    blocks
        Weights of which the blocks alone are started from, of another patient or of many, say: the subspace
        is learnt from these scans. None for random ones.
    state
        File that keeps where the training stands; one that exists is gone on from. None for none.
    command
        The command that makes the weights again, for the record.
    progress
        Called after every step.
    stage_end
        Called with every stage that has ended and its weights.
    runner
        Takes the steps; None for this process alone. See `recon.distributed`.

    Returns
    -------
    checkpoint
        Weights and their record.

    Raises
    ------
    InputError
        If the scans differ in protocol or cannot be trained on, or the state is another training's.
    """
    plan = plan or Plan()
    header = streams[0].header
    offset_ns(plan.instant, header)
    for stream in streams[1:]:
        if stream.header != header:
            raise InputError(f"{stream.path}: its protocol differs from {streams[0].path}'s; train on one")
    if header.coils != config.coils:
        raise InputError(f"cascade: coils = {config.coils}, the streams have {header.coils}")
    if header.matrix[0] != config.rows:
        raise InputError(f"cascade: rows = {config.rows}, the streams have {header.matrix[0]}")
    if first is not None and first.cascade.config != config:
        raise InputError("training: the weights to start from are of another configuration than asked for")
    if blocks is not None and (first is not None or not _fits(blocks.cascade.config, config)):
        raise InputError(
            "training: the blocks to start from are of another configuration than asked for, or all weights "
            "are given, too"
        )
    if first is not None and first.cascade.subspace is not None:
        aims = str(first.record.get("target_instant", "last"))
        if aims != plan.instant:  # where the subspace's image is taken to is learnt with it
            raise InputError(
                f"training: the weights to start from aim at {aims!r}, and so would their subspace, not at "
                f"{plan.instant!r}: start the blocks alone from them"
            )
    given = targets or [None] * len(streams)
    sets = [examples_of(s, t) for s, t in zip(streams, given, strict=True)]
    cuts = [max(1, round(len(s) * (1.0 - plan.validation))) for s in sets]
    learn = [s.part(slice(0, c)) for s, c in zip(sets, cuts, strict=True)]
    check = [s.part(slice(c, None)) for s, c in zip(sets, cuts, strict=True)]

    def drawn(epoch: int) -> list[Examples]:
        if redraw is None:
            return learn
        again = [examples_of(s, t) for s, t in zip(redraw(epoch), given, strict=True)]
        return [s.part(slice(0, c)) for s, c in zip(again, cuts, strict=True)]

    power = float(np.mean([np.mean(np.abs(s.target) ** 2) for s in learn]))
    # Signal fills a part of the view: three times the root mean square is about the brightest tissue.
    scale = 3.0 * power**0.5 if first is None else first.scale
    frame_s = header.frame_ns / 1e9
    learnt = None
    if config.components and first is None:
        if header.matrix[1] != config.columns:
            raise InputError(f"cascade: columns = {config.columns}, the streams have {header.matrix[1]}")
        learnt = learn_subspace(learn, config.components, config.knots, frame_s, scale)
        config = dataclasses.replace(config, components=learnt.components)
    torch.manual_seed(plan.seed)
    cascade = Cascade(config)
    if first is not None:
        cascade.load_state_dict(first.cascade.state_dict())
    if blocks is not None:
        cascade.blocks.load_state_dict(blocks.cascade.blocks.state_dict())
        cascade.weights.load_state_dict(blocks.cascade.weights.state_dict())
    if cascade.subspace is not None and learnt is not None:
        cascade.subspace.load_state_dict(learnt.state_dict())
    record = {
        "matrix": list(header.matrix),
        "header": header.to_dict(),
        "target_instant": plan.instant,
        "data": [_describe(stream) for stream in streams],
        "split": {"train": [len(s) for s in learn], "validation": [len(s) for s in check]},
        "seed": plan.seed,
        "batch": plan.batch,
        "columns": plan.columns,
        "stages": [dataclasses.asdict(s) for s in plan.stages],
        "patience": plan.patience,
        "augmentation": dataclasses.asdict(plan.augmentation) if plan.augmentation else None,
        "redrawn": redraw is not None,
        "balanced": plan.balanced,
        "precision": plan.precision,
        "first": None if first is None else _digest_of(first.cascade),
        "versions": {
            "mrsim": mrsim.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "command": command,
    }
    if blocks is not None:
        record["blocks"] = _digest_of(blocks.cascade)
    units = (scale, scale**2 / power, frame_s)
    run = (runner or _Run)(cascade, plan, drawn, check, units, sum(len(s) for s in learn))
    run.resume(state, _digest(record, config))

    def made() -> Checkpoint:
        weights = Cascade(config)
        weights.load_state_dict({k: v.cpu() for k, v in run.cascade.state_dict().items()})
        return Checkpoint(weights.eval(), scale, record | {"losses": list(run.position.history)})

    while run.position.stage < len(plan.stages):
        stage = plan.stages[run.position.stage]
        run.stage(progress)
        if stage_end is not None:
            stage_end(stage, made())
    return made()


class _Run:
    """Carry the weights, the optimiser and the position of a training through its steps."""

    def __init__(
        self,
        cascade: Cascade,
        plan: Plan,
        drawn: Callable[[int], list[Examples]],
        check: list[Examples],
        units: tuple[float, float, float],
        frames: int,
    ) -> None:
        self.cascade = cascade.to(plan.device)
        self._plan, self._drawn, self._check = plan, drawn, check
        self._scale, self._relative, self._frame_s = units
        self._steps = -(-frames // plan.batch)
        self.position = Position()
        self._best = self._weights()
        self._moments: dict[int, dict[str, Tensor]] = {}
        self._path: Path | None = None
        self._digest = ""

    def resume(self, path: Path | None, digest: str) -> None:
        """Go on from a file if it exists, and keep the position in it from now on."""
        self._path, self._digest = path, digest
        if path is not None and path.is_file():
            self.position, self._best, self._moments = load_state(path, digest, self.cascade)

    def stage(self, progress: Callable[[Progress], None] | None) -> None:
        """Train to the end of the present stage."""
        plan, at = self._plan, self.position
        stage = plan.stages[at.stage]
        optimiser = self._optimiser(stage)
        started = saved = time.monotonic()
        spent = at.seconds
        done_before = sum(s.epochs for s in plan.stages[: at.stage]) * self._steps
        total = sum(s.epochs for s in plan.stages) * self._steps
        first_step = done_before + at.epoch * self._steps + at.step
        while at.epoch < stage.epochs and not (plan.patience and at.since_best >= plan.patience):
            epoch = sum(s.epochs for s in plan.stages[: at.stage]) + at.epoch
            learn = self._drawn(epoch)
            index = np.array([(s, f) for s, examples in enumerate(learn) for f in range(len(examples))])
            rng = np.random.default_rng([plan.seed, at.stage, at.epoch])
            batches = np.array_split(rng.permutation(index), self._steps)
            self.cascade.train()
            for step, rows in enumerate(batches):
                band = self._band(learn[0].target.shape[-1], rng)
                if step < at.step:
                    continue  # it was done before the kill, and its draws are used up
                inputs, target = self._batch(learn, rows, band, (at.stage, at.epoch, step))
                self._set_rate(optimiser, stage, at.epoch * self._steps + step)
                at.losses.append(self._step(optimiser, inputs, target))
                at.step = step + 1
                now = time.monotonic()
                at.seconds = spent + now - started
                if progress is not None:
                    done = done_before + at.epoch * self._steps + at.step
                    left = (now - started) / (done - first_step) * (total - done)
                    validation = at.history[-1]["validation"] if at.history else float("nan")
                    loss = float(np.mean(at.losses[-50:]))
                    progress(Progress(stage.name, done, total, loss, validation, left))
                if self._path is not None and now - saved > SAVE_EVERY_S:
                    self._save(optimiser)
                    saved = time.monotonic()
            self._end_epoch(stage)
            at.seconds = spent + time.monotonic() - started
            at.history[-1]["seconds"] = round(at.seconds, 1)
            self._save(optimiser)
        if plan.patience:
            self.cascade.load_state_dict(self._best)
        at.stage, at.epoch, at.step, at.best, at.since_best = at.stage + 1, 0, 0, float("inf"), 0
        self._moments = {}
        self._save(torch.optim.Adam(self.cascade.parameters()))

    def _band(self, nx: int, rng: np.random.Generator) -> slice:
        columns = min(self._plan.columns, nx)
        first = int(rng.integers(0, nx - columns + 1))
        return slice(first, first + columns)

    def _batch(
        self, learn: list[Examples], rows: NDArray[np.int64], band: slice, key: tuple[int, int, int]
    ) -> tuple[Inputs, Tensor]:
        inputs, target = batch_of(learn, rows, self._scale)
        if self._plan.augmentation is not None:
            inputs, target = self._plan.augmentation(
                inputs, target, np.random.default_rng([self._plan.seed, *key, 1])
            )
        inputs = self.cascade.prepare(inputs.map(self._send), self._frame_s)
        return inputs.band(band), self._send(target[..., band])

    def _end_epoch(self, stage: Stage) -> None:
        at = self.position
        validation = self._validate()
        if validation < at.best:
            at.best, at.since_best, self._best = validation, 0, self._weights()
        else:
            at.since_best += 1
        at.history.append(
            {
                "stage": stage.name,
                "epoch": at.epoch,
                "train": float(np.mean(at.losses)),
                "validation": validation,
            }
        )
        at.epoch, at.step, at.losses = at.epoch + 1, 0, []

    def _step(self, optimiser: torch.optim.Adam, inputs: Inputs, target: Tensor) -> float:
        kind = torch.device(self._plan.device).type
        with torch.autocast(kind, torch.bfloat16, enabled=self._plan.precision == "bfloat16"):
            shown = self.cascade(inputs)
        error = torch.view_as_real(shown - target).square().sum(-1).mean(dim=(1, 2))
        loss = error.mean()
        learnt = (error / self._hardness(inputs, target)).mean() if self._plan.balanced else loss
        optimiser.zero_grad()
        torch.autograd.backward(learnt)
        optimiser.step()
        return float(loss.detach()) * self._relative

    def _hardness(self, inputs: Inputs, target: Tensor) -> Tensor:
        """Return the squared error of what each frame starts from, bounded from below."""
        start = to_image(inputs.named(self.cascade.config.start), (-2,))
        error = torch.view_as_real(start - target).square().sum(-1).mean(dim=(1, 2))
        return error + EASIEST * torch.view_as_real(target).square().sum(-1).mean(dim=(1, 2))

    def _validate(self) -> float:
        self.cascade.eval()
        total, count = 0.0, 0
        with torch.inference_mode():
            for inputs, target in whole(self._check, self._scale):
                seen = self.cascade.prepare(inputs.map(self._send), self._frame_s)
                error = self.cascade(seen) - self._send(target)
                total += float(torch.view_as_real(error).square().sum(-1).mean(dim=(1, 2)).sum())
                count += len(target)
        return total / max(count, 1) * self._relative

    def _optimiser(self, stage: Stage) -> torch.optim.Adam:
        optimiser = torch.optim.Adam(
            [
                {"params": self.cascade.blocks.parameters(), "lr": stage.rate},
                # A line's weight lives behind a sigmoid: its steps must be larger to be as wide.
                {"params": self.cascade.weights.parameters(), "lr": 10 * stage.rate},
            ]
        )
        if self._moments:
            values = optimiser.state_dict()
            optimiser.load_state_dict(values | {"state": self._moments})
        return optimiser

    def _set_rate(self, optimiser: torch.optim.Adam, stage: Stage, step: int) -> None:
        """Let the rate fall from 1 to a tenth along half a cosine over the stage."""
        share = min(step / max(1, stage.epochs * self._steps), 1.0)
        factor = 0.55 + 0.45 * math.cos(math.pi * share)
        for group, times in zip(optimiser.param_groups, (1, 10), strict=True):
            group["lr"] = stage.rate * times * factor

    def _send(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._plan.device)

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.cascade.state_dict().items()}

    def _save(self, optimiser: torch.optim.Adam) -> None:
        if self._path is not None:
            save_state(self._path, self._digest, self.position, self.cascade, self._best, optimiser)


def _fits(found: CascadeConfig, wanted: CascadeConfig) -> bool:
    """Return whether the blocks of one are those of the other, whatever the size of their subspaces."""
    return dataclasses.replace(found, components=wanted.components, knots=wanted.knots) == wanted


def _describe(stream: Stream) -> dict[str, Any]:
    known = stream.provenance
    return {
        "frames": stream.frames,
        "used_s": [0.0, stream.frames * stream.header.frame_ns / 1e9],
        "samples_sha256": hashlib.sha256(stream.samples.tobytes()).hexdigest(),
        "phantom": known.phantom if known else None,
        "phantom_text": known.phantom_text if known else None,
        "seed": known.seed if known else None,
        "target_snr": known.target_snr if known and math.isfinite(known.target_snr) else None,
    }


def _digest_of(cascade: Cascade) -> str:
    found = hashlib.sha256()
    for name, value in sorted(cascade.state_dict().items()):
        found.update(name.encode())
        found.update(value.detach().cpu().numpy().tobytes())
    return found.hexdigest()


def _digest(record: dict[str, Any], config: CascadeConfig) -> str:
    """Return what names a training: everything that decides its result."""
    decides = {k: v for k, v in record.items() if k not in ("command", "versions")}
    text = json.dumps([decides, config.to_dict()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
