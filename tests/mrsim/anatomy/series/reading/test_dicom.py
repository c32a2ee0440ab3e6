"""DICOM of other hands: every kind is read as what it is, or one line says what is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrsim.anatomy.series.reading.cine import read_cine
from mrsim.errors import InputError
from tests.mrsim.anatomy.series.reading.dicoms import (
    CORONAL,
    ENHANCED,
    SAGITTAL,
    clock,
    dataset,
    group,
    save,
    write_series,
)
from tests.mrsim.anatomy.series.reading.files import IMAGES
from tests.mrsim.anatomy.series.reading.test_cine import check

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("SimpleITK")

COUNT = len(IMAGES)
MIXED = np.random.default_rng(3).permutation(COUNT)


def other_times(name: str, of: Callable[[int], Any]) -> dict[str, Any]:
    return {"AcquisitionTime": None, "each": lambda n: {name: of(n)}}


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        (
            other_times("AcquisitionDateTime", lambda n: f"20240229{clock(n)}+0100"),
            "acquisition date and time",
        ),
        (other_times("TriggerTime", lambda n: 250.0 * n), "trigger time"),
        (other_times("FrameReferenceTime", lambda n: 250.0 * n), "frame reference time"),
        (other_times("ContentTime", clock), "content time"),
        ({"AcquisitionTime": "120000", "each": lambda n: {"ContentTime": clock(n)}}, "content time"),
        ({"each": lambda n: {"AcquisitionTime": clock(n, 86_399)}}, "acquisition time"),  # over midnight
        (
            {"TemporalResolution": 250.0} | other_times("TemporalPositionIdentifier", lambda n: n + 1),
            "temporal position",
        ),
    ],
)
def test_times_are_taken_from_whatever_tells_them(tmp_path: Path, tags: dict[str, Any], told: str) -> None:
    series = read_cine(write_series(tmp_path / "d", IMAGES, **tags))
    check(series, 0, close=1)
    assert f"times are the headers' {told}" in series.notes


def test_even_times_order_what_numbers_do_not(tmp_path: Path) -> None:
    """Neither names, nor instance numbers, nor a day's end says the order; the times do."""
    folder = write_series(
        tmp_path / "d", IMAGES,
        lambda n: {"InstanceNumber": int(MIXED[n]) + 1, "AcquisitionTime": clock(n, 86_399)},
    )  # fmt: skip
    series = read_cine(folder)
    check(series, 0, close=1)
    assert any("instance numbers do not follow the times" in note for note in series.notes)
    without = write_series(tmp_path / "e", IMAGES, lambda n: {"InstanceNumber": None})
    check(read_cine(without), 0, close=1)
    check(read_cine(without, frame_ms=100), 0, 100_000_000, close=1)


def test_pixels_are_scaled_by_their_own_slopes(tmp_path: Path) -> None:
    stored = [(image - 10) / (1 + n) for n, image in enumerate(IMAGES.clip(10))]
    folder = write_series(
        tmp_path / "d", np.rint(stored),
        lambda n: {"RescaleSlope": 1.0 + n, "RescaleIntercept": 10.0, "RescaleType": "US"},
    )  # fmt: skip
    series = read_cine(folder)
    assert np.abs(series.images - IMAGES.clip(10)).max() <= COUNT / 2 + 1


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000", "RLE", "implicit", "big endian", "no preamble"])
def test_every_way_of_storing_pixels(tmp_path: Path, kind: str) -> None:
    import SimpleITK

    folder = write_series(tmp_path / "d", IMAGES)
    for path in list(folder.iterdir()):
        made = pydicom.dcmread(path)
        if kind == "RLE":
            made.compress(pydicom.uid.RLELossless)
        elif kind == "big endian":
            made = dataset(IMAGES[made.InstanceNumber - 1].round().astype(np.uint16).byteswap(), **{
                name: getattr(made, name)
                for name in ("ImageOrientationPatient", "PixelSpacing", "InstanceNumber", "AcquisitionTime")
            })  # fmt: skip
            made.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
        elif kind in ("implicit", "no preamble"):
            made.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        else:
            image = SimpleITK.GetImageFromArray(made.pixel_array)
            writer = SimpleITK.ImageFileWriter()
            writer.SetFileName(str(tmp_path / "packed.dcm"))
            writer.UseCompressionOn()
            writer.SetCompressor(kind)
            writer.Execute(image)
            packed = pydicom.dcmread(tmp_path / "packed.dcm")
            made.PixelData = packed.PixelData
            made["PixelData"].is_undefined_length = True
            made.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID
        if kind == "big endian":
            pydicom.dcmwrite(path, made, implicit_vr=False, little_endian=False)
        else:
            save(made, path)
        if kind == "no preamble":
            plain = pydicom.filebase.DicomBytesIO()
            plain.is_implicit_VR = plain.is_little_endian = True
            pydicom.filewriter.write_dataset(plain, made)
            path.write_bytes(plain.getvalue())
    check(read_cine(folder), 0, close=1)


