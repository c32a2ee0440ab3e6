"""Train a named network on scans in one call: names, epochs and rates become a configuration and a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.argument_types import checked
from mrsim.errors import Option, OptionError, TrainingError
from mrsim.stream import Stream, load
from recon.cascade.checkpoint import Checkpoint
from recon.cascade.network import CascadeConfig, named_config
from recon.data.augmentation import Augmentation
from recon.training.plan import Progress, Stage, TrainingPlan, usual_rates
from recon.training.train import train_cascade

STAGES = ("coarse", "fine")
EPOCHS = (14, 6)

Scan = Stream | str | Path


@checked
def train(
    scans: Scan | Sequence[Scan],
    network: str | CascadeConfig = "compact",
    *,
    changes: Mapping[str, Any] | None = None,
    stages: Sequence[str] = STAGES,
    epochs: tuple[int, int] = EPOCHS,
    rates: tuple[float, float] | None = None,
    batch: int = TrainingPlan.batch,
    columns: int = TrainingPlan.columns,
    patience: int = TrainingPlan.patience,
    target_instant: str = TrainingPlan.target_instant,
    augmentation: Augmentation | None = None,
    balanced: bool = TrainingPlan.balanced,
    precision: str = TrainingPlan.precision,
    device: str = TrainingPlan.device,
    seed: int = TrainingPlan.seed,
    undersample: float = TrainingPlan.undersample,
    learn_from: str = TrainingPlan.learn_from,
    targets: Sequence[NDArray[np.complex64] | None] | None = None,
    redraw: Callable[[int], Sequence[Stream]] | None = None,
    first: Checkpoint | None = None,
    blocks: Checkpoint | None = None,
    state: Path | None = None,
    command: str = "",
    progress: Callable[[Progress], None] | None = None,
    stage_end: Callable[[Stage, Checkpoint], None] | None = None,
) -> Checkpoint:
    """Train a cascade on scans, with truth where it is learnt from.

    Parameters
    ----------
    scans
        One scan or several, each a stream or its folder, all of one protocol. `stream.until(70)` takes the
        first 70 s, so that the rest is left for tests.
    network
        Name of a configuration, such as `compact` (`recon.cascade.network.named_config`), or one.
    changes
        Changes of the named configuration, such as `{"blocks": 5}`.
    stages
        "coarse", "fine" or both, in this order.
    epochs, rates
        Of the coarse and the fine stage: passes over the frames, and learning rate at the start. Without
        rates, those that suit the network are taken.
    batch, columns, patience, target_instant, augmentation, balanced, precision, device, seed, undersample
        See `recon.training.plan.TrainingPlan`.
    learn_from
        `truth`, or `lines`: those that a scan reads next, which needs no truth.
    targets, redraw, state, command, progress, stage_end
        See `recon.training.train.train_cascade`.
    first
        Weights to start from; their configuration is taken.
    blocks
        Weights of which the blocks alone are started from.

    Returns
    -------
    weights
        Weights and their record: a candidate for `harness.replay`, and what `recon.save_weights` writes.

    Raises
    ------
    MrsimError
        If a scan has no truth, the scans differ in protocol, or a value is out of range.
    """
    given = [scans] if isinstance(scans, Stream | str | Path) else list(scans)
    if not given:
        raise TrainingError("training: no scan is given")
    streams = [scan if isinstance(scan, Stream) else load(scan) for scan in given]
    for stream in streams:
        stream.check_finite()
    if first is not None and blocks is not None:
        raise TrainingError("training: give weights to start from, or blocks to start from, not both")
    config = _configured(network, dict(changes or {}), streams[0], first)
    if not stages or [name for name in STAGES if name in stages] != list(stages):
        raise TrainingError(f"training: stages = {','.join(stages)!r}: expected coarse, fine or coarse,fine")
    of_stages = dict(zip(STAGES, zip(epochs, rates or usual_rates(config), strict=True), strict=True))
    plan = TrainingPlan(
        tuple(Stage(name, *of_stages[name]) for name in stages),
        batch=batch,
        columns=columns,
        patience=patience,
        target_instant=target_instant,
        augmentation=augmentation,
        balanced=balanced,
        precision=precision,
        device=device,
        seed=seed,
        undersample=undersample,
        learn_from=learn_from,
    )
    return train_cascade(
        streams,
        config,
        plan,
        targets=targets,
        redraw=redraw,
        first=first,
        blocks=blocks,
        state=state,
        command=command,
        progress=progress,
        stage_end=stage_end,
    )


def _configured(
    network: str | CascadeConfig, changes: dict[str, Any], stream: Stream, first: Checkpoint | None
) -> CascadeConfig:
    if first is not None:
        if changes:
            raise OptionError(
                "{}: the weights to start from have their own configuration; leave it out", Option("changes")
            )
        return first.cascade.config
    if isinstance(network, CascadeConfig):
        config = network
    else:
        config = named_config(network, *stream.header.matrix, coils=stream.header.coils)
    return CascadeConfig.from_dict(config.to_dict() | changes, "training: changes") if changes else config
