"""What is published: the wheel holds all that is needed and nothing else, and works with the core alone."""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.wheel import ROOT, build_wheel, environment_with, lend, required

pytestmark = pytest.mark.slow

EXTRAS = (
    "rich", "matplotlib", "skimage", "SimpleITK", "pydicom", "pypulseq", "onnxruntime", "h5py", "distributed",
    "pytest",
)  # fmt: skip
DATA = (
    "recon/weights/*.npz",
    "phantoms/scans/*.npz",
    "harness/report/page/*",
    "phantoms/**/*.toml",
    "phantoms/**/*.csv",
    "*/py.typed",
    "pytest_mrsim.py",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


class Empty:
    """Hold an environment with the wheel and what it depends on, and a folder to work in."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.python, self.folder = python, folder

    def run(self, *words: str, code: int = 0) -> str:
        """Run Python there, or a script that the wheel installed; warnings of ours are errors."""
        env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "PYTHON"))}
        script = [str(self.python.with_name(words[0]))] if words[0] == "mrsim" else ["-W", "error"]
        done = subprocess.run(
            [str(self.python), *script, *words[1 if words[0] == "mrsim" else 0 :]],
            cwd=self.folder, env=env, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def empty(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Empty:
    folder = tmp_path_factory.mktemp("empty")
    python, packages = environment_with(wheel, folder / "venv")
    lend(required("mrsim"), packages)
    (folder / "work").mkdir()
    return Empty(python, folder / "work")


def test_the_wheel_holds_every_module_and_data_file_and_nothing_else(wheel: Path) -> None:
    tops = ("mrsim", "recon", "harness", "phantoms")
    expected = {path for top in tops for path in (ROOT / top).rglob("*.py")}
    for pattern in DATA:
        found = set(ROOT.glob(pattern))
        assert found, pattern
        expected |= {path for path in found if path.parts[len(ROOT.parts)] in (*tops, "pytest_mrsim.py")}
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == {path.relative_to(ROOT).as_posix() for path in expected}
    assert {f"{top}/py.typed" for top in ("mrsim", "recon", "harness")} <= names


def test_the_scan_that_is_shipped_comes_with_the_wheel(empty: Empty) -> None:
    assert empty.run("-c", "import mrsim; print(mrsim.example_scan().frames)").strip() == "285"


def test_the_environment_has_the_core_alone_and_never_sees_the_checkout(empty: Empty) -> None:
    code = f"""
import importlib.util, mrsim, numba, numpy, torch
print(mrsim.__file__)
print([name for name in {EXTRAS!r} if importlib.util.find_spec(name)])
"""
    where, extras = empty.run("-c", code).splitlines()
    assert str(ROOT) not in where
    assert "site-packages" in where
    assert extras == "[]"


def test_every_module_imports_with_the_core_alone(empty: Empty) -> None:
    code = """
import importlib, pkgutil
import harness, mrsim, recon
names = [
    module.name
    for package in (mrsim, recon, harness)
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
]
for name in names:
    if not name.startswith("harness.testing.plugin") and not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""
    assert int(empty.run("-c", code)) > 150


def test_a_scan_is_simulated_and_replayed_by_the_installed_command(empty: Empty) -> None:
    assert "simulate" in empty.run("mrsim", "--help")
    small = ["--matrix", "32", "32", "--frames", "12", "--seed", "1"]
    empty.run("mrsim", "simulate", "quasar", "-o", "a.stream", *small)
    replay = ["replay", "a.stream", "zero-filled", "--clock", "virtual", "--no-quality"]
    assert "INSUFFICIENT" in empty.run("mrsim", *replay, code=4)
    assert "shipped weights" in empty.run("-c", WEIGHTS)


WEIGHTS = """
from importlib import resources
from recon.cascade.checkpoint import load
names = sorted(p.name for p in (resources.files("recon") / "weights").iterdir() if p.name.endswith(".npz"))
load(str(resources.files("recon") / "weights" / names[0]))
print(len(names), "shipped weights")
"""