def enhanced(tmp_path: Path, order: Any = None, slices: int = 1, **content: Any) -> Path:
    """Write one file; frames of several slices take turns, each slice with all images."""
    order = np.arange(COUNT) if order is None else order
    planes = [(SAGITTAL, [0.0, 0, 0]), (CORONAL, [0.0, 40, 0])][:slices]
    frames, pixels = [], []
    for n in order.tolist():
        for plane, (orientation, position) in enumerate(planes):
            told = {key: of(n) for key, of in content.items()}
            told.setdefault(
                "FrameAcquisitionDateTime", f"20240229{clock(n * slices + plane, step_s=0.25 / slices)}"
            )
            frames.append(
                group(
                    FrameContentSequence={k: v for k, v in told.items() if v is not None},
                    PlaneOrientationSequence={"ImageOrientationPatient": orientation},
                    PlanePositionSequence={"ImagePositionPatient": position},
                    PixelValueTransformationSequence={"RescaleSlope": 1.0 + plane, "RescaleIntercept": 0.0},
                )
            )
            pixels.append(IMAGES[n] / (1 + plane))
    shared = group(PixelMeasuresSequence={"PixelSpacing": [3, 2.5], "SliceThickness": 4})
    made = dataset(
        np.rint(pixels), ENHANCED, InstanceNumber=1, SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=frames,
    )  # fmt: skip
    return save(made, tmp_path / "enhanced")


def test_an_enhanced_file_is_timed_frame_by_frame(tmp_path: Path) -> None:
    path = enhanced(tmp_path / "a")
    series = read_cine(path)
    check(series, 0, close=1)
    assert "rows run head to feet, columns front to back" in series.orientation
    check(read_cine(path.parent), 0, close=1)
    check(read_cine(enhanced(tmp_path / "b", MIXED)), 0, close=1)
    blind = enhanced(tmp_path / "c", FrameAcquisitionDateTime=lambda n: None)
    with pytest.raises(InputError, match="does not say when its frames were taken; give frame_ms"):
        read_cine(blind)
    check(read_cine(blind, frame_ms=250), 0, close=1)
    mixed = enhanced(
        tmp_path / "d", MIXED, FrameAcquisitionDateTime=lambda n: None,
        TemporalPositionIndex=lambda n: n + 1,
    )  # fmt: skip
    check(read_cine(mixed, frame_ms=250), 0, close=1)


def test_slices_that_take_turns_are_asked_for(tmp_path: Path) -> None:
    """As Linac-MR cines have them: sagittal and coronal, in one series or one file."""
    files = tmp_path / "files"
    for n in range(COUNT):
        for plane, orientation in enumerate((SAGITTAL, CORONAL)):
            number = 2 * n + plane
            save(
                dataset(
                    IMAGES[n], ImageOrientationPatient=orientation,
                    ImagePositionPatient=[0, 0.3 * (n % 2), 0],
                    PixelSpacing=[3, 2.5], InstanceNumber=number + 1, SeriesDescription="cine",
                    AcquisitionTime=clock(number, step_s=0.125),
                ),
                files / f"{number:04d}",
            )  # fmt: skip
    for cine, first in (
        (files, "12 of cine sagittal"),
        (enhanced(tmp_path, slices=2), "12 of 1.2.3.4 sagittal"),
    ):
        with pytest.raises(InputError, match=r"slices.*; give part and the number of one") as raised:
            read_cine(cine)
        assert f"1: {first} at 0/0/0" in str(raised.value)
        assert "2: 12 of" in str(raised.value)
        assert "\n" not in str(raised.value)
        for part, columns in ((1, "front to back"), (2, "right to left")):
            series = read_cine(cine, part=part)
            check(series, 0, close=1.5)
            assert columns in series.orientation
        with pytest.raises(InputError, match="it has 2 parts; part = 3 is none of them"):
            read_cine(cine, part=3)


