"""A patient's folder goes through every command that takes a phantom's name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mrsim
from harness.candidates.seen import NONE, Carried, seen_by_breathing
from harness.cli.main import main
from harness.dataset.training_targets import Redraw, targets
from harness.experiment.training_overlap import refuse_overlap
from mrsim.errors import DatasetError, InputError
from recon.cascade.checkpoint import load as load_weights
from tests.mrsim.anatomy.series.cines import cine

SMALL = [word for setting in ("filters=4", "blocks=1", "convolutions=2") for word in ("--set", setting)]
SPEC = """
name = "mine"
title = "Scans of a cine"
phantoms = ["mine"]
[scan]
seconds = 0.3
matrix = [32, 32]
acceleration = {each = [2, 4]}
"""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    room = tmp_path_factory.mktemp("room")
    np.savez(room / "cine.npz", **cine(64))
    mrsim.prepare_patient(room / "cine.npz", room / "mine")
    mrsim.simulate(
        str(room / "mine"), frames=24, matrix=(32, 32), fov_m=(0.12, 0.09), seed=1, output=room / "a.stream"
    )
    return room


@pytest.mark.slow
def test_a_network_is_trained_on_it(
    room: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(room)
    words = [
        "--network",
        "population",
        *SMALL,
        "--epochs",
        "1",
        "0",
        "--target-instant",
        "last+100",
        "--redraw",
        "1",
    ]
    assert main(["train", "a.stream", "-o", "w.npz", *words, "--batch", "8", "--seed", "1"]) == 0
    assert load_weights("w.npz").record["target_instant"] == "last+100"
    judge = ["replay", "a.stream", "cascade:w.npz", "--clock", "virtual", "--claim", "0.5"]
    capsys.readouterr()
    assert main(judge) == 2  # it has seen these lines
    assert "of a cine, its twin on another drive" in capsys.readouterr().err
    assert main([*judge, "--allow-seen"]) in (0, 1, 3, 4)


def test_targets_and_new_samplings_are_those_of_its_truth(room: Path) -> None:
    stream = mrsim.load(room / "a.stream")
    ahead, header = targets(stream, "last+100"), stream.header
    truth, last = mrsim.truth_of(stream), header.echo_ns(3 * header.lines_per_frame - 1)
    assert ahead is not None
    np.testing.assert_array_equal(ahead[2], truth.image(last + 100_000_000))
    again = Redraw([stream], 1, 5)(1)[0]
    assert not np.array_equal(again.ky, stream.ky)
    clean = truth.lines(again.ky, again.t_ns)
    noise = again.samples[:, 0] - clean
    assert stream.provenance is not None
    assert np.std(noise) == pytest.approx(stream.provenance.noise_std, rel=0.1)


def test_what_comes_after_the_recording_is_nobodys_target(room: Path) -> None:
    whole = mrsim.simulate(room / "mine", seconds=9.4, matrix=(8, 8), acceleration=1, sampler="full")
    assert targets(whole, "last+10") is not None
    with pytest.raises(DatasetError, match=r"last\+100.*9.45 s were recorded"):
        targets(whole, "last+100")


def test_a_seed_does_not_make_another_breathing_of_a_recording(room: Path) -> None:
    body = mrsim.load_patient(room / "mine")
    record = {"data": [{"phantom": "mine", "phantom_text": body.text, "seed": 1, "used_s": [0.0, 3.0]}]}
    refuse_overlap(record, body, 2, (3.0, 5.0), "w.npz")
    with pytest.raises(InputError, match=r"of it: train on the time before"):
        refuse_overlap(record, body, 2, (2.0, 5.0), "w.npz")


def test_a_twin_as_recorded_overlaps_and_another_drive_is_another_day(room: Path) -> None:
    body = mrsim.load_patient(room / "mine")
    other = body.driven("breaths")
    record = {"data": [{"phantom": "renamed", "phantom_text": body.text, "seed": 1, "used_s": [0.0, 3.0]}]}
    for same in (body, body.driven(), body.driven(scale=0.9)):
        with pytest.raises(InputError, match=r"of it: train on the time before"):
            refuse_overlap(record, same, 2, (2.0, 5.0), "w.npz")
    refuse_overlap(record, other, 1, (2.0, 5.0), "w.npz")
    record["data"][0]["phantom_text"] = other.text
    refuse_overlap(record, body, 1, (2.0, 5.0), "w.npz")
    refuse_overlap(record, other, 2, (2.0, 5.0), "w.npz")
    with pytest.raises(InputError, match=r"take another --seed, or train on the time before"):
        refuse_overlap(record, other, 1, (2.0, 5.0), "w.npz")
    # The same by what a candidate carries of the scan that judges it.
    scan = mrsim.simulate(body.driven(), frames=8, matrix=(32, 32), fov_m=(0.12, 0.09), seed=9)
    assert seen_by_breathing(Carried(body.text, 1, (0.0, 3.0)), scan) == (0, len(scan))
    assert seen_by_breathing(Carried(other.text, 9, (0.0, 3.0)), scan) == NONE


@pytest.mark.slow
def test_a_dataset_is_made_of_it(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(room)
    days = """
