"""Labels as planning systems keep them: contours (RTSTRUCT) and segmentations, in the plane of a DICOM cine.

Both say which structures there are, and may say which image each is drawn on. What is drawn on no image of
the cine is taken for the first, if it lies in the slice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.polygon import even_odd
from mrsim.anatomy.series.reading.dicom import axes_of, turn_of_head
from mrsim.anatomy.series.reading.dicom_heads import (
    SEGMENTATION,
    STRUCTURES,
    Head,
    class_of,
    heads_of,
    pixels_of,
    read_dataset,
)
from mrsim.anatomy.series.reading.found import Found, Given
from mrsim.errors import Option, PhantomError

_HALF_MM = 2.5
"""How far from the slice's middle a contour may be where no thickness is told."""
_TOLD = 8  # structures that a message names


def read_label(path: Path, found: Found, given: Given) -> tuple[NDArray[Any], str]:
    """Read labels of the first frame or of all from a DICOM file: contours, a segmentation, or images.

    Parameters
    ----------
    path
        The file.
    found
        The cine that they are drawn on.
    given
        Which structure is the target, where there are several.

    Returns
    -------
    labels
        Turned as the cine is, shape (k, ny, nx).
    told
        Which structure was taken; empty for images.

    Raises
    ------
    PhantomError
        If there is no such structure, or it lies in another plane or on other images.
    """
    header = read_dataset(path, header=True)
    kind = class_of(header)
    if kind not in (STRUCTURES, SEGMENTATION):
        if not (heads := heads_of(path)):
            raise PhantomError(f"{path}: no image, no contours and no segmentation; give another label")
        return turn_of_head(heads[0])[0](pixels_of(path)), ""
    try:
        told = list(_contours(header) if kind == STRUCTURES else _segments(path, header))
    except (AttributeError, TypeError, ValueError, IndexError):
        raise PhantomError(f"{path}: damaged contours or segments") from None
    if not told:
        raise PhantomError(f"{path}: no structure is drawn in it")
    name = _chosen(path, [name for name, *_ in told], given.structure)
    mine = [(images, drawn) for one, images, drawn in told if one == name]
    masks = _drawn(path, name, mine, found) if kind == STRUCTURES else _stored(path, mine, found)
    frames = sorted(masks)
    if frames[0] != 0:
        raise PhantomError(
            f"{path}: {name} is drawn on image {frames[0] + 1} of the cine; draw it on the first, or on all"
        )
    kept = frames if len(frames) == len(found.images) else [0]
    return found.turn(np.stack([masks[n] for n in kept])), f"the label is {name} of {path.name}"


def _chosen(path: Path, names: Sequence[str], wanted: str | None) -> str:
    known = list(dict.fromkeys(names))
    told = ", ".join(known[:_TOLD]) + (f", and {len(known) - _TOLD} more" if len(known) > _TOLD else "")
    if wanted is None and len(known) > 1:
        raise PhantomError(
            "{}: several structures ({}); give {} and the name of the target", path, told, Option("structure")
        )
    if wanted is not None and wanted not in known:
        raise PhantomError("{}: {} is none of {}", path, Option("structure", wanted), told)
    return known[0] if wanted is None else wanted


def _contours(header: Any) -> Iterator[tuple[str, list[tuple[str, int]], NDArray[np.float64]]]:
    """Yield structure, images and corners, millimetres, of each closed contour."""
    names = {int(one.ROINumber): str(one.get("ROIName", "")) for one in header.StructureSetROISequence}
    for roi in header.ROIContourSequence:
        number = int(roi.ReferencedROINumber)
        for contour in roi.get("ContourSequence") or []:
            points = np.array(contour.ContourData, np.float64).reshape(-1, 3)
            if len(points) > 2 and "CLOSED" in str(contour.ContourGeometricType):
                images = [_image_of(one) for one in contour.get("ContourImageSequence") or []]
                yield names.get(number) or f"ROI {number}", images, points


