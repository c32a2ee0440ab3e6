"""What is asked of real cines holds, where there are any; and the script says what falls short."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.mrsim.anatomy.series.cines import REAL, cine

ROOT = Path(__file__).parents[2]


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the script."""
    command = [sys.executable, str(ROOT / "scripts" / "real_cines.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="real cines, which are no part of the project")
def test_what_is_asked_of_real_cines_holds() -> None:
    ended = run(REAL, "--short")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("k-space against direct summation") == 2
    assert ended.stdout.count("edge of the dome, twin, median") == 2


@pytest.mark.slow
def test_a_cine_of_ours_goes_through_and_pictures_stay_outside(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **cine(40))
    ended = run(tmp_path, "--short", "--pictures", tmp_path / "pictures")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (tmp_path / "pictures" / "mine.png").is_file()
    ended = run(tmp_path, "--pictures", ROOT / "docs")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "within the project" in ended.stderr
