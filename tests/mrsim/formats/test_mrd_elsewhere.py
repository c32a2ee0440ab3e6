"""MRD files from elsewhere become streams that replay: order, frames, slices, oversampling and noise."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess

import h5py
import ismrmrd
import numpy as np
import pytest

from mrsim.errors import InputError
from mrsim.formats.mrd_acquisition import noise_acquisition, to_acquisition
from mrsim.formats.mrd_file import write_mrd
from mrsim.formats.mrd_import import Given, mrd_to_stream
from mrsim.formats.mrd_lines import acquired_order
from mrsim.formats.noise_scan import NoiseScans
from mrsim.formats.oversampling import Oversampling
from mrsim.stream import load
from recon.fourier import to_image
from tests.mrsim.formats.foreign_files import FOREIGN, HEADER, assert_same_lines, foreign, sent
from tests.mrsim.formats.scans import complex_noise, sampled

DAY = 24 * 3600 * 400  # ticks of 2.5 ms
GENERATOR = shutil.which("ismrmrd_generate_cartesian_shepp_logan")


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


@pytest.mark.parametrize("counter", ["average", "contrast", "phase", "set"])
def test_frames_that_are_no_repetitions_are_told(tmp_path, counter):
    stream = sampled(HEADER, 6)
    acquisitions = sent(stream)
    for acquisition in acquisitions:
        acquisition.idx.repetition, number = divmod(acquisition.idx.repetition, 2)
        setattr(acquisition.idx, counter, number)
    foreign(tmp_path / "a.h5", acquisitions)
    imported = mrd_to_stream(tmp_path / "a.h5", tmp_path / "a", FOREIGN)
    assert_same_lines(load(tmp_path / "a"), stream)
    assert [note for note in imported.notes if "begins a new frame" in note] == [
        f"a new {counter} begins a new frame, as a new repetition does: "
        "what follows is taken for one moving anatomy in one contrast"
    ]


def test_of_several_echoes_the_one_that_is_taken_is_told(tmp_path):
    path = foreign(tmp_path / "a.h5", sent(sampled(HEADER, 2)))
    with h5py.File(path, "r+") as file:
        stated = (
            "<sequenceParameters><TR>4</TR><TE>1.25</TE><TE>2.5</TE></sequenceParameters></ismrmrdHeader>"
        )
        file["dataset/xml"][0] = file["dataset/xml"][0].decode().replace("</ismrmrdHeader>", stated)
    imported = mrd_to_stream(path, tmp_path / "a", Given(field_t=3.0))
    assert load(tmp_path / "a").header.te_ns == 1_250_000
    told = "the header states several of TE (1.25, 2.5): 1.25 was taken (--te-ms)"
    assert told in imported.notes
    imported = mrd_to_stream(path, tmp_path / "b", Given(field_t=3.0, te_ns=2_500_000))
    assert load(tmp_path / "b").header.te_ns == 2_500_000
    assert told not in imported.notes
