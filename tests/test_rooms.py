"""The house keeps its limits: a folder and a module stay small enough to be known whole."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import mrsim

ROOT = Path(__file__).parents[1]
PACKAGES = ("mrsim", "recon", "harness")
MAX_MODULES, MAX_TESTS, MAX_LINES = 20, 30, 450


def modules(*tops: str) -> list[Path]:
    """Return the Python files below some folders, `__init__` left out."""
    found = [path for top in tops for path in (ROOT / top).rglob("*.py") if path.name != "__init__.py"]
    assert found, tops
    return found


def test_no_folder_holds_more_modules_than_one_can_know() -> None:
    counts = Counter(path.parent.relative_to(ROOT).as_posix() for path in modules(*PACKAGES))
    assert {folder: n for folder, n in counts.items() if n > MAX_MODULES} == {}
    counts = Counter(path.parent.relative_to(ROOT).as_posix() for path in modules("tests"))
    assert {folder: n for folder, n in counts.items() if n > MAX_TESTS} == {}


def test_no_module_is_longer_than_one_can_read() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in modules(*PACKAGES)
    }
    assert {name: n for name, n in lengths.items() if n > MAX_LINES} == {}


def test_every_room_says_what_it_is_for() -> None:
    for top in PACKAGES:
        for door in (ROOT / top).rglob("__init__.py"):
            assert door.read_text("utf-8").startswith('"""'), f"{door.relative_to(ROOT)}: it has no docstring"


def test_the_version_to_cite_is_the_one_that_is_installed() -> None:
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.M)
    assert cited is not None
    assert cited[1] == mrsim.__version__


def test_the_first_page_stays_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 120
