"""Weights and their record in one `.npz` file: arrays and a JSON text, never a pickle.

The record says what made the weights: configuration, data, seed, split, epochs, losses, versions and
the command that makes them again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mrsim.argument_types import checked
from mrsim.errors import WeightsError, files_raise
from mrsim.files.arrays import read_arrays
from mrsim.files.reading import parse_json
from mrsim.files.targets import check_target, kind_of
from mrsim.files.writing import write_arrays
from mrsim.summary import Summarised, counted, listed
from recon.cascade.network import Cascade, CascadeConfig

FORMAT = "mrsim-cascade"
FORMAT_VERSION = 1
MAX_BYTES = 256 << 20
RECORD = "record"
HALVED = frozenset({"subspace.mean", "subspace.basis"})
"""Arrays that are always stored in half precision; they are learnt rounded to it."""
HALF = "float16"
STORED_ARRAYS = {
    "subspace.prior_root": "subspace.root",
    "subspace.prediction": "subspace.predict",
    "subspace.noise_variance": "subspace.noise",
    "subspace.knot_spacing_s": "subspace.spacing",
    "subspace.positions": "subspace.states",
    "subspace.kernel_root": "subspace.near",
    "subspace.prediction_covariance": "subspace.doubt",
}
"""Names in a file of format version 1 where they differ from those of the module."""
STORED_KEYS = {"positions": "states"}
"""The same of the configuration's keys."""


@dataclass(frozen=True, repr=False)
class Checkpoint(Summarised):
    """Hold a trained cascade and what made it.

    Parameters
    ----------
    cascade
        The network, with its weights.
    scale
        Value by which the samples are divided before the network sees them.
    record
        What made the weights, as JSON values.
    """

    cascade: Cascade
    scale: float
    record: dict[str, Any]

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        config = self.cascade.config
        weights = sum(value.numel() for value in self.cascade.parameters())
        facts = [
            ("made for", f"{counted(config.rows, 'row')}, {counted(config.coils, 'coil')}"),
            ("blocks", f"{config.blocks}, {counted(weights, 'weight')}"),
            ("scale", f"{self.scale:.4g}"),
        ]
        scans = self.record.get("data")
        if isinstance(scans, list):
            named = [str(scan.get("phantom")) for scan in scans if isinstance(scan, dict)]
            facts.append(("trained on", f"{counted(len(scans), 'scan')}: {listed(named)}"))
        return "Checkpoint: weights of a cascade", facts


@checked
def save(path: str | Path, checkpoint: Checkpoint, half: bool = False) -> None:
    """Write weights and record, whole or not at all.

    Parameters
    ----------
    path
        File to write.
    checkpoint
        Weights and record.
    half
        Store all arrays in half precision, and say so in the record (`arrays`): half the size, each weight
        rounded to 11 bits. They are read as single precision.

    Raises
    ------
    WeightsError
        If the folder does not exist, or a weight is too large for half precision.
    """
    check_target(path)
    record = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "config": stored_config(checkpoint.cascade.config),
        "scale": checkpoint.scale,
        **checkpoint.record,
    }
    state = stored_arrays(checkpoint.cascade.state_dict())
    arrays = {name: value.detach().cpu().numpy() for name, value in state.items()}
    if half:
        record["arrays"] = HALF
        large = sorted(n for n, a in arrays.items() if np.abs(a).max(initial=0) > np.finfo(np.float16).max)
        if large:
            raise WeightsError(
                f"{path}: array {large[0]!r} is too large for half precision; leave --half out"
            )
    for name in arrays if half else HALVED & arrays.keys():
        arrays[name] = arrays[name].astype(np.float16)
    text = np.array(json.dumps(record, allow_nan=False))
    write_arrays(path, {RECORD: text, **arrays}, compressed=True)


