"""Images into a file, and out of the one kind that we read back: the ending says which."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mrsim.errors import FormatError
from mrsim.files.arrays import read_arrays
from mrsim.files.targets import check_outside, check_target
from mrsim.files.writing import WholeFolder, check_room, new_file, write_arrays, write_json
from mrsim.formats.images.dicom import LEVELS, write_dicom
from mrsim.formats.images.endings import ending_of
from mrsim.formats.images.moving import check_moving, write_moving
from mrsim.formats.images.series import MAX_BYTES, ImageSeries
from mrsim.formats.images.volumes import write_mha, write_nifti
from mrsim.plotting import pillow

SCHEMA = "mrsim-images/1"
LEAST_SIDE = 256  # of a moving picture, pixels


def check_images(path: str) -> None:
    """Refuse a file of images that cannot be written, before the work.

    Parameters
    ----------
    path
        Name as it was typed; one that ends in / is a folder.

    Raises
    ------
    FileError
        If its ending is none of `ENDINGS`, or nothing may be written there.
    MissingExtraError
        If what writes it is not installed.
    """
    ending = ending_of(path)
    if ending.endswith("/"):
        if ending == ".png/":
            pillow("Image", "writing PNG files")
        check_outside(path)
        WholeFolder(Path(path))
    elif ending in (".gif", ".mp4"):
        check_moving(path)
    else:
        check_target(path)


def write_images(path: str, series: ImageSeries) -> None:
    """Write images as the ending of a name says, whole or not at all.

    Parameters
    ----------
    path
        Name as it was typed.
    series
        The images.

    Raises
    ------
    InputError
        If it cannot be written, or images of that size or pace cannot be.
    MissingExtraError
        If what writes it is not installed.
    """
    check_images(path)
    ending, target = ending_of(path), Path(path)
    check_room(target, series.values.nbytes // (1 if ending in (".nii", ".mha", ".npz") else 8))
    _WRITERS[ending](target, series)


def _write_npz(path: Path, series: ImageSeries) -> None:
    told = {"schema": SCHEMA, "about": series.about, "frame_ns": series.frame_ns, "first_ns": series.first_ns}
    arrays: dict[str, Any] = {
        "images": series.images,
        "seconds": series.seconds,
        "pixel_mm": np.array(series.pixel_m) * 1e3,
        "shown": series.shown,
        **{f"mrsim_{key}": np.array(value) for key, value in told.items()},
    }
    write_arrays(path, arrays)


def is_stored(path: Path) -> bool:
    """Return whether a `.npz` file says that it holds images of mrsim; errors as for `read_arrays`."""
    return bool(read_arrays(path, MAX_BYTES, "arrays of mrsim", names=("mrsim_schema",)))


def read_stored(path: Path) -> ImageSeries:
    """Read images that `write_images` wrote as .npz.

    Raises
    ------
    InputError
        If it is none.
    """
    found = read_arrays(
        path, MAX_BYTES, "images of mrsim", remedy="write them with mrsim replay --images FILE.npz"
    )
    try:
        if str(found["mrsim_schema"]) != SCHEMA:
            raise FormatError(f"{path}: images of {str(found['mrsim_schema'])[:40]!r}; expected {SCHEMA}")
        height, width = (float(side) * 1e-3 for side in found["pixel_mm"])
        series = ImageSeries(
            found["images"], (height, width), int(found["mrsim_frame_ns"]), int(found["mrsim_first_ns"]),
            str(found["mrsim_about"])[:200], found["shown"].astype(np.bool_),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            f"{path}: no images of mrsim; write them with mrsim replay --images FILE.npz"
        ) from None
    if not np.isfinite(series.values).all():
        raise FormatError(f"{path}: a pixel is not finite")
    return series


def _write_pngs(path: Path, series: ImageSeries) -> None:
    Image = pillow("Image", "writing PNG files")
    values = series.values
    slope = (float(values.max()) or 1.0) / LEVELS
    levels = np.rint(values / slope).astype(np.uint16)
    digits = max(4, len(str(len(values) - 1)))
    with WholeFolder(path) as folder:
        for number, one in enumerate(levels):
            with new_file(folder / f"{number:0{digits}}.png") as file:
                Image.fromarray(one).save(file, format="PNG")
        write_json(
            folder / "series.json",
            {
                "schema": "mrsim-png-series/1", "about": series.about, "images": len(values),
                "value_of_a_level": slope, "pixel_mm": [side * 1e3 for side in series.pixel_m],
                "frame_ms": series.frame_ns / 1e6, "first_ms": series.first_ns / 1e6,
                "rows": "head to feet", "columns": "right to left", "came": series.shown.tolist(),
            },
        )  # fmt: skip


def _write_moving(path: Path, series: ImageSeries) -> None:
    times = -(-LEAST_SIDE // max(series.images.shape[1:]))
    grey = np.clip(series.values / (1.0 if series.images.dtype.kind == "b" else series.white), 0, 1)
    levels = (grey * 255).round().astype(np.uint8).repeat(times, axis=1).repeat(times, axis=2)
    write_moving(path, (np.repeat(one[..., None], 3, axis=2) for one in levels), series.frame_ns)


_WRITERS: dict[str, Callable[[Path, ImageSeries], None]] = {
    ".nii": write_nifti,
    ".nii.gz": write_nifti,
    ".mha": write_mha,
    ".npz": _write_npz,
    ".gif": _write_moving,
    ".mp4": _write_moving,
    ".dcm/": write_dicom,
    ".png/": _write_pngs,
}
