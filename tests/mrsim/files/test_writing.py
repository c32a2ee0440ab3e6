"""Files and folders appear whole or not at all, and only where nothing is harmed."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mrsim.errors import InputError
from mrsim.files import partials, writing
from mrsim.files.partials import discard_stale, partial_path
from mrsim.files.targets import check_folder, check_target
from mrsim.files.writing import (
    WholeFolder,
    allocate,
    new_file,
    scratch_folder,
    whole_file,
    write_arrays,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def a_stream(folder: Path, name: str) -> Path:
    """Make what says of itself that it is a stream."""
    (folder / name).mkdir()
    (folder / name / "header.json").write_text('{\n "format": "mrsim-stream"}')
    (folder / name / "samples.npy").write_bytes(b"samples")
    return folder / name


@pytest.fixture
def special(tmp_path: Path) -> dict[str, Path]:
    """Return what must never be replaced, by kind."""
    inside = a_stream(tmp_path, "a.stream")
    (tmp_path / "real.json").write_text("real")
    (tmp_path / "link.json").symlink_to("real.json")
    (tmp_path / "broken.json").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.open(".", os.O_RDONLY)
        os.chdir(tmp_path)  # the name of a socket is short
        sock.bind("socket.json")
        os.fchdir(here)
        os.close(here)
    a_stream(tmp_path, "plain-name")
    (tmp_path / "unfinished.stream").mkdir()
    (tmp_path / "plain-name" / "deeper").mkdir()
    (tmp_path / "to-stream").symlink_to("plain-name")
    return {
        "header": inside / "header.json",
        "array": inside / "samples.npy",
        "new in stream": inside / "new.json",
        "in stream of another name": tmp_path / "plain-name" / "deeper" / "r.json",
        "in stream by a link": tmp_path / "to-stream" / "r.json",
        "in what will be a stream": tmp_path / "unfinished.stream" / "r.json",
        "link": tmp_path / "link.json",
        "broken link": tmp_path / "broken.json",
        "pipe": tmp_path / "pipe.json",
        "folder": tmp_path / "folder.json",
        "socket": tmp_path / "socket.json",
        "device": Path("/dev/null"),
        "link to a device": Path("/dev/stdout"),
        "no folder": tmp_path / "no" / "r.json",
        "file for folder": tmp_path / "real.json" / "r.json",
    }


KINDS = {
    "header": "inside a stream",
    "array": "inside a stream",
    "new in stream": "inside a stream",
    "in stream of another name": "inside a stream",
    "in stream by a link": "inside a stream",
    "in what will be a stream": "inside a stream",
    "link": "it is a link",
    "broken link": "it is a link",
    "pipe": "it is a pipe",
    "folder": "it is a folder",
    "socket": "it is a socket",
    "device": "it is a device",
    "link to a device": "it is a (link|device|pipe)",
    "no folder": "no such folder; make it first",
    "file for folder": "no such folder",
}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")
@pytest.mark.parametrize("kind", KINDS)
def test_what_must_not_be_replaced_is_refused_and_untouched(special: dict[str, Path], kind: str) -> None:
    path, folder = special[kind], special["link"].parent
    before = _state(folder)
    for write in (
        check_target,
        lambda path: write_json(path, {"a": 1}),
        lambda path: write_text(path, "text"),
        lambda path: write_arrays(path, {"a": np.zeros(3)}),
    ):
        with pytest.raises(InputError, match=KINDS[kind]) as caught:
            write(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert _state(folder) == before
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def _state(folder: Path) -> dict[str, tuple[int, bytes]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        found[str(path)] = (mode, path.read_bytes() if stat.S_ISREG(mode) else b"")
    return found


@pytest.mark.parametrize("kind", ["link", "broken link", "pipe", "socket", "device", "in stream by a link"])
def test_a_folder_is_not_made_there_either(special: dict[str, Path], kind: str) -> None:
    for make in (check_folder, WholeFolder, lambda path: WholeFolder(path, replace=True)):
        with pytest.raises(InputError, match=KINDS[kind]):
            make(special[kind])


def test_what_became_a_link_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("real")

    def write() -> None:
        with whole_file(tmp_path / "r") as partial:
            partial.write_text("new")
            (tmp_path / "r").symlink_to("real")

    with pytest.raises(InputError, match="it is a link"):
        write()
    assert names(tmp_path) == ["r", "real"]
    assert (tmp_path / "real").read_text() == "real"


@pytest.mark.parametrize("name", ["p.gif", "p", "p.png.gz", ".png"])
def test_a_wrong_ending_is_refused(tmp_path: Path, name: str) -> None:
    check_target(tmp_path / "p.PNG", ".png")
    check_target(None, ".png")
    with pytest.raises(InputError, match=r"expected a name that ends in \.png"):
        check_target(tmp_path / name, ".png")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_closed_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(InputError, match=r"no permission in .*closed; choose another folder"):
        check_target(tmp_path / "closed" / "r.json")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, OSError])
def test_an_exception_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    write_text(tmp_path / "r.txt", "before")
    told = InputError if error is OSError else error

    def write() -> None:
        with new_file(tmp_path / "r.txt") as file:
            file.write(b"half")
            assert len(names(tmp_path)) == 2
            raise error("stop")

    with pytest.raises(told, match="stop"):
        write()
    assert names(tmp_path) == ["r.txt"]
    assert (tmp_path / "r.txt").read_text() == "before"
    assert partials._open == {}


def test_a_full_disk_is_told_in_one_line_that_names_the_file(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(InputError) as caught, new_file(tmp_path / "r.npz"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    expected = (
        f"{tmp_path}/r.npz: cannot be written: No space left on device; make room, or write it elsewhere"
    )
    assert str(caught.value) == expected
    assert names(tmp_path) == []
    # Libraries that write arrays give no number of the error.
    monkeypatch.setattr(writing, "_NO_ROOM_BYTES", 1 << 62)
    with pytest.raises(InputError) as caught, new_file(tmp_path / "r.npz"):
        raise OSError("1000 requested and 900 written")
    assert str(caught.value) == expected


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
from mrsim.errors import InputError
from mrsim.files.writing import write_json
from mrsim.stream.storage import StreamWriter
from mrsim.stream import (Header)
header = Header((64, 64), (0.4, 0.4), 2_200_000, 1_100_000, 0.3, 1.5, 1, 64, 1.0, "full", "linear")
def stream():
    with StreamWriter("a.stream", header, 64 * 64, None, None):
        print("opened")
for write in (stream, lambda: write_json("r.json", list(range(100_000)))):
    try:
        write()
        print("written")
    except InputError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
def test_what_does_not_fit_is_told_before_the_work_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk: the same calls fail at the same places."""
    root = str(Path(partials.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", FULL],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "a.stream: cannot be written: File too large",
        "r.json: cannot be written: File too large",
    ]
    assert names(tmp_path) == []


def test_long_and_odd_names_are_written(tmp_path: Path) -> None:
    for name in ("a" * 255, "\N{GREEK SMALL LETTER PI}" * 127, "a\nb", " ", "-o", "\udcff"):
        write_text(tmp_path / name, "x")
        assert (tmp_path / name).read_text() == "x"
    assert len(names(tmp_path)) == 6
    with pytest.raises(InputError, match=r"not a name of a file: .*null"):
        write_text(tmp_path / "no\0name" / "a", "x")


def test_json_is_strict(tmp_path: Path) -> None:
    write_json(tmp_path / "r.json", {"a": [1, 2.5, None]})
    assert json.loads((tmp_path / "r.json").read_text()) == {"a": [1, 2.5, None]}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "r.json", float("nan"))
    assert names(tmp_path) == ["r.json"]


