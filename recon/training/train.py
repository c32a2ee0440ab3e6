"""Training: the pixel-wise squared error, at a coarse and then at a fine learning rate.

The target instant is a choice: the true image at the echo of a frame's last line, at the frame's centre (as
in Dietz 2019), or some time ahead. A simulator knows the true image at all of them, a scanner at none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import mrsim
from mrsim.errors import TrainingError
from mrsim.seeds import child
from mrsim.stream import Header, Stream
from mrsim.stream.fingerprint import kept_hashes, span_s
from recon.cascade.checkpoint import Checkpoint, stored_arrays, stored_config
from recon.cascade.network import Cascade, CascadeConfig
from recon.coils.waves import maps_of
from recon.data.coil_targets import true_waves
from recon.data.later import foretold_instant
from recon.target_instant import offset_ns
from recon.training.drawn import Redraw, drawn_examples
from recon.training.plan import LINES, Progress, Stage, TrainingPlan
from recon.training.recurrent import RecurrentRun
from recon.training.run import TrainingRun
from recon.training.subspace import learn_subspace

COILS_DIFFER = 0.1
"""Relative difference above which the sensitivities of two scans are not those of the same coils."""


def train_cascade(
    streams: Sequence[Stream],
    config: CascadeConfig,
    plan: TrainingPlan | None = None,
    *,
    targets: Sequence[NDArray[np.complex64] | None] | None = None,
    redraw: Redraw | None = None,
    first: Checkpoint | None = None,
    blocks: Checkpoint | None = None,
    state: Path | None = None,
    command: str = "",
    progress: Callable[[Progress], None] | None = None,
    stage_end: Callable[[Stage, Checkpoint], None] | None = None,
    runner: type[TrainingRun] | None = None,
) -> Checkpoint:
    """Train a cascade on some scans.

    Parameters
    ----------
    streams
        Scans with truth, all of one protocol; without a subspace their fields may differ.
    config
        The cascade.
    plan
        Stages, batch, split and seed.
    targets
        Image to show at the end of every frame of each scan, shape (frames, ny, nx), complex64; None for
        the true image at the last line, or for what the plan's undersampling says.
    redraw
        Returns the scans of an epoch, counted from 0 through all stages: the same anatomy at the same
        times, sampled anew. None for `streams` in every epoch.
    first
        Weights to start from; None for random ones.
    blocks
        Weights for the start of the blocks alone, for example of another patient or another number of coils;
        the subspace is learnt from these scans. None for random ones.
    state
        File of the training's state; the training resumes from it if it exists. None for none.
    command
        The command that makes the weights again, for the record.
    progress
        Called after every step.
    stage_end
        Called at the end of every stage, with the stage and its weights.
    runner
        Class that takes the steps; None for this process alone. See `recon.training.distributed`.

    Returns
    -------
    checkpoint
        Weights and their record.

    Raises
    ------
    TrainingError
        If the scans differ in protocol or cannot be trained on, or the state is another training's.
    """
    plan = plan or TrainingPlan()
    header = streams[0].header
    offset_ns(plan.target_instant, header)
    for stream in streams[1:]:
        if not _alike(stream.header, header, config):
            raise TrainingError(f"{stream.path}: its protocol differs from {streams[0].path}'s; train on one")
    if header.coils != config.coils:
        raise TrainingError(f"cascade: coils = {config.coils}, the streams have {header.coils}")
    if header.matrix[0] != config.rows:
        raise TrainingError(f"cascade: rows = {config.rows}, the streams have {header.matrix[0]}")
    if first is not None and first.cascade.config != config:
        raise TrainingError("training: the weights to start from are of another configuration than asked for")
    if blocks is not None and (first is not None or not _fits(blocks.cascade.config, config)):
        raise TrainingError(
            "training: the blocks to start from are of another configuration than asked for, or all weights "
            "are given, too"
        )
    if first is not None and first.cascade.subspace is not None:
        aims = str(first.record.get("target_instant", "last"))
        if aims != plan.target_instant:  # its prediction was learnt for that instant
            raise TrainingError(
                f"training: the weights to start from aim at {aims!r}, and so would their subspace, not at "
                f"{plan.target_instant!r}: start the blocks alone from them"
            )
    _check_plan(plan, config, redraw is not None, targets is not None)
    if config.recurrent and runner is not None:
        raise TrainingError("training: a recurrent cascade is trained in one process")
    foretells = plan.learn_from == LINES
    waves = _waves_of(streams, first) if config.coils > 1 and config.components else None
    examples = drawn_examples(streams, config, plan, targets, waves, redraw)
    learn, check = examples.learn, examples.check
    power = float(np.mean([np.mean(np.abs(s.target) ** 2) for s in learn]))
    # Signal fills part of the view, so three times the root mean square is about the brightest tissue.
    scale = 3.0 * power**0.5 if first is None else first.scale
    frame_s = header.frame_ns / 1e9
    learnt = None
    if config.components and first is None:
        if header.matrix[1] != config.columns:
            raise TrainingError(f"cascade: columns = {config.columns}, the streams have {header.matrix[1]}")
        learnt = learn_subspace(
            learn, config.components, config.knots, frame_s, scale, config.positions, waves
        )
        config = dataclasses.replace(config, components=learnt.components, positions=learnt.position_count)
    # Torch takes 64 bits, and a seed may have 128.
    torch.manual_seed(
        plan.seed if plan.seed < 1 << 63 else int(child(plan.seed, "torch").generate_state(1)[0])
    )
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
        "target_instant": foretold_instant(header) if foretells else plan.target_instant,
        "data": [_describe(stream) for stream in streams],
        "before": _before(first or blocks),
        "split": {"train": [len(s) for s in learn], "validation": [len(s) for s in check]},
        "seed": plan.seed,
        "batch": plan.batch,
        "columns": plan.columns,
        "stages": [dataclasses.asdict(s) for s in plan.stages],
        "patience": plan.patience,
        "augmentation": dataclasses.asdict(plan.augmentation) if plan.augmentation else None,
        "redrawn": redraw is not None,
        "undersampled": plan.undersample,
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
    if foretells:  # left out where usual, so that a training begun by an earlier version goes on
        record["learnt_from"] = plan.learn_from
    if blocks is not None:
        record["blocks"] = _digest_of(blocks.cascade)
    units = (scale, scale**2 / power, frame_s)
    usual = RecurrentRun if config.recurrent else TrainingRun
    run = (runner or usual)(cascade, plan, examples.epoch, check, units, [len(s) for s in learn])
    run.resume(state, _digest(record, config))

    def made(**more: Any) -> Checkpoint:
        weights = Cascade(config)
        weights.load_state_dict({k: v.cpu() for k, v in run.cascade.state_dict().items()})
        return Checkpoint(weights.eval(), scale, record | {"losses": list(run.position.history)} | more)

    while run.position.stage < len(plan.stages):
        stage = plan.stages[run.position.stage]
        run.stage(progress)
        if stage_end is not None:
            stage_end(stage, made())
    return made(silent_blocks=run.silent())


def _check_plan(plan: TrainingPlan, config: CascadeConfig, redrawn: bool, targeted: bool) -> None:
    """Refuse what a plan cannot learn from."""
    if plan.undersample > 1 and (redrawn or targeted):
        raise TrainingError("training: undersampling takes a scan's own lines: leave --redraw out")
    if plan.learn_from == LINES and targeted:
        raise TrainingError("training: learning from lines takes no targets")
    if config.components and (plan.undersample > 1 or plan.learn_from == LINES):
        raise TrainingError(
            "training: a subspace is learnt from true images, not from lines or undersampled frames; take a "
            "network without one, such as --network population"
        )


def _waves_of(streams: Sequence[Stream], first: Checkpoint | None) -> NDArray[np.complex64]:
    """Return the sensitivities' waves: those of the weights to start from, or the first scan's."""
    own = [true_waves(stream) for stream in streams]
    found, whose = own[0], str(streams[0].path)
    if first is not None and first.cascade.subspace is not None:
        found = torch.view_as_complex(first.cascade.subspace.waves).numpy()
        whose = "the weights to start from"
    for stream, waves in zip(streams, own, strict=True):
        assert stream.truth is not None  # or it had no sensitivities
        body = np.abs(stream.truth.image[0])  # outside the body no line determines them
        seen, again = (body * maps_of(w, stream.header.matrix) for w in (found, waves))
        off = float(np.linalg.norm(again - seen) / np.linalg.norm(seen))
        if off > COILS_DIFFER:
            raise TrainingError(
                f"{stream.path}: its coils' sensitivities differ by {off:.0%} from those of {whose}: a "
                "subspace is one patient's under the same coils; train on scans with these"
            )
    return found


def _alike(found: Header, first: Header, config: CascadeConfig) -> bool:
    """Return whether a scan can be trained on beside the first; persons may be scanned at other fields."""
    own: dict[str, Any] = {} if config.components else {"field_t": first.field_t}
    return dataclasses.replace(found, **own) == first


def _fits(found: CascadeConfig, wanted: CascadeConfig) -> bool:
    """Return whether the blocks of one are those of the other, whatever their subspaces and coils."""
    own = {key: getattr(wanted, key) for key in ("components", "knots", "positions", "coils")}
    return dataclasses.replace(found, **own) == wanted


def _describe(stream: Stream) -> dict[str, Any]:
    known = stream.provenance
    return {
        "frames": stream.frames,
        "used_s": list(span_s(stream.first_frames(stream.frames))),
        "lines": [0, stream.frames * stream.header.lines_per_frame],
        "line_hashes": kept_hashes(stream),
        "samples_sha256": hashlib.sha256(stream.samples.tobytes()).hexdigest(),
        "phantom": known.phantom if known else None,
        "phantom_text": known.phantom_text if known else None,
        "seed": known.seed if known else None,
        "field_t": stream.header.field_t,
        "target_snr": known.target_snr if known and math.isfinite(known.target_snr) else None,
    }


def _before(start: Checkpoint | None) -> list[Any]:
    """Return the scans that weights to start from were trained on; {} stands for what they do not say."""
    if start is None:
        return []
    found: list[Any] = []
    for scans in (start.record.get("data") or [{}], start.record.get("before") or []):
        found += [scan for scan in (scans if isinstance(scans, list) else [{}]) if scan not in found]
    return found


def _digest_of(cascade: Cascade) -> str:
    found = hashlib.sha256()
    for name, value in sorted(stored_arrays(cascade.state_dict()).items()):
        found.update(name.encode())
        found.update(value.detach().cpu().numpy().tobytes())
    return found.hexdigest()


def _digest(record: dict[str, Any], config: CascadeConfig) -> str:
    """Return the name of a training: a digest of all that decides its result."""
    decides = {k: v for k, v in record.items() if k not in ("command", "versions")}
    text = json.dumps([decides, stored_config(config)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
