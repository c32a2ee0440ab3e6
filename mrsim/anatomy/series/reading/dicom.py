"""DICOM: a folder of files, or a file of many frames; order and times come from the headers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.series.reading.dicom_heads import (
    CLOCKS,
    COUNTS,
    SEGMENTATION,
    STRUCTURES,
    TIMES,
    Head,
    class_of,
    heads_of,
    is_dicom,
    pixels_of,
    read_dataset,
)
from mrsim.anatomy.series.reading.found import Found, Given, Turn
from mrsim.anatomy.series.reading.itk import turn_of
from mrsim.anatomy.series.series import MAX_BYTES, MAX_FRAMES, MIN_FRAMES
from mrsim.errors import Option, PhantomError

POSITION_MM, DIRECTION = 0.5, 1e-3
"""How far slices of one place may be apart, and the components of their directions."""
EVEN = 2.0
"""Longest step over the median one, up to which times are trusted that instance numbers do not follow."""
DAY_S = 86_400.0
_CROOKED = 0.02  # of what should be unit vectors at right angles
_TOLD = 6  # parts that a message names
_PLANES = ("sagittal", "coronal", "axial")


def holds_dicom(folder: Path) -> bool:
    """Return whether a file of a folder, or of what lies in it, is DICOM."""
    return any(is_dicom(entry) for entry in _files(folder))


def read_folder(folder: Path, given: Given) -> Found:
    """Read a cine from the files of a folder.

    Raises
    ------
    PhantomError
        If it holds several series or slices, or times that cannot be ordered.
    """
    files = [path for path in _files(folder) if is_dicom(path)]
    if len(files) > MAX_FRAMES:
        raise PhantomError(f"{folder}: {len(files)} files; expected at most {MAX_FRAMES}")
    heads, beside = [], []
    for path in files:
        found = heads_of(path)
        heads += found
        if not found and class_of(read_dataset(path, header=True)) in (STRUCTURES, SEGMENTATION):
            beside.append(str(path.relative_to(folder)))
    cine = _cine(folder, heads, given)
    if beside and given.label is None:
        told = (
            f"structures lie beside the images ({', '.join(beside[:_TOLD])}): one may be given as the label"
        )
        cine = replace(cine, notes=(*cine.notes, told))
    return cine


def read_file(path: Path, given: Given) -> Found:
    """Read a cine from one file of many frames.

    Raises
    ------
    PhantomError
        If it holds one image alone, or several slices.
    """
    heads = heads_of(path)
    if not heads:
        raise PhantomError(f"{path}: no image in it; name the folder of the images")
    if len(heads) == 1:
        raise PhantomError(f"{path}: one image; name the folder of all of them")
    return _cine(path, heads, given)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and of those below it, as discs for exchange have them."""
    return iter(sorted(itertools.islice((p for p in folder.rglob("*") if p.is_file()), 4 * MAX_FRAMES)))


def _cine(where: Path, heads: list[Head], given: Given) -> Found:
    if not heads:
        raise PhantomError(f"{where}: its DICOM files hold no image")
    single = list(
        {(h.image or h.file, h.frame, *h.counts.items(), *h.seconds.items()): h for h in heads}.values()
    )
    copies = [f"{len(heads) - len(single)} images were there twice"] if len(single) < len(heads) else []
    heads, left = _part(where, _parts(single), given)
    order, seconds, notes = _ordered(where, heads, given)
    notes = [*copies, *left, *notes]
    if len({head.pixel_mm for head in heads}) > 1 and given.pixel_mm is None:
        raise PhantomError("{}: pixels of several sizes; give {}", where, Option("pixel_mm"))
    heads = [heads[n] for n in order]
    images = _pixels(heads)
    if any(head.inverted for head in heads):
        images = images.max() - images
        notes.append("MONOCHROME1: dark and bright were exchanged; the largest value is 0 now")
    if images.min() < 0:
        notes.append(f"values from {images.min():g} on: these are no magnitudes")
    (turn, swapped), pixel = turn_of_head(heads[0]), heads[0].pixel_mm
    pixel = (pixel[1], pixel[0]) if pixel is not None and swapped else pixel
    field = [] if heads[0].field_t is None else [f"field strength {heads[0].field_t:g} T"]
    return Found(turn(images), seconds, pixel, None, turn, (*notes, *field), heads=tuple(heads))


