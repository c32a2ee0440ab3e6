"""What clinics keep is read as what it is: frames, times, pixels and labels, or one line that asks."""

from __future__ import annotations

import gzip
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mrsim
from harness.cli.main import main
from mrsim.anatomy.series.reading.cine import read_cine
from mrsim.errors import InputError, MissingExtraError
from tests.mrsim.anatomy.series.reading.files import IMAGES, LABEL, SAGITTAL, dicom, trackrad, write

pytest.importorskip("SimpleITK")

STEP_NS = 250_000_000


def check(series: Any, labels: int = 1, step_ns: int = STEP_NS, close: float = 0.5) -> None:
    """Hold a series against the arrays that it was written from."""
    np.testing.assert_allclose(series.images, IMAGES, atol=close)
    assert series.pixel_m == pytest.approx((3e-3, 2.5e-3))
    assert np.diff(series.t_ns).tolist() == [step_ns] * (len(IMAGES) - 1)
    assert len(series.labels) == labels
    assert all((label == LABEL).all() for label in series.labels)


def test_the_layout_of_trackrad(tmp_path: Path) -> None:
    series = read_cine(trackrad(tmp_path / "a"))
    check(series, close=0)
    assert "field strength 0.35 T" in series.notes
    assert "rows run head to feet" in series.orientation
    every = read_cine(trackrad(tmp_path / "b", field="b-field-strength", every=True))
    check(every, len(IMAGES), close=0)
    assert "field strength 0.35 T" in every.notes
    file = tmp_path / "a" / "images" / "C_001_frames.mha"
    check(read_cine(file), close=0)
    check(read_cine(file, frame_ms=100.0), step_ns=100_000_000, close=0)
    np.save(tmp_path / "label.npy", LABEL)
    check(read_cine(file, label=tmp_path / "label.npy"), close=0)


def test_a_bare_volume_is_read_as_it_is_said_to_be(tmp_path: Path) -> None:
    write(IMAGES, tmp_path / "slow.mha", (2.5, 3.0, 1.0), compressed=True)
    write(LABEL, tmp_path / "label.mha", (2.5, 3.0))
    given: dict[str, Any] = {"frame_ms": 250.0, "label": tmp_path / "label.mha"}
    check(read_cine(tmp_path / "slow.mha", time_axis="slowest", **given), close=0)
    with pytest.raises(InputError, match="give time_axis"):
        read_cine(tmp_path / "slow.mha", **given)
    np.save(tmp_path / "images.npy", IMAGES)
    check(read_cine(tmp_path / "images.npy", pixel_mm=(3.0, 2.5), **given), close=0)


