"""The plugin in a project that is not this one: a fresh environment, the built wheel, an empty folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

import mrsim

ROOT = Path(mrsim.__file__).parents[1]

MYNET = """
import numpy as np

def build():
    def reconstruct(kspace, mask):
        centred = np.fft.ifftshift(kspace, axes=(-2, -1))
        return np.fft.fftshift(np.fft.ifft2(centred, norm="ortho"), axes=(-2, -1))[0]
    return reconstruct

def slower():
    quick = build()
    return lambda kspace, mask: [quick(kspace, mask) for _ in range(3)][0]

class Forgetful:  # leaves out half the lines, and what is not a number reaches its images
    def open(self, header, emit):
        self.header, self.emit, self.half = header, emit, header.matrix[0] // 2
        self.kspace = np.zeros(header.matrix, np.complex64)
    def push(self, line):
        from recon.protocol import Image
        if line.index % 2:
            self.kspace[line.ky + self.half] = line.samples[0]
        if (line.index + 1) % self.header.lines_per_frame == 0:
            self.emit(Image(self.kspace, line.frame, line.index))
    def close(self): pass
"""


class Project:
    """Hold an empty project and a Python that has mrsim from its wheel."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.python, self.folder = python, folder

    def pytest(self, *words: str, code: int = 0) -> str:
        """Run pytest there; return what it printed."""
        env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "PYTHON"))}
        done = subprocess.run(
            [str(self.python), "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", *words],
            cwd=self.folder, env={**env, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
            check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the wheel; everything else is found where this one finds it, our checkout is not."""
    folder = tmp_path_factory.mktemp("stranger")
    source, wheels, site = folder / "source", folder / "wheels", folder / "venv"
    ignore = shutil.ignore_patterns("__pycache__", "*.nb*")
    for name in ("mrsim", "recon", "harness", "phantoms"):
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(source)]
    subprocess.run([*pip, *build], check=True, capture_output=True, timeout=300)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(site)], check=True, timeout=120)
    (packages,) = site.glob("lib/python*/site-packages")
    (wheel,) = wheels.glob("mrsim-*.whl")
    install = ["install", "--no-deps", "--no-index", "--target", str(packages), str(wheel)]
    subprocess.run([*pip, *install], check=True, capture_output=True, timeout=120)
    # As a plain path, so that our own editable install, which hangs on a .pth file of its own, is not seen.
    (packages / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return site / "bin" / "python"


@pytest.fixture
def project(python: Path, tmp_path: Path) -> Project:
    (tmp_path / "mynet.py").write_text(MYNET)
    return Project(python, tmp_path)


def test_it_is_the_wheel_that_is_tested(project: Project) -> None:
    code = "import harness, mrsim, sys; print(harness.__file__)"
    told = subprocess.run(
        [project.python, "-c", code], cwd=project.folder, capture_output=True, text=True, check=True
    ).stdout
    assert str(ROOT) not in told
    assert "site-packages" in told


def test_a_candidate_that_conforms_passes_every_check(project: Project) -> None:
    told = project.pytest("--reconstructor", "python:mynet:build", "-v")
    for check in (
        "causality",
        "no-write-into-the-input",
        "accuracy-under-load",
        "fault-nan",
        "fault-disconnect",
    ):
        assert f"conformance[python:mynet:build]::{check} PASSED" in told
    assert "22 passed" in told


def test_a_broken_candidate_fails_what_it_breaks_and_no_more(project: Project) -> None:
    names = ["--reconstructor", "python:mynet:Forgetful", "--reconstructor", "python:mynet.py:build"]
    told = project.pytest(*names, "-k", "consumption or fault-nan or causality", code=1)
    assert "3 failed" not in told
    assert "2 failed, 4 passed" in told
    lines = [line for line in told.splitlines() if line.startswith("python:mynet:Forgetful: ")]
    assert any("consumption: line" in line and "(seed 0)" in line for line in lines)
    assert any("fault nan" in line and "'finite'" in line for line in lines)
    assert "Traceback" not in told


def test_usage_is_told_in_one_line(project: Project) -> None:
    told = project.pytest("--reconstructor", "python:mynet:nothing", code=4)
    assert "ERROR: candidate 'python:mynet:nothing': mynet has no callable 'nothing'" in told
    assert "Traceback" not in told
    assert "add --reconstructor" in project.pytest("--baseline", "null", code=4)
    assert "not a stream" in project.pytest("--reconstructor", "null", "--reconstructor-stream", "a", code=4)


def test_the_baseline_guards_against_slower_code(project: Project) -> None:
    base, guarded = ("--baseline", "python:mynet:build"), ("-k", "no-slower")
    told = project.pytest("--reconstructor", "python:mynet:slower", *base, *guarded, code=1)
    assert "FAIL: new / base = " in told
    wide = ("--guard-factor", "50")
    assert "1 passed" in project.pytest("--reconstructor", "python:mynet:slower", *base, *guarded, *wide)


OTHERS = """
import sys
def test_nothing_of_the_bench_is_loaded():
    heavy = {"torch", "numba", "numpy", "harness.testing.kit", "harness.candidates.registry"}
    heavy |= {"mrsim", "recon"}
    assert not heavy & set(sys.modules)
"""


def test_those_who_do_not_use_it_pay_nothing(project: Project) -> None:
    (project.folder / "test_own.py").write_text(OTHERS)
    assert "1 passed" in project.pytest()


USER = """
from harness.audits.audits import default_stream
from harness.testing.kit import parametrize_with_checks
from mynet import Forgetful, build

@parametrize_with_checks(["python:mynet:build"])
def test_mine(candidate, check):
    check(candidate)

def test_latency(latency_benchmark):
    result = latency_benchmark("python:mynet:build", default_stream(frames=18), claim=0.9)
    assert result.timing.images == 14
"""


def test_percentiles_misses_and_lag_are_in_the_benchmarks_json_and_table(project: Project) -> None:
    pytest.importorskip("pytest_benchmark")
    (project.folder / "test_mine.py").write_text(USER)
    told = project.pytest("--benchmark-json", "b.json", "-k", "latency")
    (entry,) = json.loads((project.folder / "b.json").read_text())["benchmarks"]
    info: dict[str, Any] = entry["extra_info"]
    assert entry["stats"]["rounds"] == info["images"] - info["misses"] == 14
    assert entry["stats"]["max"] * 1e3 == pytest.approx(info["response_max_ms"])
    assert entry["stats"]["median"] * 1e3 == pytest.approx(info["response_p50_ms"], rel=0.5)
    assert {"response_p95_ms", "response_p99_ms", "misses", "lag_ms", "verdict"} <= set(info)
    assert info["response_p99_ms"] is None  # 14 images carry none
    assert "response and lag, ms (mrsim)" in told
    assert "0/14" in told
    disabled = project.pytest("--benchmark-disable", "-k", "latency")
    assert "1 passed" in disabled


def test_it_works_without_pytest_benchmark(project: Project) -> None:
    (project.folder / "test_mine.py").write_text(USER.partition("def test_latency")[0])
    assert "2 passed" in project.pytest("-p", "no:benchmark", "-k", "causality or fault-nan")


# The fixtures, in this project: the plugin is installed here, too.


def test_a_phantom_stream_is_the_same_every_time(make_phantom_stream: Any, phantom_stream: Any) -> None:
    assert phantom_stream is make_phantom_stream()
    assert phantom_stream.truth is not None
    assert phantom_stream.header.matrix == (64, 64)
    small = make_phantom_stream(frames=12, matrix=(32, 32), seed=1)
    assert (small.frames, small.provenance.seed) == (12, 1)


def test_faulty_streams_virtual_clock_and_replay_go_together(
    phantom_stream: Any, faulty_stream: Any, virtual_clock: Any
) -> None:
    from harness.testing.kit import replay
    from recon.classical.zero_filled import ViewSharing

    run = replay(phantom_stream, ViewSharing(), virtual_clock, feed=faulty_stream("drop:at=100"))
    assert int(run.fate[100]) == 4  # lost
    assert run.images.shown.all()
    assert virtual_clock.now_ns() >= len(phantom_stream) * phantom_stream.header.tr_ns


def test_a_real_time_replay_takes_as_long_as_the_scan(realtime_replay: Any, make_phantom_stream: Any) -> None:
    scan = make_phantom_stream(frames=12, matrix=(32, 32), seed=1)
    result = realtime_replay("zero-filled", scan, claim=0.9)
    run = result.run
    assert run.clock == "real"
    assert run.finished_ns[-1] - run.t0_ns >= len(scan) * scan.header.tr_ns
    assert result.quality is not None


def test_the_guard_fixture_fails_its_test(latency_guard: Any) -> None:
    from harness.audits.audits import default_stream

    scan = default_stream(frames=24, matrix=(32, 32))
    latency_guard("view-sharing", "null", scan, images=60)
    with pytest.raises(pytest.fail.Exception, match="zero-filled: FAIL: new / base"):
        latency_guard("null", "zero-filled", scan, images=60)
