"""MRD files: ours come back bit for bit, and those from elsewhere become streams that replay."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrsim.errors import InputError
from mrsim.formats.mrd_acquisition import Marks, noise_acquisition, to_acquisition
from mrsim.formats.mrd_file import write_mrd
from mrsim.formats.mrd_header import header_to_xml
from mrsim.formats.mrd_import import Given, mrd_to_stream
from mrsim.formats.mrd_lines import acquired_order
from mrsim.formats.noise_scan import NoiseScans
from mrsim.formats.oversampling import Oversampling
from mrsim.simulation import simulate
from mrsim.stream import Header, Stream, load, save
from mrsim.stream.storage import StreamWriter
from recon.fourier import to_image
from tests.mrsim.formats.scans import assert_identical, complex_noise, leftovers, sampled, streams

HEADER = Header((12, 16), (0.3, 0.4), 3_000_000, 1_500_000, 0.35, 1.5, 3, 4, 3.0, "uniform", "random")
GENERATOR = shutil.which("ismrmrd_generate_cartesian_shepp_logan")
RECONSTRUCTOR = shutil.which("ismrmrd_recon_cartesian_2d")
FOREIGN = Given(tr_ns=4_000_000, field_t=3.0)


def foreign(
    path: Path,
    acquisitions: Iterable[ismrmrd.Acquisition],
    header: Header = HEADER,
    **convention: Oversampling,
) -> Path:
    """Write a file as others do: by the package, one readout at a time, without what is ours."""
    xml = ismrmrd.xsd.CreateFromDocument(header_to_xml(header, **convention))
    xml.userParameters = xml.sequenceParameters = None
    with ismrmrd.Dataset(str(path)) as file:
        file.write_xml_header(xml.toXML().encode())
        for acquisition in acquisitions:
            for place in range(8):
                acquisition.user_int[place] = 0
            file.append_acquisition(acquisition)
    return path


def sent(stream: Stream, *convention: Oversampling) -> list[ismrmrd.Acquisition]:
    marks = Marks(lines=len(stream))
    return [to_acquisition(r, stream.header, *convention, marks=marks) for r in stream]


def assert_same_lines(found: Stream, stream: Stream, tolerance: float = 0.0) -> None:
    assert found.ky.tolist() == stream.ky.tolist()
    assert found.frame.tolist() == stream.frame.tolist()
    np.testing.assert_allclose(found.samples, stream.samples, rtol=0, atol=tolerance)


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


# From elsewhere.


@pytest.mark.parametrize("convention", list(Oversampling))
def test_a_foreign_file_gives_the_same_lines_in_every_convention(tmp_path, convention):
    stream = sampled(HEADER, 4)
    path = foreign(tmp_path / "a.h5", sent(stream, convention), oversampling=convention)
    imported = mrd_to_stream(path, tmp_path / "a.stream", Given(tr_ns=3_000_000))
    found = load(tmp_path / "a.stream")
    assert_same_lines(found, stream, 1e-6 if convention.factor == 2 else 0.0)
    assert found.t_ns.tolist() == stream.t_ns.tolist()  # TE is assumed at the middle, where it is
    assert found.header.matrix == stream.header.matrix
    assert found.header.fov_m == pytest.approx(stream.header.fov_m)
    assert found.header.lines_per_frame == 4
    assert (found.truth, found.provenance) == (None, None)
    assert any("oversampling" in note for note in imported.notes) == (convention.factor == 2)
    assert any("flip angle" in note for note in imported.notes)


def test_readouts_in_any_order_are_put_in_the_order_of_acquisition(tmp_path):
    stream = sampled(HEADER, 5)
    for name, clear in (("counter", "acquisition_time_stamp"), ("stamps", "scan_counter")):
        acquisitions = sent(stream)
        for i, acquisition in enumerate(acquisitions):
            acquisition.acquisition_time_stamp = 10 * i
            setattr(acquisition, clear, 0)
        np.random.default_rng(1).shuffle(acquisitions)
        foreign(tmp_path / f"{name}.h5", acquisitions)
        mrd_to_stream(tmp_path / f"{name}.h5", tmp_path / name, FOREIGN)
        assert_same_lines(load(tmp_path / name), stream)


def test_without_counters_and_stamps_the_frames_are_told_by_the_repetition(tmp_path):
    stream = sampled(HEADER, 3)
    acquisitions = sent(stream)
    for acquisition in acquisitions:
        acquisition.scan_counter = acquisition.acquisition_time_stamp = 0
    foreign(tmp_path / "a.h5", acquisitions[8:] + acquisitions[:8])
    mrd_to_stream(tmp_path / "a.h5", tmp_path / "a", FOREIGN)
    assert_same_lines(load(tmp_path / "a"), stream)


def test_repetitions_that_wrap_go_on_counting(tmp_path):
    header = dataclasses.replace(HEADER, lines_per_frame=2)
    stream = sampled(header, 6)
    stream = dataclasses.replace(stream, frame=stream.frame + 65_533)
    foreign(tmp_path / "a.h5", sent(stream), header)
    mrd_to_stream(tmp_path / "a.h5", tmp_path / "a", FOREIGN)
    assert load(tmp_path / "a").frame.tolist() == [i // 2 for i in range(12)]


def test_other_readouts_are_left_out_and_slices_are_chosen(tmp_path):
    stream = sampled(HEADER, 2)
    mixed = []
    for acquisition in sent(stream):
        navigator = to_acquisition(stream.readout(0), HEADER)
        navigator.set_flag(ismrmrd.ACQ_IS_NAVIGATION_DATA)
        other = to_acquisition(stream.readout(1), HEADER)
        other.idx.slice = 1
        mixed += [navigator, acquisition, other]
    for i, acquisition in enumerate(mixed):
        acquisition.scan_counter = i
    foreign(tmp_path / "a.h5", mixed)
    with pytest.raises(InputError, match=r"2 slices.*--slice"):
        mrd_to_stream(tmp_path / "a.h5", tmp_path / "a", FOREIGN)
    imported = mrd_to_stream(tmp_path / "a.h5", tmp_path / "a", dataclasses.replace(FOREIGN, slice=0))
    assert_same_lines(load(tmp_path / "a"), stream)
    assert any(note.startswith("8 readouts") for note in imported.notes)


def test_frames_that_cannot_be_told_are_refused_until_they_are_cut_by_hand(tmp_path):
    stream = sampled(HEADER, 3)
    acquisitions = sent(stream)
    acquisitions[2].idx.repetition = 1  # interleaved
    foreign(tmp_path / "a.h5", acquisitions)
    with pytest.raises(InputError, match=r"interleaved.*--lines-per-frame"):
        mrd_to_stream(tmp_path / "a.h5", tmp_path / "a", FOREIGN)
    mrd_to_stream(tmp_path / "a.h5", tmp_path / "a", dataclasses.replace(FOREIGN, lines_per_frame=4))
    assert_same_lines(load(tmp_path / "a"), stream)
    foreign(tmp_path / "b.h5", sent(stream)[1:])
    with pytest.raises(InputError, match="frame 0 has 3 lines"):
        mrd_to_stream(tmp_path / "b.h5", tmp_path / "b", FOREIGN)


def test_what_a_file_leaves_out_is_asked_for(tmp_path):
    foreign(tmp_path / "a.h5", sent(sampled(HEADER, 2)))
    with pytest.raises(InputError, match=r"no TR.*--tr-ms"):
        mrd_to_stream(tmp_path / "a.h5", tmp_path / "a")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.h5"]


def test_prewhitening_makes_the_noise_white_and_keeps_its_mean_variance(tmp_path):
    rng = np.random.default_rng(4)
    mixing = rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3))
    frames = 30
    quiet = sampled(HEADER, frames)
    stream = dataclasses.replace(
        quiet, samples=(mixing @ complex_noise(rng, len(quiet), 3, 16)).astype(np.complex64)
    )
    scans = (mixing @ complex_noise(rng, 3, 4000)).astype(np.complex64)
    foreign(tmp_path / "a.h5", [noise_acquisition(scans, 5.0), *sent(stream)])
    mrd_to_stream(tmp_path / "a.h5", tmp_path / "a", dataclasses.replace(FOREIGN, prewhiten=True))

    def covariance(samples: np.ndarray) -> np.ndarray:
        flat = np.moveaxis(samples, 1, 0).reshape(3, -1)
        return flat @ flat.conj().T / flat.shape[1]

    before, after = covariance(stream.samples), covariance(load(tmp_path / "a").samples)
    mean = np.trace(before).real / 3
    assert np.abs(before - mean * np.eye(3)).max() > 0.3 * mean
    np.testing.assert_allclose(after, mean * np.eye(3), atol=0.1 * mean)
    kept = NoiseScans.of(tmp_path / "a")
    assert kept is not None
    np.testing.assert_allclose(kept.whitening(), np.eye(3), atol=1e-3)


def test_prewhitening_without_noise_scans_is_refused(tmp_path):
    write_mrd(sampled(HEADER, 2), tmp_path / "a.h5")
    with pytest.raises(InputError, match="no noise scans"):
        mrd_to_stream(tmp_path / "a.h5", tmp_path / "a", Given(prewhiten=True))


@pytest.mark.skipif(GENERATOR is None, reason="the example generator of ismrmrd-tools is not installed")
@pytest.mark.parametrize(("oversampling", "acceleration"), [(2, 1), (1, 1), (2, 2)])
def test_the_example_generators_phantom_is_seen_again(tmp_path, oversampling, acceleration):
    options = f"-m 64 -c 4 -r 3 -C -n 0.001 -O {oversampling} -a {acceleration} -o {tmp_path / 'a.h5'}"
    subprocess.run([str(GENERATOR), *options.split()], check=True, capture_output=True, timeout=120)
    imported = mrd_to_stream(tmp_path / "a.h5", tmp_path / "a", Given(tr_ns=4_000_000))
    stream = load(tmp_path / "a")
    nx = 32 * oversampling
    assert stream.header.matrix == (64, nx)
    assert (stream.header.coils, stream.frames, stream.header.lines_per_frame) == (
        4, 3 * acceleration, 64 // acceleration,
    )  # fmt: skip
    assert any("noise" in note for note in imported.notes)
    grid = np.zeros((4, 64, nx), np.complex64)
    for readout in list(stream)[:64]:
        grid[:, readout.ky + 32] = readout.samples
    image = np.sqrt(np.sum(np.abs(to_image(grid)) ** 2, axis=0))
    with h5py.File(tmp_path / "a.h5") as file:
        truth = file["dataset/coil_images"][...]
    true = truth["real"] + 1j * truth["imag"]
    true = np.sqrt(np.sum(np.abs(true.reshape(-1, *true.shape[-2:])[:4]) ** 2, axis=0))
    start = (true.shape[1] - nx) // 2
    true = true[:, start : start + nx]
    assert np.corrcoef(image.ravel(), true.ravel())[0, 1] > 0.99


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


DAY = 24 * 3600 * 400  # ticks of 2.5 ms


@pytest.mark.parametrize(
    ("field", "start", "around"),
    [
        ("acquisition_time_stamp", DAY - 90, DAY),
        ("acquisition_time_stamp", 2**32 - 90, 2**32),
        ("acquisition_time_stamp", 5, DAY),
        ("scan_counter", 2**32 - 9, 2**32),
        ("scan_counter", 2**32 - 30, 2**32),
    ],
)
def test_a_scan_over_midnight_or_the_end_of_a_counter_keeps_its_order(tmp_path, field, start, around):
    stream = sampled(HEADER, 5)
    acquisitions = sent(stream)
    for i, acquisition in enumerate(acquisitions):
        acquisition.scan_counter = acquisition.acquisition_time_stamp = 0
        setattr(acquisition, field, (start + (10 if "stamp" in field else 1) * i) % around)
    np.random.default_rng(2).shuffle(acquisitions)
    foreign(tmp_path / "a.h5", acquisitions)
    mrd_to_stream(tmp_path / "a.h5", tmp_path / "a", FOREIGN)
    assert_same_lines(load(tmp_path / "a"), stream)


def test_a_counter_that_is_everywhere_says_nothing_of_a_return_and_orders_as_it_stands():
    counts = np.array([3 << 30, 0, 1 << 30, 2 << 30], np.uint32)
    heads = np.zeros(4, ismrmrd.hdf5.acquisition_header_dtype)
    heads["scan_counter"] = counts
    assert acquired_order(heads).tolist() == [1, 2, 3, 0]


CAL, BOTH = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING
FEEDBACK = ismrmrd.ACQ_IS_RTFEEDBACK_DATA


@pytest.mark.parametrize(
    ("flags", "image"),
    [((CAL, BOTH), True), ((BOTH,), True), ((CAL,), False), ((FEEDBACK,), False), ((FEEDBACK, BOTH), False)],
)
def test_calibration_that_images_is_kept_and_feedback_is_not(tmp_path, flags, image):
    stream = sampled(HEADER, 3)
    mixed = []
    for number, acquisition in enumerate(sent(stream)):
        if image and number % 4 == 1:
            for flag in flags:
                acquisition.set_flag(flag)
        mixed.append(acquisition)
        if not image and number % 4 == 1:
            beside = to_acquisition(stream.readout(0), HEADER)
            for flag in flags:
                beside.set_flag(flag)
            mixed.append(beside)
    for i, acquisition in enumerate(mixed):
        acquisition.scan_counter = i
    foreign(tmp_path / "a.h5", mixed)
    imported = mrd_to_stream(tmp_path / "a.h5", tmp_path / "a", FOREIGN)
    assert_same_lines(load(tmp_path / "a"), stream)
    assert any("no lines of an image" in note for note in imported.notes) is not image


def test_a_scan_that_is_all_for_feedback_is_an_image(tmp_path):
    stream = sampled(HEADER, 3)
    acquisitions = sent(stream)
    for acquisition in acquisitions:
        acquisition.set_flag(FEEDBACK)
    foreign(tmp_path / "a.h5", acquisitions)
    mrd_to_stream(tmp_path / "a.h5", tmp_path / "a", FOREIGN)
    assert_same_lines(load(tmp_path / "a"), stream)