@pytest.mark.parametrize(
    ("plane", "stored", "told"),
    [
        (SAGITTAL, lambda images: images, "rows run head to feet, columns front to back"),
        ((SAGITTAL[0], (0.0, 0.0, 1.0)), lambda images: images[:, ::-1], "columns front to back"),
        (((0.0, 0.0, -1.0), (1.0, 0.0, 0.0)), None, "rows run head to feet, columns right to left"),
        (((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), lambda images: images, "none from head to feet"),
    ],
)
def test_dicom_is_ordered_timed_and_turned_by_its_headers(
    tmp_path: Path, plane: Any, stored: Callable[[Any], Any] | None, told: str
) -> None:
    if stored is None:  # rows and columns exchanged, the pixel with them
        folder = dicom(tmp_path / "d", IMAGES.swapaxes(1, 2), plane)
        series = read_cine(folder)
        np.testing.assert_allclose(series.images, IMAGES, atol=1)
        assert series.pixel_m == pytest.approx((2.5e-3, 3e-3))
    else:
        folder = dicom(tmp_path / "d", stored(IMAGES), plane)
        series = read_cine(folder)
        check(series, 0, close=1)
    assert told in series.orientation
    assert {"times are the headers' acquisition time", "field strength 3 T"} <= set(series.notes)


def test_dicom_goes_over_midnight_and_by_trigger_and_by_number(tmp_path: Path) -> None:
    count = len(IMAGES)
    late = [f"2359{59 + n * 0.25:09.6f}" if n < 4 else f"0000{(n - 4) * 0.25:09.6f}" for n in range(count)]
    check(read_cine(dicom(tmp_path / "a", IMAGES, t0008_0032=late)), 0, close=1)
    trigger = [f"{250 * n}" for n in range(count)]
    check(read_cine(dicom(tmp_path / "b", IMAGES, t0008_0032="120000", t0018_1060=trigger)), 0, close=1)
    same = dicom(tmp_path / "c", IMAGES, t0008_0032="120000", t0008_0033="120000")
    with pytest.raises(InputError, match="have the same acquisition time; give frame_ms"):
        read_cine(same)
    check(read_cine(same, frame_ms=250.0), 0, close=1)


def test_nifti_of_four_axes_and_one_a_time_point(tmp_path: Path) -> None:
    # NIfTI goes to the right, the front and the head, and the library turns the first two: rows here run
    # front to back, so none is turned.
    write(IMAGES[:, None], tmp_path / "four.nii.gz", (2.5, 3.0, 4.0, 0.25))
    write(LABEL[None], tmp_path / "label.nii", (2.5, 3.0, 4.0))
    series = read_cine(tmp_path / "four.nii.gz", label=tmp_path / "label.nii")
    check(series, close=0)
    assert "none from head to feet" in series.orientation
    for number, frame in enumerate(IMAGES):
        write(frame[None], tmp_path / "many" / f"t{number + 1}.nii", (2.5, 3.0, 4.0))
        write(LABEL[None], tmp_path / "many" / f"t{number + 1}_mask.nii", (2.5, 3.0, 4.0))
    with pytest.raises(InputError, match="give frame_ms"):
        read_cine(tmp_path / "many")
    check(read_cine(tmp_path / "many", frame_ms=250.0), len(IMAGES), close=0)
    for mask in list((tmp_path / "many").glob("*_mask.nii"))[1:]:
        mask.unlink()
    check(read_cine(tmp_path / "many", frame_ms=250.0), 1, close=0)


def test_a_volume_and_its_data_may_be_two_files(tmp_path: Path) -> None:
    for packed in (False, True):
        path = tmp_path / f"two{packed}.mhd"
        write(np.moveaxis(IMAGES, 0, -1), path, (1.0, 2.5, 3.0), compressed=packed)
        check(read_cine(path, time_axis="fastest", frame_ms=250), 0, close=0)
        data = next(entry for entry in tmp_path.iterdir() if entry.suffix in (".raw", ".zraw"))
        data.write_bytes(data.read_bytes()[:-100])
        with pytest.raises(InputError, match="truncated"):
            read_cine(path, time_axis="fastest", frame_ms=250)
        data.unlink()
        with pytest.raises(InputError, match="or in one file beside it"):
            read_cine(path, time_axis="fastest", frame_ms=250)


def test_labels_of_several_observers_are_asked_about(tmp_path: Path) -> None:
    targets = trackrad(tmp_path / "a", every=True) / "targets"
    (targets / "C_001_first_label.mha").unlink()
    one = (targets / "C_001_labels.mha").rename(targets / "C_001_labels_first_observer.mha")
    with pytest.raises(InputError, match=r"which of its labels is meant\? C_001_labels_first_observer.mha"):
        read_cine(tmp_path / "a")
    check(read_cine(tmp_path / "a", label=one), len(IMAGES), close=0)


def test_nifti_headers_are_taken_at_their_word(tmp_path: Path) -> None:
    """The library takes a step of 0 for 1 s, and a NaN for 0: both are found in the file itself."""
    for name in ("four.nii", "four.nii.gz"):
        path = tmp_path / name
        write(IMAGES[:, None], path, (2.5, 3.0, 4.0, 0.25))
        unpack, pack = (gzip.decompress, gzip.compress) if name.endswith("gz") else (bytes, bytes)
        whole = bytearray(unpack(path.read_bytes()))
        for at, what, told in (
            (92, struct.pack("<f", 0.0), "does not say when its frames were taken; give frame_ms"),
            (123, b"\2", "does not say when its frames were taken; give frame_ms"),
            (
                352 + 4 * (3 * 40 * 36 + 5),
                struct.pack("<f", np.nan),
                "frame 3 has pixels that are not finite",
            ),
            (0, struct.pack("<i", 540), "NIfTI-2"),
        ):
            spoilt = whole.copy()
            spoilt[at : at + len(what)] = what
            path.write_bytes(pack(bytes(spoilt)))
            with pytest.raises(InputError, match=told):
                read_cine(path)
        path.write_bytes(pack(bytes(whole)))
        check(read_cine(path), 0, close=0)
    turned = (IMAGES * np.exp(0.5j)).astype(np.complex64)
    write(turned[:, None], tmp_path / "turned.nii", (2.5, 3.0, 4.0, 0.25))
    np.testing.assert_allclose(read_cine(tmp_path / "turned.nii").images, turned, atol=1e-3)


def spoilt(room: Path) -> list[tuple[list[str], str]]:
    """Write what nobody can read, and return how it is named and what is to be told."""
    good = trackrad(room / "good")
    frames = good / "images" / "C_001_frames.mha"
    whole = frames.read_bytes()
    (room / "cut.mha").write_bytes(whole[: len(whole) // 2])
    packed = room / "packed.mha"
    write(np.moveaxis(IMAGES, 0, -1), packed, (1.0, 2.5, 3.0), compressed=True)
    packed.write_bytes(packed.read_bytes()[:-500])
    (room / "huge.mha").write_bytes(whole.replace(b"DimSize = 12 36 40", b"DimSize = 1200 3600 4000"))
    (room / "elsewhere.mha").write_bytes(
        whole.replace(b"ElementDataFile = LOCAL", b"ElementDataFile = /etc/passwd")
    )
    (room / "noise.mha").write_bytes(np.random.default_rng(1).bytes(4000))
    (room / "noise.nii").write_bytes(np.random.default_rng(1).bytes(4000))
    trackrad(room / "turned", images=IMAGES)
    trackrad(room / "rate")
    (room / "rate" / "frame-rate.json").write_text('"fast"')
    trackrad(room / "several")
    write(np.moveaxis(IMAGES, 0, -1), room / "several" / "images" / "C_001_frames2.mha", (1.0, 2.5, 3.0))
    hole = np.moveaxis(IMAGES, 0, -1).copy()
    hole[3, 4, 5] = np.nan
    trackrad(room / "hole", images=hole)
    trackrad(room / "one", images=np.moveaxis(IMAGES, 0, -1)[..., :1])
    for name, label in (
        ("empty", np.zeros_like(LABEL)),
        ("large", np.pad(LABEL, 3)),
        ("turned", np.zeros((len(IMAGES), len(LABEL)), np.uint8)),
        ("edge", np.roll(LABEL, -14, 0)),
    ):
        np.save(room / f"{name}.npy", label)
    dicom(room / "two", IMAGES, t0020_000e=["1.2.3.4"] * 6 + ["1.2.3.5"] * 6)
    dicom(room / "places", IMAGES, t0020_0032=["0\\0\\0", "5\\0\\0"] * 6)
    times = [f"1200{n * 0.25:09.6f}" for n in range(len(IMAGES))]
    dicom(room / "back", IMAGES, t0008_0032=[*times[:5], "115900.000000", *times[6:]])
    write(np.stack([IMAGES[:, :4]] * 4, 1), room / "volumes.nii", (2.5, 3.0, 4.0, 0.25))
    four = room / "four.nii"
    write(IMAGES[:, None], four, (2.5, 3.0, 4.0, 0.25))
    (room / "short.nii").write_bytes(four.read_bytes()[:-3000])
    write(IMAGES, room / "three.nii", (2.5, 3.0, 1.0))
    (room / "nothing").mkdir()
    (room / "notes.txt").write_text("no cine")
    file = str(frames)
    return [
        (["cut.mha"], "truncated"),
        (["packed.mha"], "truncated"),
        (["huge.mha"], "its header tells of 17280000000 pixels"),
        (["elsewhere.mha"], "no MHA file with its data in itself, or in one file beside it"),
        (["noise.mha"], "no MHA file"),
        (["noise.nii"], "damaged, or no image"),
        (["turned"], "give --time-axis"),
        (["rate"], "frame-rate.json: expected one number"),
        (["several"], "found C_001_frames.mha, C_001_frames2.mha"),
        (["hole"], "frame 5 has pixels that are not finite"),
        (["one"], "1 frames of"),
        ([file, "--label", "empty.npy"], "no pixel in frame 0"),
        ([file, "--label", "large.npy"], "large.npy: labels of the shape (1, 46, 42)"),
        ([file, "--label", "turned.npy"], "time is to be the first axis of the images"),
        ([file, "--label", "edge.npy"], "touches the edge of the image"),
        ([file, "--label", "gone.npy"], "gone.npy: no such file"),
        ([file, "--frame-ms", "-1"], "--frame-ms -1.0: expected above 0"),
        (["two"], "several series, slices or kinds of image (1: 6 of"),
        (["places"], "sagittal at 5/0/0); give --part"),
        (["back"], "the acquisition time goes back where instance numbers go on"),
        (["volumes.nii"], "expected one slice"),
        (["short.nii"], "truncated"),
        (["three.nii"], "give --time-axis slowest"),
        (["nothing"], "no cine in it"),
        (["notes.txt"], "no cine that is known"),
        (["gone"], "gone: no such file or folder"),
    ]


def test_what_cannot_be_read_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words, told in spoilt(tmp_path):
        assert main(["patient", *words, "-o", "new"]) == 2, words
        err = capfd.readouterr().err
        assert told in err, words
        assert err.count("\n") == 1, err
        assert not (tmp_path / "new").exists()


def test_a_case_becomes_a_patient_whose_record_says_where_from(tmp_path: Path) -> None:
    patient = mrsim.prepare_patient(
        trackrad(tmp_path / "case"), tmp_path / "mine", smooth_frames=0.0, twin=False
    )
    record = json.loads((tmp_path / "mine" / "patient.json").read_text())
    assert record["notes"] == ["field strength 0.35 T"]
    assert "head to feet" in record["orientation"]
    assert len(patient.playback.labels) == 1


def test_without_the_library_the_command_to_install_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = trackrad(tmp_path / "case")
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mrsim\[cine\]'"):
        read_cine(case)
