"""Without a verdict a command ends in FAIL, whatever the candidate does to the process that it runs in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mrsim
from harness.audits.bench import default_stream
from mrsim.stream import save

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="POSIX processes")]
CANDIDATES = """
import atexit, ctypes, os, threading, time
from recon.classical.zero_filled import ZeroFilled

class Leaves(ZeroFilled):
    def push(self, line):
        if line.index == 40: os._exit(0)
        super().push(line)

class Falls(ZeroFilled):
    def push(self, line):
        ctypes.string_at(0)

def covered():
    atexit.register(os._exit, 0)
    class Raises(ZeroFilled):
        def push(self, line): raise RuntimeError("no memory")
    return Raises()

class Stays(ZeroFilled):
    def close(self):
        super().close()
        threading.Thread(target=time.sleep, args=(1000,)).start()

class Works(ZeroFilled):
    def push(self, line):
        open("running", "w").close()
        time.sleep(0.05)
"""
LEFT = "FAIL: the candidate's process ended with exit code 0 before there was a verdict"
FELL = "FAIL: the candidate's process was killed by SIGSEGV"
LOCKSTEP = ("--scenario", "lockstep", "--no-quality")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ends")
    save(default_stream(1, 24, (16, 16)), folder / "a.stream")
    (folder / "mine.py").write_text(CANDIDATES)
    return folder


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(Path(mrsim.__file__).parent.parent)}
    command = [sys.executable, "-m", "harness.cli", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=env, text=True, stdout=pipe, stderr=pipe)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (
            ("replay", "a.stream", "python:mine.py:Leaves", *LOCKSTEP),
            1,
            LEFT,
        ),
        (
            ("replay", "a.stream", "python:mine.py:Falls", *LOCKSTEP),
            1,
            FELL,
        ),
        (("replay", "a.stream", "python:mine.py:covered", *LOCKSTEP), 1, "FAIL: time: the candidate raised"),
        (("replay", "a.stream", "python:mine.py:Stays", *LOCKSTEP), 0, "PASS: time: all "),
        (
            ("audit", "python:mine.py:Leaves"),
            1,
            LEFT,
        ),
        (("guard", "zero-filled", "python:mine.py:Leaves"), 1, LEFT),
    ],
)
def test_a_missing_verdict_is_a_failure(words: tuple[str, ...], code: int, told: str, folder: Path) -> None:
    process = started(folder, *words)
    out, _ = process.communicate(timeout=100)
    assert (process.returncode, out.splitlines()[-1][: len(told)]) == (code, told)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_what_ends_the_command_ends_its_child(number: int, code: int, folder: Path) -> None:
    (folder / "running").unlink(missing_ok=True)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # else it may be handed on as ignored
    try:
        process = started(folder, "replay", "a.stream", "python:mine.py:Works", *LOCKSTEP)
    finally:
        signal.signal(signal.SIGINT, before)
    for _ in range(600):
        if (folder / "running").exists():
            break
        time.sleep(0.1)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)  # the pipes end when nobody holds them any more
    assert process.returncode == code
    assert "Traceback" not in err
