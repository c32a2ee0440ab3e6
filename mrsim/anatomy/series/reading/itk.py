"""The door to SimpleITK (extra `[cine]`): images read once their headers are known to be sane."""

from __future__ import annotations

import importlib
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.series.reading.found import Turn
from mrsim.anatomy.series.series import MAX_BYTES
from mrsim.errors import MissingExtraError, PhantomError
from mrsim.files.reading import open_file

_META_HEADER = 1 << 14
_META_BYTES = {
    "MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4,
    "MET_LONG": 4, "MET_ULONG": 4, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8, "MET_FLOAT": 4, "MET_DOUBLE": 8,
}  # fmt: skip
_AXES = (("right", "left"), ("front", "back"), ("feet", "head"))


def library() -> Any:
    """Return SimpleITK.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        found: Any = importlib.import_module("SimpleITK")
    except ImportError:
        raise MissingExtraError("SimpleITK", "cine", "reading MHA, DICOM and NIfTI") from None
    found.ProcessObject.SetGlobalWarningDisplay(False)
    return found


def read_image(path: Path) -> tuple[NDArray[Any], Any]:
    """Read an image.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    array
        The slowest axis first, as numpy has it.
    image
        SimpleITK's reader, which knows size, spacing, direction and metadata.

    Raises
    ------
    PhantomError
        If it is no image of one number a pixel, is truncated, or its header tells of more than is read.
    """
    sitk = library()
    with open_file(path) as file:
        head, size = file.read(_META_HEADER), os.fstat(file.fileno()).st_size
    if path.suffix.lower() in (".mha", ".mhd"):
        _check_meta(path, head, size)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        pixels, parts = math.prod(reader.GetSize()), reader.GetNumberOfComponents()
        if pixels * 8 > MAX_BYTES:
            raise PhantomError(
                f"{path}: its header tells of {pixels} pixels; expected at most {MAX_BYTES // 8}"
            )
        if parts != 1 and reader.GetPixelID() not in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
            raise PhantomError(f"{path}: {parts} numbers a pixel; expected one, such as the magnitude")
        _check_nifti(path, reader, pixels, size)
        return np.asarray(sitk.GetArrayFromImage(reader.Execute())), reader
    except RuntimeError as error:
        reason = " ".join(str(error).split()).rpartition("ERROR: ")[2][:160]
        raise PhantomError(f"{path}: damaged, or no image that can be read ({reason})") from None


def _check_meta(path: Path, head: bytes, size: int) -> None:
    """Refuse what the library would tell of in lines of its own, or look for in other folders."""
    text, mark, _ = head.partition(b"ElementDataFile")
    line = head[len(text) :].split(b"\n", 1)[0]
    where = line.partition(b"=")[2].strip().decode("latin-1")
    beside = path.parent / where
    if not mark or (where.lower() != "local" and (Path(where).name != where or not beside.is_file())):
        raise PhantomError(f"{path}: no MHA file with its data in itself, or in one file beside it")
    keys = dict(re.findall(r"^(\w+)\s*=\s*(.*?)\s*$", text.decode("latin-1"), re.MULTILINE))
    begin = len(text) + len(line) + 1
    if where.lower() != "local":
        begin, size = 0, beside.stat().st_size
    try:
        count = math.prod(int(side) for side in keys["DimSize"].split())
        if keys.get("CompressedData", "false").lower() == "true":
            expected = int(keys.get("CompressedDataSize", 0))
        else:
            expected = count * _META_BYTES[keys["ElementType"]] * int(keys.get("ElementNumberOfChannels", 1))
    except (KeyError, ValueError):
        raise PhantomError(f"{path}: its header lacks DimSize or an ElementType that is known") from None
    if count * 8 > MAX_BYTES:
        raise PhantomError(f"{path}: its header tells of {count} pixels; expected at most {MAX_BYTES // 8}")
    if size - begin < expected:
        raise PhantomError(f"{path}: truncated: {size - begin} bytes of data, expected {expected}")


def _check_nifti(path: Path, reader: Any, pixels: int, size: int) -> None:
    if path.suffix.lower() == ".nii" and reader.HasMetaDataKey("bitpix"):
        expected = pixels * int(reader.GetMetaData("bitpix")) // 8
        if size < expected:
            raise PhantomError(f"{path}: truncated: {size} bytes, expected more than {expected}")


def turn_of(along_rows: NDArray[np.float64], along_columns: NDArray[np.float64]) -> Turn:
    """Return how an image becomes one whose rows run from head to feet.

    Parameters
    ----------
    along_rows
        Where the image goes from row to row, (left, back, head), shape (3,).
    along_columns
        The same from column to column.
    """
    names = [_named(along_rows), _named(along_columns)]
    upright = [name in ("feet to head", "head to feet") for name in names]
    swapped = upright[1] and not upright[0]
    rows, columns = reversed(names) if swapped else names
    if not any(upright):
        return Turn(told=f"rows run {rows}, columns {columns}; none from head to feet")
    flipped = rows == "feet to head"
    return Turn(swapped, flipped, False, f"rows run head to feet, columns {columns}")


def _named(direction: NDArray[np.float64]) -> str:
    axis = int(np.argmax(np.abs(direction)))
    low, high = _AXES[axis] if direction[axis] > 0 else _AXES[axis][::-1]
    return f"{low} to {high}"
