"""The fastMRI layout: as its readers expect it, and back bit for bit where the scan is fully sampled."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest

from mrsim.errors import InputError
from mrsim.formats.fastmri import fastmri_to_stream, is_fastmri, write_fastmri
from mrsim.formats.mrd_file import write_mrd
from mrsim.formats.mrd_header import header_to_xml
from mrsim.formats.mrd_import import Given
from mrsim.formats.oversampling import Oversampling, oversample
from mrsim.stream import Header, load
from recon.fourier import to_image
from tests.harness.synthetic import make_header, make_stream
from tests.mrsim.formats.scans import assert_identical, sampled

HEADER = Header((6, 9), (0.3, 0.4), 3_000_000, 1_500_000, 0.35, 1.5, 3, 6, 1.0, "full", "random")


def test_a_scan_comes_back_bit_for_bit_with_its_truth(tmp_path):
    for stream in (sampled(HEADER, 4), make_stream(24, header=make_header(8, coils=2))):
        write_fastmri(stream, tmp_path / "a.h5")
        assert fastmri_to_stream(tmp_path / "a.h5", tmp_path / "a", overwrite=True).notes == ()
        assert_identical(load(tmp_path / "a"), stream)


def test_the_layout_is_that_of_the_sets(tmp_path):
    stream = sampled(HEADER, 4)
    write_fastmri(stream, tmp_path / "a.h5")
    assert is_fastmri(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["kspace"].shape == (4, 3, 9, 6)  # the phase encode is the last axis
        assert file["kspace"].dtype == np.complex64
        image = file["reconstruction_rss"]
        grid = file["kspace"][1]
        np.testing.assert_allclose(
            image[1], np.sqrt(np.sum(np.abs(to_image(grid)) ** 2, axis=0)), rtol=1e-4, atol=1e-5
        )
        assert file.attrs["max"] == pytest.approx(image[...].max())
        assert file.attrs["norm"] == pytest.approx(np.linalg.norm(image[...]))
        assert isinstance(file.attrs["acquisition"], str)
        assert isinstance(file.attrs["patient_id"], str)
        found = ismrmrd.xsd.CreateFromDocument(file["ismrmrd_header"][()])
    step = found.encoding[0].encodingLimits.kspace_encoding_step_1
    space = found.encoding[0].encodedSpace.matrixSize
    # What the sets' loader makes of it: no columns of zeros at either side.
    assert (space.y // 2 - step.center, step.maximum + 1) == (0, 6)
    readout = stream.readout(6)
    assert grid[:, :, readout.ky + 3].tobytes() == readout.samples.tobytes()


def foreign(path: Path, single: bool = False) -> np.ndarray:
    """Write a file as the sets have them: readouts oversampled, nothing of ours."""
    stream = sampled(HEADER, 2)
    order = np.lexsort((stream.ky, stream.frame))
    lines = stream.samples[order].reshape(2, 6, 3, 9)
    wide = oversample(lines, 18).transpose(0, 2, 3, 1)
    with h5py.File(path, "w") as file:
        file["ismrmrd_header"] = header_to_xml(HEADER, Oversampling.REPORTED).decode()
        file["kspace"] = wide[:, 0] if single else wide
    return lines


@pytest.mark.parametrize("single", [False, True])
def test_a_file_of_the_sets_becomes_a_stream(tmp_path, single):
    lines = foreign(tmp_path / "a.h5", single)
    imported = fastmri_to_stream(tmp_path / "a.h5", tmp_path / "a", Given(tr_ns=5_000_000))
    stream = load(tmp_path / "a")
    assert "oversampling" in imported.notes[0]
    assert stream.header.matrix == (6, 9)
    assert stream.header.tr_ns == 5_000_000
    assert stream.ky.tolist() == [*range(-3, 3)] * 2
    assert np.diff(stream.t_ns).tolist() == [5_000_000] * 11
    want = lines[:, :, :1] if single else lines
    np.testing.assert_allclose(stream.samples, want.reshape(stream.samples.shape), atol=1e-6)


@pytest.mark.parametrize("padded", [(0, 5), (0,), (2, 3)])
def test_rows_that_are_zero_in_every_frame_were_not_acquired(tmp_path, padded):
    lines = foreign(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        kspace = file["kspace"][:]
        kspace[..., list(padded)] = 0
        kspace[1, ..., 4] = 0  # of one frame alone: it was acquired
        file["kspace"][:] = kspace
    imported = fastmri_to_stream(tmp_path / "a.h5", tmp_path / "a", Given(tr_ns=5_000_000))
    stream = load(tmp_path / "a")
    kept = [row for row in range(6) if row not in padded]
    assert stream.ky.tolist() == [row - 3 for row in kept] * 2
    assert stream.header.lines_per_frame == len(kept)
    assert stream.header.acceleration == pytest.approx(6 / len(kept))
    assert stream.header.matrix == (6, 9)
    np.testing.assert_allclose(stream.samples[: len(kept)], lines[0, kept], atol=1e-6)
    assert any(f"{len(padded)} rows of kspace are zero" in note for note in imported.notes)


def test_undersampled_frames_do_not_go_into_the_layout(tmp_path):
    header = dataclasses.replace(HEADER, lines_per_frame=3)
    with pytest.raises(InputError, match="fully sampled"):
        write_fastmri(sampled(header, 2), tmp_path / "a.h5")
    stream = sampled(HEADER, 2)
    twice = dataclasses.replace(stream, ky=np.full_like(stream.ky, 1))
    with pytest.raises(InputError, match="frame 0: a row"):
        write_fastmri(twice, tmp_path / "a.h5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "made", "told"),
    [
        ("mask", {"data": np.ones(6)}, "mask"),
        ("kspace", {"data": np.zeros((2, 3, 18))}, "complex64"),
        ("kspace", {"data": np.zeros((2, 3, 11, 6), np.complex64)}, "samples along the readout"),
        ("kspace", {"shape": (60_000, 256, 8192, 4096), "dtype": np.complex64}, "MiB a frame"),
        ("kspace", {"shape": (2, 3, 18, 6), "dtype": np.complex64}, "never written"),
        ("kspace", {"data": np.zeros((2, 3, 18, 6), np.complex64)}, "zero everywhere"),
        ("kspace", {"data": np.zeros((2, 2))}, "its shape is"),
        ("ismrmrd_header", {"data": 1.0}, "expected a string"),
        ("ismrmrd_header", {"data": "<a"}, "not an MRD header"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, name, made, told):
    foreign(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        if name in file:
            del file[name]
        file.create_dataset(name, **made)
    with pytest.raises(InputError, match=told) as error:
        fastmri_to_stream(tmp_path / "a.h5", tmp_path / "a")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "a").exists()


def test_an_mrd_file_is_told_apart(tmp_path):
    write_mrd(sampled(HEADER, 1), tmp_path / "a.h5")
    assert not is_fastmri(tmp_path / "a.h5")
