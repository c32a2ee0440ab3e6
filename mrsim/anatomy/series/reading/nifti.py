"""NIfTI: a file of four axes, or a folder with a file for each time point, with masks."""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.series.reading.found import Found, Given, Turn
from mrsim.anatomy.series.reading.itk import read_image, turn_of
from mrsim.anatomy.series.series import MAX_FRAMES
from mrsim.errors import Option, PhantomError
from mrsim.files.reading import open_file

_HEAD, _TWO = 348, 540  # bytes of a header of NIfTI-1, and of NIfTI-2
_FLOATS = {16: 4, 64: 8, 32: 4, 1792: 8}  # data types of real and complex floats, and bytes of each number
_TIME_UNITS = {8: 1.0, 16: 1e-3, 24: 1e-6}  # of xyzt_units, seconds
_MASK = re.compile(r"(?i)(?:^|[_.\- ])(mask|label|labels|seg|target)(?=$|[_.\- ]|\d)")


def is_nifti(path: Path) -> bool:
    """Return whether a name is that of a NIfTI file."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def read_nifti(path: Path, given: Given) -> Found:
    """Read a cine from one file.

    Raises
    ------
    PhantomError
        If it is damaged, holds volumes, or nothing says which of its axes is time.
    """
    stored, pixel_mm, turn, reader = _stored(path)
    if len(stored) == 1 and stored.ndim == 3:
        raise PhantomError(f"{path}: one image; expected a series, or the folder of all time points")
    if reader.GetDimension() == 3 and given.time_axis != "slowest":
        raise PhantomError(
            "{}: three axes, and nothing says that the third is time; give {} slowest",
            path,
            Option("time_axis"),
        )
    step = _step(path) if reader.GetDimension() == 4 else None
    seconds = None if step is None else np.arange(len(stored)) * step
    return Found(turn(stored), seconds, pixel_mm, None, turn)


def read_folder(folder: Path, given: Given) -> Found:
    """Read a cine from the files of a folder, one a time point, in the order of the numbers in their names.

    Raises
    ------
    PhantomError
        If they differ in size, or masks are of some alone.
    """
    files = sorted((path for path in folder.iterdir() if is_nifti(path)), key=_natural)
    if len(files) > 2 * MAX_FRAMES:
        raise PhantomError(f"{folder}: {len(files)} files; expected at most {2 * MAX_FRAMES}")
    masks = [path for path in files if _MASK.search(_stem(path))]
    images = [path for path in files if path not in set(masks)]
    if len(images) < 2:
        raise PhantomError(
            f"{folder}: {len(images)} images in NIfTI; expected one a time point, or name the file"
        )
    if len(masks) not in (0, 1, len(images)):
        raise PhantomError(
            f"{folder}: {len(masks)} masks of {len(images)} images; expected none, one of the first, or all"
        )
    read = [_stored(path) for path in images]
    shapes = {stored.shape for stored, *_ in read}
    if len(shapes) != 1 or next(iter(shapes))[0] != 1:
        raise PhantomError(f"{folder}: images of several sizes or time points: {sorted(shapes)[:3]}")
    turn, pixel_mm = read[0][2], read[0][1]
    labels = None
    if given.label is None and masks:
        labels = np.concatenate([read_label(path) for path in masks])
    note = f"frames in the order of their names: {images[0].name} to {images[-1].name}"
    stack = np.concatenate([stored for stored, *_ in read])
    return Found(turn(stack), None, pixel_mm, labels, turn, (note,))


def read_label(path: Path) -> NDArray[Any]:
    """Read labels of one frame or of all, turned as their header says, shape (k, ny, nx)."""
    stored, _, turn, _ = _stored(path)
    return turn(stored)


def _step(path: Path) -> float | None:
    """Return the time from frame to frame, seconds; None where the header leaves it at 0 or has no unit.

    The library takes 0 for 1, so the header is read here.
    """
    head = _begin(path, _HEAD)
    order = "<" if int.from_bytes(head[:4], "little") == _HEAD else ">"
    (length,) = struct.unpack_from(f"{order}f", head, 92)
    unit = _TIME_UNITS.get(head[123] & 0x38)
    return length * unit if unit is not None and math.isfinite(length) and length > 0 else None


def _begin(path: Path, size: int) -> bytes:
    """Return the first bytes of a file's content, unpacked."""
    try:
        with open_file(path) as file:
            if path.name.lower().endswith(".gz"):
                with gzip.open(file) as unpacked:
                    return unpacked.read(size)
            return file.read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise PhantomError(f"{path}: damaged ({error})") from None


def _check_head(path: Path) -> None:
    if _begin(path, 4) in (_TWO.to_bytes(4, "little"), _TWO.to_bytes(4, "big")):
        raise PhantomError(f"{path}: NIfTI-2, which is not taken; store it as NIfTI-1")


def _check_finite(path: Path, array: NDArray[Any]) -> None:
    """Refuse values that are not finite, which the library takes for 0."""
    head = _begin(path, _HEAD)
    order = "<" if int.from_bytes(head[:4], "little") == _HEAD else ">"
    (code,), (offset,) = (struct.unpack_from(f"{order}{k}", head, at) for k, at in (("h", 70), ("f", 108)))
    if code in _FLOATS and 0 <= offset < 1 << 20:
        kind = np.dtype(f"{order}f{_FLOATS[code]}")
        parts = 2 if np.iscomplexobj(array) else 1
        stored = _begin(path, int(offset) + array.size * parts * kind.itemsize)[int(offset) :]
        values = np.frombuffer(stored[: len(stored) // kind.itemsize * kind.itemsize], kind)
        if not np.isfinite(values).all():
            at = int(np.argmax(~np.isfinite(values))) // parts
            frame = at * len(array) // array.size
            raise PhantomError(f"{path}: frame {frame} has pixels that are not finite")


def _stored(path: Path) -> tuple[NDArray[Any], tuple[float, float], Turn, Any]:
    """Return frames (time, row, column), the pixel after turning, and how they are to be turned."""
    if is_nifti(path):
        _check_head(path)
    array, reader = read_image(path)
    if is_nifti(path):
        _check_finite(path, array)
    size, spacing = list(reader.GetSize()), [float(step) for step in reader.GetSpacing()]
    axes, direction = reader.GetDimension(), np.array(reader.GetDirection())
    direction = direction.reshape(axes, axes)[: min(axes, 3), : min(axes, 3)]
    if axes == 2:
        # A slice of no known place: its columns and rows as they are.
        return array[None], (spacing[1], spacing[0]), Turn(), reader
    plane = [axis for axis in range(3) if size[axis] > 1]
    if axes == 3 and len(plane) == 3:  # rows, columns, and time for whoever says so
        turn = turn_of(direction[:, 1], direction[:, 0])
        return array, _pixel(spacing, 1, 0, turn), turn, reader
    if axes not in (3, 4) or len(plane) != 2:
        raise PhantomError(
            f"{path}: volumes of {' x '.join(map(str, size[:3]))}; expected one slice: cut it out first"
        )
    column, row = plane
    turn = turn_of(direction[:, row], direction[:, column])
    frames = size[3] if axes == 4 else 1
    return array.reshape(frames, size[row], size[column]), _pixel(spacing, row, column, turn), turn, reader


def _pixel(spacing: list[float], row: int, column: int, turn: Turn) -> tuple[float, float]:
    pixel = spacing[row], spacing[column]
    return (pixel[1], pixel[0]) if turn.swapped else pixel


def _stem(path: Path) -> str:
    return path.name.lower().removesuffix(".gz").removesuffix(".nii")


def _natural(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
