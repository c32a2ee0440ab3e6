"""Images as files: what their kept libraries read back has the same values, spacing, rate and place."""

from __future__ import annotations

import dataclasses
import json
import os

import numpy as np
import pytest
from PIL import Image

from mrsim.anatomy.series.reading.cine import read_cine
from mrsim.errors import InputError
from mrsim.formats.images import files
from mrsim.formats.images.files import check_images, read_stored, write_images
from mrsim.formats.images.series import ImageSeries

PIXEL_M, FRAME_NS, FIRST_NS = (0.0021, 0.0034), 70_400_000, 69_300_000
STEP_S = FRAME_NS * 1e-9


@pytest.fixture
def series() -> ImageSeries:
    """Return seven images of 9 x 12 pixels, no two pixels alike."""
    rng = np.random.default_rng(1)
    images = (rng.random((7, 9, 12)) + 1j * rng.random((7, 9, 12))).astype(np.complex64)
    return ImageSeries(images, PIXEL_M, FRAME_NS, FIRST_NS, "images of a test", np.ones(7, np.bool_))


def read(path):
    sitk = pytest.importorskip("SimpleITK")
    return sitk.ReadImage(str(path)), sitk


def check_geometry(image):
    """A coronal slice: columns go left, rows go down to the feet, and k = 0 of the scan is at the centre."""
    axes = image.GetDimension()
    direction = np.array(image.GetDirection()).reshape(axes, axes)
    assert np.allclose(direction[:3, 0], (1, 0, 0))
    assert np.allclose(direction[:3, 1], (0, 0, -1))
    assert np.allclose(image.GetSpacing()[:2], (3.4, 2.1), rtol=1e-6)
    centre = image.TransformContinuousIndexToPhysicalPoint([6.0, 4.0, *[0.0] * (axes - 2)])
    assert np.allclose(centre[:3], (0, 0, 0), atol=1e-5)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha"])
def test_a_volume_is_read_back_as_it_is(name, series, tmp_path):
    write_images(str(tmp_path / name), series)
    image, sitk = read(tmp_path / name)
    assert np.array_equal(sitk.GetArrayFromImage(image).reshape(7, 9, 12), np.abs(series.images))
    assert image.GetSpacing()[-1] == pytest.approx(STEP_S, rel=1e-6)
    check_geometry(image)


def test_masks_are_whole_numbers(series, tmp_path):
    masks = dataclasses.replace(series, images=np.abs(series.images) > 0.7)
    for name in ("m.nii.gz", "m.mha"):
        write_images(str(tmp_path / name), masks)
        image, sitk = read(tmp_path / name)
        found = sitk.GetArrayFromImage(image)
        assert found.dtype == np.uint8
        assert np.array_equal(found.reshape(7, 9, 12), masks.images)


def test_dicom_is_read_back_to_half_a_level(series, tmp_path):
    write_images(f"{tmp_path}/a.dcm/", series)
    names = sorted(p.name for p in (tmp_path / "a.dcm").iterdir())
    assert names == [f"{n:04}.dcm" for n in range(1, 8)]
    level = float(np.abs(series.images).max()) / 65535
    seen = set()
    for number, name in enumerate(names):
        image, sitk = read(tmp_path / "a.dcm" / name)
        assert np.abs(sitk.GetArrayFromImage(image)[0] - np.abs(series.images[number])).max() <= 0.51 * level
        check_geometry(image)
        assert float(image.GetMetaData("0018|1060")) == pytest.approx((FIRST_NS + number * FRAME_NS) / 1e6)
        seen.add(image.GetMetaData("0008|0018"))
    assert len(seen) == 7  # each has an identifier of its own


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.nii.gz", {}),
        ("a.dcm/", {}),
        ("a.npz", {}),
        ("a.mha", {"time_axis": "slowest", "frame_ms": FRAME_NS / 1e6}),
    ],
)
def test_what_is_written_can_be_a_patient(name, how, series, tmp_path):
    """The door for cines reads the same frames, pixels, times and orientation."""
    pytest.importorskip("SimpleITK")
    write_images(f"{tmp_path}/{name}", series)
    found = read_cine(tmp_path / name, **how)
    level = float(np.abs(series.images).max()) / 65535
    assert np.abs(np.abs(found.images) - np.abs(series.images)).max() <= 0.51 * level
    assert np.allclose(found.pixel_m, PIXEL_M, rtol=1e-6)
    assert np.allclose(np.diff(found.t_ns), FRAME_NS, atol=200)


