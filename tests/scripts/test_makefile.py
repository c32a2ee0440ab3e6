"""The Makefile's commands are commands of the present command line."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from harness.cli.arguments import read

ROOT = Path(__file__).parents[2]
OPPONENTS = [f"build/weights/v2-5x-8coils-{name}.npz" for name in ("unet-gru", "video", "crnn", "varnet")]
DIETZ = [f"build/weights/v2-patient1-{fold}x-dietz.npz" for fold in (5, 10)]


@pytest.mark.parametrize(
    "targets",
    [("demo",), ("weights",), (*DIETZ, "build/weights/v2-10x-8coils-recurrent.npz"), tuple(OPPONENTS)],
    ids=lambda targets: Path(targets[0]).stem,
)
def test_every_command_of_the_makefile_can_be_read(
    targets: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = subprocess.run(
        ["make", "-n", "-B", *targets], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    lines = made.stdout.replace("\\\n", " ").splitlines()
    commands = [words.split("mrsim ", 1)[1] for words in lines if "/bin/mrsim " in words]
    assert commands, made.stdout
    monkeypatch.chdir(tmp_path)  # no file of a name that is given lies here
    for command in commands:
        read(shlex.split(command))
