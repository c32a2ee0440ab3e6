"""MRD files of ours come back bit for bit, and damaged ones are refused in one line."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import tempfile
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrsim.errors import InputError
from mrsim.formats.mrd_file import write_mrd
from mrsim.formats.mrd_import import mrd_to_stream
from mrsim.formats.noise_scan import NoiseScans
from mrsim.formats.oversampling import Oversampling
from mrsim.simulation import simulate
from mrsim.stream import load, save
from mrsim.stream.storage import StreamWriter
from recon.fourier import to_image
from tests.mrsim.formats.foreign_files import HEADER, foreign, sent
from tests.mrsim.formats.scans import assert_identical, complex_noise, leftovers, sampled, streams

RECONSTRUCTOR = shutil.which("ismrmrd_recon_cartesian_2d")


# Ours.


@given(streams())
@settings(max_examples=25)
def test_a_stream_comes_back_bit_for_bit(stream):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_mrd(stream, folder / "a.h5")
        imported = mrd_to_stream(folder / "a.h5", folder / "a.stream")
        prescan = stream.header.prescan
        kept = (
            () if prescan is None else (f"the prescan of {prescan.shape[1]} x {prescan.shape[2]} was kept",)
        )
        assert imported.notes == kept
        assert_identical(load(folder / "a.stream"), stream)


def test_noise_scans_come_back_and_go_out_again_bit_for_bit(tmp_path):
    stream = sampled(HEADER, 3)
    noise = NoiseScans(complex_noise(np.random.default_rng(2), 2, 3, 40), np.array([5.0, 1 / 3], np.float32))
    write_mrd(stream, tmp_path / "a.mrd", noise=noise)
    mrd_to_stream(tmp_path / "a.mrd", tmp_path / "a.stream")
    back = load(tmp_path / "a.stream")
    assert_identical(back, stream)
    kept = NoiseScans.of(tmp_path / "a.stream")
    assert kept is not None
    assert kept.samples.tobytes() == noise.samples.tobytes()
    assert kept.dwell_us.tobytes() == noise.dwell_us.tobytes()
    write_mrd(back, tmp_path / "b.mrd", noise=kept)
    with (
        ismrmrd.Dataset(str(tmp_path / "a.mrd"), mode="r") as a,
        ismrmrd.Dataset(str(tmp_path / "b.mrd"), mode="r") as b,
    ):
        assert a.number_of_acquisitions() == 2 + 12
        assert a.read_acquisition(0).is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        assert all(a.read_acquisition(i) == b.read_acquisition(i) for i in range(14))


def test_the_packages_own_reader_finds_every_line_and_nothing_of_the_truth(tmp_path):
    stream = dataclasses.replace(sampled(HEADER, 2))
    write_mrd(stream, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as plain:
        assert list(plain) == ["dataset"]  # of two groups a client asks which one is meant
    with ismrmrd.Dataset(str(tmp_path / "a.h5"), mode="r") as file:
        assert sorted(file.list()) == ["data", "mrsim", "xml"]
        assert not [name for name in file.list() if name.startswith("image")]
        assert file.number_of_acquisitions() == len(stream)
        ismrmrd.xsd.CreateFromDocument(file.read_xml_header())
        for readout in stream:
            acquisition = file.read_acquisition(readout.index)
            assert acquisition.data.tobytes() == readout.samples.tobytes()
            assert acquisition.idx.kspace_encode_step_1 == readout.ky + 6
            assert acquisition.idx.repetition == readout.frame


@pytest.mark.skipif(
    RECONSTRUCTOR is None, reason="the example reconstructor of ismrmrd-tools is not installed"
)
@pytest.mark.parametrize("coils", [1, 4])
def test_the_example_reconstructor_makes_our_image_of_our_file(tmp_path, coils):
    scan = simulate(
        "quasar", frames=1, acceleration=1, sampler="full", coils=coils, matrix=(64, 64), seed=coils
    )
    path = write_mrd(scan, tmp_path / "a.h5", oversampling=Oversampling.REPORTED)
    subprocess.run([str(RECONSTRUCTOR), str(path)], check=True, capture_output=True, timeout=120)
    kspace = np.zeros((coils, 64, 64), np.complex64)
    for readout in scan:
        kspace[:, readout.ky + 32] = readout.samples
    ours = np.sqrt((np.abs(to_image(kspace)) ** 2).sum(axis=0)).ravel()
    with h5py.File(path) as file:
        theirs = np.asarray(file["dataset/cpp/data"][...], np.float64).ravel()
    gain = ours @ theirs / (theirs @ theirs)
    assert np.linalg.norm(gain * theirs - ours) < 1e-3 * np.linalg.norm(ours)


def test_a_file_of_version_0_1_has_its_truth_at_the_root(tmp_path):
    from tests.harness.synthetic import make_header, make_stream

    stream = make_stream(8, header=make_header())
    path = write_mrd(stream, tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file.move("dataset/mrsim", "mrsim")
    found = load(mrd_to_stream(path, tmp_path / "a.stream").path)
    assert found.truth is not None
    np.testing.assert_array_equal(found.truth.image, stream.truth.image)
    write_mrd(stream, path)  # it is one of ours, and is replaced
    with h5py.File(path) as file:
        assert list(file) == ["dataset"]


def test_nothing_half_written_is_left_and_no_other_file_is_replaced(tmp_path):
    stream = sampled(HEADER, 2)
    write_mrd(stream, tmp_path / "a.h5")
    write_mrd(stream, tmp_path / "a.h5")  # one of ours is

    def broken(done: int, total: int) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_mrd(stream, tmp_path / "b.h5", progress=broken)
    assert not (tmp_path / "b.h5").exists()
    assert leftovers(tmp_path) == []
    foreign(tmp_path / "c.h5", sent(stream))
    with pytest.raises(InputError, match="not written by mrsim"):
        write_mrd(stream, tmp_path / "c.h5")


# Damaged and lying.


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mrd(sampled(HEADER, 3), tmp_path_factory.mktemp("whole") / "a.h5")


def refuse(path: Path, told: str) -> None:
    with pytest.raises(InputError, match=told) as error:
        mrd_to_stream(path, path.with_suffix(".stream"))
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert not path.with_suffix(".stream").exists()
    assert leftovers(path.parent) == []


def change(whole: Path, path: Path, edit: object) -> Path:
    shutil.copy(whole, path)
    with h5py.File(path, "r+") as file:
        edit(file)  # type: ignore[operator]
    return path


def replaced(name: str, **made: object) -> object:
    def edit(file: h5py.File) -> None:
        del file[name]
        if made:
            file.create_dataset(name, **made)

    return edit


def linked(file: h5py.File) -> None:
    del file["dataset/data"]
    file["dataset/data"] = h5py.ExternalLink("/elsewhere.h5", "/data")


def lying(field: str, value: int) -> object:
    def edit(file: h5py.File) -> None:
        row = file["dataset/data"][3]
        row["head"][field] = value
        file["dataset/data"][3] = row

    return edit


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (replaced("dataset/data"), "no group with the datasets"),
        (replaced("dataset/data", shape=(3,), dtype="f4"), "no table of heads"),
        (replaced("dataset/data", shape=(3, 3), dtype="f4"), "its shape is"),
        (replaced("dataset/data", shape=(1 << 40,), dtype="i1", chunks=(64,)), "expected 1 to"),
        (
            replaced("dataset/data", shape=(9,), dtype=ismrmrd.hdf5.acquisition_dtype, chunks=(3,)),
            "never written",
        ),
        (
            replaced(
                "dataset/data",
                shape=(9,),
                dtype=ismrmrd.hdf5.acquisition_dtype,
                chunks=(3,),
                compression="gzip",
            ),
            "h5repack",
        ),
        (replaced("dataset/xml", data=np.zeros(3)), "its shape is"),
        (replaced("dataset/xml", data=np.zeros(1)), "expected a string"),
        (replaced("dataset/xml", data=[b"<a/>"]), "not an MRD header"),
        (replaced("dataset/xml", data=[b"x" * (2 << 20)]), "at most"),
        (linked, "not followed"),
        (lying("number_of_samples", 65_535), "number of samples"),
        (lying("active_channels", 65_535), "number of channels"),
        (lying("center_sample", 3), "partial echo"),
        (replaced("dataset/mrsim/meta", data=np.zeros(4, np.uint8)), "not of version"),
        (replaced("dataset/mrsim/meta"), "missing"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(whole, tmp_path, edit, told):
    refuse(change(whole, tmp_path / "a.h5", edit), told)


def test_every_readout_that_lies_of_its_size_is_refused_before_any_room_is_taken(whole, tmp_path):
    """65,535 channels of 65,535 samples would be 34 GB."""

    def edit(file: h5py.File) -> None:
        rows = file["dataset/data"][:]
        rows["head"]["number_of_samples"] = rows["head"]["active_channels"] = 65_535
        file["dataset/data"][:] = rows

    refuse(change(whole, tmp_path / "a.h5", edit), "channels: expected 1 to 256")


def test_truth_of_another_shape_is_refused(tmp_path):
    from tests.harness.synthetic import make_header, make_stream

    path = write_mrd(make_stream(8, header=make_header()), tmp_path / "whole.h5")
    refuse(
        change(path, tmp_path / "a.h5", replaced("dataset/mrsim/mask", data=np.zeros((2, 8, 9), bool))),
        "its shape is",
    )
    refuse(
        change(path, tmp_path / "a.h5", replaced("dataset/mrsim/image", data=np.zeros((2, 8, 8)))),
        "expected complex64",
    )


def test_a_text_is_no_file_of_this_kind(tmp_path):
    (tmp_path / "a.h5").write_text("no")
    refuse(tmp_path / "a.h5", "not an HDF5 file, nor one of MRD messages")


def test_an_empty_file_is_called_so(tmp_path):
    (tmp_path / "a.mrd").touch()
    refuse(tmp_path / "a.mrd", "a.mrd: it is empty")


@given(cut=st.floats(0, 1), places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8))
@settings(max_examples=40)
def test_a_file_with_damaged_bytes_gives_a_stream_or_one_line(whole, cut, places):
    raw = bytearray(whole.read_bytes())
    for place, value in places:
        raw[int(place * (len(raw) - 1))] = value
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "a.h5"
        path.write_bytes(raw if places else raw[: int(cut * len(raw))])
        try:
            mrd_to_stream(path, Path(name) / "a.stream")
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017
        assert leftovers(Path(name)) == []


@pytest.mark.parametrize(
    ("array", "told"),
    [(np.zeros((2, 3)), "expected .scans, coils, samples."), (np.zeros((1, 3, 4)), "complex64")],
)
def test_noise_beside_a_stream_is_looked_at_before_it_is_used(tmp_path, array, told):
    stream = sampled(HEADER, 1)
    save(stream, tmp_path / "a")
    assert NoiseScans.of(tmp_path / "a") is None
    with StreamWriter(tmp_path / "a", stream.header, len(stream), None, None, overwrite=True) as writer:
        writer.append(stream.ky, stream.frame, stream.t_ns, stream.samples)
        writer.attach("noise", array)
        writer.attach("noise_dwell_us", np.zeros(len(array), np.float32))
    with pytest.raises(InputError, match=told):
        NoiseScans.of(tmp_path / "a")
