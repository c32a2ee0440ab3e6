"""DICOM: a folder of one series, or a file of many frames; order and times come from the headers."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.series.reading.found import Found, Given, Turn
from mrsim.anatomy.series.reading.itk import library, read_image, turn_of
from mrsim.anatomy.series.series import MAX_FRAMES
from mrsim.errors import InputError, Option, PhantomError
from mrsim.files.reading import open_file

SERIES, NUMBER, POSITION, ORIENTATION = "0020|000e", "0020|0013", "0020|0032", "0020|0037"
FIELD, FRAME_TIME, DESCRIPTION = "0018|0087", "0018|1063", "0008|103e"
# When a frame was taken, the best first; a trigger time is in milliseconds.
TIMES = ("0008|002a", "0008|0032", "0018|1060", "0008|0033")
_NAMES = {"0008|002a": "acquisition date and time", "0008|0032": "acquisition time",
          "0018|1060": "trigger time", "0008|0033": "content time"}  # fmt: skip
POSITION_MM = 0.5
DAY_S = 86_400.0


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM."""
    with contextlib.suppress(OSError, InputError):
        if path.is_file():
            with open_file(path) as file:
                return file.read(132)[128:] == b"DICM"
    return False


def holds_dicom(folder: Path) -> bool:
    """Return whether one of the first files of a folder is DICOM."""
    return any(is_dicom(entry) for entry in itertools.islice(sorted(folder.iterdir()), 20))


def read_folder(folder: Path, given: Given) -> Found:
    """Read a cine from a folder of one series.

    Raises
    ------
    PhantomError
        If the folder holds several series or slices, or times that cannot be ordered.
    """
    files = sorted(entry for entry in folder.iterdir() if is_dicom(entry))
    if len(files) > MAX_FRAMES:
        raise PhantomError(f"{folder}: {len(files)} files; expected at most {MAX_FRAMES}")
    sitk = library()
    heads = [_head(sitk, file) for file in files]
    series = sorted({head[SERIES] for head in heads})
    if len(series) > 1:
        counts = [
            f"{sum(h[SERIES] == one for h in heads)} of "
            f"{next(h[DESCRIPTION] for h in heads if h[SERIES] == one) or one}"
            for one in series
        ]
        raise PhantomError(
            f"{folder}: {len(series)} DICOM series ({', '.join(counts[:4])}); put one of them into a folder "
            "of its own"
        )
    if len(files) == 1:
        return read_file(files[0], given)
    _check_places(folder, heads)
    order, seconds, note = _ordered(folder, heads, given)
    frames: list[NDArray[Any]] = []
    turn, pixel_mm = Turn(), (0.0, 0.0)
    for number in order:
        array, reader = read_image(files[number])
        if array.shape[0] != 1 or (frames and array.shape[1:] != frames[0].shape):
            raise PhantomError(
                f"{files[number]}: {array.shape}; expected one image of the size of the others"
            )
        turn, pixel_mm = _geometry(reader)
        frames.append(array[0])
    notes = [note, *_field(heads[0])]
    return Found(turn(np.stack(frames)), seconds, pixel_mm, None, turn, tuple(notes))


def read_file(path: Path, given: Given) -> Found:
    """Read a cine from one file of many frames.

    Raises
    ------
    PhantomError
        If it holds one image alone.
    """
    head = _head(library(), path)
    array, reader = read_image(path)
    if array.ndim != 3 or len(array) < 2:
        raise PhantomError(f"{path}: one image; name the folder of all of them")
    turn, pixel_mm = _geometry(reader)
    step = _numbers(head[FRAME_TIME])
    seconds = np.arange(len(array)) * step[0] * 1e-3 if len(step) == 1 and step[0] > 0 else None
    return Found(turn(array), seconds, pixel_mm, None, turn, tuple(_field(head)))


def _head(sitk: Any, path: Path) -> dict[str, str]:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        raise PhantomError(f"{path}: a damaged DICOM file, or one without an image") from None
    keys = (SERIES, NUMBER, POSITION, ORIENTATION, FIELD, FRAME_TIME, DESCRIPTION, *TIMES)
    return {key: reader.GetMetaData(key).strip() if reader.HasMetaDataKey(key) else "" for key in keys}


