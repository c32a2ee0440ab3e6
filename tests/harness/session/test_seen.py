"""A candidate that was made from the scan that judges it is found by its lines, and said so."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import main
from harness.session.seen import _of_record, seen_lines
from mrsim.stream import Stream, save
from tests.harness.synthetic import make_stream


@pytest.fixture
def scan() -> Stream:
    return make_stream(40)


def other(scan: Stream, **made: object) -> Stream:
    assert scan.provenance is not None
    return dataclasses.replace(
        scan, samples=scan.samples + np.complex64(1), provenance=dataclasses.replace(scan.provenance, **made)
    )


def test_stored_images_of_the_same_scan_are_found(scan: Stream, tmp_path: Path) -> None:
    same = save(scan, tmp_path / "same.stream")
    part = save(scan.first_frames(3), tmp_path / "part.stream")
    noisier = save(other(scan), tmp_path / "noisier.stream")
    plain = dataclasses.replace(scan, provenance=None)
    unnamed = save(plain, tmp_path / "unnamed.stream")
    foreign = save(other(scan, seed=2), tmp_path / "foreign.stream")
    strange = save(dataclasses.replace(other(scan), provenance=None), tmp_path / "strange.stream")
    assert seen_lines(f"nearest-frame:{same}", scan) == (0, 40)
    assert seen_lines(f"nearest-frame:{part}", scan) == (0, 12)
    assert seen_lines(f"nearest-frame:{noisier}", scan) == (0, 40)
    assert seen_lines(f"nearest-frame:{unnamed}", scan) == (0, 40)
    assert seen_lines(f"nearest-frame:{foreign}", scan) is None
    assert seen_lines(f"nearest-frame:{strange}", scan) is None
    assert seen_lines("zero-filled", scan) is None
    assert seen_lines("nearest-frame:nowhere", scan) is None


def test_the_record_of_weights_is_compared_by_time_and_by_hash(scan: Stream) -> None:
    made = scan.provenance
    assert made is not None
    tr_s = scan.header.tr_ns / 1e9
    known = {"phantom_text": made.phantom_text, "seed": made.seed, "frames": 5, "used_s": [0.0, 20 * tr_s]}
    assert _of_record([known], scan) == (0, 20)
    assert _of_record([{**known, "used_s": [8 * tr_s, 90 * tr_s]}], scan) == (8, 40)
    assert _of_record([{**known, "used_s": [40 * tr_s, 90 * tr_s]}], scan) is None
    assert _of_record([{**known, "seed": 7}], scan) is None
    digest = hashlib.sha256(scan.samples[:20].tobytes()).hexdigest()
    assert _of_record([{"frames": 5, "samples_sha256": digest, "seed": None}], scan) == (0, 20)
    assert _of_record([{"frames": 4, "samples_sha256": digest, "seed": None}], scan) is None
    for damaged in (None, 5, [3], [{}], [{**known, "used_s": 5}]):
        assert _of_record(damaged, scan) is None


@pytest.mark.parametrize(("name", "warned"), [("a.stream", True), ("b.stream", False)])
def test_a_replay_says_so(
    name: str,
    warned: bool,
    scan: Stream,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    save(scan, "a.stream")
    save(other(scan, seed=2), "b.stream")
    main(["replay", "a.stream", f"nearest-frame:{name}", "--clock", "virtual", "--no-quality"])
    told = "mrsim: warning: nearest-frame:a.stream was made from k-space lines 0 to 39 of the breathing in a"
    assert (told in capsys.readouterr().err) is warned
