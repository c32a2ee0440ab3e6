"""What is given beside a file of ours: it counts where it can, and is refused where lines say otherwise."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import mrsim
from mrsim.errors import InputError
from mrsim.formats.mrd_file import write_mrd
from mrsim.formats.mrd_import import Given, mrd_to_stream
from mrsim.stream import Stream, load
from tests.mrsim.formats.scans import assert_identical


def simulated(frames: int) -> Stream:
    return mrsim.simulate("quasar", frames=frames, matrix=(32, 32), acceleration=4, seed=2)


def test_times_and_truth_are_of_the_protocol_that_they_were_written_with(tmp_path: Path) -> None:
    """An edited TR counts: lines follow each other at it, and the truth of other times is left out."""
    scan = simulated(4)
    path = write_mrd(scan, tmp_path / "own.h5")
    mrd_to_stream(path, tmp_path / "own.stream")
    assert_identical(load(tmp_path / "own.stream"), scan)
    with h5py.File(path, "r+") as file:
        xml = file["dataset/xml"][0].decode()
        assert xml.count("<TR>2.2</TR>") == 1
        file["dataset/xml"][0] = xml.replace("<TR>2.2</TR>", "<TR>7</TR>")
    found = mrd_to_stream(path, tmp_path / "edited.stream")
    edited = load(found.path)
    assert np.array_equal(edited.t_ns, np.arange(len(scan)) * 7_000_000 + scan.header.te_ns)
    assert edited.truth is None
    assert any("are not those that the file was written with" in note for note in found.notes)
    write_mrd(scan, path)
    for given in (Given(tr_ns=7_000_000), Given(te_ns=scan.header.te_ns + 1_000)):
        with pytest.raises(InputError, match=r"times of their own, .* leave out --tr-ms and --te-ms"):
            mrd_to_stream(path, tmp_path / "given.stream", given)
    assert not (tmp_path / "given.stream").exists()


def test_frames_that_are_cut_anew_leave_the_truth_out(tmp_path: Path) -> None:
    scan = simulated(4)
    half = scan.header.lines_per_frame // 2
    path = write_mrd(scan, tmp_path / "own.h5")
    found = mrd_to_stream(path, tmp_path / "a.stream", Given(lines_per_frame=half))
    assert load(found.path).truth is None
    assert load(found.path).frames == 2 * scan.frames
    assert "the truth is of frames of another length: it was left out" in found.notes


def test_a_value_that_is_stated_and_given_is_told(tmp_path: Path) -> None:
    path = write_mrd(simulated(2), tmp_path / "own.h5")
    found = mrd_to_stream(path, tmp_path / "a.stream", Given(field_t=1.25))
    assert load(found.path).header.field_t == 1.25
    assert [note for note in found.notes if "field" in note] == [
        "the header states a field of 3: 1.25 was taken, as --field-t says"
    ]
    assert mrd_to_stream(path, tmp_path / "b.stream", Given(field_t=3.0)).notes == ()
