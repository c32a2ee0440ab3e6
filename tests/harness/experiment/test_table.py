"""The table: time that training knows is refused, a kill loses nothing, and its three forms say the same."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import mrsim
from harness.cli.main import main
from harness.comparison.scans import part_of
from harness.experiment.markdown import figure_text
from harness.experiment.measures import COLUMNS
from harness.experiment.result import COUNTS, NAMES, Values
from harness.measure.intervals import MIN_BREATHS_OF_SHARE
from mrsim.anatomy.phantom import load_phantom
from mrsim.errors import InputError
from recon.cascade.checkpoint import Checkpoint, save
from recon.cascade.network import Cascade, named_config

CAREFUL = """
import numpy as np
from recon.classical.zero_filled import ViewSharing

class Worse(ViewSharing):
    "View sharing, drowned in noise."
    def open(self, header, emit):
        rng = np.random.default_rng(0)
        def noisy(image):
            noise = 4 * rng.standard_normal(image.pixels.shape).astype(np.complex64)
            emit(type(image)(image.pixels + noise, image.frame, image.last_line))
        super().open(header, noisy)
"""
pytestmark = pytest.mark.slow  # its fixture makes a whole table

OPTIONS = [
    "--patients", "quasar@2", "--scan-seconds", "28", "--train-seconds", "6", "--lead-seconds", "2",
    "--matrix", "64", "64", "--service-ms", "0.5", "--seed", "3",
]  # fmt: skip
CANDIDATES = ["view-sharing", "worse=python:careful.py:Worse", "nearest-frame"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table")
    (path / "careful.py").write_text(CAREFUL)
    record = {
        "matrix": [64, 64],
        "data": [{"phantom": "quasar", "phantom_text": "", "seed": 3, "frames": 10, "used_s": [0.0, 6.0]}],
    }
    config = dataclasses.replace(named_config("dietz2019", 64), blocks=1, convolutions=2, filters=2)
    save(path / "net.npz", Checkpoint(Cascade(config).eval(), 1.0, record))
    late = {**record["data"][0], "used_s": [0.0, 9.0]}
    save(path / "late.npz", Checkpoint(Cascade(config).eval(), 1.0, {**record, "data": [late]}))
    return path


def command(*more: str) -> list[str]:
    return ["table", *OPTIONS, "-o", "out", "--candidates", *CANDIDATES, *more]


NETS = ("cascade=cascade:net.npz", "twin=cascade:net.npz")


@pytest.fixture(scope="module")
def made(folder: Path) -> Path:
    """Make the table once, from an empty folder to its end."""
    before = Path.cwd()
    os.chdir(folder)
    path = sys.path.copy()
    try:
        assert main(command(*NETS)) == 0
    finally:
        os.chdir(before)
        sys.path[:] = path
    return folder / "out"


@pytest.fixture(scope="module")
def values(made: Path) -> Values:
    read: Values = json.loads((made / "table.json").read_text())
    return read


def row(values: Values, candidate: str) -> Values:
    (found,) = [r for r in values["rows"] if r["candidate"] == candidate]
    return found


def files(made: Path) -> dict[str, bytes]:
    return {str(p.relative_to(made)): p.read_bytes() for p in sorted(made.rglob("*")) if p.is_file()}


def test_the_three_forms_agree(made: Path, values: Values) -> None:
    lines = list(csv.DictReader((made / "table.csv").read_text().splitlines()))
    page = (made / "table.md").read_text()
    assert len(lines) == len(values["rows"]) == 8  # three references and five candidates
    for line, told in zip(lines, values["rows"], strict=True):
        for name in (*NAMES, *COUNTS):
            assert line[name] == ("" if told[name] is None else str(told[name]))
        cells = []
        for column in COLUMNS:
            figure = told["figures"][column.key]
            bounds = figure["interval"] or [None, None]
            for end, value in zip(("", "_low", "_high"), (figure["value"], *bounds), strict=True):
                text = line[f"{column.key}{end}"]
                assert (float(text) if text else None) == value
            cells.append(figure_text(figure, column.digits))
        assert " | ".join(cells) in page


def test_intervals_hold_their_figures(values: Values) -> None:
    """Every figure but a largest value has an interval where there are breaths enough, and lies in it."""
    told = row(values, "view-sharing")
    assert told["breaths"] >= 4
    for column in COLUMNS:
        figure = told["figures"][column.key]
        share = re.search(r"(?:p|m)(95|99)", column.key)
        few = share is not None and told["breaths"] < MIN_BREATHS_OF_SHARE[int(share[1]) / 100]
        if few or column.key.endswith("_max_mm") or column.key.endswith("_max_ms"):
            assert figure["interval"] is None
        elif figure["value"] is not None:
            low, high = figure["interval"]
            assert low <= figure["value"] <= high, column.key


def test_a_candidate_is_level_with_itself(values: Values) -> None:
    """In every column: the same network under two names, and the same figures to the last bit."""
    one, other = row(values, "cascade"), row(values, "twin")
    assert one["figures"] == other["figures"]
    (found,) = [c for c in values["comparisons"] if (c["candidate"], c["opponent"]) == ("cascade", "twin")]
    assert {m["standing"] for m in found["measures"].values()} == {"tie"}


def test_references_are_what_they_say(values: Values) -> None:
    full, floor, shared = (row(values, n) for n in ("fully-sampled", "consistency-floor", "view-sharing"))
    true = row(values, "truth")
    assert true["reference"]
    assert true["figures"]["nmse"]["value"] == 0
    # On display the truth itself is as old as the cadence makes it.
    m95 = [one["figures"]["m95_mm"]["value"] for one in (true, shared)]
    assert true["figures"]["last_p95_mm"]["value"] < m95[0] < m95[1]
    # An image at one instant does not lag and is its own segmentation; the floor keeps old lines.
    assert abs(full["figures"]["lag_ms"]["value"]) < 5
    assert full["figures"]["dice_full"]["value"] == 1
    assert full["figures"]["dice"]["value"] == full["figures"]["dice_own"]["value"]
    assert 0 < floor["figures"]["lag_ms"]["value"] < shared["cadence_ms"] / 2
    # The modelled push of half a millisecond is the whole response.
    assert shared["figures"]["response_p50_ms"]["value"] == pytest.approx(0.5)
    # On top of the lag comes the time to the image: from the echo to the line's end, and the push.
    gap = shared["figures"]["total_lag_ms"]["value"] - shared["figures"]["lag_ms"]["value"]
    assert gap == pytest.approx(1.1 + 0.5)


def test_figures_of_the_same_frames_stand_beside_each_other(values: Values) -> None:
    own = {r["figures"]["dice_own"]["value"] for r in values["rows"]}
    assert len(own) == 1  # one segmentation of the same frames, for all


def test_a_second_call_makes_nothing_again(made: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    before = files(made)
    stamps = {p: p.stat().st_mtime_ns for p in (made / "cells").iterdir()}
    assert main(command(*NETS)) == 0
    after = files(made)
    assert {p: p.stat().st_mtime_ns for p in (made / "cells").iterdir()} == stamps
    assert {k: v for k, v in after.items() if "table." not in k} == {
        k: v for k, v in before.items() if "table." not in k
    }


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_kill_loses_nothing(folder: Path, tmp_path: Path) -> None:
    """Killed between cells and called again, the folder holds the same bytes as one made at once."""
    words = [sys.executable, "-m", "harness.cli", "table", *OPTIONS, "--seconds", "4", "-o", "out"]
    words += ["--candidates", "view-sharing", "zero-filled", "cascade=cascade:net.npz"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    places = [tmp_path / "killed", tmp_path / "whole"]
    for place in places:
        place.mkdir()
        (place / "net.npz").write_bytes((folder / "net.npz").read_bytes())

    def start(place: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(words, cwd=place, env=environment, stdout=subprocess.DEVNULL)

    running, cells = start(places[0]), places[0] / "out" / "cells"
    try:
        until = time.monotonic() + 120
        while len(list(cells.glob("*.json"))) < 2:
            assert running.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < until
            time.sleep(0.002)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    done = {p.name: p.stat().st_mtime_ns for p in cells.glob("*.json")}
    assert 2 <= len(done) < 5
    assert not (places[0] / "out" / "table.json").exists()
    assert [start(place).wait() for place in places] == [0, 0]
    assert {name: (cells / name).stat().st_mtime_ns for name in done} == done  # those were not made again
    killed, whole = (files(place / "out") for place in places)
    assert killed == whole


def test_time_that_was_trained_on_is_refused(
    made: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    words = ["table", *OPTIONS, "-o", "refused", "--candidates", "cascade=cascade:late.npz"]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert "late.npz: trained on 0.0 to 9.0 s of quasar with seed 3" in told
    assert "to be judged on 6.0 to 28.0 s" in told
    assert not list((folder / "refused" / "cells").iterdir())
    # Another seed is another breathing.
    words[words.index("--seed") + 1] = "4"
    monkeypatch.setattr(
        "harness.experiment.table._made", lambda *_: (_ for _ in ()).throw(InputError("it began"))
    )
    assert main(words) == 2
    assert "it began" in capsys.readouterr().err


def test_stored_images_of_what_is_judged_are_no_row(
    folder: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (path,) = (made / "streams").iterdir()
    whole = mrsim.load(path)
    mrsim.save(part_of(whole, 0, 6_000_000_000 // whole.header.frame_ns), folder / "before.stream")
    stored = [f"all=nearest-frame:{path}", "before=nearest-frame:before.stream"]
    shutil.copytree(made / "streams", folder / "images" / "streams")
    assert main(["table", *OPTIONS, "-o", "images", "--candidates", *stored]) == 0
    told = json.loads((folder / "images" / "table.json").read_text())
    assert "its images may be remembered, not reconstructed" in row(told, "all")["reason"]
    assert (row(told, "before")["reason"], row(told, "before")["causal"]) == ("", True)


def test_missing_weights_stay_in_the_table(
    folder: Path, made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    words = [
        "table",
        *OPTIONS,
        "-o",
        "out",
        "--candidates",
        "view-sharing",
        "cascade=cascade:none{stage}.npz",
    ]
    kept = {name: (made / name).read_bytes() for name in ("table.json", "table.csv", "table.md")}
    try:
        assert main(words) == 0
        told = json.loads((made / "table.json").read_text())
        missing = [r for r in told["rows"] if r["candidate"] == "cascade"]
        assert [r["stage"] for r in missing] == ["coarse", "fine"]
        assert all("none" in r["reason"] for r in missing)
        assert any(c["holds"] is False and "can be judged" in c["claim"] for c in told["claims"])
    finally:
        for name, data in kept.items():
            (made / name).write_bytes(data)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--candidates", "magic"], "unknown"),
        (["--candidates", "view-sharing", "view-sharing"], "called the same"),
        (["--stages", "medium"], "expected coarse, fine"),
        (["--patients", "quasar@fast"], "NAME@ACCELERATION"),
        (["--what", "all"], "expected main"),
        (["--share", "3/2"], "expected K/N"),
        (["--lead-seconds", "80"], "lead-in"),
    ],
)
def test_wrong_options_are_told_in_one_line(
    words: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["table", "-o", str(tmp_path / "out"), *words]) == 2
    told = capsys.readouterr().err
    assert expected in told
    assert told.count("\n") == 1


def test_the_phantom_that_is_shipped_is_scanned(made: Path) -> None:
    (stream,) = (made / "streams").iterdir()
    meta = json.loads((stream / "header.json").read_text())
    assert meta["provenance"]["phantom_text"] == load_phantom("quasar").text
    assert np.isclose(meta["header"]["tr_ns"], 2_200_000)
