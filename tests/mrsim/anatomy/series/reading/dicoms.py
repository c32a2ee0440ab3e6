"""DICOM as clinics have it, written by pydicom from arrays that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAGITTAL = [0, 1, 0, 0, 0, -1]
CORONAL = [1, 0, 0, 0, 0, -1]
MR, ENHANCED = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"


def clock(n: int, start_s: float = 43_200.0, step_s: float = 0.25) -> str:
    """Return the time of a frame as headers have it."""
    s = (start_s + n * step_s) % 86_400
    return f"{int(s // 3600):02d}{int(s % 3600 // 60):02d}{s % 60:09.6f}"


def dataset(pixels: NDArray[Any], sop: str = MR, **tags: Any) -> Any:
    """Return an image, or one of many frames, with tags by keyword; None leaves one out."""
    import pydicom

    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop, pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    made = pydicom.dataset.FileDataset("x", {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = sop, meta.MediaStorageSOPInstanceUID
    stored = np.asarray(pixels, np.uint16)
    made.Rows, made.Columns = stored.shape[-2:]
    if stored.ndim == 3:
        made.NumberOfFrames = len(stored)
    known = {
        "Modality": "MR", "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4", "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15,
        "PixelRepresentation": 0, "PixelData": stored.tobytes(),
    }  # fmt: skip
    for key, value in {**known, **tags}.items():
        if value is not None:
            setattr(made, key, value)
    return made


def write_series(folder: Path, images: NDArray[Any], each: Any = None, **tags: Any) -> Path:
    """Write a file a frame; `each(n)` gives tags of one frame. Names say nothing of the order."""
    for n, image in enumerate(images):
        known = {
            "ImageOrientationPatient": SAGITTAL, "ImagePositionPatient": [0, 0, 0], "PixelSpacing": [3, 2.5],
            "InstanceNumber": n + 1, "AcquisitionTime": clock(n),
        }  # fmt: skip
        save(
            dataset(image, **{**known, **tags, **(each(n) if each else {})}),
            folder / f"IM{(n * 7) % 97:04d}",
        )
    return folder


def save(made: Any, path: Path) -> Path:
    """Write a data set."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return path


def group(**sequences: dict[str, Any]) -> Any:
    """Return functional groups: each keyword a sequence of one item with these tags."""
    import pydicom

    made = pydicom.Dataset()
    for name, tags in sequences.items():
        item = pydicom.Dataset()
        for key, value in tags.items():
            setattr(item, key, value)
        setattr(made, name, [item])
    return made
