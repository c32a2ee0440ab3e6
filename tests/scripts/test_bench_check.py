"""`make bench-check` fails on a planted slowdown, and says what is gone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "bench_check.py"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of the code."""
    for package in ("mrsim", "recon", "harness", "phantoms"):
        shutil.copytree(ROOT / package, tmp_path / "tree" / package)
    return tmp_path / "tree"


def checked(new: Path, base: str = str(ROOT)) -> tuple[int, str]:
    command = [sys.executable, str(SCRIPT), "--base", base, "--new", str(new)]
    done = subprocess.run(
        [*command, "--pieces", "image-view-sharing", "--pairs", "60", "--factor", "1.3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def plant(tree: Path, old: str, new: str) -> None:
    file = tree / "recon" / "classical" / "zero_filled.py"
    text = file.read_text()
    assert text.count(old) >= 1
    file.write_text(text.replace(old, new))


@pytest.mark.slow
def test_a_planted_slowdown_fails_and_the_same_code_does_not(tree: Path) -> None:
    code, told = checked(tree)
    assert code == 0, told
    assert "PASS: no slowdown" in told
    plant(tree, "class ViewSharing", "import time\n\n\nclass ViewSharing")
    plant(tree, "self._memory.push(readout)", "(time.sleep(2e-5), self._memory.push(readout))[1]")
    code, told = checked(tree)  # some 0.08 ms a line, 26 of them an image of 0.7 ms
    assert code == 1, told
    assert "slower than the factor" in told


@pytest.mark.slow
def test_what_is_gone_is_named(tree: Path) -> None:
    plant(tree, "class ViewSharing", "class Gone")
    code, told = checked(tree)
    assert code == 1
    assert "new: ImportError" in told


def test_a_base_that_is_not_there_is_named() -> None:
    code, told = checked(ROOT, "no-such-commit")
    assert code == 1
    assert "neither a folder nor a commit" in told
    assert "Traceback" not in told
