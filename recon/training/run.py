"""The steps of a training: batches, the optimiser, validation, and the position to resume from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recon.cascade.block import ConvolutionBlock, StatefulBlock
from recon.cascade.inputs import CascadeInputs
from recon.cascade.network import Cascade
from recon.data.examples import Examples, batch_of, in_order
from recon.fourier import to_image
from recon.training.plan import Progress, Stage, TrainingPlan
from recon.training.state import TrainingPosition, load_state, save_state
from recon.training.wanted import KnownImages, Wanted, foretold

EASIEST = 1e-5
"""Relative squared error of a start image below which a frame's weight no longer grows."""

SAVE_EVERY_S = 30.0
"""Seconds between two writings of the state within an epoch."""


class TrainingRun:
    """Carry the weights, the optimiser and the position of a training through its steps.

    Parameters
    ----------
    cascade
        The network, trained in place.
    plan
        Stages, batch, split and seed.
    drawn
        Returns the training frames of an epoch, counted from 0 through all stages.
    check
        Frames of validation.
    units
        Divisor of the images for the network; factor from its squared error to one relative to the targets'
        mean square; time of a frame, seconds.
    lengths
        Training frames of each scan.

    Attributes
    ----------
    cascade
        The network.
    position
        Number of the next step.
    """

    def __init__(
        self,
        cascade: Cascade,
        plan: TrainingPlan,
        drawn: Callable[[int], list[Examples]],
        check: list[Examples],
        units: tuple[float, float, float],
        lengths: Sequence[int],
    ) -> None:
        self.cascade = cascade.to(plan.device)
        self._plan, self._drawn, self._check = plan, drawn, check
        self._scale, self._relative, self._frame_s = units
        self._steps = self._count(lengths)
        self.position = TrainingPosition()
        self._best = self._weights()
        self._moments: dict[int, dict[str, Tensor]] = {}
        self._path: Path | None = None
        self._digest = ""

    def resume(self, path: Path | None, digest: str) -> None:
        """Resume from a file if it exists, and save the position to it from now on."""
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
            rng = np.random.default_rng([plan.seed, at.stage, at.epoch])
            batches = self._order([len(examples) for examples in learn], rng)
            self.cascade.train()
            for step, rows in enumerate(batches):
                band = self._band(learn[0].target.shape[-1], rng)
                if step < at.step:
                    continue  # done before the training was killed; its random numbers are drawn all the same
                self._set_rate(optimiser, stage, at.epoch * self._steps + step)
                at.losses.append(self._learn(optimiser, learn, rows, band, (at.stage, at.epoch, step)))
                at.step = step + 1
                now = time.monotonic()
                at.seconds = spent + now - started
                if progress is not None:
                    done = done_before + at.epoch * self._steps + at.step
                    left = (now - started) / (done - first_step) * (total - done)
                    validation = at.history[-1]["validation"] if at.history else float("nan")
                    loss = float(np.mean(at.losses[-50:]))
                    progress(Progress(stage.name, done, total, loss, validation, left))
                if self._path is not None and now - saved > SAVE_EVERY_S and self._resumable(at.step):
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

    def _count(self, lengths: Sequence[int]) -> int:
        """Return the steps of an epoch."""
        return -(-sum(lengths) // self._plan.batch)

    def _order(self, lengths: Sequence[int], rng: np.random.Generator) -> list[NDArray[np.int64]]:
        """Return the batches of an epoch: the number of the scan and of the frame in it."""
        index = np.array([(s, f) for s, length in enumerate(lengths) for f in range(length)])
        return np.array_split(rng.permutation(index), self._steps)

    def _resumable(self, step: int) -> bool:
        """Return whether a training can go on before this step of an epoch, from its weights alone."""
        return True

    def silent(self) -> list[int]:
        """Return the blocks with a layer that is zero on validation: they add the same to every image."""
        fires: dict[tuple[int, int], bool] = {}
        hooks = []

        def watch(at: tuple[int, int], layer: nn.Module) -> None:
            def look(_: nn.Module, __: Any, out: Tensor) -> None:
                fires[at] = fires.get(at, False) or bool((out > 0).any())

            hooks.append(layer.register_forward_hook(look))

        for number, block in enumerate(self.cascade.blocks):
            for depth, layer in enumerate(cast(ConvolutionBlock | StatefulBlock, block).layers()):
                watch((number, depth), layer)
        try:
            TrainingRun._validate(self)  # in this process alone, even with others
        finally:
            for hook in hooks:
                hook.remove()
        return sorted({number for (number, _), fired in fires.items() if not fired})

    def _band(self, nx: int, rng: np.random.Generator) -> slice:
        columns = min(self._plan.columns, nx)
        first = int(rng.integers(0, nx - columns + 1))
        return slice(first, first + columns)

    def _learn(
        self,
        optimiser: torch.optim.Adam,
        learn: list[Examples],
        rows: NDArray[np.int64],
        band: slice,
        key: tuple[int, int, int],
    ) -> float:
        """Take the step of this stage, epoch and number, and return its error relative to the targets."""
        inputs, wanted = self._batch(learn, rows, band, key)
        return self._step(optimiser, inputs, wanted)

    def _batch(
        self, learn: list[Examples], rows: NDArray[np.int64], band: slice, key: tuple[int, int, int]
    ) -> tuple[CascadeInputs, Wanted]:
        inputs, wanted = self._examples(learn, rows)
        if self._plan.augmentation is not None and isinstance(wanted, KnownImages):
            inputs, images = self._plan.augmentation(
                inputs, wanted.images, np.random.default_rng([self._plan.seed, *key, 1])
            )
            wanted = KnownImages(images)
        inputs = self.cascade.prepare(inputs.map(self._send), self._frame_s)
        return inputs.band(band), wanted.band(band).map(self._send)

    def _examples(self, sets: Sequence[Examples], rows: NDArray[np.int64]) -> tuple[CascadeInputs, Wanted]:
        """Return some frames of scans, and what their images are held to."""
        inputs, target = batch_of(sets, rows, self._scale)
        if sets[0].later is None:
            return inputs, KnownImages(target)
        return inputs, foretold(sets, rows, self._scale, inputs.maps)

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

    def _step(self, optimiser: torch.optim.Adam, inputs: CascadeInputs, wanted: Wanted) -> float:
        kind = torch.device(self._plan.device).type
        with torch.autocast(kind, torch.bfloat16, enabled=self._plan.precision == "bfloat16"):
            shown = self.cascade(inputs)
        error = wanted.error(shown)
        loss = error.mean()
        objective = (error / self._hardness(inputs, wanted)).mean() if self._plan.balanced else loss
        optimiser.zero_grad()
        torch.autograd.backward(objective)
        optimiser.step()
        return float(loss.detach()) * self._relative

    def _hardness(self, inputs: CascadeInputs, wanted: Wanted) -> Tensor:
        """Return the squared error of each frame's start image, bounded from below."""
        start = to_image(inputs.named(self.cascade.config.start), (-2,))
        return wanted.error(start) + EASIEST * wanted.error(torch.zeros_like(start))

    def _validate(self) -> float:
        self.cascade.eval()
        total, count = 0.0, 0
        with torch.inference_mode():
            for rows in in_order(self._check):
                inputs, wanted = self._examples(self._check, rows)
                seen = self.cascade.prepare(inputs.map(self._send), self._frame_s)
                total += float(wanted.map(self._send).error(self.cascade(seen)).sum())
                count += len(rows)
        return total / max(count, 1) * self._relative

    def _optimiser(self, stage: Stage) -> torch.optim.Adam:
        optimiser = torch.optim.Adam(
            [
                {"params": self.cascade.blocks.parameters(), "lr": stage.rate},
                # A line's weight is a sigmoid of its parameter, which needs larger steps for the same change.
                {"params": self.cascade.weights.parameters(), "lr": 10 * stage.rate},
            ]
        )
        if self._moments:
            values = optimiser.state_dict()
            optimiser.load_state_dict(values | {"state": self._moments})
        return optimiser

    def _set_rate(self, optimiser: torch.optim.Adam, stage: Stage, step: int) -> None:
        """Set the learning rate, which falls to a tenth along half a cosine over the stage."""
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
