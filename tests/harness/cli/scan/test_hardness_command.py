"""`mrsim hardness` takes a phantom, a patient's folder or a stream, and says the same of the same images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mrsim
from harness.cli.main import main
from harness.hardness.score import hardness_of
from tests.mrsim.anatomy.series.cines import cine


def test_a_phantom_a_folder_and_a_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("cine.npz", **cine(40))
    patient = mrsim.prepare_patient("cine.npz", "mine", twin=False)
    assert main(["hardness", "mine", "--json", "mine.json"]) == 0
    frames = patient.playback.images
    step = float(np.median(np.diff(patient.playback.t_ns))) * 1e-9
    mine, expected = json.loads(Path("mine.json").read_text()), hardness_of(frames, step)
    assert mine["rank"] == list(expected.rank)
    assert mine["memory_score"] == pytest.approx(expected.memory_score, rel=1e-4)
    scan = mrsim.simulate("quasar", frames=24, matrix=(32, 32), seed=3, output="a.stream")
    assert main(["hardness", "a.stream", "--json", "a.json"]) == 0
    stored, truth = json.loads(Path("a.json").read_text()), scan.truth
    assert truth is not None
    expected = hardness_of(truth.image, scan.header.frame_ns * 1e-9)
    assert stored["nearest"] == expected.nearest
    capsys.readouterr()
    assert main(["hardness", "quasar", "--seconds", "2", "--frame-ms", "150", "--seed", "1"]) == 0
    assert "Hardness of 14 images, 150.0 ms apart" in capsys.readouterr().out
    for words, told in (
        (["nobody"], "nobody"),
        (["quasar", "--seconds", "1e-9"], "1 images; expected 12"),
        (["quasar", "--seconds", "inf"], "--seconds inf"),
        (["quasar", "--frame-ms", "nan"], "--frame-ms nan"),
        (["a.stream", "--frame-ms", "20"], "a stream has its own frames"),
        (["mine", "--seconds", "0.5"], "expected 12 or more"),
        (["mine", "--json", "no/where.json"], "no/where.json"),
    ):
        assert main(["hardness", *words]) == 2
        err = capsys.readouterr().err
        assert told in err
        assert err.count("\n") == 1
