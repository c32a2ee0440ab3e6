"""The command line: exit codes, one line for every error, nothing half-written."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

import mrsim
from harness.cli import doctor
from harness.cli.arguments import settings
from harness.cli.main import main
from harness.console import plain_table
from mrsim.errors import InputError
from mrsim.stream import Stream, load, save
from tests.harness.synthetic import moving_stream

SMALL = ["--matrix", "32", "32", "--frames", "12", "--acceleration", "4", "--seed", "1"]

CANDIDATES = """
import numpy as np
def build(): return lambda kspace, mask: np.zeros(kspace.shape[1:])
def wrong_shape(): return lambda kspace, mask: np.zeros((3, 3))
def fails_later():
    def image(kspace, mask): raise RuntimeError("no memory")
    return image
def raises(): raise OSError("weights are missing")
def marks():
    def image(kspace, mask):
        open("running", "w").close()
        return np.zeros(kspace.shape[1:])
    return image
def interrupts():
    import signal
    def image(kspace, mask): signal.raise_signal(signal.SIGINT)
    return image
"""


@pytest.fixture(scope="module")
def scan() -> Stream:
    return moving_stream()


@pytest.fixture
def folder(tmp_path: Path, scan: Stream, monkeypatch: pytest.MonkeyPatch) -> Path:
    save(scan, tmp_path / "a.stream")
    (tmp_path / "mine.py").write_text(CANDIDATES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    return tmp_path


def error_of(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must fail as bad input; return its one line."""
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("mrsim: error: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    return captured.err


def test_replay_judges_and_writes_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["replay", "a.stream", "python:mine.py:build", "--clock", "virtual", "--json", "r.json"]
    assert main([*argv, "--claim", "0.7"]) == 1  # in time, but the target is lost
    printed = capsys.readouterr().out
    assert "PASS" in printed
    assert "0 of 142 missed" in printed
    told = json.loads((folder / "r.json").read_text())
    assert told["answers"]["time"]["verdict"] == "PASS"
    assert told["answers"]["target"]["verdict"] == told["verdict"] == "FAIL"
    assert told["candidate"] == "python:mine.py:build"
    assert told["stream"]["path"] == "a.stream"
    assert main([*argv, "--no-quality"]) == 4  # 142 images do not carry a claim of 99 %
    assert "INSUFFICIENT" in capsys.readouterr().out
    assert json.loads((folder / "r.json").read_text())["verdict"] == "INSUFFICIENT"


def test_replay_in_real_time_paces_itself(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.perf_counter()
    code = main(["replay", "a.stream", "null", "--frames", "10", "--no-quality"])
    assert time.perf_counter() - began >= 10 * 0.064
    assert code in (3, 4)  # too few samples, or a host too busy to tell
    assert "of 8 missed" in capsys.readouterr().out


def test_a_candidate_that_fails_later_is_a_verdict(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its traceback stands on standard error and in the JSON; 'line 15' is one of k-space."""
    argv = ["replay", "a.stream", "python:mine.py:fails_later", "--clock", "virtual", "--json", "r.json"]
    assert main(argv) == 1
    out, err = capsys.readouterr()
    told = (
        "FAIL: the candidate raised RuntimeError: no memory (mine.py:6) in push at k-space line 15 (frame 0)"
    )
    assert told in out
    assert f'  File "{folder}/mine.py", line 6, in fails_later.<locals>.image' in err
    assert err.endswith("RuntimeError: no memory\n")
    found = json.loads((folder / "r.json").read_text())
    (place,) = found["traceback"]
    assert place.pop("code").startswith("def image(kspace, mask): raise RuntimeError")
    assert place == {"file": f"{folder}/mine.py", "line": 6, "function": "fails_later.<locals>.image"}
    assert found["traceback_text"] + "\n" == err


def test_with_every_run_that_is_repeated_a_traceback_is_told_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["replay", "a.stream", "python:mine.py:fails_later", "--clock", "virtual", "--repeat", "3"]
    assert main(argv) == 1
    assert capsys.readouterr().err.count("in fails_later") == 1


@pytest.mark.parametrize(
    ("candidate", "text", "line", "told"),
    [
        ("python:mine.py:raises", CANDIDATES, 8, "the factory raised OSError: weights are missing"),
        ("python:bad.py:build", "import numpy\nimport nowhere.at_all\n", 2, "raised ModuleNotFoundError"),
        ("python:bad:build", "import numpy\ndef build(:\n", 2, "importing bad raised SyntaxError"),
        ("python:bad.py:build", "class Own(BaseException): pass\n\nraise Own('x')\n", 3, "raised Own: x"),
    ],
)
def test_what_raises_while_it_is_loaded_is_told_with_its_line(
    candidate: str, text: str, line: int, told: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = candidate.split(":")[1].removesuffix(".py")
    (folder / f"{name}.py").write_text(text)
    for argv in (["replay", "a.stream", candidate], ["audit", candidate]):
        assert main(argv) == 2
        *above, last = capsys.readouterr().err.splitlines()
        assert last.startswith(f"mrsim: error: candidate '{candidate}': ")
        assert told in last
        assert f'  File "{folder}/{name}.py", line {line}, in ' in "\n".join(above)
        assert "harness/" not in "\n".join(above)
        sys.modules.pop(name, None)


def test_an_audit_shows_where_the_candidate_raised(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "python:mine.py:fails_later", "--json", "r.json"]) == 3
    out, err = capsys.readouterr()
    assert "it raised RuntimeError: no memory (mine.py:6) in push at k-space line 31 (frame 0)" in out
    assert err.count(f'  File "{folder}/mine.py", line 6') == 1
    audits = json.loads((folder / "r.json").read_text())["audits"]
    conformance, *others = audits
    assert conformance["traceback"][0]["line"] == 6
    assert all(audit["traceback"] == [] for audit in others if audit["kept"])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["replai"], "'replai' is no command; did you mean replay?"),
        (["replay", "a.stream"], "required: CANDIDATE"),
        (["replay", "a.stream", "null", "--clock", "sundial"], "invalid choice"),
        (["replay", "a.stream", "null", "--seed", "-1"], "a whole number from 0"),
        (["replay", "a.stream", "null", "--frames", "many"], "expected a whole number"),
        (["replay", "a.stream", "null", "--frames", "151"], "1 to 150"),
        (["replay", "a.stream", "null", "--claim", "1"], "claim"),
        (["replay", "a.stream", "null", "--scenario", "bursts"], "expected one of constant-stream"),
        (["replay", "a.stream", "null", "--policy", "bounded:0"], "bounded:N with N from 1"),
        (["replay", "a.stream", "null", "--profile", "gating"], "--downstream-ms 150"),
        (
            ["replay", "a.stream", "null", "--profile", "dietz2019", "--downstream-ms", "5"],
            "leave out --downstream",
        ),
        (["replay", "a.stream", "null", "--profile", "tracking", "--no-quality"], "leave out --no-quality"),
        (["replay", "a.stream", "null", "--profile", "nowhere.toml"], "no such file"),
        (["replay", "a.stream", "null", "--repeat", "0"], "expected 1 to 100"),
        (
            ["replay", "a.stream", "null", "--service", "mine.py", "--clock", "virtual"],
            "not a file of samples",
        ),
        (["replay", "a.stream", "null", "--service", "no.npz", "--clock", "virtual"], "no such file"),
        (["replay", "a.stream", "null", "--samples", "no/s.npz"], "no such folder"),
        (["replay", "a.stream", "null", "--faults", "drop"], "add p=0.01"),
        (["replay", "a.stream", "null", "--faults", "hang:at=3"], "--isolate"),
        (["replay", "a.stream", "null", "--limit-s", "nan"], "--limit-s"),
        (["replay", "a.stream", "null", "--scenario", "burst", "--faults", "nan:at=1"], "no faults"),
        (["audit", "nul"], "did you mean 'null'"),
        (["replay", "--clok", "x"], "unknown option --clok; did you mean --clock? (see mrsim replay --help)"),
        (["audit", "null", "--nonsense=3"], "unknown option --nonsense (see mrsim audit --help)"),
        (["replay", "a.stream", "null", "-q"], "unrecognized arguments: -q (see mrsim replay --help)"),
        (["simulate", "quasr", "-o", "b.stream", *SMALL], "did you mean 'quasar'?"),
        (["audit", "null", "nowhere"], "not a stream"),
        (["replay", "a.stream", "view-shering"], "did you mean 'view-sharing'"),
        (["replay", "a.stream", "cascade:nowhere"], "nowhere"),
        (["replay", "nowhere", "null"], "not a stream"),
        (["replay", "a.stream", "null", "--json", "no/r.json"], "no such folder"),
        (["replay", "a.stream", "null", "--json", "a.stream"], "is a folder"),
        (["replay", "a.stream", "null", "--json", ""], "--json: expected the name of a file"),
        (["replay", "a.stream", "null", "--json", "-"], "standard output is /dev/stdout"),
        (["replay", "a.stream", "null", "--json", "a\nb.json"], "'a\\nb.json': a line break in an argument"),
        (["simulate", "quasar", "-o", "a\rb.stream", *SMALL], "'a\\rb.stream': a line break in an argument"),
        (["simulate", "quasar", "-o", f"{'x' * 300}.stream", *SMALL], "name too long; choose a shorter one"),
        (["doctor", "--json", "no/d.json"], "no such folder"),
        (["train", "a.stream", "-o", "weights.pt"], ".npz"),
        (["train", "nowhere", "-o", "weights.npz"], "not a stream"),
        (["simulate", "quasar", "-o", "b.stream"], "one of the arguments --seconds --frames"),
        (["simulate", "quasor", "-o", "b.stream", *SMALL], "quasor"),
        (["simulate", "quasar", "-o", "b.stream", *SMALL, "--acceleration", "64"], "acceleration"),
        (["simulate", "quasar", "-o", "b.stream", *SMALL, "--sampler", "spiral"], "sampler"),
        (["simulate", "quasar", "-o", "b.stream", *SMALL, "--tr-ms", "nan"], "--tr-ms"),
        (["simulate", "quasar", "-o", "b.stream", *SMALL, "--set", "title"], "key=value"),
        (["simulate", "quasar", "-o", "b.stream", *SMALL, "--set", "region.moon.tissue=gel"], "moon"),
        (["simulate", "quasar", "-o", "b.stream", *SMALL, "--set", "colour=3"], "colour"),
        (["simulate", "quasar", "-o", "no/b.stream", *SMALL], "no such folder"),
        (["simulate", "quasar", "-o", "mine.py", *SMALL], "not a stream"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(
    argv: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(os.listdir(folder))
    assert message in error_of(argv, capsys)
    assert sorted(n for n in os.listdir(folder) if n != "__pycache__") == before


def test_a_damaged_stream_gets_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replay = ["replay", "b.stream", "null", "--clock", "virtual"]
    samples = folder / "b.stream" / "samples.npy"

    def damaged() -> Path:
        shutil.rmtree(folder / "b.stream", ignore_errors=True)
        shutil.copytree(folder / "a.stream", folder / "b.stream")
        return samples

    damaged().write_bytes(samples.read_bytes()[:-100])
    assert "samples.npy: truncated" in error_of(replay, capsys)
    damaged().unlink()
    assert "samples.npy: missing" in error_of(replay, capsys)
    damaged()
    array = np.load(samples, mmap_mode="r+")
    array[40, 0, 3] = np.nan
    array.flush()
    assert "line 40 (frame 2): a sample is not finite" in error_of(replay, capsys)
    damaged()
    (folder / "b.stream" / "header.json").write_text("{")
    assert "not valid JSON" in error_of(replay, capsys)


def test_simulate_writes_a_stream_with_its_settings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["simulate", "quasar", "-o", "b.stream", *SMALL, "--snr", "inf", "--flip-deg", "30"]
    assert main([*argv, "--set", "motion.breathing.amplitude_mm=7"]) == 0
    assert "12 frames of 8 lines" in capsys.readouterr().out
    stream = load("b.stream")
    assert (stream.frames, stream.header.matrix, stream.header.lines_per_frame) == (12, (32, 32), 8)
    assert stream.header.flip_rad == pytest.approx(np.pi / 6)
    assert stream.provenance is not None
    assert stream.provenance.seed == 1
    assert stream.provenance.noise_std == 0
    assert "amplitude_mm = 7" in stream.provenance.phantom_text


def test_phantoms_and_version_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phantoms"]) == 0
    assert "quasar" in capsys.readouterr().out
    with pytest.raises(SystemExit) as leaving:
        main(["--version"])
    assert leaving.value.code == 0
    assert capsys.readouterr().out == f"mrsim {mrsim.__version__}\n"


def test_doctor_speaks_plainly_and_in_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", "d.json"]) == 0
    out = capsys.readouterr().out
    assert "us late (median)" in out
    assert "a deadline of 70.4 ms" in out
    assert "mrsim[eval]: installed" in out
    told = json.loads((folder / "d.json").read_text())
    assert 0 <= told["spin_us"]["p50"] <= told["spin_us"]["p99"] <= told["spin_us"]["max"]
    assert told["sleep_us"]["p50"] > 0
    assert out.splitlines()[-1] == f"next: {told['next']}"
    assert f"Cache: {told['cache']} (" in out
    assert f"Threads: {told['environment']['threads']} of torch" in out
    assert ("GPU: none" in out) == (told["gpu"] is None) == (not torch.cuda.is_available())


def test_doctor_names_every_extra_that_there_is_and_what_a_first_try_lacks() -> None:
    text = (Path(mrsim.__file__).parents[1] / "pyproject.toml").read_text("utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    assert set(doctor.EXTRAS) == set(extras) - {"dev"}
    found = doctor.diagnose(wakes=2)
    lacking = dataclasses.replace(found, extras={**found.extras, "video": False, "eval": False})
    said = lacking.lines()
    assert "mrsim[video]: missing: pip install 'mrsim[video]' (MP4)" in said
    assert said[-1] == "next: pip install 'mrsim[eval]', which a first try takes"
    homeless = dataclasses.replace(found, extras=dict.fromkeys(found.extras, True), cache=None)
    assert "NUMBA_CACHE_DIR" in homeless.lines()[-1]
    assert any(line.startswith("Cache: no folder can be written") for line in homeless.lines())
    with_gpu = dataclasses.replace(found, gpu="NVIDIA H100")
    assert "GPU: NVIDIA H100; `mrsim train --device cuda` takes it." in with_gpu.lines()


def test_settings_are_toml_values_or_text() -> None:
    assert settings(["a.b=3", "c=[0, 1.5]", 'd="x"', "e=plain text", "f=true"]) == {
        "a.b": 3,
        "c": [0, 1.5],
        "d": "x",
        "e": "plain text",
        "f": True,
    }
    with pytest.raises(InputError, match="key=value"):
        settings(["=3"])


def test_an_interrupt_is_quiet_and_leaves_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["replay", "a.stream", "python:mine.py:interrupts", "--clock", "virtual", "--json", "r.json"]
    assert main(argv) == 130
    assert capsys.readouterr().err == "mrsim: interrupted\n"
    assert not (folder / "r.json").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_during_a_real_run(folder: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "harness.cli",
        "replay",
        "a.stream",
        "python:mine.py:marks",
        "--no-quality",
        "--json",
        "r.json",
    ]
    env = {**os.environ, "PYTHONPATH": str(Path(mrsim.__file__).parent.parent)}
    # A suite that a shell runs in the background hands on an ignored Ctrl-C; a user's terminal does not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
    finally:
        signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 30
    while not (folder / "running").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, b"mrsim: interrupted\n")
    assert not (folder / "r.json").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_broken_pipe_is_quiet(folder: Path) -> None:
    command = [sys.executable, "-m", "harness.cli", "phantoms"]
    read, write = os.pipe()
    os.close(read)
    env = {**os.environ, "PYTHONPATH": str(Path(mrsim.__file__).parent.parent)}
    process = subprocess.run(command, cwd=folder, env=env, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (process.returncode, process.stderr) == (141, b"")


def test_other_errors_of_the_system_get_one_line_too(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "b.stream")

    monkeypatch.setattr(mrsim.stream, "load", full)
    assert "b.stream: No space left on device" in error_of(["replay", "a.stream", "null"], capsys)


def test_a_plain_table_is_aligned() -> None:
    table = plain_table("title", ["name", "ms"], [["a", "10.25"], ["longer", "3"]])
    assert table.splitlines() == ["title", "name       ms", "------  -----", "a       10.25", "longer      3"]
