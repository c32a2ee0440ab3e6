"""The search for another Python takes the newest that is not this one, and a missing wheel is no failure."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def other() -> ModuleType:
    spec = importlib.util.spec_from_file_location("other_pythons", ROOT / "scripts" / "other_pythons.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fake(folder: Path, name: str, says: str, sets_up: str = "exit 0", tests: str = "exit 0") -> Path:
    """Write a Python that says its version, and what its set-up and tests come to."""
    path = folder / name
    path.write_text(
        f"""#!/bin/sh
case "$*" in
  *sys.implementation*) echo {says} ;;
  *"-m venv"*) for last; do :; done; mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;;
  *"-m pip"*) {sets_up} ;;
  *"-m pytest"*) {tests} ;;
esac
"""
    )
    path.chmod(0o755)
    return path


def test_the_newest_that_is_another_cpython_and_not_too_old(other: ModuleType, tmp_path: Path) -> None:
    here = ".".join(map(str, sys.version_info[:2])).replace(".", " ")
    pythons = [
        fake(tmp_path, "a", "cpython 3 90"),
        fake(tmp_path, "b", "cpython 3 100"),
        fake(tmp_path, "c", f"cpython {here}"),
        fake(tmp_path, "d", "cpython 3 10"),
        fake(tmp_path, "e", "pypy 3 91"),
        tmp_path / "none",
    ]
    found = other.newest_first(iter(pythons))
    assert [(version, path.name) for version, path in found] == [((3, 100), "b"), ((3, 90), "a")]


@pytest.mark.parametrize(
    ("newest", "older", "code", "told"),
    [
        ({}, {}, 0, ["3.100", "quick part"]),
        ({"tests": "exit 1"}, {}, 1, ["3.100", "quick part"]),
        (
            {"sets_up": "echo ERROR: no wheel for torch >&2; exit 1"},
            {"tests": "exit 1"},
            1,
            ["3.100", "not tested", "no wheel for torch", "3.90", "quick part"],
        ),
        ({"sets_up": "exit 1"}, {"sets_up": "exit 1"}, 0, ["3.100", "not tested", "3.90", "not tested"]),
        ({"tests": "sleep 60"}, {}, 0, ["3.100", "quick part", "the time that is allowed ran out"]),
    ],
)
def test_only_a_test_that_fails_is_a_failure(
    other: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    newest: dict[str, str],
    older: dict[str, str],
    code: int,
    told: list[str],
) -> None:
    pythons = [fake(tmp_path, "a", "cpython 3 90", **older), fake(tmp_path, "b", "cpython 3 100", **newest)]
    monkeypatch.setattr(other, "candidates", lambda: iter(pythons))
    assert other.main(["--folder", str(tmp_path / "envs"), "--within-s", "5"]) == code
    out, place = capfd.readouterr().out, 0
    for words in told:  # in this order
        place = out.index(words, place) + 1


def test_no_other_python_is_said(
    other: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(other, "candidates", lambda: iter([Path(sys.executable)]))
    assert other.main([]) == 0
    assert "no other Python here than 3." in capfd.readouterr().out
