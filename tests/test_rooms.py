"""The house keeps its limits: a folder and a module stay small enough to be known whole."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

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
