"""A worker's process is ours alone: no script is run again for it, and it goes when we go."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.workers.process import Worker, WorkerDied
from mrsim.errors import HostError, InputError
from mrsim.files.writing import whole_file

ROOT = Path(__file__).parents[3]
UNGUARDED = """
import sys, time
with open({log!r}, "a") as log:
    log.write("begun\\n")
import harness
from harness.workers.executors import engine, run_all
from tests.harness.synthetic import moving_stream
with engine(1) as workers:
    assert [one.result for one in run_all(workers, abs, [-3, 4])] == [3, 4]
    print(workers.executor.pids[0], flush=True)
    if "stay" in sys.argv:
        workers.executor.submit(time.sleep, 600).result()
scan = moving_stream(60)
print(harness.replay(scan, "view-sharing", clock="virtual", isolate=True, frames=8).verdict.outcome)
"""


def script(folder: Path, *more: str, stdin: bool = False) -> subprocess.Popen[str]:
    """Start a script without a guard, from a file or on its standard input."""
    text = UNGUARDED.format(log=str(folder / "log"))
    (folder / "script.py").write_text(text)
    process = subprocess.Popen(
        [sys.executable, "-" if stdin else "script.py", *more],
        cwd=folder, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    if stdin:
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.close()
        process.stdin = None
    return process


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a candidate of its own takes Linux")
@pytest.mark.parametrize("stdin", [False, True])
def test_an_unguarded_script_that_starts_processes_is_run_once(tmp_path: Path, stdin: bool) -> None:
    out, error = script(tmp_path, stdin=stdin).communicate(timeout=300)
    assert "Outcome" in out, error
    assert (tmp_path / "log").read_text() == "begun\n"
    assert "Traceback" not in error  # kernels that cannot be kept in isolation are spoken of


@pytest.mark.slow
def test_a_worker_of_who_was_killed_goes_and_nobody_speaks_of_it(tmp_path: Path) -> None:
    process = script(tmp_path, "stay")
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    os.kill(pid, 0)
    process.send_signal(signal.SIGKILL)
    assert process.communicate(timeout=60)[1] == ""  # whoever speaks holds standard error
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    raise AssertionError("the worker goes on")


def half(place: Path) -> None:
    with whole_file(place) as partial:
        partial.write_text("half")
        place.with_name("begun").touch()
        time.sleep(600)


@pytest.mark.parametrize("how", ["stopped", "left"])
def test_a_worker_that_ends_in_mid_work_leaves_nothing_half_written(tmp_path: Path, how: str) -> None:
    worker, failed = Worker(), []

    def work() -> None:
        try:
            worker.call(half, tmp_path / "file")
        except WorkerDied as died:
            failed.append(str(died))

    thread = threading.Thread(target=work)
    thread.start()
    until = time.monotonic() + 60
    while not (tmp_path / "begun").exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert len(list(tmp_path.iterdir())) == 2
    if how == "stopped":
        worker.terminate()
    else:
        worker._socket.shutdown(socket.SHUT_RDWR)  # as when we are killed
    thread.join(60)
    assert failed == [f"its process ended with exit code {143 if how == 'stopped' else 1}"]
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]


def own(number: int) -> int:
    return number


def unsendable(_: int) -> object:
    return lambda: None


def test_a_worker_tells_what_it_cannot_do() -> None:
    worker = Worker()
    try:
        with pytest.raises(ZeroDivisionError) as told:
            worker.call(divmod, 1, 0)
        assert "divmod" in str(told.value.__cause__) or "function(*args)" in str(told.value.__cause__)
        with pytest.raises(RuntimeError, match="lambda"):
            worker.call(unsendable, 1)
        assert worker.call(own, 3) == 3
        assert len(worker.call(bytes, 3 << 20)) == 3 << 20
        with pytest.raises(WorkerDied, match="exit code 7"):
            worker.call(os._exit, 7)
        with pytest.raises(WorkerDied, match="exit code 7"):
            worker.call(own, 3)
    finally:
        worker.end()


def test_what_no_worker_can_import_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "__module__", "__main__")
    worker = Worker()
    try:
        with pytest.raises(InputError, match="put it into a module"):
            worker.call(own, 1)
    finally:
        worker.end()


def test_a_host_that_starts_no_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(HostError, match="could not be started: Resource temporarily"):
        Worker()