def test_a_disc_for_exchange_is_read_whole(tmp_path: Path) -> None:
    """A DICOMDIR on top, folders below, another series, a report without an image, a text beside them."""
    disc = tmp_path / "disc"
    write_series(
        disc / "DICOM" / "PA0" / "SE0", IMAGES, SeriesDescription="T2 haste", SeriesInstanceUID="1.2.9"
    )
    write_series(
        disc / "DICOM" / "PA0" / "SE1", IMAGES, SeriesDescription="cine sag", ImageType=["O", "P", "M"]
    )
    write_series(
        disc / "DICOM" / "PA0" / "SE2", IMAGES, SeriesDescription="cine sag", ImageType=["O", "P", "P"],
        SeriesInstanceUID="1.2.3.4",
    )  # fmt: skip
    report = dataset(IMAGES[0])
    for name in ("Rows", "Columns", "PixelData"):
        delattr(report, name)
    save(report, disc / "DICOM" / "PA0" / "SE1" / "SR0")
    directory = dataset(IMAGES[0], "1.2.840.10008.1.3.10")
    save(directory, disc / "DICOMDIR")
    (disc / "readme.txt").write_text("view me")
    with pytest.raises(InputError, match="DICOMDIR: no image in it; name the folder of the images"):
        read_cine(disc / "DICOMDIR")
    with pytest.raises(InputError, match=r"1: 12 of T2 haste.*2: 12 of cine sag.* M, 3: 12 of cine sag.* P"):
        read_cine(disc)
    check(read_cine(disc, part=2), 0, close=1)


def test_what_a_header_does_not_say_is_asked_for(tmp_path: Path) -> None:
    bare = write_series(
        tmp_path / "bare", IMAGES, PixelSpacing=None, AcquisitionTime=None, ImageOrientationPatient=None,
        ImagePositionPatient=None,
    )  # fmt: skip
    with pytest.raises(InputError, match="give frame_ms"):
        read_cine(bare)
    with pytest.raises(InputError, match="how large its pixels are; give pixel_mm"):
        read_cine(bare, frame_ms=250)
    series = read_cine(bare, frame_ms=250, pixel_mm=(3, 2.5))
    check(series, 0, close=1)
    assert series.orientation == "rows and columns as they are stored"
    blind = write_series(tmp_path / "blind", IMAGES, AcquisitionTime=None, InstanceNumber=None)
    with pytest.raises(InputError, match="neither times nor instance numbers tell its images apart"):
        read_cine(blind, frame_ms=250)
    oblique = [0.0, 0.96, 0.28, 0.0, 0.28, -0.96]
    assert (
        "head to feet"
        in read_cine(write_series(tmp_path / "o", IMAGES, ImageOrientationPatient=oblique)).orientation
    )
    nothing = read_cine(write_series(tmp_path / "n", IMAGES, ImageOrientationPatient=[0.0] * 6))
    assert nothing.orientation == "rows and columns as they are stored"
    frames = dataset(IMAGES, "1.2.840.10008.5.1.4.1.1.7.3", PixelSpacing=[3, 2.5], FrameTime=250.0)
    check(read_cine(save(frames, tmp_path / "one")), 0, close=1)


def test_bright_and_dark_are_exchanged_where_small_is_shown_bright(tmp_path: Path) -> None:
    top = 4095 - int(np.ceil(IMAGES.max()))
    for name, inverted in (("a", 4095 - IMAGES.round()), ("b", 4095 - top - IMAGES.round())):
        folder = write_series(
            tmp_path / name, inverted, PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11
        )
        series = read_cine(folder)
        check(series, 0, close=1)
        assert any("MONOCHROME1: dark and bright were exchanged" in note for note in series.notes)


