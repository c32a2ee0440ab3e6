"""What DICOM files say of each of their frames, and the pixels they hold.

Headers are read by pydicom, which knows what an enhanced file says frame by frame. Pixels are decoded by
SimpleITK from a copy without geometry, for it takes no file whose frames all lie at one place.
"""

from __future__ import annotations

import datetime
import importlib
import logging
import math
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.series.reading.itk import read_image
from mrsim.anatomy.series.series import MAX_BYTES, MAX_FRAMES
from mrsim.errors import MissingExtraError, PhantomError
from mrsim.files.reading import open_file

TIMES = (
    "acquisition date and time", "acquisition time", "trigger time", "frame reference time",
    "temporal position", "frame time", "content time",
)  # fmt: skip
"""What may say when a frame was taken, the best first."""
COUNTS = ("temporal position indices", "instance numbers", "temporal positions", "acquisition numbers")
"""What may say in which order frames were taken, the best first."""
CLOCKS = ("acquisition time", "content time")
"""Those that begin anew at midnight."""
_DEFLATED, _DIRECTORY = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.3.10"
_UNPACKED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
_BIG_ENDIAN = _UNPACKED[2]
_PACKED = tuple(
    "1.2.840.10008.1.2." + end
    for end in ("4.50", "4.51", "4.57", "4.70", "4.80", "4.81", "4.90", "4.91", "5")
)  # JPEG, JPEG-LS, JPEG 2000 and RLE
STRUCTURES, SEGMENTATION = "1.2.840.10008.5.1.4.1.1.481.3", "1.2.840.10008.5.1.4.1.1.66.4"
_NO_MAGNITUDE = {"P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY"}
_PLAIN = "1.2.840.10008.5.1.4.1.1.7.3"  # many frames of words, with no geometry
_PIXELS = (
    "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "NumberOfFrames", "PixelData",
)  # fmt: skip
_STARTS = tuple(bytes((8, 0, element, 0)) for element in range(0x21))  # group 8, of a file without a preamble


@dataclass(frozen=True)
class Head:
    """Hold what is said of one frame.

    Parameters
    ----------
    file, frame
        Where it is; `frame` counts within the file.
    series, told
        The series' identifier and its description.
    kind
        What kind of image it is, beyond where it comes from: magnitude or phase, which echo.
    size
        Rows and columns.
    counts
        Numbers by their names in `COUNTS`, each with the frame's in its file, or the file's with the frame's.
    position, orientation
        Of the slice, millimetres and (left, back, head), six numbers; empty where nothing is said.
    pixel_mm
        Height and width of a pixel, millimetres.
    seconds
        Times by their names in `TIMES`, seconds.
    scale
        Slope and intercept of the stored values.
    field_t
        Static field, tesla.
    image
        The image's identifier; a copy has the same.
    inverted
        Whether small values are shown bright.
    thickness_mm
        Of the slice, millimetres.
    """

    file: Path
    frame: int
    series: str
    told: str
    kind: tuple[str, ...]
    size: tuple[int, int]
    counts: dict[str, tuple[float, float]]
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel_mm: tuple[float, float] | None
    seconds: dict[str, float] = field(default_factory=dict)
    scale: tuple[float, float] = (1.0, 0.0)
    field_t: float | None = None
    image: str = ""
    inverted: bool = False
    thickness_mm: float | None = None

    @property
    def no_magnitude(self) -> str:
        """Return the word that says that it holds phases, or real or imaginary parts; empty otherwise."""
        return next((word for word in self.kind if word.upper() in _NO_MAGNITUDE), "")


def library() -> Any:
    """Return pydicom.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        found: Any = importlib.import_module("pydicom")
    except ImportError:
        raise MissingExtraError("pydicom", "cine", "reading DICOM") from None
    found.config.settings.reading_validation_mode = found.config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # what is wrong is told in one line here
    return found


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM; old ones have no preamble, and begin with their first element."""
    try:
        if not path.is_file():
            return False
        with open_file(path) as file:
            begin = file.read(132)
    except (OSError, PhantomError):
        return False
    return begin[128:] == b"DICM" or (len(begin) == 132 and begin.startswith(_STARTS))