[breathing.calm]
form = "twin"
[breathing.other]
drive = "breaths"
scale = { range = [0.7, 1] }
"""
    Path("mine.toml").write_text(SPEC + days)
    assert main(["dataset", "mine.toml", "-o", "made", "--workers", "1"]) == 0
    streams = [mrsim.load(path) for path in sorted(Path("made/train").glob("*.stream"))]
    assert len(streams) == 4
    drives = []
    for stream in streams:
        truth, stored = mrsim.truth_of(stream), stream.truth
        assert stored is not None
        last = stream.header.echo_ns(stream.header.lines_per_frame - 1)
        np.testing.assert_array_equal(truth.image(last), stored.image[0])
        assert isinstance(truth.phantom, mrsim.Patient)
        assert truth.phantom.ride is not None
        drives.append(truth.phantom.ride.drive)
    assert sorted(drives) == ["breaths", "breaths", "recorded", "recorded"]


def test_what_a_recording_cannot_be_is_one_line(
    room: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(room)
    for number, (added, told) in enumerate(
        (
            ("[subject]\ntarget_scale = 2.0", "no regions to move"),
            ("[subject.region.target]\nrotation_deg = 1.0", "takes no changes by key"),
            ("[breathing.deep]\namplitude_mm = 20", "takes no changes by key"),
        )
    ):
        Path("bad.toml").write_text(SPEC + added)
        assert main(["dataset", "bad.toml", "-o", f"bad{number}", "--workers", "1"]) == 2
        err = capsys.readouterr().err
        assert told in err
        assert err.count("\n") == 1
        assert not Path(f"bad{number}").exists()
    for number, (text, told) in enumerate(
        (('folder = "../mine"', "outside the folder"), ('folder = "mine"\ndrive = "../a.csv"', "outside"))
    ):
        Path("day.toml").write_text(f'kind = "patient"\n{text}\n')
        Path("bad.toml").write_text(SPEC.replace('["mine"]', '["day.toml"]'))
        assert main(["dataset", "bad.toml", "-o", f"worse{number}", "--workers", "1"]) == 2
        assert told in capsys.readouterr().err
    for words, told in (
        (["simulate", "mine", "-o", "x", "--seconds", "1", "--set", "motion.a=1"], "takes no changes by key"),
        (["simulate", "mine", "-o", "x", "--seconds", "1", "--set", "name=a/b"], "name: expected letters"),
    ):
        assert main(words) == 2
        assert told in capsys.readouterr().err


def judged(folder: str) -> set[str]:
    """Return the patients of a table, all of whose candidates were judged."""
    rows = json.loads(Path(folder, "table.json").read_text())["rows"]
    assert rows
    for row in rows:
        assert row["reason"] == "", row["reason"]
        assert row["candidate"] == "truth" or row["figures"]["nmse"]["value"] > 0
    return {row["patient"] for row in rows}


def test_a_table_is_made_of_it(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(room)
    seconds = ["--scan-seconds", "1", "--train-seconds", "0.5", "--lead-seconds", "0.2"]
    words = [
        "--patients",
        "mine",
        "--accelerations",
        "4",
        "--candidates",
        "view-sharing",
        "--service-ms",
        "0",
    ]
    assert main(["table", "-o", "table", *words, *seconds, "--matrix", "32", "32"]) == 0
    assert judged("table") == {"mine"}
    words[-1:] = ["0", "--scan-seconds", "70"]
    assert main(["table", "-o", "late", *words, "--matrix", "32", "32"]) == 0
    assert "9.45 s were recorded" in Path("late/table.json").read_text()
    Path("tuesday.toml").write_text('kind = "patient"\nfolder = "mine"\ndrive = "breathing"\n')
    words[1] = "tuesday.toml"
    assert main(["table", "-o", "tuesday", *words[:-2], *seconds, "--matrix", "32", "32"]) == 0
    assert judged("tuesday") == {"tuesday"}
