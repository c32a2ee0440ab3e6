"""A signal ends a command in one line, with its code, and leaves nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import mrsim
from harness.cli.main import main
from harness.cli.process.signals import Ended, ended_by_signals
from harness.cli.process.streams import conclude
from mrsim.errors import InputError
from mrsim.stream import load, save
from tests.harness.synthetic import make_stream

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")]

LONG = ["simulate", "quasar", "--frames", "20000", "--matrix", "64", "64", "--snr", "inf"]
"""More than a minute of work, in 0.7 GB."""


def started(folder: Path, *words: str, ignored: int | None = None) -> subprocess.Popen[bytes]:
    """Start a command where signals do what they do in a user's terminal."""
    env = {**os.environ, "PYTHONPATH": str(Path(mrsim.__file__).parent.parent)}

    def usual() -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN if number == ignored else signal.SIG_DFL)

    return subprocess.Popen(
        [sys.executable, "-m", "harness.cli", *words],
        cwd=folder,
        env=env,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=usual,
    )


def at_work(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until the lines of the scan come."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        for file in folder.rglob("*.partial-*/t_ns.npy"):
            with file.open("rb") as opened:
                opened.seek(1 << 14)
                if any(opened.read(8)):  # the first lines are there
                    return
        time.sleep(0.05)
    process.kill()
    raise AssertionError(process.communicate(timeout=60))


@pytest.mark.parametrize(
    ("number", "code", "told", "more"),
    [
        (signal.SIGTERM, 143, "ended by SIGTERM", ["--overwrite"]),
        (signal.SIGHUP, 129, "ended by SIGHUP", ["--overwrite", "--coils", "2", "--combine", "prewhiten"]),
        (signal.SIGINT, 130, "interrupted", ["--overwrite"]),
        (signal.SIGUSR1, 138, "ended by SIGUSR1", ["--overwrite"]),  # a batch system's warning
    ],
)
def test_a_scan_that_a_signal_ends_leaves_what_was_there(
    tmp_path: Path, number: signal.Signals, code: int, told: str, more: list[str]
) -> None:
    save(make_stream(40), tmp_path / "a.stream")
    process = started(tmp_path, *LONG, "-o", "a.stream", *more)
    at_work(process, tmp_path)
    process.send_signal(number)
    _, error = process.communicate(timeout=120)
    assert (process.returncode, error.decode()) == (code, f"mrsim: {told}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["a.stream"]
    assert len(load(tmp_path / "a.stream")) == 40


def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    """Under nohup the end of the terminal ends nothing."""
    process = started(tmp_path, *LONG, "-o", "a.stream", ignored=signal.SIGHUP)
    at_work(process, tmp_path)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=120)
    assert process.returncode == 143


def test_a_second_signal_ends_what_the_first_does_not(tmp_path: Path) -> None:
    stubborn = """
import os, signal, time
from harness.cli.process.signals import SAME_S, Ended, ended_by_signals
from mrsim.files.writing import whole_file
with ended_by_signals(), whole_file("r") as partial:
    partial.write_text("half")
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except Ended:
        print("on and on", os.listdir(".") != [], flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("the same one", flush=True)
    time.sleep(SAME_S)
    os.kill(os.getpid(), signal.SIGTERM)
    print("never")
"""
    env = {**os.environ, "PYTHONPATH": str(Path(mrsim.__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", stubborn], cwd=tmp_path, env=env, capture_output=True, check=False, timeout=60
    )
    said = b"on and on True\nthe same one\n"
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGTERM, said, b"")
    assert list(tmp_path.iterdir()) == []


def test_handlers_are_those_of_before_when_a_command_ends(capsys: pytest.CaptureFixture[str]) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    assert main(["phantoms"]) == 0
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before


def test_a_thread_runs_a_command_without_handlers() -> None:
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(["phantoms"])))
    thread.start()
    thread.join(60)
    assert codes == [0]