def test_a_folder_is_replaced_only_where_that_is_said(tmp_path: Path) -> None:
    with WholeFolder(tmp_path / "a") as partial:
        (partial / "x").write_text("first")
        assert not (tmp_path / "a").exists()
    for what in ("a", "empty"):
        (tmp_path / what).mkdir(exist_ok=True)
        with pytest.raises(InputError, match="exists; choose another name"):
            WholeFolder(tmp_path / what)
    with WholeFolder(tmp_path / "a", replace=True) as partial:
        (partial / "x").write_text("second")
    assert (tmp_path / "a" / "x").read_text() == "second"
    assert names(tmp_path) == ["a", "empty"]
    with pytest.raises(InputError, match="exists"), WholeFolder(tmp_path / "b"):
        (tmp_path / "b").mkdir()  # by someone else, meanwhile
    assert names(tmp_path) == ["a", "b", "empty"]


@pytest.mark.parametrize("at", [1, 2])
def test_an_interrupt_between_the_renames_brings_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    with WholeFolder(tmp_path / "a") as partial:
        (partial / "x").write_text("first")
    real, calls = os.rename, []

    def rename(source: Path, target: Path) -> None:
        calls.append(source)
        if len(calls) == 2:
            if at == 2:
                real(source, target)
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(KeyboardInterrupt), WholeFolder(tmp_path / "a", replace=True) as partial:
        (partial / "x").write_text("second")
    assert (tmp_path / "a" / "x").read_text() == ("first" if at == 1 else "second")


def test_a_scratch_folder_goes(tmp_path: Path) -> None:
    with scratch_folder(beside=tmp_path / "a.stream") as folder:
        (folder / "b").mkdir()
        assert folder.parent == tmp_path
    assert names(tmp_path) == []


def test_the_room_of_a_file_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    allocate(tmp_path / "a", 3 << 20)
    assert (tmp_path / "a").stat().st_blocks * 512 >= 3 << 20


CHILD = """
import os, sys
from pathlib import Path
from mrsim.files import partials
from mrsim.files.writing import WholeFolder, whole_file
file, folder = whole_file("r.json"), WholeFolder("a.stream")
file.__enter__().write_text("half")
(folder.__enter__() / "x").write_text("half")
assert len(os.listdir(".")) == 2
if os.fork() == 0:
    partials.discard_all()  # a child leaves its parent's alone
    os._exit(0)
os.wait()
assert len(os.listdir(".")) == 2
{end}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX processes")
@pytest.mark.parametrize("end", ["sys.exit(3)", "raise RuntimeError", "pass"])
def test_the_end_of_the_process_leaves_nothing(tmp_path: Path, end: str) -> None:
    root = str(Path(partials.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(end=end)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": root}, stderr=subprocess.PIPE, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == {"sys.exit(3)": 3, "raise RuntimeError": 1, "pass": 0}[end], done.stderr
    assert names(tmp_path) == []


def test_what_a_killed_process_left_is_removed_and_what_another_writes_is_not(tmp_path: Path) -> None:
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    (tmp_path / f"a.stream.partial-{killed.pid:x}-0123abcd").mkdir()
    (tmp_path / f"a.stream.partial-{killed.pid:x}-0123abcd" / "ky.npy").write_bytes(b"half")
    kept = [partial_path(tmp_path / "b.json"), tmp_path / "c.json", tmp_path / "d.partial-mine"]
    for path in kept:
        path.write_text("x")
    discard_stale(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)