def _geometry(reader: Any) -> tuple[Turn, tuple[float, float]]:
    spacing, axes = reader.GetSpacing(), reader.GetDimension()
    direction = np.array(reader.GetDirection()).reshape(axes, axes)
    if axes < 3:
        return Turn(), (float(spacing[1]), float(spacing[0]))
    turn = turn_of(direction[:, 1], direction[:, 0])
    pixel = (float(spacing[1]), float(spacing[0]))
    return turn, (pixel[1], pixel[0]) if turn.swapped else pixel


def _check_places(folder: Path, heads: Sequence[dict[str, str]]) -> None:
    for key, what, most in ((POSITION, "positions", POSITION_MM), (ORIENTATION, "orientations", 1e-3)):
        found = [_numbers(head[key]) for head in heads]
        first = found[0]
        others = sum(
            len(one) != len(first) or any(abs(a - b) > most for a, b in zip(one, first, strict=True))
            for one in found
        )
        if others:
            raise PhantomError(
                f"{folder}: slices of several {what}: {others} of {len(heads)} images are elsewhere than the "
                "first; put those of one slice into a folder of their own"
            )


def _ordered(
    folder: Path, heads: Sequence[dict[str, str]], given: Given
) -> tuple[list[int], NDArray[np.float64] | None, str]:
    """Return the order of the files, their times, and where these come from."""
    numbers = [_numbers(head[NUMBER]) for head in heads]
    counted = all(len(n) == 1 for n in numbers) and len({n[0] for n in numbers}) == len(heads)
    by_number = sorted(range(len(heads)), key=lambda n: numbers[n][0]) if counted else []
    if given.frame_ms is not None:
        if not counted:
            raise PhantomError(
                f"{folder}: instance numbers are missing or repeat, so nothing orders its images"
            )
        return by_number, None, "frames in the order of their instance numbers"
    for key in TIMES:
        times = [_seconds(key, head[key]) for head in heads]
        known = [t for t in times if t is not None]
        if len(known) < len(heads) or len(set(known)) < len(heads):
            continue
        taken = np.array(known)
        if counted and key != "0008|002a":  # a day may end in between
            steps = np.diff(taken[by_number])
            if (steps < -DAY_S / 2).sum() == 1:
                later = by_number[int(np.argmin(steps)) + 1 :]
                taken[later] += DAY_S
        order = np.argsort(taken, kind="stable").tolist()
        if counted and order != by_number:
            frame = next(n for n, (a, b) in enumerate(zip(order, by_number, strict=True)) if a != b)
            raise PhantomError(
                "{}: the {} goes back where instance numbers go on (image {}); give {} to take their order",
                folder, _NAMES[key], frame + 1, Option("frame_ms"),
            )  # fmt: skip
        return order, taken[order], f"times are the headers' {_NAMES[key]}"
    if not counted:
        raise PhantomError(f"{folder}: neither times nor instance numbers tell its images apart")
    return by_number, None, "frames in the order of their instance numbers"


def _seconds(key: str, text: str) -> float | None:
    """Return the time of a header, seconds; None if it is none."""
    if key == "0018|1060":
        found = _numbers(text)
        return found[0] * 1e-3 if len(found) == 1 else None
    day = 0.0
    if key == "0008|002a":
        if len(text) < 14 or not text[:14].isdecimal():
            return None
        try:
            day = float(np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:8]}").astype(np.int64)) * DAY_S
        except ValueError:
            return None
        text = text[8:].partition("+")[0].partition("-")[0]
    text = text.replace(":", "")
    whole, _, part = text.partition(".")
    if len(whole) != 6 or not whole.isdecimal() or (part and not part.isdecimal()):
        return None
    hours, minutes, seconds = int(whole[:2]), int(whole[2:4]), int(whole[4:])
    return day + hours * 3600 + minutes * 60 + seconds + (float(f"0.{part}") if part else 0.0)


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split("\\")] if text else []
    except ValueError:
        return []


def _field(head: dict[str, str]) -> list[str]:
    field = _numbers(head[FIELD])
    return [f"field strength {field[0]:g} T"] if len(field) == 1 else []