def _segments(path: Path, header: Any) -> Iterator[tuple[str, list[tuple[str, int]], Any]]:
    """Yield segment, images and (plane's position and axes, mask) of each frame."""
    names = {int(one.SegmentNumber): str(one.get("SegmentLabel", "")) for one in header.SegmentSequence}
    half = 0.5
    if str(header.get("SegmentationType", "")) == "FRACTIONAL":
        half = float(header.MaximumFractionalValue) / 2
    shared = (header.get("SharedFunctionalGroupsSequence") or [None])[0]
    for own, mask in zip(header.PerFrameFunctionalGroupsSequence, pixels_of(path), strict=True):
        said: dict[str, Any] = {}
        for groups in filter(None, (shared, own)):
            said |= {item.keyword: item.value[0] for item in groups if item.VR == "SQ" and len(item.value)}
        number = int(said["SegmentIdentificationSequence"].ReferencedSegmentNumber)
        sources = said.get("DerivationImageSequence", {})
        images = [_image_of(one) for one in sources.get("SourceImageSequence") or []]
        plane = [
            tuple(map(float, said[key].get(name) or ())) if key in said else ()
            for key, name in (
                ("PlanePositionSequence", "ImagePositionPatient"),
                ("PlaneOrientationSequence", "ImageOrientationPatient"),
            )
        ]
        yield names.get(number) or f"segment {number}", images, (*plane, mask > half)


def _image_of(item: Any) -> tuple[str, int]:
    number = item.get("ReferencedFrameNumber")
    first = number if isinstance(number, int | str) or number is None else number[0]
    return str(item.ReferencedSOPInstanceUID), int(first or 1) - 1


def _frames(images: list[tuple[str, int]], found: Found) -> list[int]:
    """Return which frames are meant; the first where none of them is."""
    known = {(head.image, head.frame): n for n, head in enumerate(found.heads)}
    return [known[image] for image in images if image in known] or [0]


def _drawn(
    path: Path, name: str, contours: list[tuple[list[tuple[str, int]], Any]], found: Found
) -> dict[int, NDArray[np.bool_]]:
    """Return the masks of contours by frame; one within another is a hole."""
    head: Head | None = found.heads[0] if found.heads else None
    axes = None if head is None else axes_of(head)
    if head is None or axes is None or len(head.position) != 3 or head.pixel_mm is None:
        raise PhantomError(f"{path}: the cine does not say where its slice is, and contours do; give a mask")
    half = _HALF_MM if not head.thickness_mm else head.thickness_mm / 2
    rows, columns = head.size
    y, x = np.mgrid[:rows, :columns].astype(np.float64)
    masks: dict[int, NDArray[np.bool_]] = {}
    nearest = np.inf
    for images, points in contours:
        away = points - np.array(head.position)
        off = float(np.abs(away @ np.cross(*axes)).max())
        nearest = min(nearest, off)
        if off > half:
            continue
        corners = np.stack([away @ axes[0] / head.pixel_mm[1], away @ axes[1] / head.pixel_mm[0]], axis=1)
        inside = even_odd(corners, x, y)
        for n in _frames(images, found):
            masks[n] = masks.get(n, np.zeros((rows, columns), np.bool_)) ^ inside
    if not masks:
        raise PhantomError(
            f"{path}: {name} is nowhere in the cine's slice: its contours are {nearest:.1f} mm off or more, "
            f"expected at most {half:.1f}"
        )
    return masks


def _stored(
    path: Path, segments: list[tuple[list[tuple[str, int]], Any]], found: Found
) -> dict[int, NDArray[np.bool_]]:
    """Return the masks of segments by frame."""
    masks: dict[int, NDArray[np.bool_]] = {}
    for images, (position, orientation, mask) in segments:
        head: Head | None = found.heads[0] if found.heads else None
        size = found.images.shape[1:] if head is None else head.size
        if mask.shape != size:
            raise PhantomError(
                f"{path}: a segmentation of {mask.shape}; expected the size of the images, {size}"
            )
        if head is not None and not (
            _same(position, head.position, _HALF_MM) and _same(orientation, head.orientation, 0.02)
        ):
            raise PhantomError(
                f"{path}: its segmentation lies in another plane than the cine, or elsewhere in it"
            )
        for n in _frames(images, found):
            masks[n] = masks[n] | mask if n in masks else mask
    return masks


def _same(one: tuple[float, ...], other: tuple[float, ...], most: float) -> bool:
    """Return whether two places are the same, as far as both are told."""
    return len(one) != len(other) or all(abs(a - b) <= most for a, b in zip(one, other, strict=True))
