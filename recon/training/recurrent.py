"""The training of a recurrent cascade: runs of consecutive frames, through which its state is carried."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mrsim.errors import TrainingError
from recon.cascade.network import CascadeState
from recon.data.examples import Examples, batch_of
from recon.training.run import TrainingRun, squared_error

WINDOW = 4
"""Frames of a step, through which the error is carried back."""
WALK = 40
"""Consecutive frames through which the state is carried on, over several steps."""
LARGEST_GRADIENT = 1.0
"""Norm to which the gradient of the relative error is limited: through time it may grow."""


class RecurrentRun(TrainingRun):
    """Train on walks: runs of consecutive frames, each begun as a scan is begun.

    A step sees a window of each of some walks. The error is carried back through the window alone, and the
    state forward through the whole walk, so that the network learns to live with what it has made (truncated
    backpropagation through time, Williams and Peng 1990, 10.1162/neco.1990.2.4.490).
    """

    def _count(self, lengths: Sequence[int]) -> int:
        self._walk = min(WALK, *lengths) // WINDOW * WINDOW if lengths else 0
        if self._walk < WINDOW:
            raise TrainingError(
                f"training: {min(lengths)} frames of a scan to train on: a recurrent cascade needs {WINDOW}"
            )
        if self._plan.balanced or self._plan.augmentation is not None:
            raise TrainingError(
                "training: a recurrent cascade has no start image to balance by, and none of its frames is "
                "moved; leave --balanced and --augment out"
            )
        walks = sum(length // self._walk for length in lengths)
        return -(-walks // self._plan.batch) * (self._walk // WINDOW)

    def _order(self, lengths: Sequence[int], rng: np.random.Generator) -> list[NDArray[np.int64]]:
        walks = []
        for scan, length in enumerate(lengths):
            number = length // self._walk
            first = int(rng.integers(0, length - number * self._walk + 1))
            walks += [(scan, first + n * self._walk) for n in range(number)]
        sides = -(-len(walks) // self._plan.batch) * self._plan.batch
        begun = np.resize(rng.permutation(np.array(walks)), (sides // self._plan.batch, self._plan.batch, 2))
        later = np.zeros((self._walk // WINDOW, 1, WINDOW, 2), np.int64)
        later[..., 1] = np.arange(self._walk).reshape(-1, 1, WINDOW)
        return list((begun[:, None, :, None] + later).reshape(self._steps, self._plan.batch, WINDOW, 2))

    def _resumable(self, step: int) -> bool:
        return step % (self._walk // WINDOW) == 0

    def _learn(
        self,
        optimiser: torch.optim.Adam,
        learn: list[Examples],
        rows: NDArray[np.int64],
        band: slice,
        key: tuple[int, int, int],
    ) -> float:
        if self._resumable(key[-1]):  # walks begin, and keep their band
            fold = 2 * self.cascade.config.fold
            self._columns = slice(
                band.start // fold * fold, band.start // fold * fold + band.stop - band.start
            )
            self._state: CascadeState | None = None
        windows = [batch_of(learn, rows[:, frame], self._scale) for frame in range(WINDOW)]
        state, errors = self._state, []
        kind = torch.device(self._plan.device).type
        with torch.autocast(kind, torch.bfloat16, enabled=self._plan.precision == "bfloat16"):
            for inputs, target in windows:
                state = self.cascade.step(inputs.map(self._send).band(self._columns), state)
                errors.append(squared_error(state.image, self._send(target[..., self._columns])))
        loss = torch.stack(errors).mean() * self._relative
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.cascade.parameters(), LARGEST_GRADIENT)
        optimiser.step()
        assert state is not None
        self._state = CascadeState(state.image.detach(), state.features.detach())
        return float(loss.detach())

    def _validate(self) -> float:
        self.cascade.eval()
        total, count = 0.0, 0
        with torch.inference_mode():
            for examples in self._check:
                state = None
                for frame in range(len(examples)):
                    inputs, target = batch_of([examples], np.array([(0, frame)]), self._scale)
                    state = self.cascade.step(inputs.map(self._send), state)
                    total += float(squared_error(state.image, self._send(target)).sum())
                    count += 1
        return total / max(count, 1) * self._relative
