"""The layout of TrackRAD2025: images/NAME_frames.mha, targets/, frame-rate.json; time is the fastest axis.

Its MHA files hold (time, column, row) with the fastest first, so numpy sees (row, column, time).
"""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.series.reading.found import Found, Given, Turn
from mrsim.anatomy.series.reading.itk import read_image
from mrsim.errors import Option, PhantomError
from mrsim.files.reading import read_json

FIELD_FILES = ("field-strength.json", "b-field-strength.json")
LABELS = ("labels", "first_label")
_FRAMES = re.compile(r"(?P<case>.+)_frames(?P<number>\d*)\.mha")
_TOLD = "rows run head to feet and columns front to back, as the layout has it"


def is_case(folder: Path) -> bool:
    """Return whether a folder has the layout."""
    return (folder / "images").is_dir()


def read_case(folder: Path, given: Given) -> Found:
    """Read a folder of the layout.

    Raises
    ------
    PhantomError
        If it holds several cines, or none.
    """
    files = sorted(path for path in (folder / "images").iterdir() if _FRAMES.fullmatch(path.name))
    if len(files) != 1:
        some = ", ".join(path.name for path in files[:4]) or "none"
        raise PhantomError(
            f"{folder}/images: expected one NAME_frames.mha, found {some}; name the file itself"
        )
    return read_mha(files[0], given)


def read_mha(path: Path, given: Given) -> Found:
    """Read a cine from an MHA file, with what the layout has beside it.

    Raises
    ------
    PhantomError
        If it is damaged, or nothing says which of its axes is time.
    """
    named = _FRAMES.fullmatch(path.name)
    case = path.absolute().parent.parent if path.absolute().parent.name == "images" else None
    rate = field = None
    if named is not None and case is not None:
        rate = _number(case / f"frame-rate{named['number']}.json", 0.01, 1000.0)
        field = next((v for f in FIELD_FILES if (v := _number(case / f, 0.01, 20.0)) is not None), None)
    array, reader = read_image(path)
    axis = given.time_axis or ("fastest" if rate is not None else None)
    if axis is None:
        asked = [Option("time_axis")] + ([Option("frame_ms")] if given.frame_ms is None else [])
        raise PhantomError(
            "{}: no frame-rate.json of TrackRAD's layout says that its fastest axis is time; give "
            + " and ".join(["{}"] * len(asked)), path, *asked,
        )  # fmt: skip
    images = _time_first(array, axis, path)
    if given.time_axis is None:
        _check_time(images, path)
    spacing = [float(step) for step in reader.GetSpacing()]
    pixel_mm = (spacing[2], spacing[1]) if axis == "fastest" else (spacing[1], spacing[0])
    labels = None
    if given.label is None and named is not None and case is not None:
        kept = [case / "targets" / f"{named['case']}_{what}{named['number']}.mha" for what in LABELS]
        file = next((file for file in kept if file.is_file()), None)
        if file is None:
            _check_observers(case / "targets", named["case"])
        labels = None if file is None else read_label(file, axis)
    notes = () if field is None else (f"field strength {field:g} T",)
    seconds = None if rate is None else np.arange(len(images)) / rate
    return Found(images, seconds, pixel_mm, labels, Turn(told=_TOLD), notes, axis)


def _check_observers(folder: Path, case: str) -> None:
    """Refuse labels of which none is known to be the one that is meant."""
    others = sorted(path.name for path in folder.glob(f"{glob.escape(case)}_*label*.mha"))
    if others:
        raise PhantomError(
            "{}: which of its labels is meant? {}; give {}", folder, ", ".join(others[:4]), Option("label")
        )


def read_label(path: Path, axis: str) -> NDArray[Any]:
    """Read labels of one frame or of all from an MHA file, shape (k, ny, nx)."""
    array, _ = read_image(path)
    return array[None] if array.ndim == 2 else _time_first(array, axis, path)


def _time_first(array: NDArray[Any], axis: str, path: Path) -> NDArray[Any]:
    if array.ndim != 3:
        raise PhantomError(f"{path}: an image of {array.ndim} axes; expected rows, columns and time")
    return np.ascontiguousarray(np.moveaxis(array, -1, 0)) if axis == "fastest" else array


def _check_time(images: NDArray[Any], path: Path) -> None:
    """Refuse a cine that its mean over time explains less well than its mean over rows or columns does."""
    some = images[:: max(1, len(images) // 128)].astype(np.float64)
    left = [float(some.var(axis=axis).sum() * some.shape[axis]) for axis in range(3)]
    if left[0] > min(left[1:]):
        raise PhantomError(
            "{}: its images differ more from frame to frame than from pixel to pixel: its fastest axis seems "
            "not to be time; give {}", path, Option("time_axis"),
        )  # fmt: skip


def _number(file: Path, low: float, high: float) -> float | None:
    if not file.is_file():
        return None
    value = read_json(file, 1 << 12, "one number")
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise PhantomError(f"{file}: expected one number from {low:g} to {high:g}")
    return float(value)