def heads_of(path: Path) -> list[Head]:
    """Return what a file says of its frames; nothing if it holds no image.

    Raises
    ------
    PhantomError
        If it is damaged, or of a kind that is not taken.
    """
    found = read_dataset(path, header=True)
    try:
        if class_of(found) in (_DIRECTORY, SEGMENTATION) or "Rows" not in found:
            return []
        return list(_frames(path, found))
    except PhantomError:
        raise
    except Exception as error:  # whatever a damaged header raises once it is looked into
        raise PhantomError(f"{path}: a damaged DICOM header ({_reason(error)})") from None


def class_of(found: Any) -> str:
    """Return which class of object a file holds, as its identifier."""
    return str(found.get("SOPClassUID") or found.file_meta.get("MediaStorageSOPClassUID", ""))


def pixels_of(path: Path) -> NDArray[Any]:
    """Return the stored values of a file's frames, shape (frames, ny, nx).

    Raises
    ------
    PhantomError
        If they are damaged, in colour, or compressed in a way that is not known.
    """
    found = read_dataset(path, header=False)
    if found.get("BitsAllocated") == 1:
        return _bits(path, found)
    with tempfile.TemporaryDirectory(prefix="mrsim-dicom-") as folder:
        copy = Path(folder) / "pixels.dcm"
        try:
            syntax = _plain_copy(path, found, copy)
        except PhantomError:
            raise
        except Exception as error:  # as above
            raise PhantomError(f"{path}: damaged DICOM pixels ({_reason(error)})") from None
        try:
            array, _ = read_image(copy)
        except PhantomError as error:
            told = str(error).replace(f"{copy}: ", "")
            raise PhantomError(f"{path}: {told}; stored as {syntax}") from None
    return array if array.ndim == 3 else array[None]


def _bits(path: Path, found: Any) -> NDArray[Any]:
    """Return the pixels of one bit each, which are packed across the ends of rows and frames."""
    shape = int(found.get("NumberOfFrames") or 1), int(found.Rows), int(found.Columns)
    count, packed = math.prod(shape), np.frombuffer(found.get("PixelData") or b"", np.uint8)
    if (
        found.file_meta.get("TransferSyntaxUID") not in _UNPACKED
        or 8 * len(packed) < count
        or count > MAX_BYTES
    ):
        raise PhantomError(f"{path}: pixels of one bit that are truncated or compressed; store them plain")
    return np.unpackbits(packed, count=count, bitorder="little").reshape(shape)


def _plain_copy(path: Path, found: Any, copy: Path) -> str:
    """Write what is needed to decode the pixels of a file, and return how they are stored."""
    pydicom = library()
    if int(found.get("SamplesPerPixel", 1)) != 1 or "PALETTE" in str(found.get("PhotometricInterpretation")):
        raise PhantomError(f"{path}: an image in colour; expected one number a pixel, such as the magnitude")
    if "PixelData" not in found:
        raise PhantomError(f"{path}: an image without pixels of whole numbers")
    syntax = pydicom.uid.UID(
        str(found.file_meta.get("TransferSyntaxUID") or pydicom.uid.ImplicitVRLittleEndian)
    )
    if syntax not in (*_UNPACKED, *_PACKED):
        raise PhantomError(f"{path}: its pixels are stored as {syntax.name}; store them uncompressed")
    bits, high = int(found.get("BitsStored") or found.BitsAllocated), found.get("HighBit")
    if high is not None and int(high) != bits - 1:
        raise PhantomError(f"{path}: {bits} bits a pixel with the highest at {high}; expected at {bits - 1}")
    count = int(found.get("NumberOfFrames") or 1) * int(found.Rows) * int(found.Columns)
    if count * 8 > MAX_BYTES:
        raise PhantomError(f"{path}: its header tells of {count} pixels; expected at most {MAX_BYTES // 8}")
    size, expected = len(found.PixelData), count * int(found.BitsAllocated) // 8
    if not syntax.is_compressed and size < expected:
        raise PhantomError(f"{path}: truncated: {size} bytes of pixels, expected {expected}")
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = _PLAIN, "1.2.3"
    meta.TransferSyntaxUID = _UNPACKED[1] if syntax == _BIG_ENDIAN else syntax
    plain = pydicom.dataset.FileDataset(str(copy), {}, file_meta=meta, preamble=bytes(128))
    plain.SOPClassUID, plain.SOPInstanceUID = _PLAIN, "1.2.3"
    for name in _PIXELS:
        if name in found:
            plain[name] = found[name]
    # Bright and dark are exchanged where all frames are known; labels stay as they are.
    plain.PhotometricInterpretation = "MONOCHROME2"
    if syntax == _BIG_ENDIAN and int(found.BitsAllocated) == 16:
        plain.PixelData = np.frombuffer(found.PixelData, ">u2").astype("<u2").tobytes()
    plain.save_as(copy, enforce_file_format=True)
    return str(syntax.name)