def test_arrays_are_read_back_to_the_last_bit(series, tmp_path):
    series = dataclasses.replace(series, shown=np.arange(7) > 0)
    write_images(str(tmp_path / "a.npz"), series)
    found = read_stored(tmp_path / "a.npz")
    assert np.array_equal(found.images, series.images)
    assert np.array_equal(found.shown, series.shown)
    told = (found.frame_ns, found.first_ns, found.about)
    assert told == (FRAME_NS, FIRST_NS, "images of a test")
    assert found.pixel_m == pytest.approx(PIXEL_M, rel=1e-12)


def test_png_holds_sixteen_bits_and_says_what_a_level_is(series, tmp_path):
    write_images(f"{tmp_path}/a.png/", series)
    told = json.loads((tmp_path / "a.png" / "series.json").read_text())
    assert (told["frame_ms"], told["pixel_mm"], told["images"]) == (70.4, [2.1, 3.4], 7)
    for number in range(7):
        with Image.open(tmp_path / "a.png" / f"{number:04}.png") as image:
            values = np.asarray(image).astype(np.float64) * told["value_of_a_level"]
        assert np.abs(values - np.abs(series.images[number])).max() <= 0.51 * told["value_of_a_level"]


def test_moving_pictures_hold_every_image(series, tmp_path):
    av = pytest.importorskip("av")
    write_images(str(tmp_path / "a.mp4"), series)
    with av.open(str(tmp_path / "a.mp4")) as film:
        shown = [frame.to_ndarray(format="gray") for frame in film.decode(video=0)]
        assert float(film.streams.video[0].average_rate) == pytest.approx(1 / STEP_S, rel=1e-6)
    assert len(shown) == 7
    grey = np.clip(np.abs(series.images) / series.white, 0, 1)
    times = -(-files.LEAST_SIDE // 12)
    for frame, one in zip(shown, grey, strict=True):
        found = frame[: 9 * times, : 12 * times].reshape(9, times, 12, times).mean(axis=(1, 3))
        assert np.corrcoef(found.ravel(), one.ravel())[0, 1] > 0.995
    write_images(str(tmp_path / "a.gif"), series)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 7


def test_the_same_images_give_the_same_bytes(series, tmp_path):
    for name in ("a.nii", "a.nii.gz", "a.mha", "a.npz", "a.dcm/", "a.png/"):
        kept = []
        for room in ("one", "two"):
            (tmp_path / room).mkdir(exist_ok=True)
            write_images(f"{tmp_path}/{room}/{name}", series)
            path = tmp_path / room / name
            kept.append([p.read_bytes() for p in (sorted(path.iterdir()) if path.is_dir() else [path])])
        assert kept[0] == kept[1], name


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a.tif", "expected a name that ends in"),
        ("a.png", r"a series of single files is a folder: .*a\.png/"),
        ("a.dcm", r"a series of single files is a folder: .*a\.dcm/"),
        ("plain", "expected a name"),
        ("none/a.nii", "no such folder"),
        ("there.png/", "exists; choose another name"),
        ("file.png/", "it is a file; name a folder"),
    ],
)
def test_a_name_that_cannot_be_is_refused_before_the_work(name, told, tmp_path):
    (tmp_path / "there.png").mkdir()
    (tmp_path / "file.png").write_bytes(b"precious")
    with pytest.raises(InputError, match=told):
        check_images(f"{tmp_path}/{name}")
    assert (tmp_path / "file.png").read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file.png", "there.png"]


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "a.npz", "a.dcm/", "a.png/", "a.gif"])
def test_an_error_of_the_disk_leaves_nothing(name, series, tmp_path, monkeypatch):
    real = os.replace

    def full(source, target):
        if str(target).endswith((".nii.gz", ".mha", ".npz", ".gif", "0003.dcm", "0003.png")):
            raise OSError(28, os.strerror(28))
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match="No space left"):
        write_images(f"{tmp_path}/{name}", series)
    assert list(tmp_path.iterdir()) == []


def test_arrays_of_something_else_are_refused(series, tmp_path):
    np.savez(tmp_path / "other.npz", images=np.zeros((3, 4, 4)))
    with pytest.raises(InputError, match="no images of mrsim"):
        read_stored(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("GIF89a")
    with pytest.raises(InputError, match="damaged, or not images of mrsim"):
        read_stored(tmp_path / "text.npz")
    odd = dataclasses.replace(series, images=np.full((7, 9, 12), np.nan, np.complex64))
    write_images(str(tmp_path / "odd.npz"), odd)
    with pytest.raises(InputError, match="not finite"):
        read_stored(tmp_path / "odd.npz")
