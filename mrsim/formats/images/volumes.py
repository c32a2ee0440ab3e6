"""NIfTI-1 and MHA: a header of a few hundred bytes, and the values as they are.

Neither needs a library to be written. Both are read back by SimpleITK in the tests. A disk that fills up is
an error of our own writer, which a library's may swallow.
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

from mrsim.files.writing import new_file
from mrsim.formats.images.series import ImageSeries

NIFTI_BYTES = 352
_FLOAT32, _UINT8 = 16, 2  # of NIfTI
_MM_AND_SECONDS = 2 | 8
_SCANNER = 1  # what the affine leads to
SLICE_MM = 1.0
"""Thickness that is written: a scan says nothing of it."""


def write_nifti(path: Path, series: ImageSeries) -> None:
    """Write NIfTI-1 with four axes: columns, rows, one slice, and time in seconds.

    Parameters
    ----------
    path
        File to write; one that ends in .gz is compressed.
    series
        The images; their magnitudes are written as float32, masks as bytes.
    """
    values = series.values
    frames, ny, nx = values.shape
    height, width = (side * 1e3 for side in series.pixel_m)
    left, _, head = series.origin_mm
    kind = _FLOAT32 if values.dtype == np.float32 else _UINT8
    rows = (  # to (right, front, head), in millimetres
        (-width, 0.0, 0.0, -left),
        (0.0, 0.0, -SLICE_MM, 0.0),
        (0.0, -height, 0.0, head),
    )
    header = struct.pack(
        "<i35xB8h3fhhhh8f3fhBBffffii80s24shh6f12f16s4s",
        348, 0, 4, nx, ny, 1, frames, 1, 1, 1, 0.0, 0.0, 0.0, 0, kind, values.itemsize * 8, 0,
        1.0, width, height, SLICE_MM, series.frame_ns * 1e-9, 0.0, 0.0, 0.0,
        float(NIFTI_BYTES), 1.0, 0.0, 0, 0, _MM_AND_SECONDS, 0.0, 0.0, 0.0, series.first_ns * 1e-9, 0, 0,
        series.about.encode("ascii", "replace")[:79], b"", 0, _SCANNER, *(0.0,) * 6,
        *(value for row in rows for value in row), b"", b"n+1\0",
    )  # fmt: skip
    content = header + bytes(NIFTI_BYTES - len(header)), values.astype(values.dtype.newbyteorder("<"))
    with new_file(path) as file:
        if path.suffix.lower() == ".gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                packed.write(content[0])
                packed.write(content[1].tobytes())
        else:
            file.write(content[0])
            file.write(content[1].tobytes())


def write_mha(path: Path, series: ImageSeries) -> None:
    """Write MHA with three axes: columns, rows, and time, whose spacing is in seconds.

    Parameters
    ----------
    path
        File to write.
    series
        The images; their magnitudes are written as float32, masks as bytes.
    """
    values = series.values
    frames, ny, nx = values.shape
    height, width = (side * 1e3 for side in series.pixel_m)
    kind = "MET_FLOAT" if values.dtype == np.float32 else "MET_UCHAR"
    head = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        "CompressedData = False\nTransformMatrix = 1 0 0 0 0 -1 0 1 0\n"
        f"Offset = {' '.join(map(repr, series.origin_mm))}\nCenterOfRotation = 0 0 0\n"
        f"ElementSpacing = {width!r} {height!r} {series.frame_ns * 1e-9!r}\nDimSize = {nx} {ny} {frames}\n"
        f"ElementType = {kind}\nElementDataFile = LOCAL\n"
    )
    with new_file(path) as file:
        file.write(head.encode("ascii"))
        file.write(values.astype(values.dtype.newbyteorder("<")).tobytes())
