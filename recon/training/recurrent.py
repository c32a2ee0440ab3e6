"""The training of a recurrent cascade: runs of consecutive frames, through which its state is carried."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mrsim.errors import TrainingError
from recon.cascade.inputs import CascadeInputs
from recon.cascade.state import CascadeState
from recon.data.examples import Examples
from recon.training.run import TrainingRun
from recon.training.wanted import KnownImages, Wanted

WINDOW = 4
"""Frames of a step, through which the error is carried back."""
WALK = 40
"""Consecutive frames through which the state is carried on, over several steps."""
MOVED_S = 0.28
"""Time over which a pixel's change says whether it moves, seconds."""
MOVING, LARGEST_CHANGE = 3.0, 6.0
"""Weight of a pixel that changes as is usual in its scan, beside 1 at rest; most usual changes that count."""
LARGEST_GRADIENT = 1.0
"""Norm to which the gradient of the relative error is limited: through time it may grow."""


class RecurrentRun(TrainingRun):
    """Train on walks: runs of consecutive frames, each begun as a scan is begun.

    A step sees a window of each of some walks. The error is carried back through the window alone, and the
    state forward through the whole walk, so that the network learns to live with what it has made (truncated
    backpropagation through time, Williams and Peng 1990, 10.1162/neco.1990.2.4.490).

    Pixels of known images weigh more where they move. Most of an image rests, and a plain mean of squares
    would rather have less noise there than less lag in a target.
    """

    _seen: list[Examples] | None = None

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
            first = band.start - band.start % self.cascade.config.grain
            self._columns = slice(first, first + band.stop - band.start)
            self._state: CascadeState | None = None
        if self._seen is not learn:
            self._seen, self._usual = learn, [self._usual_change(examples) for examples in learn]
        windows = [self._weighed(learn, rows[:, frame]) for frame in range(WINDOW)]
        state, plain, errors = self._state, [], []
        kind = torch.device(self._plan.device).type
        with torch.autocast(kind, torch.bfloat16, enabled=self._plan.precision == "bfloat16"):
            for inputs, full in windows:
                state = self.cascade.step(inputs.map(self._send).band(self._columns), state)
                wanted = full.band(self._columns).map(self._send)
                plain.append(wanted.error(state.image.detach()).mean())
                errors.append(wanted.objective(state.image))
        loss = torch.stack(errors).mean() * self._relative
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.cascade.parameters(), LARGEST_GRADIENT)
        optimiser.step()
        assert state is not None
        self._state = state.detach()
        return float(torch.stack(plain).mean()) * self._relative

    def _usual_change(self, examples: Examples) -> float:
        """Return how much a pixel of a scan changes in `MOVED_S`, root mean square."""
        target, lag = examples.target, self._lag(len(examples))
        return float(np.sqrt(np.mean(np.abs(target[lag:] - target[:-lag]) ** 2)))

    def _lag(self, frames: int) -> int:
        return max(1, min(round(MOVED_S / self._frame_s), frames - 1))

    def _weighed(self, learn: list[Examples], rows: NDArray[np.int64]) -> tuple[CascadeInputs, Wanted]:
        """Return some frames, and what their images are held to with a weight for each pixel."""
        inputs, wanted = self._examples(learn, rows)
        if isinstance(wanted, KnownImages):
            wanted = KnownImages(wanted.images, self._weights_of(learn, rows))
        return inputs, wanted

    def _weights_of(self, learn: list[Examples], rows: NDArray[np.int64]) -> Tensor:
        """Return the weight of every pixel of some frames, shape (batch, ny, nx), float32."""
        changes = []
        for scan, frame in rows:
            target = learn[scan].target
            before = max(0, int(frame) - self._lag(len(target)))
            change = np.abs(target[frame] - target[before]) / max(
                self._usual[scan], np.finfo(np.float32).tiny
            )
            changes.append(np.minimum(change, LARGEST_CHANGE))
        return torch.from_numpy((1 + MOVING * np.stack(changes)).astype(np.float32))

    def _validate(self) -> float:
        self.cascade.eval()
        total, count = 0.0, 0
        with torch.inference_mode():
            for examples in self._check:
                state = None
                for frame in range(len(examples)):
                    inputs, wanted = self._examples([examples], np.array([(0, frame)]))
                    state = self.cascade.step(inputs.map(self._send), state)
                    total += float(wanted.map(self._send).error(state.image).sum())
                    count += 1
        return total / max(count, 1) * self._relative
