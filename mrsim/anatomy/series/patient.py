"""A patient made of a cine: a folder of plain arrays and a record, that is scanned like a phantom."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mrsim
from mrsim.anatomy.body import Inside, Recorded
from mrsim.anatomy.phantom_file import emit
from mrsim.anatomy.series.playback import SMOOTH_FRAMES, Playback, Realism, playback_of
from mrsim.anatomy.series.reading.cine import read_cine
from mrsim.anatomy.series.series import MAX_BYTES, Series
from mrsim.argument_types import checked
from mrsim.errors import PhantomError, files_raise
from mrsim.files.arrays import map_array
from mrsim.files.reading import read_json
from mrsim.files.toml import parse_toml
from mrsim.files.writing import WholeFolder, write_array, write_json
from mrsim.summary import Summarised

SCHEMA, RECORD, KIND = "mrsim-patient/1", "patient.json", "patient"
TARGET = "target"
ARRAYS = ("images", "t_ns", "labels", "path_px")
_MAX_RECORD = 1 << 16


@dataclass(frozen=True, repr=False)
class Patient(Summarised):
    """Hold a patient that can be scanned for as long as was recorded.

    Parameters
    ----------
    name
        Short name.
    playback
        What is scanned.
    digest
        SHA-256 of the arrays, hexadecimal: a scan names what it was made from.
    folder
        Where it is stored; None if it is not.
    record
        What the folder's record says of source, smoothing and realism.
    """

    name: str
    playback: Playback
    digest: str
    folder: Path | None = None
    record: dict[str, Any] = field(default_factory=dict)

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        played, (frames, rows, columns) = self.playback, self.playback.images.shape
        height, width = (side * 1e3 for side in played.pixel_m)
        return f"Patient: {self.name}", [
            ("recorded", f"{frames} frames, {played.stop_ns * 1e-9:.1f} s"),
            ("image", f"{rows} x {columns}, pixels of {height:g} x {width:g} mm"),
            ("target", "labelled" if len(played.labels) else "none"),
        ]

    @property
    def text(self) -> str:
        """Return what makes it again: where it is stored, and the hash of its arrays."""
        where = "" if self.folder is None else str(self.folder.resolve())
        return emit({"kind": KIND, "name": self.name, "folder": where, "sha256": self.digest})

    @property
    def target(self) -> str:
        """Return the name of the region that is tracked."""
        return TARGET

    @property
    def region_names(self) -> tuple[str, ...]:
        """Return the names of what has a displacement of its own: the target alone."""
        return (TARGET,)

    @property
    def target_center_m(self) -> tuple[float, float]:
        """Return where the target is in the first frame, (x, y), metres."""
        y, x = self.metres(self.playback.path_px[:1])[0, ::-1]
        return float(x), float(y)

    def resting_outline(self) -> Inside | None:
        """Return None: the outline of a cine moves."""
        return None

    @property
    def coil_shift_m(self) -> tuple[float, float]:
        """Return none: the coils are where they are by default."""
        return 0.0, 0.0

    @property
    def beyond_fov(self) -> bool:
        """Return False: there is nothing beyond the cine."""
        return False

    @property
    def tissues(self) -> frozenset[str]:
        """Return none: it is made of images."""
        return frozenset()

    @property
    def anatomy_sha256(self) -> str:
        """Return the SHA-256 of its arrays, hexadecimal."""
        return self.digest

    @property
    def seeded(self) -> bool:
        """Return False: it moves as it was recorded."""
        return False

    @property
    def recorded(self) -> Recorded | None:
        """Return the pixels and instants of the cine."""
        (rows, columns), (height, width) = self.playback.images.shape[1:], self.playback.pixel_m
        return Recorded((rows, columns), (rows * height, columns * width), self.playback.t_ns)

    def metres(self, place_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return places (row, column) as (x, y), shape (n, 2), metres from the middle of the image."""
        sides = np.array(self.playback.images.shape[1:])
        placed = (place_px - sides // 2) * np.array(self.playback.pixel_m)
        return np.asarray(placed[:, ::-1], np.float64)


def patient_of(series: Series, smooth_frames: float = SMOOTH_FRAMES, name: str = "patient") -> Patient:
    """Make a patient of a cine.

    Parameters
    ----------
    series
        The cine.
    smooth_frames
        Standard deviation of the Gaussian in time, in median frames; 0 keeps the frames as they are.
    name
        Short name.

    Raises
    ------
    PhantomError
        If the target cannot be followed, or leaves the image.
    """
    playback, realism = playback_of(series, smooth_frames)
    name = re.sub("[^A-Za-z0-9_-]+", "-", name)[:60].strip("-") or "patient"
    made = {"source": series.source, "smooth_frames": smooth_frames, "version": mrsim.__version__}
    made |= {"orientation": series.orientation, "notes": list(series.notes)}
    return Patient(name, playback, _digest(playback), None, {**made, "realism": _told(realism)})


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
    smooth_frames: float = SMOOTH_FRAMES,
    overwrite: bool = False,
) -> Patient:
    """Make a patient of a cine and store it in a folder.

    Parameters
    ----------
    series
        The cine: a file or folder of a kind that `read_cine` knows, or a series.
    output
        Folder to make.
    label, frame_ms, pixel_mm, time_axis
        What the file does not say of itself: the target's label, the time from frame to frame, the height and
        width of a pixel, and which axis of a volume is time, "fastest" or "slowest".
    smooth_frames
        Standard deviation of the Gaussian in time, in median frames; 0 keeps the frames as they are.
    overwrite
        Whether a patient that stands there is replaced.

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
        given = read_cine(given, label=label, frame_ms=frame_ms, pixel_mm=pixel_mm, time_axis=time_axis)
    return store_patient(given, output, smooth_frames, overwrite)


def check_new_patient(output: Path, overwrite: bool) -> None:
    """Raise an error if no patient can be made in a folder: before the work."""
    _room(output, overwrite)


def _room(output: Path, overwrite: bool) -> WholeFolder:
    return WholeFolder(output, replace=overwrite and (output / RECORD).is_file())


def store_patient(
    given: Series,
    output: Path,
    smooth_frames: float,
    overwrite: bool,
    beside: Callable[[Path, Patient], object] | None = None,
) -> Patient:
    """Make a patient of a series and store it whole.

    Parameters
    ----------
    given, output, smooth_frames, overwrite
        As for `prepare_patient`.
    beside
        Writes what else belongs to it, such as a picture, into the folder that it is given.
    """
    room = _room(output, overwrite)
    patient = patient_of(given, smooth_frames, output.name)
    with room as folder:
        for name in ARRAYS:
            write_array(folder / f"{name}.npy", getattr(patient.playback, name))
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
    digest = _digest(playback)
    if digest != record.get("sha256"):
        raise PhantomError(
            f"{folder}: its arrays are not those of its record; make it again with `mrsim patient`"
        )
    return Patient(name, playback, digest, folder, record)


def patient_from_text(text: str, where: str) -> Patient:
    """Return the patient that a scan names.

    Parameters
    ----------
    text
        As `Patient.text` gives it.
    where
        How errors name it.

    Raises
    ------
    InputError
        If its folder is gone, or holds another patient by now.
    """
    table = parse_toml(text, where)
    folder, digest = table.get("folder"), table.get("sha256")
    if not isinstance(folder, str) or not isinstance(digest, str):
        raise PhantomError(f"{where}: expected the folder and the sha256 of a patient")
    if not folder:
        raise PhantomError(
            f"{where}: the patient {table.get('name')!r} was never stored, so it cannot be had again"
        )
    patient = load_patient(folder)
    if patient.digest != digest:
        raise PhantomError(f"{where}: {folder} holds another patient by now")
    name = table.get("name")
    return dataclasses.replace(patient, name=name) if isinstance(name, str) and name else patient


def is_patient_text(text: str) -> bool:
    """Return whether a text is that of a patient, not of a phantom."""
    return text.startswith(f'kind = "{KIND}"\n')


def _digest(playback: Playback) -> str:
    hasher = hashlib.sha256(repr(tuple(round(side, 12) for side in playback.pixel_m)).encode())
    for name in ARRAYS:
        array = np.ascontiguousarray(getattr(playback, name))
        hasher.update(f"{name} {array.dtype.str} {array.shape}".encode())
        hasher.update(array.data)
    return hasher.hexdigest()


def _told(realism: Realism) -> dict[str, float | None]:
    return {
        "energy_removed": realism.removed,
        "left_out_nmse": realism.left_out,
        "frame_before_nmse": realism.previous,
        "least_likeness": realism.likeness,
    }