def _parts(heads: Sequence[Head]) -> list[list[Head]]:
    """Return frames of one series, kind and slice together, in the order in which they are met."""
    parts: list[list[Head]] = []
    by_name: dict[tuple[object, ...], list[list[Head]]] = {}
    for head in heads:
        same = by_name.setdefault((head.series, head.kind, head.size), [])
        for part in same:
            if _near(part[0].orientation, head.orientation, DIRECTION) and _near(
                part[0].position, head.position, POSITION_MM
            ):
                part.append(head)
                break
        else:
            same.append([head])
            parts.append(same[-1])
    return parts


def _near(one: tuple[float, ...], other: tuple[float, ...], most: float) -> bool:
    return len(one) == len(other) and all(abs(a - b) <= most for a, b in zip(one, other, strict=True))


def _part(where: Path, parts: list[list[Head]], given: Given) -> tuple[list[Head], list[str]]:
    """Return the part that is asked for, or the only one that can be a cine, and what is told of others."""
    number, sized = given.part, len({part[0].size for part in parts}) > 1
    if number is not None and number > len(parts):
        raise PhantomError(
            "{}: it has {} parts; {} is none of them", where, len(parts), Option("part", number)
        )
    long = [n for n, part in enumerate(parts) if len(part) >= MIN_FRAMES]
    fit = [n for n in long if not parts[n][0].no_magnitude]
    if number is None and len(parts) > 1 and not long:
        raise PhantomError(
            f"{where}: no {MIN_FRAMES} images of one slice in one series, but {len(parts)} series or slices "
            f"such as {_told(parts[0], sized)}; a cine shows one slice again and again"
        )
    if number is None and len(parts) > 1 and len(fit) > 1:
        told = ", ".join(f"{n}: {_told(part, sized)}" for n, part in enumerate(parts[:_TOLD], 1))
        rest = f", and {len(parts) - _TOLD} more" if len(parts) > _TOLD else ""
        raise PhantomError(
            "{}: several series, slices or kinds of image ({}{}); give {} and the number of one",
            where, told, rest, Option("part"),
        )  # fmt: skip
    taken = number - 1 if number is not None else (fit or long or [0])[0]
    part = parts[taken]
    if len(part) < MIN_FRAMES:
        raise PhantomError(f"{where}: {len(part)} images of one slice; expected {MIN_FRAMES} at least")
    if word := part[0].no_magnitude:
        raise PhantomError(
            f"{where}: its images are no magnitudes ({word}); take the series of the magnitudes"
        )
    left = [_told(other, sized) for n, other in enumerate(parts) if n != taken]
    rest = f" and {len(left) - _TOLD} more" if len(left) > _TOLD else ""
    return part, [f"left out: {', '.join(left[:_TOLD])}{rest}"] if left and number is None else []


def _told(part: list[Head], sized: bool) -> str:
    head = part[0]
    words = [f"{len(part)} of {head.told or head.series or 'a series without a name'}"]
    if len(head.orientation) == 6:
        normal = np.abs(np.cross(head.orientation[:3], head.orientation[3:]))
        words.append(_PLANES[int(normal.argmax())])
        if len(head.position) == 3:
            words.append("at " + "/".join(f"{side:.0f}" for side in head.position))
    return " ".join([*words, *head.kind, *([f"({head.size[0]} x {head.size[1]})"] if sized else [])])


