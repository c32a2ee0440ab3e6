"""One call for a cine of any kind: what it is decides who reads it, and what is missing is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.series.reading import dicom, nifti, structures, trackrad
from mrsim.anatomy.series.reading.dicom_heads import is_dicom
from mrsim.anatomy.series.reading.found import Found, Given
from mrsim.anatomy.series.series import KEYS, MAX_BYTES, Series, series_from_arrays
from mrsim.errors import PhantomError
from mrsim.files.arrays import map_array, read_arrays

_KINDS = (
    "a folder of TrackRAD's layout, of one DICOM series or of NIfTI files, or a file .mha, .nii, .nii.gz, "
    ".dcm, .npz or .npy"
)


def read_cine(
    path: str | Path,
    *,
    label: str | Path | None = None,
    frame_ms: float | None = None,
    pixel_mm: tuple[float, float] | None = None,
    time_axis: str | None = None,
    part: int | None = None,
    structure: str | None = None,
) -> Series:
    """Read a cine of any kind that is known.

    Parameters
    ----------
    path
        A folder of TrackRAD's layout, of one DICOM series, or of one NIfTI file a time point; or a file
        `.mha`, `.nii`, `.nii.gz`, `.dcm` of many frames, `.npz` with the arrays of `series_from_arrays`, or
        `.npy`.
    label
        File of the target's label, of the first frame or of all; None for what lies beside the images.
    frame_ms
        Time from frame to frame, where the file does not say.
    pixel_mm
        Height and width of a pixel, where the file does not say.
    time_axis
        "fastest" or "slowest": which axis of a stored volume is time, where the layout does not say.
    part
        Which of several series or slices of DICOM files is read, from 1, as the error that lists them has it.
    structure
        Name of the target in a label that has several structures.

    Raises
    ------
    InputError
        If it is damaged, of no known kind, or leaves open what time, pixels or axes are.
    MissingExtraError
        If SimpleITK is needed and is not installed.
    """
    source = Path(path)
    given = Given(None if label is None else Path(label), frame_ms, pixel_mm, time_axis, part, structure)
    found = _found(source, given).completed(given, str(source))
    labels, of = found.labels, source
    if given.label is not None:
        (labels, told), of = _label(given.label, found, given), given.label
        found = replace(found, notes=(*found.notes, *filter(None, [told])))
    if labels is not None and (
        labels.shape[1:] != found.images.shape[1:] or len(labels) not in (1, len(found.images))
    ):
        turned = labels.shape[1:] == found.images.shape[:2]
        raise PhantomError(
            f"{of}: labels of the shape {labels.shape}; expected that of the images, {found.images.shape}, "
            "or of the first of them" + "; time is to be the first axis of the images" * turned
        )
    several = labels is not None and len(labels) > 1
    assert found.seconds is not None
    assert found.pixel_mm is not None
    return series_from_arrays(
        found.images,
        found.seconds,
        found.pixel_mm,
        first_label=None if labels is None or several else labels[0],
        labels=labels if several else None,
        source=str(source),
        orientation=found.turn.told,
        notes=found.notes,
    )


def _found(path: Path, given: Given) -> Found:
    if path.is_dir():
        if trackrad.is_case(path):
            return trackrad.read_case(path, given)
        if dicom.holds_dicom(path):
            return dicom.read_folder(path, given)
        if any(nifti.is_nifti(entry) for entry in path.iterdir()):
            return nifti.read_folder(path, given)
        raise PhantomError(f"{path}: no cine in it; expected {_KINDS}")
    ending = path.suffix.lower()
    if ending == ".npz":
        return _archive(path)
    if ending == ".npy":
        return Found(np.asarray(_bounded(path)), None, None)
    if ending in (".mha", ".mhd"):
        return trackrad.read_mha(path, given)
    if nifti.is_nifti(path):
        return nifti.read_nifti(path, given)
    if is_dicom(path):
        return dicom.read_file(path, given)
    if not path.exists():
        raise PhantomError(f"{path}: no such file or folder")
    raise PhantomError(f"{path}: no cine that is known; expected {_KINDS}")


def _archive(path: Path) -> Found:
    found = read_arrays(path, MAX_BYTES, "a series of images", names=KEYS)
    if "images" not in found:
        raise PhantomError(
            f"{path}: no array 'images'; expected {', '.join(KEYS[:3])}, perhaps {KEYS[3]} or {KEYS[4]}"
        )
    if "first_label" in found and "labels" in found:
        raise PhantomError(f"{path}: it has both first_label and labels; keep one of them")
    pixel: Any = found.get("pixel_mm")
    if pixel is not None:
        pixel = np.asarray(pixel)
        if pixel.dtype.kind not in "fiu" or pixel.size not in (1, 2):
            raise PhantomError(f"{path}: pixel_mm: expected one or two lengths")
        pixel = tuple(float(side) for side in np.broadcast_to(pixel.ravel(), 2))
    labels = found.get("labels")
    if "first_label" in found:
        labels = found["first_label"][None]
    return Found(found["images"], found.get("seconds"), pixel, labels)


def _label(path: Path, found: Found, given: Given) -> tuple[NDArray[Any], str]:
    """Read a label that another kind of file than the images holds, and what is told of it."""
    ending = path.suffix.lower()
    if ending == ".npy":
        array = np.asarray(_bounded(path))
        return found.turn(array[None] if array.ndim == 2 else array), ""
    if ending == ".mha" and found.time_axis is not None:
        return trackrad.read_label(path, found.time_axis), ""
    if ending in (".mha", ".mhd") or nifti.is_nifti(path):
        return nifti.read_label(path), ""
    if is_dicom(path):
        return structures.read_label(path, found, given)
    if not path.exists():
        raise PhantomError(f"{path}: no such file")
    raise PhantomError(f"{path}: no label that is known; expected .mha, .nii, .nii.gz, .dcm or .npy")


def _bounded(path: Path) -> NDArray[Any]:
    array = map_array(path)
    if array.nbytes > MAX_BYTES:
        raise PhantomError(f"{path}: {array.nbytes} bytes; expected at most {MAX_BYTES}")
    return array
