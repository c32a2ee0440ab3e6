"""The plugin in a project that is not this one: a fresh environment, the built wheel, an empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

import mrsim
from harness.audits.bench import default_stream
from mrsim.stream import save
from tests.wheel import build_wheel, environment_with

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

def raises():
    def reconstruct(kspace, mask):
        return kspace[99]
    return reconstruct

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

    def pytest(self, *words: str, code: int = 0, script: bool = False, below: str = "") -> str:
        """Run pytest there, by its script or as a module, which puts the folder on the path."""
        how = [str(self.python.with_name("pytest"))] if script else ["-m", "pytest"]
        env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "PYTHON"))}
        done = subprocess.run(
            [str(self.python), *how, "-W", "error", "-p", "no:cacheprovider", *words],
            cwd=self.folder / below, env={**env, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def refused(self, *runs: list[str]) -> list[str]:
        """Run pytest for each list of words, in one process, each a usage error; return what they said."""
        code = (
            "import contextlib, io, json, sys, pytest\n"
            "said = []\n"
            "for words in json.loads(sys.argv[1]):\n"
            "    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):\n"
            "        code = pytest.main(['-W', 'error', '-p', 'no:cacheprovider', *words])\n"
            "    said.append([int(code), out.getvalue()])\n"
            "print(json.dumps(said))\n"
        )
        env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "PYTHON"))}
        done = subprocess.run(
            [str(self.python), "-c", code, json.dumps(runs)],
            cwd=self.folder, env=env, capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip
        said = json.loads(done.stdout)
        assert [code for code, _ in said] == [pytest.ExitCode.USAGE_ERROR] * len(runs), said
        return [text for _, text in said]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the wheel; everything else is found where this one finds it, our checkout is not."""
    folder = tmp_path_factory.mktemp("stranger")
    python, packages = environment_with(build_wheel(folder), folder / "venv")
    # As a plain path, so that our own editable install, which hangs on a .pth file of its own, is not seen.
    (packages / "others.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
    python.with_name("pytest").write_text("import sys, pytest\nsys.exit(pytest.main())\n")
    return python


@pytest.fixture
def project(python: Path, tmp_path: Path) -> Project:
    (tmp_path / "mynet.py").write_text(MYNET)
    return Project(python, tmp_path)


@pytest.mark.slow
def test_it_is_the_wheel_that_is_tested(project: Project) -> None:
    code = "import harness, mrsim, sys; print(harness.__file__)"
    told = subprocess.run(
        [project.python, "-c", code], cwd=project.folder, capture_output=True, text=True, check=True
    ).stdout
    assert str(ROOT) not in told
    assert "site-packages" in told


@pytest.mark.slow
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
    assert "25 passed" in told


@pytest.mark.slow
def test_checks_that_a_project_skips_are_skipped(project: Project) -> None:
    (project.folder / "conftest.py").write_text(
        "import pytest\n\ndef pytest_collection_modifyitems(items):\n"
        "    for item in items:\n        item.add_marker(pytest.mark.skip(reason='no GPU'))\n"
    )
    out = project.pytest("--reconstructor", "zero-filled")
    assert re.search(r"\b2\d skipped in ", out), out
    (project.folder / "conftest.py").unlink()


def test_a_broken_candidate_fails_what_it_breaks_and_no_more(project: Project) -> None:
    names = ["--reconstructor", "python:mynet:Forgetful", "--reconstructor", "python:mynet.py:build"]
    told = project.pytest(
        *names, "-k", "consumption or fault-nan or causality", "--reconstructor-seed", "0", code=1
    )
    assert "3 failed" not in told
    assert "2 failed, 4 passed" in told
    lines = [line for line in told.splitlines() if line.startswith("python:mynet:Forgetful: ")]
    assert any("consumption: k-space line" in line and "(seed 0)" in line for line in lines)
    assert any("fault nan" in line and "'finite'" in line for line in lines)
    assert "Traceback" not in told


@pytest.mark.slow
def test_what_raises_is_told_with_the_line_of_its_code(project: Project) -> None:
    """By the option, by the decorator, and by the guard; once for each check that fails."""
    (project.folder / "kit.py").write_text(  # not collected unless it is asked for
        "from harness.testing.kit import parametrize_with_checks\n"
        "@parametrize_with_checks(['python:mynet:raises'])\n"
        "def test_mine(candidate, check):\n"
        "    check(candidate)\n"
        "def test_as_fast(latency_guard):\n"
        "    latency_guard('zero-filled', 'python:mynet:raises')\n"
    )
    line = MYNET.splitlines().index("        return kspace[99]") + 1
    place = f'File "{project.folder}/mynet.py", line {line}, in raises.<locals>.reconstruct'
    option = ("--reconstructor", "python:mynet:raises")
    for words, failed in (
        ((*option, "-k", "consumption or shape-and-type"), 2),
        ((*option, "--baseline", "zero-filled", "-k", "no-slower"), 1),
        (("kit.py", "-k", "consumption or as_fast"), 2),
    ):
        told = project.pytest(*words, code=1)
        assert f"{failed} failed" in told
        # Where CI is set, pytest repeats the whole text in its summary.
        assert told.split("short test summary info")[0].count(place) == failed, told
        assert "return kspace[99]" in told


@pytest.mark.slow
def test_usage_is_told_in_one_line(project: Project) -> None:
    expected = {
        "--reconstructor python:mynet:nothing": "candidate 'python:mynet:nothing': mynet has no callable",
        "--baseline null": "add --reconstructor",
        "conformance[null]::causality": "add --reconstructor",
    }
    for words, line in (
        ("--reconstructor-stream a", "not a stream"),
        ("--reconstructor-seed abc", "--reconstructor-seed abc: expected a whole number from 0 to"),
        ("--reconstructor-seed=-1", "--reconstructor-seed -1: expected a whole number from 0 to"),
        (f"--reconstructor-seed {1 << 128}", f"expected a whole number from 0 to {(1 << 128) - 1}"),
        ("--baseline null --guard-factor quick", "--guard-factor quick: expected a number"),
        ("--baseline null --guard-factor 1", "--guard-factor 1.0: expected a ratio above 1, up to 100"),
        ("--baseline null --guard-factor nan", "--guard-factor nan: expected a ratio above 1"),
        ("conformance[null]::nothing", "conformance[null]::nothing: null has no such check"),
        ("conformance[other]", "conformance[other]: no --reconstructor that is given is called so"),
    ):
        expected[f"--reconstructor null {words}"] = line
    for (words, line), told in zip(
        expected.items(), project.refused(*(words.split() for words in expected)), strict=True
    ):
        assert line in told, words
        if "seed" in words or "guard" in words:  # nothing is collected
            assert len(told.strip().splitlines()) == 1, told
        assert [line for line in told.splitlines() if line.startswith("ERROR: ")]
        assert "Traceback" not in told


@pytest.mark.slow
def test_checks_are_counted_and_their_ids_can_be_passed_back(project: Project) -> None:
    one = ("--reconstructor", "python:mynet:build", "--baseline", "python:mynet:build")
    told = project.pytest(*one, "--collect-only", "-q")
    ids = [line for line in told.splitlines() if line.startswith("conformance[python:mynet:build]::")]
    assert len(ids) == 26
    (project.folder / "test_own.py").write_text("def test_own(): pass\n")
    assert "collected 27 items" in project.pytest(*one, "--collect-only")
    back = project.pytest(*one, *ids[5:], "--collect-only", "-q")
    assert [line for line in back.splitlines() if line in ids] == ids[5:]
    whole = project.pytest(*one, "conformance[python:mynet:build]", "test_own.py", "--collect-only")
    assert "collected 27 items" in whole
    told = project.pytest(*one, ids[1], "test_own.py", ids[0], ids[1], "-v")
    assert "collected 3 items" in told
    assert all(f"{identity} PASSED" in told for identity in ids[:2])
    assert "3 passed" in told
    (project.folder / "pytest.ini").write_text("[pytest]\n")
    (project.folder / "below").mkdir()
    source = ("--reconstructor", "python:../mynet.py:build")
    (printed,) = [
        word
        for line in project.pytest(*source, "-v", "-k", "causality", below="below").splitlines()
        if (word := line.partition(" ")[0]).endswith("::causality")
    ]
    assert printed.startswith("../conformance[")
    assert "1 passed" in project.pytest(*source, printed, below="below")


@pytest.mark.slow
def test_the_baseline_guards_against_slower_code(project: Project) -> None:
    base, guarded = ("--baseline", "python:mynet:build"), ("-k", "no-slower")
    told = project.pytest("--reconstructor", "python:mynet:slower", *base, *guarded, code=1)
    assert "FAIL: new / base = " in told
    wide = ("--guard-factor", "50")
    assert "1 passed" in project.pytest("--reconstructor", "python:mynet:slower", *base, *guarded, *wide)


OTHERS = """
import sys
def test_nothing_of_the_bench_is_loaded():
    loaded = {name.partition(".")[0] for name in sys.modules}
    assert not loaded & {"torch", "numba", "numpy", "harness", "mrsim", "recon", "phantoms"}
"""


@pytest.mark.slow
def test_those_who_do_not_use_it_pay_nothing(project: Project) -> None:
    (project.folder / "test_own.py").write_text(OTHERS)
    assert "1 passed" in project.pytest()


THEIRS = {
    "harness.py": {"harness.py": "VALUE = 7\n", "test_own.py": ""},
    "harness": {"harness/__init__.py": "VALUE = 7\n", "test_own.py": ""},
    "recon": {"recon/__init__.py": "VALUE = 7\n", "conftest.py": "import recon\n", "test_own.py": ""},
    "mrsim.py": {"mrsim.py": "VALUE = 7\n", "test_own.py": ""},
    "phantoms": {"phantoms/__init__.py": "VALUE = 7\n", "test_own.py": ""},
    "below": {"tests/recon.py": "VALUE = 7\n", "tests/test_own.py": ""},
}
"""Projects with a name of ours, by what they call it."""


def hides(project: Project, case: str, asks: str = "") -> str:
    """Write a project whose own test needs its own module; return the file that bears a name of ours."""
    mine = next(iter(THEIRS[case]))
    name = "recon" if case == "below" else case.removesuffix(".py")
    for path, text in THEIRS[case].items():
        (project.folder / path).parent.mkdir(exist_ok=True)
        own = f"from {name} import VALUE\ndef test_own({asks}): assert VALUE == 7\n"
        (project.folder / path).write_text(text or own)
    return str(project.folder / mine)


@pytest.mark.slow
@pytest.mark.parametrize("script", [False, True], ids=["python -m pytest", "pytest"])
@pytest.mark.parametrize("case", THEIRS)
def test_a_project_with_a_name_of_ours_runs_its_tests_and_is_told_of_it_where_it_uses_the_plugin(
    project: Project, case: str, script: bool
) -> None:
    file = hides(project, case)
    assert "1 passed" in project.pytest(script=script)
    told = project.pytest("--reconstructor", "python:mynet:build", script=script, code=4)
    (line,) = [line for line in told.splitlines() if line.startswith("ERROR: ")]
    assert f"{file} is in the way of mrsim's package " in line
    assert "rename it" in line
    assert "Traceback" not in told
    assert "INTERNALERROR" not in told


@pytest.mark.slow
def test_a_name_of_ours_that_is_not_on_the_path_is_not_in_the_way(project: Project) -> None:
    hides(project, "harness.py")
    one = ("--reconstructor", "python:mynet:build", "conformance[python:mynet:build]::causality")
    assert "1 passed" in project.pytest(*one, script=True)


@pytest.mark.slow
@pytest.mark.parametrize("case", THEIRS)
def test_a_fixture_is_refused_in_one_line_where_a_name_of_ours_is_taken(project: Project, case: str) -> None:
    file = hides(project, case, asks="make_phantom_stream")
    told = project.pytest(code=1)
    assert [line for line in told.splitlines() if line.startswith(f"{file} is in the way of mrsim's package")]
    assert "1 error" in told
    assert "Error: " not in told


@pytest.mark.slow
def test_a_folder_that_is_no_package_is_not_in_the_way_of_an_installed_one(project: Project) -> None:
    (project.folder / "phantoms").mkdir()
    (project.folder / "phantoms" / "mine.toml").write_text("")
    assert "1 passed" in project.pytest("--reconstructor", "python:mynet:build", "-k", "causality")


USER = """
from harness.audits.bench import default_stream
from harness.testing.kit import parametrize_with_checks
from mynet import Forgetful, build

@parametrize_with_checks(["python:mynet:build"])
def test_mine(candidate, check):
    check(candidate)

def test_latency(latency_benchmark):
    result = latency_benchmark("python:mynet:build", default_stream(frames=18), claim=0.9)
    assert result.timing.images == 14
"""


@pytest.mark.slow
def test_percentiles_misses_and_lag_are_in_the_benchmarks_json_and_table(project: Project) -> None:
    pytest.importorskip("pytest_benchmark")
    (project.folder / "test_mine.py").write_text(USER)
    told = project.pytest("--benchmark-json", "b.json", "-k", "latency")
    (entry,) = json.loads((project.folder / "b.json").read_text())["benchmarks"]
    info: dict[str, Any] = entry["extra_info"]
    assert entry["stats"]["rounds"] == info["images"] - info["misses"] == 14
    assert entry["stats"]["max"] * 1e3 == pytest.approx(info["response_max_ms"])
    below, above = sorted(entry["stats"]["data"])[6:8]  # of 14 images, either is in the middle
    assert below * 1e3 - 1e-6 <= info["response_p50_ms"] <= above * 1e3 + 1e-6
    assert {"response_p95_ms", "response_p99_ms", "misses", "lag_ms", "verdict"} <= set(info)
    assert info["response_p99_ms"] is None  # 14 images carry none
    assert info["mrsim"]["of"] == 14
    assert info["mrsim"]["p99_ms"] is None
    assert "mrsim: times in ms" in told
    assert " of 14 " in told
    assert "(>1000.0)" not in told  # pytest-benchmark's own table has nothing to show
    project.pytest("--benchmark-autosave", "-k", "latency")
    compared = project.pytest("--benchmark-compare", "-k", "latency")
    assert "Median" in compared  # nor does ours stand in the way of its comparisons
    save(default_stream(frames=18), project.folder / "a.stream")
    theirs = project.pytest(
        "--reconstructor", "python:mynet:build", "--reconstructor-stream", "a.stream", "--benchmark-only",
        "-k", "conformance", "--benchmark-json", "c.json",
    )  # fmt: skip
    (entry,) = json.loads((project.folder / "c.json").read_text())["benchmarks"]
    assert entry["extra_info"]["mrsim"]["of"] == 14
    assert "python:mynet:build at the scanner's pace" in theirs
    assert "1 passed" in theirs
    disabled = project.pytest("--benchmark-disable", "-k", "latency")
    assert "1 passed" in disabled


@pytest.mark.slow
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
    from harness.audits.bench import default_stream

    scan = default_stream(frames=24, matrix=(32, 32))
    latency_guard("zero-filled", "zero-filled", scan, images=60)
    with pytest.raises(pytest.fail.Exception, match="cs-tv: FAIL: new / base"):
        latency_guard("zero-filled", "cs-tv", scan, images=60)
