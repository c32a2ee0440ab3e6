"""`mrsim serve`: it ends when it is told to, and says in one line what it cannot serve."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("ismrmrd")

from harness.cli.main import main
from harness.wire.server import is_loopback
from tests.harness.wire.wire_clients import introduction, serving, session

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


def test_the_command_serves_so_many_sessions_and_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness.cli", "serve", "null", "--port", "0", "--sessions", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().split(",")[0].rpartition(":")[2])
        session(port)
        session(port)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "config 'x', 16 readouts, 4 images, ended" in out
    assert "2 sessions, 0 of which failed" in out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_an_output_that_takes_nothing_is_one_line_and_no_socket_is_left() -> None:
    command = [sys.executable, "-m", "harness.cli", "serve", "null", "--port", "0", "--limit-s", "5"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    told = "mrsim: error: could not write the output: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, told)


def test_a_server_that_cannot_tell_what_became_of_a_session_stops() -> None:
    def tell(line: str) -> None:
        raise BrokenPipeError(line)

    with serving("null", tell=tell) as (server, _):
        port = server.address[1]
        session(port)
        deadline = time.monotonic() + 30
        while not server.ended and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (server.ended, server.failed) == (1, 0)
        while listens(port) and time.monotonic() < deadline:  # each look is a session that fails
            time.sleep(0.01)
        assert not listens(port)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_and_its_sessions(number: int) -> None:
    command = [sys.executable, "-m", "harness.cli", "serve", "null", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().split(",")[0].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(introduction())
            assert sock.recv(1)
            process.send_signal(number)
            out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    assert "1 sessions, 1 of which failed" in out


def test_only_a_loopback_is_served_without_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("localhost")
    assert not is_loopback("0.0.0.0")
    assert main(["serve", "null", "--port", "0", "--limit-s", "0.05"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["serve", "null", "--host", "0.0.0.0", "--port", "0", "--limit-s", "0.05"]) == 0
    assert "0.0.0.0 is not a loopback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nul"], "did you mean 'null'"),
        (["mrd://h:1/x"], "it is a server already"),
        (["null", "--port", "70000"], "--port 70000: expected 0 to 65535"),
        (["null", "--at-once", "0"], "--at-once 0: expected 1 to 64"),
        (["null", "--idle-s", "nan"], "--idle-s nan"),
        (["null", "--tr-ms", "-1"], "--tr-ms -1"),
        (["null", "--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as (server, _):
        assert main(["serve", "null", "--port", str(server.address[1])]) == 2
    assert "address already in use; name another" in capsys.readouterr().err
