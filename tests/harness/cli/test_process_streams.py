"""Whatever becomes of the standard streams, a command ends with its own code and never with a traceback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mrsim
from mrsim.stream import save
from tests.harness.synthetic import moving_stream

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX shells and streams"),
]
FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full")
PROGRAM = f"{sys.executable} -m harness.cli"
REPLAY = "replay a.stream zero-filled --clock virtual --claim 0.5 --no-quality --json r.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    save(moving_stream(90), folder / "a.stream")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "a.stream", tmp_path / "a.stream")
    return tmp_path


def shell(line: str, folder: Path, unbuffered: bool = False) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    env |= {"PYTHONPATH": str(Path(mrsim.__file__).parent.parent)}
    env |= {"PYTHONUNBUFFERED": "1"} if unbuffered else {}
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_leaves_the_verdict_and_the_files_as_they_are(closed: str, folder: Path) -> None:
    done = shell(f"{PROGRAM} {REPLAY} {closed}", folder)
    assert (done.returncode, done.stderr) == (0, "")
    text = (folder / "r.json").read_text()
    assert text.startswith("{")  # with descriptor 1 closed, a file would get what is printed
    assert text.rstrip().endswith("}")
    assert "deadline 64" not in text
    assert ("PASS: " in done.stdout) == (">&-" not in closed.replace("2>&-", ""))


def test_a_closed_error_stream_leaves_a_scan_whole(folder: Path) -> None:
    scan = "simulate quasar -o b.stream --frames 4 --matrix 32 32"
    assert shell(f"{PROGRAM} {scan} 2>&- >&-", folder).returncode == 0
    assert mrsim.load(folder / "b.stream").frames == 4
    done = shell(f"{PROGRAM} {scan.replace('quasar', 'quasor')} 2>&-", folder)
    assert (done.returncode, done.stderr) == (2, "")


@FULL
@pytest.mark.parametrize("command", [REPLAY, "--help", "phantoms"])
@pytest.mark.parametrize("unbuffered", [False, True])
def test_output_that_cannot_be_written_is_one_line(command: str, unbuffered: bool, folder: Path) -> None:
    done = shell(f"{PROGRAM} {command} > /dev/full", folder, unbuffered)
    told = "mrsim: error: could not write the output: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, told)
    assert shell(f"{PROGRAM} {command} > /dev/full 2>&1", folder, unbuffered).returncode == 2


@FULL
def test_what_cannot_be_told_on_the_error_stream_changes_nothing(folder: Path) -> None:
    (folder / "loud.py").write_text(
        "import sys\nfrom recon.classical.zero_filled import ZeroFilled\n"
        "def build():\n    print('built', file=sys.stderr, flush=True)\n    return ZeroFilled()\n"
    )
    loud = REPLAY.replace("zero-filled", "python:loud.py:build")
    assert shell(f"{PROGRAM} {loud} 2> /dev/full", folder).returncode == 0
    assert shell(f"{PROGRAM} replay nowhere null 2> /dev/full", folder).returncode == 2


@pytest.mark.parametrize("unbuffered", [False, True])
def test_a_reader_that_leaves_is_141_and_quiet(unbuffered: bool, folder: Path) -> None:
    # The reader is gone before the first byte: `head` of so few lines would race with the writer.
    line = f"(sleep 1; exec {PROGRAM} phantoms) | true; exit ${{PIPESTATUS[0]}}"
    done = shell(line, folder, unbuffered)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_candidate_that_closes_the_output_does_not_silence_the_verdict(folder: Path) -> None:
    (folder / "mute.py").write_text(
        "import sys\nfrom recon.classical.zero_filled import ZeroFilled\n"
        "def build():\n    sys.stdout.close()\n    sys.stderr.close()\n    return ZeroFilled()\n"
    )
    done = shell(f"{PROGRAM} {REPLAY.replace('zero-filled', 'python:mute.py:build')}", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("PASS: ")


def test_ctrl_c_while_the_bench_is_imported_is_one_line(folder: Path) -> None:
    code = (
        "import sys, harness\n"
        "class Slow:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'harness.cli.arguments':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Slow())\n"
        "from harness.cli.main import main\n"
        "sys.exit(main(['phantoms']))\n"
    )
    (folder / "start.py").write_text(code)
    done = shell(f"{sys.executable} start.py", folder)
    assert (done.returncode, done.stderr) == (130, "mrsim: interrupted\n")
