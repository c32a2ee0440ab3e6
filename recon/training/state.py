"""The state of a training on disk, from which a killed training resumes with the same result.

It is arrays and a JSON text in one `.npz`, never a pickle, written under a temporary name and renamed. So the
file is whole whenever the training is killed. A digest of all that decides the result names the training, and
another training refuses the file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mrsim.errors import InputError, TrainingError
from mrsim.files.arrays import read_arrays
from mrsim.files.reading import parse_json
from mrsim.files.writing import write_arrays
from recon.cascade.checkpoint import loaded_arrays, stored_arrays
from recon.cascade.network import Cascade

FORMAT = "mrsim-training-state"
FORMAT_VERSION = 1
MAX_BYTES = 1 << 30
RECORD = "record"


@dataclass
class TrainingPosition:
    """Hold how far a training is.

    Parameters
    ----------
    stage, epoch, step
        Number of the next step, of its epoch and of its stage.
    losses
        Relative error of every step of this epoch so far.
    history
        One entry an epoch: stage, epoch, rate, train, validation, seconds.
    best
        Lowest validation error of this stage so far; infinite before its first epoch's end.
    since_best
        Epochs since then.
    seconds
        Time spent so far.
    """

    stage: int = 0
    epoch: int = 0
    step: int = 0
    losses: list[float] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    best: float = float("inf")
    since_best: int = 0
    seconds: float = 0.0


def save_state(
    path: Path,
    digest: str,
    position: TrainingPosition,
    cascade: Cascade,
    best: dict[str, Tensor],
    optimiser: torch.optim.Adam,
) -> None:
    """Write the state of a training, whole or not at all.

    Parameters
    ----------
    path
        File to write.
    digest
        Names the training.
    position
        How far it is.
    cascade, best, optimiser
        The weights now, those of the stage's best epoch, and the moments of Adam.
    """
    record = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "digest": digest,
        "position": vars(position) | {"best": None if np.isinf(position.best) else position.best},
    }
    arrays = {f"now/{k}": v for k, v in stored_arrays(cascade.state_dict()).items()}
    arrays |= {f"best/{k}": v for k, v in stored_arrays(best).items()}
    for number, state in optimiser.state_dict()["state"].items():
        arrays |= {f"adam/{number}/{key}": value for key, value in state.items()}
    text = np.array(json.dumps(record, allow_nan=False))
    write_arrays(path, {RECORD: text} | {key: value.detach().cpu().numpy() for key, value in arrays.items()})


def load_state(
    path: Path, digest: str, cascade: Cascade
) -> tuple[TrainingPosition, dict[str, Tensor], dict[int, dict[str, Tensor]]]:
    """Read the state of a training, and set the cascade's weights.

    Parameters
    ----------
    path
        File to read.
    digest
        Names the training that goes on.
    cascade
        Takes the weights.

    Returns
    -------
    position, best, moments
        How far it is, the weights of the stage's best epoch, and the moments of Adam by parameter.

    Raises
    ------
    TrainingError
        If the file is damaged, or belongs to another training.
    """
    remedy = "remove it, or give --restart, to train from the start"
    found = read_arrays(path, MAX_BYTES, "the state of a training", remedy=remedy)
    try:
        record = parse_json(str(found.pop(RECORD)), f"{path}: {RECORD}")
        if record["format"] != FORMAT or record["version"] != FORMAT_VERSION:
            raise ValueError(f"format = {record['format']!r}, version = {record['version']!r}")
        if record["digest"] != digest:
            raise TrainingError(f"{path}: it belongs to a training with other data or settings; {remedy}")
        arrays = {key: torch.from_numpy(array) for key, array in found.items()}
        values = record["position"]
        position = TrainingPosition(
            **values | {"best": float("inf") if values["best"] is None else values["best"]}
        )
        cascade.load_state_dict(loaded_arrays(_under("now/", arrays)))
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())[:200]
        raise TrainingError(f"{path}: damaged, or not the state of a training: {text}; {remedy}") from None
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in _under("adam/", arrays).items():
        number, _, name = key.partition("/")
        moments.setdefault(int(number), {})[name] = value
    return position, loaded_arrays(_under("best/", arrays)), moments


def _under(prefix: str, arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}
