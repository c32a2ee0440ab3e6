"""The picture of a phantom: drawn whole, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli.main import main

pytest.importorskip("matplotlib")


@pytest.mark.parametrize("name", ["quasar", "patient5"])
def test_a_phantom_is_drawn(name: str, tmp_path: Path) -> None:
    picture = tmp_path / "phantom.png"
    assert main(["phantoms", name, "--png", str(picture)]) == 0
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) > 50_000  # not an empty page
    assert [p.name for p in tmp_path.iterdir()] == ["phantom.png"]


@pytest.mark.parametrize(
    "args", [["quasar"], ["--png", "x.png"], ["nobody", "--png", "x.png"], ["quasar", "--png", "no/x.png"]]
)
def test_what_cannot_be_drawn_is_said_in_one_line(
    args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["phantoms", *args]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_library_that_is_set_up_wrongly_is_named(tmp_path: Path) -> None:
    """In a process of its own: matplotlib looks at its surroundings when it is first imported."""
    command = [sys.executable, "-m", "harness.cli", "phantoms", "quasar", "--png", str(tmp_path / "p.png")]
    ended = subprocess.run(
        command, env=os.environ | {"MPLBACKEND": "nonsense"}, capture_output=True, text=True, timeout=120
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "mend MPLBACKEND" in ended.stderr
    assert not list(tmp_path.iterdir())
