"""A patient's folder holds its twin; keys and files choose its days, and a scan finds it again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import mrsim
from mrsim.anatomy.series.stored import load_patient
from mrsim.anatomy.series.text import day_of
from mrsim.errors import InputError, PhantomError, StreamError
from mrsim.scanner.scenes import load_body
from tests.mrsim.anatomy.series.cines import STEP_S, cine

PROTOCOL = {
    "matrix": (32, 32), "fov_m": (0.12, 0.09), "acceleration": 4.0, "seed": 1,
    "tr_ns": 6_000_000, "te_ns": 3_000_000,
}  # fmt: skip
TRACE = "t_s,value_mm\n" + "".join(
    f"{t:.1f},{8 * np.sin(np.pi * t / 4) ** 2:.3f}\n" for t in np.arange(0, 40, 0.1)
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    room = tmp_path_factory.mktemp("kept")
    np.savez(room / "cine.npz", **cine(64, seconds=STEP_S * np.arange(64)))
    mrsim.prepare_patient(room / "cine.npz", room / "mine")
    return room


@pytest.fixture
def mine(kept: Path, tmp_path: Path) -> Path:
    shutil.copytree(kept / "mine", tmp_path / "mine")
    return tmp_path / "mine"


def test_a_twin_is_stored_beside_its_playback(mine: Path) -> None:
    record = json.loads((mine / "patient.json").read_text())
    twin = load_patient(mine).driven().twin
    assert twin is not None
    assert twin.digest == record["twin"]["sha256"]
    assert record["twin"]["realism"]["twin"] < record["twin"]["realism"]["static"]
    assert (np.load(mine / "states.npy") == twin.states).all()
    assert isinstance(twin.states.base, np.ndarray)
    assert not twin.states.flags.writeable


def test_every_day_is_scanned_by_keys_and_made_again_from_its_scan(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow.csv").write_text(TRACE)
    monkeypatch.chdir(tmp_path / "mine")  # a file names its patient and its trace relative to itself
    (tmp_path / "tuesday.toml").write_text(
        'kind = "patient"\nfolder = "mine"\ndrive = "slow.csv"\nscale = 1.1\n'
    )
    days = {
        "playback": {},
        "form": {"form": "twin"},
        "breaths": {"drive": "breaths"},
        "shift": {"shift_s": 2.0},
        "trace": {"drive": str(tmp_path / "slow.csv"), "weight": "intensity"},
        "prefix": {"motion.breathing.drive": "breathing", "motion.breathing.scale": 0.8},
        "file": None,
    }
    seen = {}
    for name, changes in days.items():
        body = load_body(tmp_path / "tuesday.toml") if changes is None else load_body(mine, changes)
        scan = mrsim.simulate(body, seconds=3, **PROTOCOL)
        assert scan.truth is not None
        oracle = mrsim.truth_of(scan)
        last = scan.header.echo_ns(scan.header.lines_per_frame - 1)
        assert (oracle.image(last) == scan.truth.image[0]).all()
        assert (oracle.centroid("target", np.asarray(scan.t_ns)) == scan.truth.centroid).all()
        assert scan.provenance is not None
        seen[name] = scan.provenance.phantom, scan.truth.centroid
    names = {name: told for name, (told, _) in seen.items()}
    assert names["playback"] == names["form"] == names["shift"] == "mine"
    assert names["file"] == "tuesday"
    assert names["breaths"].startswith("mine-breaths-")
    assert names["trace"].startswith("mine-slow-")
    # As recorded, the twin's target goes the playback's way; on other days it does not.
    way = {name: path - path.mean(axis=0) for name, (_, path) in seen.items()}
    assert np.abs(way["form"] - way["playback"]).max() < 0.2 * np.ptp(way["playback"])
    for name in ("breaths", "shift", "trace", "prefix", "file"):
        assert np.abs(way[name] - way["playback"]).max() > 0.1 * np.ptp(way["playback"])


def test_a_scan_is_longer_than_the_recording(mine: Path) -> None:
    for changes in ({"form": "twin"}, {"drive": "breaths"}):
        scan = mrsim.simulate(mine, seconds=12, overrides=changes, **PROTOCOL)
        assert scan.truth is not None
        late = scan.truth.centroid[int(len(scan.truth.centroid) * 0.85) :, 1]
        assert np.ptp(late) > 3e-3


def test_a_scan_finds_its_patient_beside_itself(mine: Path, tmp_path: Path) -> None:
    made, moved = tmp_path / "made", tmp_path / "moved"
    made.mkdir()
    shutil.copytree(mine, made / "mine")
    mrsim.simulate(
        made / "mine", seconds=1, overrides={"drive": "breaths"}, output=made / "a.stream", **PROTOCOL
    )
    made.rename(moved)
    stream = mrsim.load(moved / "a.stream")
    assert stream.truth is not None
    last = stream.header.echo_ns(stream.header.lines_per_frame - 1)
    assert (mrsim.truth_of(stream).image(last) == stream.truth.image[0]).all()
    # Another patient of that name is not taken; the one in the folder above is.
    np.savez(tmp_path / "other.npz", **cine(pixel_mm=2.0))
    mrsim.prepare_patient(tmp_path / "other.npz", moved / "mine", twin=False, overwrite=True)
    assert mrsim.truth_of(mrsim.load(moved / "a.stream")).phantom.anatomy_sha256 == load_patient(mine).digest
    shutil.rmtree(mine)
    with pytest.raises(StreamError, match="cannot be had"):
        mrsim.truth_of(mrsim.load(moved / "a.stream"))


def test_the_same_breathing_is_known_by_whatever_name_place_and_form(mine: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(mine, elsewhere)
    one, two = load_patient(mine), load_patient(elsewhere)
    played = day_of(one.text, 1)
    assert played == day_of(two.text, 2)  # what was recorded is the same in every seed
    assert played == day_of(one.driven().text, 3) == day_of(two.driven(scale=1.2).text, 4)
    breaths = day_of(one.driven("breaths").text, 1)
    assert breaths == day_of(two.driven("breaths", weight="intensity").text, 1)
    others = [
        ("breaths", {}, 2),
        ("breathing", {}, 1),
        ("breaths", {"slow": 1.5}, 1),
        ("recorded", {"shift_s": 1}, 1),
    ]
    for drive, changes, seed in others:
        assert day_of(one.driven(drive, **changes).text, seed) not in (None, played, breaths)
    assert day_of(one.driven("breaths").text, None) is None  # it draws from a seed that is not said
    assert day_of(one.text, None) == played


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"target": "x"}, "takes no changes by key, such as target, but form, drive, scale"),
        ({"form": "both"}, "form = 'both': expected playback or twin"),
        ({"form": "playback", "scale": 1.1}, "form = 'playback' with scale"),
        ({"drive": "nobody"}, "drive = 'nobody': expected recorded, breaths"),
        ({"scale": 9}, "scale = 9: expected 0 to 3"),
    ],
)  # fmt: skip
def test_wrong_keys_are_named(kept: Path, changes: dict[str, object], told: str) -> None:
    with pytest.raises(PhantomError) as raised:
        load_body(kept / "mine", changes)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_damaged_twin_or_file_is_one_line(mine: Path, tmp_path: Path) -> None:
    for more in ("", 'folder = "mine"\nname = "a/b"\n', 'folder = "gone"\n', 'folder = "mine"\nfield = 1\n'):
        text = f'kind = "patient"\n{more}'
        (tmp_path / "day.toml").write_text(text)
        with pytest.raises(InputError) as raised:
            load_body(tmp_path / "day.toml")
        assert "\n" not in str(raised.value)
    for name, array in (("values", np.zeros((3, 2))), ("modes", np.zeros((2, 2, 40, 36), np.float32))):
        (mine / f"{name}.npy").rename(tmp_path / "kept.npy")
        for write in (lambda: None, lambda n=name: (mine / f"{n}.npy").write_bytes(b"no array"),
                      lambda n=name, a=array: np.save(mine / f"{n}.npy", a)):  # fmt: skip
            write()
            with pytest.raises(InputError) as raised:
                load_patient(mine).driven()
            assert "\n" not in str(raised.value)
        (tmp_path / "kept.npy").rename(mine / f"{name}.npy")
    load_patient(mine).driven()
    record = json.loads((mine / "patient.json").read_text())
    for twin, told in (
        (None, "it has no twin yet; make it again with `mrsim patient`, without --no-twin"),
        ({"refused": "why"}, "it has no twin: why"),
    ):
        (mine / "patient.json").write_text(json.dumps({**record, "twin": twin}))
        with pytest.raises(PhantomError, match=told):
            load_patient(mine).driven()
