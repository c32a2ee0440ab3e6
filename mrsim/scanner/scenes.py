"""Which scene renders which body: the only place where the scanner knows kinds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mrsim.anatomy.body import Body
from mrsim.anatomy.phantom import Phantom, load_phantom
from mrsim.anatomy.series.patient import Patient, is_patient_text, load_patient, patient_from_text
from mrsim.errors import PhantomError
from mrsim.scanner.region_scene import RegionScene
from mrsim.scanner.scene import Scene
from mrsim.scanner.series_scene import SeriesScene
from mrsim.stream import Header


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
        return SeriesScene(body, header)
    raise TypeError(f"{type(body).__name__} is no body that the scanner knows")


def body_of(text: str, name: str, where: str) -> Body:
    """Return the body that a scan's provenance describes.

    Parameters
    ----------
    text
        The text that the body gave.
    name
        Its short name, where the text does not say one.
    where
        How errors name the text.

    Raises
    ------
    InputError
        If it describes no body, or what it names is not there.
    """
    if is_patient_text(text):
        return patient_from_text(text, where)
    return Phantom.from_text(text, name=name, where=where)


def load_body(name_or_path: str | Path, overrides: Mapping[str, Any] | None = None) -> Phantom | Patient:
    """Load what is to be scanned.

    Parameters
    ----------
    name_or_path
        Name of a shipped phantom, path of a .toml file, or folder of a patient.
    overrides
        Changes of a phantom by dotted key; a patient takes none.

    Raises
    ------
    InputError
        If there is no such thing, or it is wrong.
    """
    if not Path(name_or_path).is_dir():
        return load_phantom(name_or_path, overrides)
    if overrides:
        raise PhantomError(f"{name_or_path}: a patient made of a cine takes no changes by key")
    return load_patient(name_or_path)
