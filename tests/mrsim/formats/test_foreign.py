"""Whatever the HDF5 library does over a file, it is a stream or one line, in bounded time and memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import pytest

from mrsim.errors import FormatError, InputError, MissingExtraError
from mrsim.formats.foreign import file_to_stream
from mrsim.formats.mrd_file import write_mrd
from mrsim.formats.mrd_import import Given
from mrsim.stream import Header, load
from tests.mrsim.formats.scans import assert_identical, leftovers, sampled

HEADER = Header((12, 16), (0.3, 0.4), 3_000_000, 1_500_000, 0.35, 1.5, 3, 4, 3.0, "uniform", "random")
PLAYED = """
import os, signal, time
class Dataset: pass
def File(path, mode):
    {does}
"""


def libraried(folder: Path, does: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the child find another library than h5py, and return a file that it may open."""
    (folder / "fake").mkdir()
    (folder / "fake" / "h5py.py").write_text(PLAYED.format(does=does))
    monkeypatch.syspath_prepend(str(folder / "fake"))
    (folder / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    return folder / "a.h5"


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("while True: pass", "the HDF5 library worked at it for 1 s without an end"),
        ("time.sleep(60)", "nothing more of it came within 4 s"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"the HDF5 library crashed over it \(SIGSEGV\)"),
        ("os._exit(3)", "what reads it ended with exit code 3"),
        ("return bytearray(3 << 30)", "it asks for more than 2048 MiB of memory"),
        ("raise OSError('damaged\\nhere')", "not an HDF5 file, or truncated: damaged here"),
    ],
    ids=["loops", "waits", "crashes", "exits", "takes all memory", "says so"],
)
def test_whatever_the_library_does_is_one_line(
    does: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = libraried(tmp_path, does, monkeypatch)
    wait_s = 4.0 if "sleep" in does else 60.0
    with pytest.raises(InputError, match=told) as error:
        file_to_stream(path, tmp_path / "b.stream", working_s=1, waiting_s=wait_s, memory=2 << 30)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.h5", "fake"]


def test_a_scan_comes_whole_with_its_pieces_told_and_an_earlier_one_is_kept_until_then(
    tmp_path: Path,
) -> None:
    stream = sampled(HEADER, 3)
    path = write_mrd(stream, tmp_path / "a.h5")
    told: list[tuple[int, int]] = []
    imported = file_to_stream(path, tmp_path / "a.stream", progress=lambda *done: told.append(done))
    assert_identical(load(tmp_path / "a.stream"), stream)
    assert (imported.path, imported.lines) == (tmp_path / "a.stream", 12)
    assert told[-1] == (12, 12)
    with pytest.raises(InputError, match="a stream is there already"):
        file_to_stream(path, tmp_path / "a.stream")
    with h5py.File(path, "r+") as file:
        del file["dataset/data"]
    with pytest.raises(FormatError, match="no group with the datasets"):
        file_to_stream(path, tmp_path / "a.stream", overwrite=True)
    assert_identical(load(tmp_path / "a.stream"), stream)
    assert leftovers(tmp_path) == []


def test_what_is_given_and_what_is_missing_go_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_mrd(sampled(HEADER, 3), tmp_path / "a.h5")
    file_to_stream(path, tmp_path / "a.stream", Given(field_t=1.25, lines_per_frame=6))
    assert load(tmp_path / "a.stream").header.lines_per_frame == 6
    assert load(tmp_path / "a.stream").header.field_t == 1.25
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "h5py.py").write_text("raise ImportError")
    monkeypatch.syspath_prepend(str(tmp_path / "fake"))
    with pytest.raises(MissingExtraError, match=r"h5py is needed for HDF5 files: pip install 'mrsim\[mrd\]'"):
        file_to_stream(path, tmp_path / "b.stream")


def test_ctrl_c_ends_the_child_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    does = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    path = libraried(tmp_path, does, monkeypatch)

    def interrupt() -> None:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        file_to_stream(path, tmp_path / "b.stream")
    thread.join()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.h5", "fake", "pid"]


def test_a_child_without_its_parent_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    does = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    path = libraried(tmp_path, does, monkeypatch)
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from mrsim.formats.foreign import file_to_stream\n"
        f"file_to_stream({str(path)!r}, {str(tmp_path / 'b.stream')!r})\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    child, deadline = int((tmp_path / "pid").read_text()), time.monotonic() + 30
    while time.monotonic() < deadline and Path(f"/proc/{child}").exists() and _running(child):
        time.sleep(0.05)
    assert not _running(child)


def _running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


FULL = """
import resource, sys
from tests.harness.synthetic import make_header, make_stream
from mrsim.errors import InputError
from mrsim.formats.fastmri import write_fastmri
from mrsim.formats.mrd_file import write_mrd
stream = make_stream(1600, header=make_header(lines_per_frame=16, matrix=(16, 64), coils=2))
most = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
for write, name in ((write_mrd, "a.mrd"), (write_fastmri, "a.h5")):
    try:
        write(stream, name)
        print("written")
    except InputError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
@pytest.mark.parametrize("most", [3000, 20_000, 200_000, 1_000_000])
def test_a_disk_that_fills_up_in_mid_write_is_one_line(most: int, tmp_path: Path) -> None:
    """A limit on the size of files stands for it. The library crashes where a write of its own fails."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(most)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}, capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    told = [f"{name}: cannot be written: File too large" for name in ("a.mrd", "a.h5")]
    assert done.stdout.splitlines() == told
    assert list(tmp_path.iterdir()) == []
