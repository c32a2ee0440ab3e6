"""A candidate that was made from the scan that judges it is found by its lines, refused, and said so."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
from harness.candidates.seen import Carried, carried_by, check_seen, seen_lines
from harness.cli.main import main
from mrsim.errors import InputError, OptionError
from mrsim.stream import Stream, save
from mrsim.stream.fingerprint import frame_hashes
from recon.cascade.checkpoint import Checkpoint, load_record
from recon.cascade.checkpoint import save as save_weights
from recon.cascade.network import Cascade, named_config
from tests.harness.synthetic import make_stream, moving_stream


@pytest.fixture
def scan() -> Stream:
    return make_stream(40)


def other(scan: Stream, **made: object) -> Stream:
    assert scan.provenance is not None
    return dataclasses.replace(
        scan, samples=scan.samples + np.complex64(1), provenance=dataclasses.replace(scan.provenance, **made)
    )


def unsaid(scan: Stream) -> Stream:
    return dataclasses.replace(scan, provenance=None)


def entry(scan: Stream, **more: object) -> dict[str, Any]:
    """Return what the record of weights says of a scan."""
    made = scan.provenance
    return {
        "frames": scan.frames,
        "used_s": [0.0, scan.frames * scan.header.frame_ns / 1e9],
        "frames_sha256": list(frame_hashes(scan)),
        "samples_sha256": hashlib.sha256(scan.samples.tobytes()).hexdigest(),
        "phantom": made.phantom if made else None,
        "phantom_text": made.phantom_text if made else None,
        "seed": made.seed if made else None,
        **more,
    }


def weights(*data: Any, rows: int = 8) -> Checkpoint:
    config = dataclasses.replace(named_config("dietz2019", rows), blocks=1, convolutions=2, filters=2)
    return Checkpoint(Cascade(config).eval(), 1.0, {"matrix": [rows, rows], "data": list(data)})


def lines_of(candidate: Any, scan: Stream) -> tuple[int, int] | None:
    return check_seen(candidate, scan, allow=True).lines


def test_stored_images_of_the_same_scan_are_found(scan: Stream, tmp_path: Path) -> None:
    kept = {
        "same": (scan, (0, 40)),
        "part": (scan.first_frames(3), (0, 12)),
        "noisier": (other(scan), (0, 40)),  # of the same breathing
        "unnamed": (unsaid(scan), (0, 40)),
        "foreign": (other(scan, seed=2), None),
        "strange": (unsaid(other(scan)), None),
    }
    for name, (training, lines) in kept.items():
        save(training, tmp_path / f"{name}.stream")
        assert lines_of(f"nearest-frame:{tmp_path / name}.stream", scan) == lines, name
    assert lines_of(f"nearest-frame:{tmp_path}/same.stream", unsaid(scan)) == (0, 40)
    assert lines_of(f"nearest-frame:{tmp_path}/foreign.stream", unsaid(scan)) is None
    assert (
        carried_by("zero-filled") == carried_by("nearest-frame:nowhere") == carried_by(lambda k, m: k) == ()
    )


@pytest.mark.parametrize(
    ("used_lines", "found"),
    [((0, 20), (0, 20)), ((8, 90), (8, 40)), ((40, 90), None), ((0, 40), (0, 40)), ((39, 40), (39, 40))],
)
def test_the_record_of_weights_is_compared_by_its_lines(
    scan: Stream, used_lines: tuple[int, int], found: tuple[int, int] | None
) -> None:
    tr_s = scan.header.tr_ns / 1e9
    known = entry(scan, used_s=[line * tr_s for line in used_lines])
    assert lines_of(weights(known), scan) == found
    assert lines_of(weights({**known, "seed": 7}), scan) is None
    assert lines_of(weights({**known, "phantom_text": "another"}), scan) is None
    assert lines_of(weights({**known, "seed": 7}, known), scan) == found


def test_scans_that_do_not_say_how_they_were_made_are_compared_by_their_frames(scan: Stream) -> None:
    stranger = unsaid(scan)
    whole = weights(entry(stranger))
    assert lines_of(whole, stranger) == (0, 40)
    assert lines_of(whole, stranger.first_frames(4)) == (0, 16)  # less than what was trained on
    late = entry(stranger, frames_sha256=list(frame_hashes(stranger))[6:8])
    assert lines_of(weights(late), stranger) == (24, 32)
    assert lines_of(whole, unsaid(other(scan))) is None
    assert lines_of(whole, scan) == (0, 40)  # one of the two does not say
    zeros = dataclasses.replace(stranger, samples=np.zeros_like(scan.samples))
    assert lines_of(weights(entry(zeros)), zeros) == (0, 40)  # by the hash of all: no frame has one
    assert list(frame_hashes(zeros)) == [""] * 10


def test_a_record_of_before_is_compared_by_the_hash_of_all_its_samples(scan: Stream) -> None:
    old = entry(unsaid(scan).first_frames(5))
    del old["frames_sha256"]
    assert lines_of(weights(old), scan) == (0, 20)
    assert lines_of(weights({**old, "frames": 4}), scan) is None


@pytest.mark.parametrize(
    "data",
    [None, 5, [3], [{}], [{"used_s": 5}], [{"frames_sha256": 7, "frames": "x", "samples_sha256": 3}],
     [{"used_s": [float("nan"), 1.0], "phantom_text": "secret = 1", "seed": 1}], [{"frames": -1}]],
)  # fmt: skip
def test_a_record_that_says_nothing_is_no_overlap(scan: Stream, data: Any) -> None:
    candidate = dataclasses.replace(weights(), record={"data": data})
    assert lines_of(candidate, scan) is None


def test_what_is_known_is_said_in_one_line(scan: Stream, tmp_path: Path) -> None:
    kept = save(scan, tmp_path / "a.stream")
    with pytest.raises(OptionError, match="allow_seen = True") as error:
        check_seen(f"nearest-frame:{kept}", scan)
    assert "was made from k-space lines 0 to 39 of the breathing in the scan" in str(error.value)
    assert "say --allow-seen" in error.value.typed({})
    free = check_seen(f"nearest-frame:{kept}", other(scan, seed=2), name="mine")
    assert free.told == "mine was made from 1 scan, and from no line of the scan"
    assert free.to_json() == {"candidate": "mine", "scan": "the scan", "carried": 1, "lines": None}
    assert check_seen("zero-filled", scan).told is None


def test_a_part_that_was_not_seen_may_be_judged(scan: Stream) -> None:
    tr_s = scan.header.tr_ns / 1e9
    late = Carried("secret = 1", 1, (20 * tr_s, 40 * tr_s))
    assert seen_lines(late, scan) == (20, 40)
    assert seen_lines(late, scan.first_frames(5)) is None


def test_the_record_is_read_without_the_weights(tmp_path: Path, scan: Stream) -> None:
    save_weights(tmp_path / "w.npz", weights(entry(scan)))
    with np.load(tmp_path / "w.npz") as found:
        arrays = dict(found)
    broken = {name: np.zeros(3) if name != "record" else value for name, value in arrays.items()}
    np.savez(tmp_path / "broken.npz", **broken)
    assert load_record(tmp_path / "broken.npz")["data"] == [entry(scan)]
    assert lines_of(f"cascade:{tmp_path}/broken.npz,eager,0-4", scan) == (0, 40)


JUDGING = {
    "replay": ["replay", "a.stream", "CANDIDATE", "--clock", "virtual", "--no-quality"],
    "report": ["report", "a.stream", "CANDIDATE", "--clock", "virtual", "--no-audit", "-o", "r.html"],
    "check": ["check", "CANDIDATE", "a.stream", "--clock", "virtual", "--no-quality"],
    "compare": ["compare", "zero-filled", "CANDIDATE", "--on", "a.stream", "--lockstep"],
    "audit": ["audit", "CANDIDATE", "a.stream"],
    "guard": ["guard", "zero-filled", "CANDIDATE", "a.stream", "--images", "2"],
    "find-peak": ["replay", "a.stream", "CANDIDATE", "--clock", "virtual", "--scenario", "find-peak"],
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seen")
    scan = moving_stream(60)
    save(scan, folder / "a.stream")
    save(other(scan, seed=2), folder / "b.stream")
    known = entry(scan)
    save_weights(folder / "w.npz", weights(known, rows=64))
    save_weights(folder / "v.npz", weights({**known, "seed": 2}, rows=64))
    return folder


@pytest.mark.parametrize("candidate", ["nearest-frame:a.stream", "cascade:w.npz"])
@pytest.mark.parametrize("command", list(JUDGING))
def test_every_command_that_judges_refuses_it(
    command: str,
    candidate: str,
    judged: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(judged)
    assert main([candidate if word == "CANDIDATE" else word for word in JUDGING[command]]) == 2
    error = capsys.readouterr().err
    assert f"{candidate} was made from k-space lines 0 to 959 of the breathing in a.stream" in error
    assert error.rstrip().endswith("or say --allow-seen")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("candidate", "option", "lines"),
    [
        ("nearest-frame:b.stream", [], None),
        ("cascade:v.npz", [], None),
        ("nearest-frame:a.stream", ["--allow-seen"], [0, 960]),
        ("cascade:w.npz", ["--allow-seen"], [0, 960]),
    ],
)
def test_a_replay_says_what_it_found(
    candidate: str,
    option: list[str],
    lines: list[int] | None,
    judged: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(judged)
    words = [candidate if word == "CANDIDATE" else word for word in JUDGING["replay"]]
    assert main([*words, *option, "--json", "r.json"]) in (0, 1, 3, 4)
    told = capsys.readouterr()
    found = json.loads((judged / "r.json").read_text())["overlap"]
    assert found == {"candidate": candidate, "scan": "a.stream", "carried": 1, "lines": lines}
    if lines is None:
        assert f"{candidate} was made from 1 scan, and from no line of a.stream" in told.out
        assert told.err == ""
    else:
        assert told.err.startswith(f"mrsim: warning: {candidate} was made from k-space lines 0 to 959")


def test_weights_in_hand_are_refused_in_python_too(scan: Stream) -> None:
    net = weights(entry(scan))
    for call in (
        lambda **more: harness.replay(scan, net, clock="virtual", quality=False, **more),
        lambda **more: harness.find_peak(scan, net, clock="virtual", **more),
    ):
        with pytest.raises(InputError, match="was made from k-space lines 0 to 39"):
            call()
    assert harness.replay(scan, net, clock="virtual", quality=False, allow_seen=True).overlap.lines == (0, 40)
