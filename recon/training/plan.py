"""The plan of a training and its progress: stages, batch, split, target instant."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mrsim.errors import TrainingError
from recon.cascade.network import CascadeConfig
from recon.data.augmentation import Augmentation

MAX_EPOCHS = 100_000
MAX_UNDERSAMPLE = 1000
PRECISIONS = ("float32", "bfloat16")
TRUTH, LINES = "truth", "lines"

RATES = (2e-3, 4e-4)
GENTLE_RATES = (5e-4, 1e-4)
"""For a start from the subspace: its image is good already, and larger steps silence the blocks."""


def usual_rates(config: CascadeConfig) -> tuple[float, float]:
    """Return the learning rates that suit a cascade, of a coarse and a fine stage."""
    return GENTLE_RATES if config.components else RATES


@dataclass(frozen=True, slots=True)
class Stage:
    """Train for some epochs at one learning rate that decays to a tenth along a cosine.

    Parameters
    ----------
    name
        Its name in the record.
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
            raise TrainingError(f"{self.name}: epochs = {self.epochs}: expected 0 to {MAX_EPOCHS}")
        if not 0 < self.rate < 1:  # false for NaN, too
            raise TrainingError(f"{self.name}: rate = {self.rate}: expected a learning rate between 0 and 1")


@dataclass(frozen=True)
class TrainingPlan:
    """Describe a training.

    Parameters
    ----------
    stages
        Coarse and fine, in this order.
    batch
        Frames in a step.
    columns
        Columns of the random band that a step uses. Every line is complete along x, so a band is as exact as
        the whole image, at less cost.
    validation
        Share of every scan, its last part, that is kept for validation.
    patience
        Epochs without a lower validation error after which a stage ends early; 0 for never. A stage with
        patience ends with the weights of its best epoch, a stage without it with those of its last.
    target_instant
        Instant that the targets show: `last`, `centre` or `last+MS` (see `recon.target_instant`).
    augmentation
        Shifts and warps of the training frames; None for none.
    balanced
        Divide the error of a frame by that of its start image, so that the few frames that start far off do
        not outweigh all others; else the plain squared error.
    precision
        Of the convolutions, one of `PRECISIONS`; data consistency and weights stay in float32.
    device
        `cpu`, `cuda` or `cuda:N`.
    seed
        Seed of the first weights, of the order of the frames, and of all other random numbers.
    undersample
        Factor by which fully sampled frames are undersampled, anew in every epoch; the target is the image of
        all their lines, and the instant the centre. 1 to take scans as they are.
    learn_from
        `truth`, the true images that a simulator knows; or `lines`, those that a scan reads next, which needs
        no truth. The images then show the middle of the next frame.
    """

    stages: tuple[Stage, ...] = (Stage("coarse", 14, 2e-3), Stage("fine", 6, 4e-4))
    batch: int = 4
    columns: int = 64
    validation: float = 0.15
    patience: int = 0
    target_instant: str = "last"
    augmentation: Augmentation | None = None
    balanced: bool = False
    precision: str = "float32"
    device: str = "cpu"
    seed: int = 0
    undersample: float = 1.0
    learn_from: str = TRUTH

    def __post_init__(self) -> None:
        if sum(stage.epochs for stage in self.stages) < 1:
            raise TrainingError("training: epochs: at least one epoch is needed")
        if not 1 <= self.batch <= 1024 or not 1 <= self.columns <= 4096:
            raise TrainingError(
                f"training: batch = {self.batch}, columns = {self.columns}: expected 1 and more"
            )
        if not 0 < self.validation < 1:
            raise TrainingError(f"training: validation = {self.validation}: expected a share between 0 and 1")
        if not 0 <= self.patience <= MAX_EPOCHS:
            raise TrainingError(f"training: patience = {self.patience}: expected 0 to {MAX_EPOCHS} epochs")
        if not 1 <= self.undersample <= MAX_UNDERSAMPLE:  # false for NaN, too
            raise TrainingError(
                f"training: undersample = {self.undersample:g}: expected 1 to {MAX_UNDERSAMPLE}"
            )
        if self.undersample > 1 and self.target_instant != "centre":
            raise TrainingError(
                f"training: target instant {self.target_instant!r}: a frame's whole image shows its "
                "centre; give --target-instant centre with --undersample"
            )
        if self.learn_from not in (TRUTH, LINES):
            raise TrainingError(f"training: learn_from = {self.learn_from!r}: expected {TRUTH} or {LINES}")
        if self.learn_from == LINES:
            self._check_lines()
        if self.precision not in PRECISIONS:
            raise TrainingError(
                f"training: precision = {self.precision!r}: expected {' or '.join(PRECISIONS)}"
            )
        kind, colon, number = self.device.partition(":")
        if kind not in ("cpu", "cuda") or (colon and not number.isdigit()):
            raise TrainingError(f"training: device = {self.device!r}: expected cpu, cuda or cuda:N")
        if kind == "cuda" and not torch.cuda.is_available():
            raise TrainingError(f"training: device = {self.device!r}: no CUDA device is found; take cpu")

    def _check_lines(self) -> None:
        for wrong, option in (
            (self.target_instant != "last", "--target-instant: the lines that come next say what is shown"),
            (self.augmentation is not None, "--augment: the lines that come next are not moved with a frame"),
            (self.undersample > 1, "--undersample: the lines that come next are those of the scan"),
        ):
            if wrong:
                raise TrainingError(f"training: learning from lines goes without {option}")


@dataclass(frozen=True, slots=True)
class Progress:
    """Hold how far a training is.

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
