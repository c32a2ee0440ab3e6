"""A patient's folder: plain arrays and a record, and how a scan finds it again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mrsim.anatomy.series.patient import ARRAYS, Patient, digest_of, patient_of
from mrsim.anatomy.series.phase import with_phase
from mrsim.anatomy.series.playback import SMOOTH_FRAMES, Playback
from mrsim.anatomy.series.reading.cine import read_cine
from mrsim.anatomy.series.series import MAX_BYTES, Series
from mrsim.anatomy.series.text import TWIN
from mrsim.anatomy.series.twin.ride import KEYS, ride_of
from mrsim.anatomy.series.twin.stored import write_twin
from mrsim.argument_types import checked
from mrsim.errors import FileError, InputError, PhantomError, files_raise
from mrsim.files.arrays import map_array
from mrsim.files.reading import read_json
from mrsim.files.toml import parse_toml
from mrsim.files.writing import WholeFolder, write_array, write_json
from mrsim.toml_tables import is_name

SCHEMA, RECORD = "mrsim-patient/1", "patient.json"
PLAYBACK, BREATHING = "playback", "motion.breathing."
_MAX_RECORD = 1 << 16


@checked
@files_raise(PhantomError)
def prepare_patient(
    series: str | Path | Series,
    output: str | Path,
    *,
    label: str | Path | None = None,
    frame_ms: float | None = None,
    pixel_mm: tuple[float, float] | None = None,
    time_axis: str | None = None,
    part: int | None = None,
    structure: str | None = None,
    smooth_frames: float = SMOOTH_FRAMES,
    phase_deg: float = 0.0,
    twin: bool = True,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Patient:
    """Make a patient of a cine and store it in a folder.

    Parameters
    ----------
    series
        The cine: a file or folder of a kind that `read_cine` knows, or a series.
    output
        Folder to make.
    label, frame_ms, pixel_mm, time_axis, part, structure
        What the file does not say of itself: the target's label, the time from frame to frame, the height and
        width of a pixel, which axis of a volume is time, "fastest" or "slowest", which of several series or
        slices in DICOM is meant, from 1, and which structure of the label's file is the target.
    smooth_frames
        Standard deviation of the Gaussian in time, in median frames; 0 keeps the frames as they are.
    phase_deg
        Bound of the smooth synthetic phase that magnitudes get, degrees, 0 to 360; 0 leaves them real.
    twin
        Whether its twin is learnt, too: some seconds for a hundred frames.
    overwrite
        Whether a patient that stands there is replaced.
    progress
        Called with the steps of the twin that are done and their number.

    Returns
    -------
    patient
        As `load_patient` gives it.

    Raises
    ------
    InputError
        If the series is wrong, its target cannot be followed, or the folder cannot be made.
    """
    output = Path(output)
    check_new_patient(output, overwrite)
    given = series
    if not isinstance(given, Series):
        given = read_cine(
            given, label=label, frame_ms=frame_ms, pixel_mm=pixel_mm, time_axis=time_axis, part=part,
            structure=structure,
        )  # fmt: skip
    given = with_phase(given, phase_deg)
    return store_patient(given, output, smooth_frames, twin=twin, overwrite=overwrite, progress=progress)


def check_new_patient(output: Path, overwrite: bool) -> None:
    """Raise an error if no patient can be made in a folder: before the work."""
    _room(output, overwrite)


def _room(output: Path, overwrite: bool) -> WholeFolder:
    known = (output / RECORD).is_file()
    if known and not overwrite:
        raise FileError(f"{output}: exists; choose another name, or give --overwrite (overwrite=True)")
    return WholeFolder(output, replace=known)


def store_patient(
    given: Series,
    output: Path,
    smooth_frames: float,
    *,
    twin: bool,
    overwrite: bool,
    progress: Callable[[int, int], None] | None = None,
    beside: Callable[[Path, Patient], object] | None = None,
) -> Patient:
    """Make a patient of a series and store it whole.

    Parameters
    ----------
    given, output, smooth_frames, twin, overwrite, progress
        As for `prepare_patient`.
    beside
        Writes what else belongs to it, such as a picture, into the folder that it is given.
    """
    room = _room(output, overwrite)
    patient = patient_of(given, smooth_frames, output.name, twin=twin, progress=progress)
    with room as folder:
        for name in ARRAYS:
            write_array(folder / f"{name}.npy", getattr(patient.playback, name))
        if patient.twin is not None:
            write_twin(folder, patient.twin)
        sides = [1e3 * side for side in patient.playback.pixel_m]
        known = {"schema": SCHEMA, "name": patient.name, "pixel_mm": sides, "sha256": patient.digest}
        write_json(folder / RECORD, {**known, **patient.record})
        if beside is not None:
            beside(folder, patient)
    return load_patient(output)


@checked
@files_raise(PhantomError)
def load_patient(folder: str | Path) -> Patient:
    """Load a patient that `mrsim patient` has made.

    Parameters
    ----------
    folder
        The folder.

    Raises
    ------
    PhantomError
        If it is no such folder, or its arrays are not those of its record.
    """
    folder = Path(folder)
    record = read_json(
        folder / RECORD,
        _MAX_RECORD,
        "a patient's record",
        missing="not a patient: make one with `mrsim patient`",
    )
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise PhantomError(f"{folder / RECORD}: not the record of a patient ({SCHEMA})")
    name, pixel = record.get("name"), record.get("pixel_mm")
    sound = (
        isinstance(pixel, list)
        and len(pixel) == 2
        and all(isinstance(v, float) and 0 < v <= 50 for v in pixel)
    )
    if not isinstance(name, str) or not name or not sound or not isinstance(pixel, list):
        raise PhantomError(f"{folder / RECORD}: expected a name and two lengths in pixel_mm")
    arrays = {key: map_array(folder / f"{key}.npy") for key in ARRAYS}
    if sum(array.nbytes for array in arrays.values()) > MAX_BYTES:
        raise PhantomError(f"{folder}: its arrays are larger than {MAX_BYTES} bytes")
    frames, shape = len(arrays["images"]), arrays["images"].shape
    kinds = (("images", 3, "fc"), ("t_ns", 1, "i"), ("labels", 3, "b"), ("path_px", 2, "f"))
    if (
        any(arrays[key].ndim != n or arrays[key].dtype.kind not in kind for key, n, kind in kinds)
        or arrays["t_ns"].shape != (frames,)
        or arrays["path_px"].shape != (frames, 2)
        or arrays["labels"].shape[1:] != shape[1:]
    ):
        raise PhantomError(f"{folder}: its arrays do not fit together; make it again with `mrsim patient`")
    playback = Playback(
        np.asarray(arrays["images"]),
        np.asarray(arrays["t_ns"], np.int64),
        (pixel[0] * 1e-3, pixel[1] * 1e-3),
        np.asarray(arrays["labels"], np.bool_),
        np.asarray(arrays["path_px"], np.float64),
    )
    digest = digest_of(playback)
    if digest != record.get("sha256"):
        raise PhantomError(
            f"{folder}: its arrays are not those of its record; make it again with `mrsim patient`"
        )
    return Patient(name, playback, digest, folder, record)


def patient_from_text(text: str, where: str, beside: Path | None = None) -> Patient:
    """Return the patient that a scan names.

    Parameters
    ----------
    text
        As `Patient.text` gives it.
    where
        How errors name it.
    beside
        Folder that the scan lies in. The patient is looked for there, then where it was.

    Raises
    ------
    InputError
        If its folder is gone, or holds another patient by now.
    """
    table = parse_toml(text, where)
    folder, digest, name = (table.get(key) for key in ("folder", "sha256", "name"))
    if not isinstance(folder, str) or not isinstance(digest, str):
        raise PhantomError(f"{where}: expected the folder and the sha256 of a patient")
    if not folder:
        raise PhantomError(f"{where}: the patient {name!r} was never stored, so it cannot be had again")
    patient = _found(folder, digest, where, beside)
    if table.get("form") == TWIN:
        patient = patient.ridden(
            ride_of({key: table[key] for key in (*KEYS, "t_s", "value_mm") if key in table}, where)
        )
        assert patient.twin is not None
        if patient.twin.digest != table.get("twin_sha256"):
            raise PhantomError(f"{where}: {patient.folder} holds another twin by now")
    return dataclasses.replace(patient, name=name) if isinstance(name, str) and name else patient


def _found(folder: str, digest: str, where: str, beside: Path | None) -> Patient:
    """Return the patient of a hash: from beside the scan, from the folder above, or from where it was."""
    places = [] if beside is None else [beside / Path(folder).name, beside.parent / Path(folder).name]
    for place in (place for place in places if (place / RECORD).is_file()):
        try:
            patient = load_patient(place)
        except InputError:
            continue
        if patient.digest == digest:
            return patient
    patient = load_patient(folder)
    if patient.digest != digest:
        raise PhantomError(f"{where}: {folder} holds another patient by now")
    return patient


def changed_patient(patient: Patient, changes: Mapping[str, Any], where: str) -> Patient:
    """Return a patient with keys changed, such as `{"drive": "breaths"}`.

    Parameters
    ----------
    patient
        As it was loaded.
    changes
        Its `form`, "playback" or "twin", and for the twin what drives it: `drive`, `scale`, `slow`, `shift_s`
        and `weight`, any of which asks for the twin.
    where
        How errors name it.

    Raises
    ------
    PhantomError
        If there is no such key, or it has no twin.
    """
    asked = {key.removeprefix(BREATHING): value for key, value in changes.items()}
    known = ("form", *KEYS)
    unknown = [key for key in asked if key not in known]
    if unknown:
        raise PhantomError(
            f"{where}: a patient made of a cine takes no changes by key, such as {unknown[0][:80]}, but "
            f"{', '.join(known)}"
        )
    form = asked.pop("form", TWIN if asked else PLAYBACK)
    if form not in (PLAYBACK, TWIN) or (form == PLAYBACK and asked):
        more = f" with {next(iter(asked))}" if asked else ""
        raise PhantomError(f"{where}: form = {str(form)[:40]!r}{more}: expected {PLAYBACK} or {TWIN}")
    if form == PLAYBACK:
        return patient
    earlier = {} if patient.ride is None else patient.ride.table()
    if "drive" in asked:
        earlier = {key: value for key, value in earlier.items() if key not in ("t_s", "value_mm")}
    return patient.ridden(ride_of({**earlier, **asked}, where))


def patient_file(table: Mapping[str, Any], where: Path) -> Patient:
    """Return the patient that a .toml file describes: `kind = "patient"`, its folder, and keys to change.

    Parameters
    ----------
    table
        What the file says.
    where
        The file; the patient's folder, and a trace of its own, are named relative to it.

    Raises
    ------
    PhantomError
        If a key is wrong, or there is no such patient.
    """
    changes = {key: value for key, value in table.items() if key not in ("kind", "folder", "name")}
    folder, name = table.get("folder"), table.get("name", where.stem)
    drive = changes.get("drive")
    if isinstance(drive, str) and drive.endswith(".csv"):
        changes["drive"] = str(where.parent / drive)
    if not isinstance(folder, str) or not folder:
        raise PhantomError(f"{where}: folder: expected the name of a patient's folder")
    if not is_name(name):
        raise PhantomError(f"{where}: name: expected letters, digits, - and _")
    patient = changed_patient(load_patient(where.parent / folder), changes, str(where))
    return dataclasses.replace(patient, name=name)
