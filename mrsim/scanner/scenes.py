"""Which scene renders which body: the only place where the scanner knows kinds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mrsim.anatomy.body import Body
from mrsim.anatomy.phantom import Phantom, load_phantom
from mrsim.anatomy.phantom_file import apply_overrides, emit, parse, read_text
from mrsim.anatomy.series.patient import Patient
from mrsim.anatomy.series.stored import (
    changed_patient,
    load_patient,
    patient_file,
    patient_from_text,
)
from mrsim.anatomy.series.text import KIND, is_patient_text
from mrsim.errors import PhantomError
from mrsim.scanner.region_scene import RegionScene
from mrsim.scanner.scene import Scene
from mrsim.scanner.series_scene import SeriesScene
from mrsim.scanner.twin_scene import TwinScene
from mrsim.stream import Header
from mrsim.toml_tables import is_name


def scene_of(body: Body, header: Header, seed: int) -> Scene:
    """Return the scene of a body under a protocol.

    Parameters
    ----------
    body
        What is scanned.
    header
        The protocol.
    seed
        Seed of the scan.

    Raises
    ------
    InputError
        If the body cannot be scanned so.
    """
    if isinstance(body, Phantom):
        return RegionScene(body, header, seed)
    if isinstance(body, Patient):
        return SeriesScene(body, header) if body.ride is None else TwinScene(body, header, seed)
    raise TypeError(f"{type(body).__name__} is no body that the scanner knows")


def body_of(
    text: str,
    name: str,
    where: str,
    overrides: Mapping[str, Any] | None = None,
    beside: Path | None = None,
) -> Body:
    """Return the body that a text describes, such as the provenance of a scan.

    Parameters
    ----------
    text
        The text that the body gave.
    name
        Its short name, where the text does not say one.
    where
        How errors name the text.
    overrides
        Changes by dotted key; of a patient what `changed_patient` takes.
    beside
        Folder that the scan lies in: a patient that the text names is looked for there first.

    Raises
    ------
    InputError
        If it describes no body, or what it names is not there.
    """
    if is_patient_text(text):
        return changed_patient(patient_from_text(text, where, beside), overrides or {}, where)
    if overrides:
        text = emit(apply_overrides(parse(text, where), overrides, where))
    return Phantom.from_text(text, name=name, where=where)


def load_body(name_or_path: str | Path, overrides: Mapping[str, Any] | None = None) -> Phantom | Patient:
    """Load what is to be scanned.

    Parameters
    ----------
    name_or_path
        Name of a shipped phantom, path of a .toml file of a phantom or a patient, or folder of a patient.
    overrides
        Changes of a phantom by dotted key; of a patient its `name`, and what `changed_patient` takes.

    Raises
    ------
    InputError
        If there is no such thing, or it is wrong.
    """
    path, changes = Path(name_or_path), dict(overrides or {})
    if path.is_dir():
        patient = load_patient(name_or_path)
    elif path.suffix == ".toml" and (table := parse(*read_text(path))).get("kind") == KIND:
        patient = patient_file(table, path)
    else:
        return load_phantom(name_or_path, overrides)
    name = changes.pop("name", None)
    patient = changed_patient(patient, changes, str(name_or_path))
    if name is None:
        return patient
    if not is_name(name):
        raise PhantomError(f"{name_or_path}: name: expected letters, digits, - and _")
    return dataclasses.replace(patient, name=name)
