"""`mrsim try`: one page, one moving picture, one sentence; on a phantom and on a cine."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from harness.cli.main import main

OWN = """import numpy as np
def build():
    def reconstruct(kspace, mask):
        centred = np.fft.ifftshift(kspace[0])
        return np.fft.fftshift(np.fft.ifft2(centred, norm="ortho"))
    return reconstruct
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(OWN)
    return tmp_path


def cine() -> dict[str, object]:
    y, x = np.mgrid[:48, :40]
    shifts = 5 * np.sin(2 * np.pi * np.arange(60) * 0.2 / 4)
    label = np.hypot(y - 24, x - 20) < 6
    blob = np.stack([np.hypot(y - 24 - s, x - 20) for s in shifts])
    images = 200 / (1 + np.exp(2 * (blob - 6))) + 20 + 10 * np.cos(x / 3)
    return {"images": images, "seconds": np.arange(60) * 0.2, "pixel_mm": [4.0, 4.0], "first_label": label}


@pytest.mark.slow
@pytest.mark.parametrize("body", ["quasar", "cine.npz"])
def test_one_command_makes_a_page_a_moving_picture_and_a_sentence(body, folder, capsys):
    if body != "quasar":
        np.savez("cine.npz", **cine())
    code = main(["try", "python:mine.py:build", body, "--seconds", "8"])
    assert code in (1, 3, 4)
    out = capsys.readouterr().out
    told = json.loads((folder / "try" / "result.json").read_text())
    assert f": {told['try']['sentence']}\n" in out
    assert out.splitlines()[-1] == f"next: {told['try']['next']}"
    assert told["audit"]["verdict"] in ("PASS", "INSUFFICIENT", "INVALID")
    page = (folder / "try" / "report.html").read_text("utf-8")
    assert "python:mine.py:build" in page
    with Image.open(folder / "try" / "behind.gif") as gif:
        assert gif.n_frames > 10
    # The scan is gone on with, and is the same.
    before = (folder / "try" / "scan.stream" / "header.json").stat().st_mtime_ns
    main(["try", "python:mine.py:build", body, "--seconds", "8"])
    assert (folder / "try" / "scan.stream" / "header.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("try nonsense quasar", "nonsense"),
        ("try zero-filled nobody", "nobody"),
        ("try zero-filled quasar --label a.npy", "--label: quasar is no cine"),
        ("try zero-filled bare.npz", "it has no label"),
        ("try zero-filled quasar -o mine.py", "it is not a folder"),
        ("try zero-filled bare.npz --set drive=breaths", "--set: bare.npz is a cine"),
    ],
)
def test_what_cannot_be_tried_is_refused_in_one_line(words, said, folder, capsys):
    found = cine()
    del found["first_label"]
    np.savez("bare.npz", **found)
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