def test_a_child_that_was_forked_dies_of_its_own_signal() -> None:
    with ended_by_signals():
        child = os.fork()
        if child == 0:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            except Ended:
                os._exit(7)
            os._exit(8)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("number", "code", "told"),
    [(signal.SIGTERM, 143, "ended by SIGTERM"), (signal.SIGINT, 130, "interrupted"),
     (signal.SIGHUP, 129, "ended by SIGHUP")],
)  # fmt: skip
@pytest.mark.parametrize("raised", [ImportError("numpy: see\nthe manual"), InputError("a.stream: damaged")])
def test_a_signal_that_a_library_turns_into_its_own_error_is_told_as_the_signal(
    number: int, code: int, told: str, raised: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    """numpy answers whatever interrupts its import with an ImportError of 80 lines."""

    def command() -> int:
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        except KeyboardInterrupt:
            raise raised from None
        return 0

    # A background job of a shell ignores some.
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, usual)
    try:
        assert conclude(command) == code
        assert signal.getsignal(number) is usual
    finally:
        signal.signal(number, before)
    assert capsys.readouterr().err == f"mrsim: {told}\n"


@pytest.mark.parametrize(
    ("number", "code", "told"),
    [(signal.SIGTERM, 143, "ended by SIGTERM"), (signal.SIGINT, 130, "interrupted")],
)
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_second_signal_soon_after_does_not_disturb_what_clears_up(
    number: int, code: int, told: str, second: int, capsys: pytest.CaptureFixture[str]
) -> None:
    cleared: list[bool] = []

    def command() -> int:
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), second)
            time.sleep(0.01)
            cleared.append(True)
        return 0

    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    for one in before:
        signal.signal(one, signal.default_int_handler if one == signal.SIGINT else signal.SIG_DFL)
    try:
        assert conclude(command) == code
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert (cleared, capsys.readouterr().err) == ([True], f"mrsim: {told}\n")


SLEEPS = """
import time
class Sleeps:
    def open(self, header, emit):
        print("here", flush=True)
        time.sleep(60)
    def push(self, readout):
        pass
    def close(self):
        pass
"""


@pytest.mark.parametrize(
    ("number", "times", "code", "told"),
    [(signal.SIGINT, 2, 130, "interrupted"), (signal.SIGTERM, 1, 143, "ended by SIGTERM"),
     (signal.SIGHUP, 2, 129, "ended by SIGHUP")],
)  # fmt: skip
def test_a_group_that_is_signalled_says_so_once(
    tmp_path: Path, number: int, times: int, code: int, told: str
) -> None:
    """Whoever presses Ctrl-C twice reaches the child of `replay` twice, and so does its parent."""
    save(make_stream(40), tmp_path / "a.stream")
    (tmp_path / "sleeps.py").write_text(SLEEPS)
    words = [sys.executable, "-m", "harness.cli", "replay", "a.stream", "python:sleeps.py:Sleeps"]
    process = subprocess.Popen(
        [*words, "--clock", "virtual"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(mrsim.__file__).parent.parent)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    assert b"here" in process.stdout.readline()
    for _ in range(times):
        os.killpg(process.pid, number)
        time.sleep(0.1)
    _, error = process.communicate(timeout=120)
    assert (process.returncode, error.decode()) == (code, f"mrsim: {told}\n")


def test_ctrl_c_while_nobody_reads_what_is_said_ends_it_without_a_word() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    filled = 0
    try:
        while True:
            filled += os.write(write, b"." * 4096)
    except BlockingIOError:
        os.set_blocking(write, True)
    program = """
import os, sys
from mrsim.errors import InputError
from harness.cli.process.streams import conclude
def command():
    print("here", flush=True)
    raise InputError("a.stream: damaged")
sys.exit(conclude(command))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(Path(mrsim.__file__).parent.parent)},
        stdout=subprocess.PIPE,
        stderr=write,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    os.close(write)
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"
    time.sleep(0.5)  # it waits for its reader
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()[filled:]
    process.communicate(timeout=60)
    assert (process.returncode, said) == (-signal.SIGINT, b"")