def turn_of_head(head: Head) -> tuple[Turn, bool]:
    """Return how an image is turned, and whether its sides are exchanged."""
    if (axes := axes_of(head)) is None:
        return Turn(), False
    across, down = axes
    turn = turn_of(down, across)
    return turn, turn.swapped


def axes_of(head: Head) -> NDArray[np.float64] | None:
    """Return where columns and rows go on, (left, back, head), shape (2, 3); None where no two are told."""
    if len(head.orientation) != 6:
        return None
    axes = np.array(head.orientation).reshape(2, 3)
    return axes if np.abs(axes @ axes.T - np.eye(2)).max() < _CROOKED else None


def _ordered(
    where: Path, heads: Sequence[Head], given: Given
) -> tuple[list[int], NDArray[np.float64] | None, list[str]]:
    """Return the order of the frames, their times, and where these come from."""
    by_number: list[int] = []
    counted = next(
        (c for c in COUNTS if len({h.counts[c] for h in heads if c in h.counts}) == len(heads)), ""
    )
    if counted:
        by_number = sorted(range(len(heads)), key=lambda n: heads[n].counts[counted])
    if given.frame_ms is not None and counted:
        return by_number, None, [f"frames in the order of their {counted}"]
    unclear = ""
    for name in TIMES:
        times = [head.seconds[name] for head in heads if name in head.seconds]
        if len(times) < len(heads) or len(set(times)) < len(heads):
            unclear = unclear or (name if len(times) == len(heads) else "")
            continue
        taken = np.array(times)
        order = np.argsort(taken, kind="stable")
        steps = np.diff(taken[order])
        if name in CLOCKS and steps.max() > DAY_S / 2:  # a day ended in between
            taken[order[: int(np.argmax(steps)) + 1]] += DAY_S
            order = np.argsort(taken, kind="stable")
            steps = np.diff(taken[order])
        notes = [f"times are the headers' {name}"]
        if counted and order.tolist() != by_number:
            if steps.max() > EVEN * np.median(steps):
                pairs = zip(order.tolist(), by_number, strict=True)
                frame = next(n for n, (a, b) in enumerate(pairs) if a != b)
                raise PhantomError(
                    "{}: the {} goes back where {} go on (image {}); give {} to take their "
                    "order", where, name, counted, frame + 1, Option("frame_ms"),
                )  # fmt: skip
            notes.append(f"{counted} do not follow the times, which are even: the times order the frames")
        if given.frame_ms is not None:
            return order.tolist(), None, [f"frames in the order of the headers' {name}"]
        return order.tolist(), taken[order], notes
    if not counted:
        raise PhantomError(f"{where}: neither times nor instance numbers tell its images apart")
    if unclear:
        raise PhantomError(
            "{}: some of its frames have the same {}; give {}", where, unclear, Option("frame_ms")
        )
    return by_number, None, [f"frames in the order of their {counted}"]


def _pixels(heads: Sequence[Head]) -> NDArray[np.float32]:
    """Return frames in the order that is given, as their slopes scale them, shape (frames, ny, nx)."""
    out: NDArray[np.float32] | None = None
    wanted: dict[Path, list[int]] = {}
    for n, head in enumerate(heads):
        wanted.setdefault(head.file, []).append(n)
    for path, places in wanted.items():
        array = pixels_of(path)
        if out is None:
            if len(heads) * array[0].size * 8 > MAX_BYTES:
                raise PhantomError(f"{path}: more than {MAX_BYTES >> 33} Gi pixels in all; take fewer frames")
            out = np.empty((len(heads), *array.shape[1:]), np.float32)
        if array.shape[1:] != out.shape[1:] or len(array) <= max(heads[n].frame for n in places):
            raise PhantomError(f"{path}: {array.shape}; expected images of the size of the others")
        for n in places:
            slope, intercept = heads[n].scale
            out[n] = array[heads[n].frame] * slope + intercept
    assert out is not None
    return out