def test_numbers_of_few_bits_and_with_signs_are_what_they_stand_for(tmp_path: Path) -> None:
    whole = IMAGES.round()
    spoilt = write_series(tmp_path / "a", whole.astype(np.uint16) | 0xA000, BitsStored=12, HighBit=11)
    check(read_cine(spoilt), 0, close=1)
    signed = (whole - 900).astype(np.int16).view(np.uint16)
    folder = write_series(
        tmp_path / "b", signed & 0xFFF, BitsStored=12, HighBit=11, PixelRepresentation=1,
        RescaleIntercept=900, RescaleSlope=1,
    )  # fmt: skip
    series = read_cine(folder)
    check(series, 0, close=1)
    assert not any("no magnitudes" in note for note in series.notes)
    below = read_cine(write_series(tmp_path / "c", signed, PixelRepresentation=1))
    assert "values from -900 on: these are no magnitudes" in below.notes


def test_what_can_be_no_cine_is_left_out_and_named(tmp_path: Path) -> None:
    """A localizer, an image of another size, phases, copies, and what other systems leave on a disc."""
    folder = write_series(tmp_path / "d", IMAGES, ImageType=["O", "P", "M"])
    for n in range(60):
        (folder / f"._{n}").write_bytes(b"\0\5\x16\7" + bytes(300))
    shutil.copytree(folder, folder / "copy")
    here = {"ImageOrientationPatient": SAGITTAL, "ImagePositionPatient": [0, 0, 0], "PixelSpacing": [3, 2.5]}
    save(dataset(IMAGES[0], **here, SeriesDescription="scout", SeriesInstanceUID="1.9"), folder / "S")
    save(dataset(IMAGES[0, :20], **here, ImageType=["O", "P", "M"]), folder / "small")
    write_series(folder / "phases", IMAGES, ImageType=["O", "P", "P"])
    series = read_cine(folder)
    check(series, 0, close=1)
    left = next(note for note in series.notes if note.startswith("left out: "))
    for told in ("12 of 1.2.3.4 sagittal at 0/0/0 P (40 x 36)", "1 of scout", "(20 x 36)"):
        assert told in left
    assert "12 images were there twice" in series.notes


@pytest.mark.parametrize("name", ["TemporalPositionIdentifier", "AcquisitionNumber"])
def test_other_numbers_order_frames_too(tmp_path: Path, name: str) -> None:
    folder = write_series(
        tmp_path / "d", IMAGES, lambda n: {name: n + 1}, InstanceNumber=None, AcquisitionTime=None
    )
    with pytest.raises(InputError, match="does not say when its frames were taken; give frame_ms"):
        read_cine(folder)
    check(read_cine(folder, frame_ms=250), 0, close=1)


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, "a mosaic of slices; cut one slice out"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}, "in colour"),
        ({"PixelData": b"\0\0"}, "truncated: 2 bytes of pixels, expected 2880"),
        ({"PixelData": None}, "an image without pixels"),
        ({"Rows": 65535, "Columns": 65535}, "its header tells of"),
        ({"PixelSpacing": [3, 0]}, "give pixel_mm"),
        ({"BitsStored": 12, "HighBit": 15}, "12 bits a pixel with the highest at 15; expected at 11"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P"]}, r"no magnitudes \(P\); take the series of the magn"),
        ({"ComplexImageComponent": "PHASE"}, r"no magnitudes \(PHASE\)"),
        ({"AcquisitionTime": "120000"}, "frames have the same acquisition time; give frame_ms"),
        ({"each": lambda n: {"ImagePositionPatient": [4 * n, 0, 0]}}, "no 4 images of one slice"),
        (
            {"each": lambda n: {"SeriesInstanceUID": f"1.{n}"}},
            "no 4 images of one slice in one series, but 12",
        ),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, tags: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told) as raised:
        read_cine(write_series(tmp_path / "d", IMAGES, **tags))
    assert "\n" not in str(raised.value)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "d", IMAGES)
    path = sorted(folder.iterdir())[3]
    whole = path.read_bytes()
    rng, refused = np.random.default_rng(1), 0
    for n in range(40):
        spoilt = bytearray(whole[: rng.integers(140, len(whole))] if n % 2 else whole)
        for at in rng.integers(128, min(len(spoilt), 900), 6):
            spoilt[at] = rng.integers(256)
        path.write_bytes(bytes(spoilt))
        told = ""
        try:
            read_cine(folder)
        except InputError as error:
            told = str(error)
        assert "\n" not in told
        refused += bool(told)
    assert refused > 10