def read_dataset(path: Path, *, header: bool) -> Any:
    """Return what pydicom reads of a file, without the pixels if the header alone is asked for."""
    pydicom = library()
    with open_file(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is odd in a header is met where it matters
        file.seek(0, 2)
        if file.tell() > MAX_BYTES:
            raise PhantomError(f"{path}: {file.tell()} bytes; expected at most {MAX_BYTES}")
        file.seek(0)
        try:
            meta = pydicom.filereader.read_file_meta_info(str(path)) if _has_preamble(file) else {}
            if str(meta.get("TransferSyntaxUID", "")) == _DEFLATED:
                raise PhantomError(f"{path}: its headers are deflated, which is not taken; store it explicit")
            found = pydicom.dcmread(file, stop_before_pixels=header, force=True)
            if not len(found):
                raise PhantomError(f"{path}: a damaged DICOM file, or one without an image")
            return found
        except PhantomError:
            raise
        except Exception as error:  # pydicom raises what struct, zlib and dictionaries do
            raise PhantomError(f"{path}: a damaged DICOM file ({_reason(error)})") from None


def _has_preamble(file: Any) -> bool:
    begin = file.read(132)
    file.seek(0)
    return bytes(begin[128:]) == b"DICM"


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _frames(path: Path, found: Any) -> Iterator[Head]:
    types = [str(word) for word in _several(found.get("ImageType"))]
    if "MOSAIC" in types:
        raise PhantomError(f"{path}: a mosaic of slices; cut one slice out of each, and store that")
    count = int(found.get("NumberOfFrames") or 1)
    if not 1 <= count <= MAX_FRAMES:
        raise PhantomError(f"{path}: {count} frames; expected at most {MAX_FRAMES}")
    shared = _first(found.get("SharedFunctionalGroupsSequence"))
    own = list(found.get("PerFrameFunctionalGroupsSequence") or [])
    enhanced = shared is not None or bool(own)
    steps = _steps(found, count)
    for n in range(count):
        groups = [g for g in (own[n] if n < len(own) else None, shared) if g is not None]

        def said(sequence: str, name: str, groups: list[Any] = groups) -> Any:
            for group in groups:
                item = _first(group.get(sequence))
                if item is not None and item.get(name) is not None:
                    return item.get(name)
            return None if enhanced else found.get(name)

        kind = [str(w) for w in _several(said("MRImageFrameTypeSequence", "FrameType"))] or types
        part = said("MRImageFrameTypeSequence", "ComplexImageComponent") or found.get("ComplexImageComponent")
        echo = said("MREchoSequence", "EffectiveEchoTime") if enhanced else found.get("EchoNumbers")
        spacing = _numbers(said("PixelMeasuresSequence", "PixelSpacing"))
        slope = _numbers(said("PixelValueTransformationSequence", "RescaleSlope"))
        intercept = _numbers(said("PixelValueTransformationSequence", "RescaleIntercept"))
        field_t = _numbers(found.get("MagneticFieldStrength"))
        yield Head(
            path, n, str(found.get("SeriesInstanceUID", "")), str(found.get("SeriesDescription", "")),
            (*kind[2:], *([] if part in (None, "") else [str(part)]), *(f"echo {e}" for e in _several(echo))),
            (int(found.Rows), int(found.Columns)),
            _counts(found, n, _number(said("FrameContentSequence", "TemporalPositionIndex"))),
            _numbers(said("PlanePositionSequence", "ImagePositionPatient")),
            _numbers(said("PlaneOrientationSequence", "ImageOrientationPatient")),
            (spacing[0], spacing[1]) if len(spacing) == 2 and min(spacing) > 0 else None,
            _times(found, said, enhanced, count, None if steps is None else steps[n]),
            (slope[0] if slope else 1.0, intercept[0] if intercept else 0.0),
            field_t[0] if field_t else None,
            str(found.get("SOPInstanceUID", "")),
            str(found.get("PhotometricInterpretation", "")).strip() == "MONOCHROME1",
            _number(said("PixelMeasuresSequence", "SliceThickness")),
        )  # fmt: skip


def _counts(found: Any, frame: int, index: float | None) -> dict[str, tuple[float, float]]:
    count, number = int(found.get("NumberOfFrames") or 1), _whole(found.get("InstanceNumber"))
    counts: dict[str, tuple[float, float]] = {}
    if index is not None:
        counts[COUNTS[0]] = (number or 0, index)
    if number is not None or count > 1:
        counts[COUNTS[1]] = (number or 0, frame)
    for name, tag in zip(COUNTS[2:], ("TemporalPositionIdentifier", "AcquisitionNumber"), strict=True):
        if (value := _number(found.get(tag))) is not None:
            counts[name] = (value, frame)
    return counts


def _steps(found: Any, count: int) -> list[float] | None:
    """Return times of the frames of a file as its frame time, or the vector of them, says; seconds."""
    vector, step = _numbers(found.get("FrameTimeVector")), _numbers(found.get("FrameTime"))
    if count > 1 and len(vector) == count:
        return [float(t) * 1e-3 for t in np.cumsum(vector)]
    return [n * step[0] * 1e-3 for n in range(count)] if len(step) == 1 and step[0] > 0 else None


def _times(found: Any, said: Any, enhanced: bool, count: int, step: float | None) -> dict[str, float]:
    seconds: dict[str, float | None] = {}
    if enhanced:
        seconds["acquisition date and time"] = _day_time(
            said("FrameContentSequence", "FrameAcquisitionDateTime")
        )
        seconds["frame reference time"] = _day_time(said("FrameContentSequence", "FrameReferenceDateTime"))
        offset = said("TemporalPositionSequence", "TemporalPositionTimeOffset")
        seconds["temporal position"] = _number(offset)
        trigger = said("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime")
        seconds["trigger time"] = _number(trigger, 1e-3)
    elif count == 1:
        seconds["acquisition date and time"] = _day_time(found.get("AcquisitionDateTime"))
        seconds["acquisition time"] = _clock(found.get("AcquisitionTime"))
        seconds["content time"] = _clock(found.get("ContentTime"))
        seconds["trigger time"] = _number(found.get("TriggerTime"), 1e-3)
        seconds["frame reference time"] = _number(found.get("FrameReferenceTime"), 1e-3)
        place = _number(found.get("TemporalPositionIdentifier"))
        resolution = _number(found.get("TemporalResolution"), 1e-3)
        if place is not None and resolution:
            seconds["temporal position"] = place * resolution
    if step is not None and count > 1:
        seconds["frame time"] = step
    return {name: value for name, value in seconds.items() if value is not None and math.isfinite(value)}


def _first(sequence: Any) -> Any:
    return sequence[0] if sequence else None


def _several(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str | int | float) else list(value)


def _numbers(value: Any) -> tuple[float, ...]:
    try:
        found = tuple(float(one) for one in _several(value))
    except (TypeError, ValueError):
        return ()
    return found if all(map(math.isfinite, found)) else ()


def _number(value: Any, unit: float = 1.0) -> float | None:
    found = _numbers(value)
    return found[0] * unit if len(found) == 1 else None


def _whole(value: Any) -> int | None:
    found = _number(value)
    return None if found is None else int(found)


def _day_time(value: Any) -> float | None:
    """Return the seconds of a date and time; the zone is that of all frames of a scan."""
    text = str(value or "").strip().partition("+")[0].partition("-")[0]
    try:
        day = datetime.date(int(text[:4]), int(text[4:6]), int(text[6:8])).toordinal()
    except ValueError:
        return None
    seconds = _clock(text[8:])
    return None if seconds is None else day * 86_400.0 + seconds


def _clock(value: Any) -> float | None:
    """Return the seconds of the day; None for less than hours, minutes and seconds."""
    whole, _, part = str(value or "").strip().replace(":", "").partition(".")
    if len(whole) != 6 or not whole.isdecimal() or (part and not part.isdecimal()):
        return None
    hours, minutes, seconds = int(whole[:2]), int(whole[2:4]), int(whole[4:])
    return hours * 3600 + minutes * 60 + seconds + (float(f"0.{part}") if part else 0.0)