def stored_arrays(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the arrays of a cascade under their names in a file."""
    return {STORED_ARRAYS.get(name, name): value for name, value in state.items()}


def loaded_arrays(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the arrays of a file under their names in a cascade."""
    names = {name: own for own, name in STORED_ARRAYS.items()}
    return {names.get(name, name): value for name, value in stored.items()}


def stored_config(config: CascadeConfig) -> dict[str, Any]:
    """Return a configuration as JSON values under their keys in a file."""
    return {STORED_KEYS.get(key, key): value for key, value in config.to_dict().items()}


def shipped() -> tuple[str, ...]:
    """Return the names of the weights that come with the package."""
    files = resources.files("recon.weights").iterdir()
    return tuple(sorted(f.name[:-4] for f in files if f.name.endswith(".npz")))


def find(name: str | Path) -> Path:
    """Return the file of shipped weights, or of a path.

    Raises
    ------
    WeightsError
        If there are no such weights.
    """
    path = Path(name)
    if path.suffix == ".npz" and path.is_file():
        return path
    if str(name) in shipped():
        return Path(str(resources.files("recon.weights") / f"{name}.npz"))
    if path.suffix == ".npz" and (found := kind_of(path)) not in ("", "a file"):
        raise WeightsError(f"weights {str(name)!r}: it is {found}, not a file; name a regular file")
    known = ", ".join(shipped()) or "none"
    raise WeightsError(f"weights {str(name)!r}: neither a .npz file nor shipped; shipped: {known}")


@checked
@files_raise(WeightsError)
def load(name: str | Path) -> Checkpoint:
    """Read weights and their record.

    Parameters
    ----------
    name
        A `.npz` file, or the name of shipped weights.

    Raises
    ------
    WeightsError
        If the file is not one of ours, is damaged, or its arrays do not fit its configuration.
    """
    path = find(name)
    arrays = read_arrays(path, MAX_BYTES, "weights of a cascade")
    record = _take_record(arrays, path)
    config, scale = record.get("config"), record.get("scale")
    if not isinstance(config, dict) or not isinstance(scale, float) or not 0 < scale < float("inf"):
        raise WeightsError(f"{path}: its record holds no configuration, or no positive scale")
    keys = {key: own for own, key in STORED_KEYS.items()}
    config = {keys.get(key, key): value for key, value in config.items()}
    cascade = Cascade(CascadeConfig.from_dict(config, f"{path}: config"))
    _fill(cascade, arrays, path, halved=record.get("arrays") == HALF)
    return Checkpoint(cascade.eval(), scale, record)


@files_raise(WeightsError)
def load_record(name: str | Path) -> dict[str, Any]:
    """Read what made some weights, and not the weights.

    Parameters
    ----------
    name
        A `.npz` file, or the name of shipped weights.

    Raises
    ------
    WeightsError
        If the file is not one of ours, or is damaged.
    """
    path = find(name)
    return _take_record(read_arrays(path, MAX_BYTES, "weights of a cascade", names=(RECORD,)), path)


def _take_record(arrays: dict[str, Any], path: Path) -> dict[str, Any]:
    if RECORD not in arrays:
        raise WeightsError(f"{path}: it holds no record: not weights of a cascade")
    record = parse_json(str(arrays.pop(RECORD)), f"{path}: {RECORD}")
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise WeightsError(f"{path}: its record does not say format = {FORMAT!r}: not weights of a cascade")
    if record.get("version") != FORMAT_VERSION:
        raise WeightsError(f"{path}: version = {record.get('version')!r}: this mrsim reads {FORMAT_VERSION}")
    return record


def _fill(cascade: Cascade, arrays: dict[str, Any], path: Path, halved: bool) -> None:
    expected = {name: tuple(value.shape) for name, value in stored_arrays(cascade.state_dict()).items()}
    for name in sorted({*expected, *arrays}):
        have = tuple(arrays[name].shape) if name in arrays else "missing"
        kind = np.float16 if halved or name in HALVED else np.float32
        if expected.get(name, "unknown") != have or arrays[name].dtype != kind:
            raise WeightsError(f"{path}: array {name!r} is {have}, the record asks for {expected.get(name)}")
        if not np.isfinite(arrays[name]).all():
            raise WeightsError(f"{path}: array {name!r}: a weight is not finite")
    stored = {name: torch.from_numpy(value.astype(np.float32)) for name, value in arrays.items()}
    cascade.load_state_dict(loaded_arrays(stored))
