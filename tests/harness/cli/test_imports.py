"""The three packages import, and the core works, with numpy, numba and torch alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import mrsim

pytestmark = pytest.mark.slow

BLOCK = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None
"""
OPTIONAL = ["rich", "matplotlib", "skimage", "scipy", "hypothesis", "pytest", "pytest_benchmark"]
OPTIONAL += ["ismrmrd", "h5py", "xsdata", "distributed", "onnxruntime", "pypulseq", "SimpleITK", "pydicom"]
PLUGIN = ["harness.testing.plugin"]
"""What only pytest loads."""


def run(blocked: list[str], code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    root = str(Path(mrsim.__file__).parent.parent)
    program = BLOCK.format(blocked=blocked) + f"sys.path.insert(0, {root!r})\n" + code
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_every_module_imports_without_the_extras(tmp_path: Path) -> None:
    code = """
import importlib, pkgutil
import mrsim, recon, harness
count = 0
for package in (mrsim, recon, harness):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if module.name not in PLUGIN and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            count += 1
print("all imported" if count > 150 else count)
"""
    done = run(OPTIONAL, f"PLUGIN = {PLUGIN}\n{code}", tmp_path)
    assert (done.stdout, done.stderr) == ("all imported\n", "")


def test_a_replay_works_without_the_extras_and_says_what_quality_needs(tmp_path: Path) -> None:
    code = """
from harness.cli.main import main
small = ["--matrix", "32", "32", "--frames", "12", "--seed", "1"]
assert main(["simulate", "quasar", "-o", "a.stream", *small]) == 0
assert main(["replay", "a.stream", "zero-filled", "--clock", "virtual", "--no-quality"]) == 4
assert main(["replay", "a.stream", "zero-filled", "--clock", "virtual"]) == 2
"""
    done = run(OPTIONAL, code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "pip install 'mrsim[eval]'" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_stored_stream_is_replayed_without_numba(tmp_path: Path) -> None:
    """By the cascade of a patient, too, whose images are then found all at once."""
    code = "from harness.cli.main import main\nsys.exit(main({}.split()))"
    simulate = "simulate patient1 --acceleration 5 -o a.stream --frames 20"
    assert run([], code.format(repr(simulate)), tmp_path).returncode == 0
    for candidate in ("view-sharing", "cascade:patient1-5x,eager,20-44"):
        done = run(["numba"], code.format(repr(f"replay a.stream {candidate} --clock virtual")), tmp_path)
        assert done.returncode == 4, done.stderr
        assert "INSUFFICIENT" in done.stdout
        # Whether two phantoms breathe alike takes their parts, and these take numba.
        told = "it cannot be told whether cascade" if candidate.startswith("cascade") else ""
        assert done.stderr.startswith(f"mrsim: warning: {told}") if told else done.stderr == ""
        assert done.stderr.count("\n") == bool(told)


def test_what_needs_no_torch_does_not_load_it(tmp_path: Path) -> None:
    """Loading torch takes longer than all else that a command starts with."""
    code = """
from harness.cli.main import main
small = ["--matrix", "32", "32", "--frames", "12", "--seed", "1"]
assert main(["simulate", "quasar", "-o", "a.stream", *small]) == 0
assert main(["replay", "a.stream", "view-sharing", "--clock", "virtual"]) == 4
assert main(["audit", "zero-filled", "--seed", "1"]) == 0
assert "torch" not in sys.modules
"""
    done = run([], code, tmp_path)
    assert done.returncode == 0, done.stderr
