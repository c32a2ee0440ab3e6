"""DICOM: a series of MR images, one file each, as scanners write their cines: 16 bits with a slope.

PS3.5 (explicit VR, little endian) and PS3.3 A.4 (MR image). The image type says that they are derived, and
identifiers follow from the content, so that the same images give the same bytes.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mrsim.files.writing import WholeFolder, write_bytes
from mrsim.formats.images.series import ImageSeries

LEVELS = (1 << 16) - 1
THICKNESS_MM = "1"
"""What is written for the slice, of which a scan says nothing."""
_CLASS = "1.2.840.10008.5.1.4.1.1.4"
_EXPLICIT = "1.2.840.10008.1.2.1"
_LONG = ("OB", "OW")


def write_dicom(path: Path, series: ImageSeries) -> None:
    """Write a folder with a DICOM file for each image, numbered and timed.

    Parameters
    ----------
    path
        Folder to make.
    series
        The images; a stored level times the slope is the magnitude, to half a level.
    """
    values = series.values
    # As many digits as a decimal string takes; the levels are cut by what is written.
    slope = float(f"{(float(values.max()) or 1.0) / LEVELS * (1 + 1e-7):.8g}")
    levels = np.clip(np.rint(values / slope), 0, LEVELS).astype("<u2")
    digest = hashlib.sha256(levels.tobytes() + repr((series.frame_ns, series.pixel_m)).encode()).digest()
    digits = max(4, len(str(len(values))))
    with WholeFolder(path) as folder:
        for number, one in enumerate(levels):
            write_bytes(folder / f"{number + 1:0{digits}}.dcm", _file(one, number, series, slope, digest))


def _file(levels: NDArray[np.uint16], number: int, series: ImageSeries, slope: float, digest: bytes) -> bytes:
    study, group, place = (f"2.25.{int.from_bytes(digest[n : n + 12], 'big')}" for n in (0, 8, 16))
    instance = f"{group}.{number + 1}"
    height, width = (side * 1e3 for side in series.pixel_m)
    body = (
        (0x0008, 0x0005, "CS", "ISO_IR 192"),
        (0x0008, 0x0008, "CS", "DERIVED\\SECONDARY"),
        (0x0008, 0x0016, "UI", _CLASS),
        (0x0008, 0x0018, "UI", instance),
        (0x0008, 0x0020, "DA", ""),
        (0x0008, 0x0030, "TM", ""),
        (0x0008, 0x0050, "SH", ""),
        (0x0008, 0x0060, "CS", "MR"),
        (0x0008, 0x0070, "LO", "mrsim"),
        (0x0008, 0x0090, "PN", ""),
        (0x0008, 0x103E, "LO", series.about.encode("ascii", "replace").decode()[:60]),
        (0x0010, 0x0010, "PN", "mrsim^simulated"),
        (0x0010, 0x0020, "LO", "mrsim"),
        (0x0010, 0x0030, "DA", ""),
        (0x0010, 0x0040, "CS", ""),
        (0x0018, 0x0020, "CS", "GR"),
        (0x0018, 0x0021, "CS", "SS"),
        (0x0018, 0x0022, "CS", ""),
        (0x0018, 0x0023, "CS", "2D"),
        (0x0018, 0x0050, "DS", THICKNESS_MM),
        (0x0018, 0x0080, "DS", ""),
        (0x0018, 0x0081, "DS", ""),
        (0x0018, 0x0091, "IS", ""),
        (0x0018, 0x1060, "DS", _decimal((series.first_ns + number * series.frame_ns) / 1e6)),
        (0x0018, 0x1063, "DS", _decimal(series.frame_ns / 1e6)),
        (0x0020, 0x000D, "UI", study),
        (0x0020, 0x000E, "UI", group),
        (0x0020, 0x0010, "SH", "1"),
        (0x0020, 0x0011, "IS", "1"),
        (0x0020, 0x0013, "IS", str(number + 1)),
        (0x0020, 0x0032, "DS", "\\".join(map(_decimal, series.origin_mm))),
        (0x0020, 0x0037, "DS", "1\\0\\0\\0\\0\\-1"),
        (0x0020, 0x0052, "UI", place),
        (0x0020, 0x1040, "LO", ""),
        (0x0028, 0x0002, "US", struct.pack("<H", 1)),
        (0x0028, 0x0004, "CS", "MONOCHROME2"),
        (0x0028, 0x0010, "US", struct.pack("<H", levels.shape[0])),
        (0x0028, 0x0011, "US", struct.pack("<H", levels.shape[1])),
        (0x0028, 0x0030, "DS", f"{_decimal(height)}\\{_decimal(width)}"),
        (0x0028, 0x0100, "US", struct.pack("<H", 16)),
        (0x0028, 0x0101, "US", struct.pack("<H", 16)),
        (0x0028, 0x0102, "US", struct.pack("<H", 15)),
        (0x0028, 0x0103, "US", struct.pack("<H", 0)),
        (0x0028, 0x1052, "DS", "0"),
        (0x0028, 0x1053, "DS", _decimal(slope)),
        (0x0028, 0x1054, "LO", "US"),
        (0x7FE0, 0x0010, "OW", levels.tobytes()),
    )
    meta = (
        (0x0002, 0x0001, "OB", b"\0\1"),
        (0x0002, 0x0002, "UI", _CLASS),
        (0x0002, 0x0003, "UI", instance),
        (0x0002, 0x0010, "UI", _EXPLICIT),
        (0x0002, 0x0012, "UI", "2.25.1"),
    )
    begin = b"".join(_element(*one) for one in meta)
    length = _element(0x0002, 0x0000, "UL", struct.pack("<I", len(begin)))
    return b"".join([bytes(128), b"DICM", length, begin, *(_element(*one) for one in body)])


def _element(group: int, number: int, kind: str, value: str | bytes) -> bytes:
    content = value.encode("ascii") if isinstance(value, str) else value
    if len(content) % 2:
        content += b"\0" if kind == "UI" or kind in _LONG else b" "
    head = struct.pack("<HH", group, number) + kind.encode("ascii")
    length = b"\0\0" + struct.pack("<I", len(content)) if kind in _LONG else struct.pack("<H", len(content))
    return head + length + content


def _decimal(value: float) -> str:
    """Return a decimal string, which has at most 16 characters."""
    return next(text for digits in range(15, 5, -1) if len(text := f"{value:.{digits}g}") <= 16)
