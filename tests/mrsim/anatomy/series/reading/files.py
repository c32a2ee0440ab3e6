"""Cines in the formats of clinics, written by SimpleITK itself from arrays that are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.mrsim.anatomy.series.cines import cine

GIVEN = cine(12)
IMAGES: NDArray[np.float32] = (1000 * GIVEN["images"]).astype(np.float32)
LABEL: NDArray[np.uint8] = GIVEN["first_label"].astype(np.uint8)
SAGITTAL = (0.0, 1.0, 0.0), (0.0, 0.0, -1.0)
"""Where columns and rows go, (left, back, head): front to back, and head to feet."""


def write(array: NDArray[Any], path: Path, spacing: tuple[float, ...], compressed: bool = False) -> None:
    """Write an array, its slowest axis first; spacing is the fastest first."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(array, isVector=False)
    image.SetSpacing(spacing)
    path.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(image, str(path), compressed)


def trackrad(folder: Path, *, field: str = "field-strength", every: bool = False, **changes: Any) -> Path:
    """Write a case of TrackRAD's layout: (row, column, time) as numpy sees it."""
    images = changes.get("images", np.moveaxis(IMAGES, 0, -1))
    write(images, folder / "images" / "C_001_frames.mha", (1.0, 2.5, 3.0))
    label = LABEL[:, :, None]
    write(label, folder / "targets" / "C_001_first_label.mha", (1.0, 2.5, 3.0))
    if every:
        write(
            np.repeat(label, len(IMAGES), 2), folder / "targets" / "C_001_labels.mha", (1.0, 2.5, 3.0), True
        )
    (folder / "frame-rate.json").write_text(json.dumps(4.0))
    (folder / f"{field}.json").write_text(json.dumps(0.35))
    return folder


def dicom(folder: Path, images: NDArray[Any], plane: Any = SAGITTAL, **tags: Any) -> Path:
    """Write a file a frame, in names that say nothing of their order; a tag is a text, or one for each."""
    import SimpleITK

    folder.mkdir(parents=True, exist_ok=True)
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    known = {
        "0008|0060": "MR",
        "0020|000d": "1.2.3",
        "0020|000e": "1.2.3.4",
        "0020|0032": "0\\0\\0",
        "0020|0037": "\\".join(f"{v:g}" for axis in plane for v in axis),
        "0018|0050": "4",
        "0018|0087": "3",
        "0020|0013": [str(n + 1) for n in range(len(images))],
        "0008|0032": [f"1200{n * 0.25:09.6f}" for n in range(len(images))],
    }
    known |= {key.replace("_", "|").lstrip("t"): value for key, value in tags.items()}
    for number, frame in enumerate(images):
        image = SimpleITK.GetImageFromArray(frame.astype(np.uint16))
        image.SetSpacing((2.5, 3.0))
        for key, value in known.items():
            text = value if isinstance(value, str) else value[number]
            if text:
                image.SetMetaData(key, text)
        writer.SetFileName(str(folder / f"{(number * 7) % 97:03d}.dcm"))
        writer.Execute(image)
    return folder
