"""`mrsim patient` makes a folder that every command takes in place of a phantom's name."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import main
from harness.picture.patient import draw_patient
from mrsim.anatomy.series.stored import load_patient
from tests.mrsim.anatomy.series.cines import cine


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.savez("cine.npz", **cine(40))
    return tmp_path


def test_a_cine_is_prepared_scanned_and_judged(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["patient", "cine.npz", "-o", "mine", "--smooth-frames", "0.5"]) == 0
    told = capsys.readouterr().out
    assert "Series of 40 frames from cine.npz" in told
    assert "least correlation of the target that was followed" in told
    assert "mrsim simulate mine -o mine.stream --seconds 5.8 --seed 1" in told  # 5.85 s were recorded
    assert "all frames: the twin " in told
    assert "moved label against given ones" in told
    assert "twin, as recorded" in told
    assert "--set drive=recorded" in told  # its two breaths are not both whole
    picture = (made / "mine" / "picture.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    scan = ["simulate", "mine", "-o", "m.stream", "--seconds", "5", "--acceleration", "4"]
    assert main([*scan, "--matrix", "32", "32", "--fov-mm", "120", "90"]) == 0
    code = main(
        ["replay", "m.stream", "view-sharing", "--clock", "virtual", "--claim", "0.5", "--json", "r.json"]
    )
    assert code in (1, 4)
    assert '"phantom": "mine"' in (made / "r.json").read_text()


def test_of_less_than_two_breaths_another_day_is_the_recorded_course(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = cine()
    np.savez("short.npz", **{**whole, "images": whole["images"][:12], "seconds": whole["seconds"][:12]})
    assert main(["patient", "short.npz", "-o", "short"]) == 0
    told = capsys.readouterr().out
    assert "--set drive=recorded --set scale=0.8" in told
    day = ["--seconds", "2", "--matrix", "32", "32", "--set", "drive=recorded", "--set", "scale=0.8"]
    assert main(["simulate", "short", "-o", "day2.stream", *day]) == 0


def test_bad_input_is_one_line_and_leaves_nothing(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("bad.npz", **cine(pixel_mm=0.0))
    for words, told in (
        (["patient", "bad.npz", "-o", "new"], "bad.npz: pixel_mm"),
        (["patient", "nothing.npz", "-o", "new"], "nothing.npz: no such file"),
        (["patient", "cine.npz", "-o", "new", "--smooth-frames", "nan"], "smoothing by nan frames"),
        (["simulate", ".", "-o", "new", "--seconds", "1"], "not a patient"),
    ):
        assert main(words) == 2
        err = capsys.readouterr().err
        assert told in err
        assert err.count("\n") == 1
        assert not (made / "new").exists()
    assert main(["patient", "cine.npz", "-o", "mine", "--no-twin"]) == 0
    capsys.readouterr()
    assert main(["patient", "cine.npz", "-o", "mine"]) == 2
    assert "mine: exists" in capsys.readouterr().err
    assert main(["patient", "cine.npz", "-o", "mine", "--no-twin", "--overwrite"]) == 0


def test_a_patient_without_a_label_is_drawn(made: Path) -> None:
    np.savez("none.npz", **cine(first_label=None))
    assert main(["patient", "none.npz", "-o", "none", "--no-twin"]) == 0
    assert draw_patient(made / "again.png", load_patient("none")).is_file()


def test_without_matplotlib_nothing_is_begun(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["patient", "cine.npz", "-o", "mine"]) == 2
    assert "pip install 'mrsim[report]'" in capsys.readouterr().err
    assert not (made / "mine").exists()
