"""A candidate in its own process shows the same images; its crash, hang and nonsense are verdicts."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import resource
import shutil
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from harness.candidates import isolation
from harness.candidates.held import visible
from harness.candidates.isolation import CandidateLost, Isolated
from harness.cli.main import main
from harness.realtime.clock import VirtualClock
from harness.realtime.processor_time import OtherProcess
from harness.realtime.replay import Run, replay
from harness.realtime.service import ConstantService
from mrsim.errors import HostError, InputError
from mrsim.files.partials import discard_all
from mrsim.stream import save
from recon.classical.zero_filled import ViewSharing
from tests.harness.synthetic import make_header, make_stream

pytestmark = pytest.mark.slow

MINE = """
import os, signal, sys, threading, time
import numpy as np
from recon.protocol import Image

class Base:
    def open(self, header, emit): self.header, self.emit = header, emit
    def push(self, readout):
        if readout.index == 9: self.act(readout)
        if readout.index % 4 == 3:
            pixels = np.full(self.header.matrix, readout.frame, np.complex64)
            self.emit(Image(pixels, readout.frame, readout.index))
    def close(self): pass
    def act(self, readout): pass

class Segfault(Base):
    def act(self, readout): os.kill(os.getpid(), signal.SIGSEGV)
class Leaves(Base):
    def act(self, readout): os._exit(7)
class Exits(Base):
    def act(self, readout): sys.exit(3)
class Raises(Base):
    def act(self, readout): raise ValueError("no luck")
class Hangs(Base):
    def act(self, readout):
        while True: time.sleep(1)
class Refuses(Base):
    def open(self, header, emit):
        from mrsim.errors import HostError, InputError
        raise InputError("weights are for 128 x 128")
class Loads(Base):
    def __init__(self): raise OSError("no data here")
class Late(Base):
    def act(self, readout):
        from mrsim.errors import HostError, InputError
        raise InputError("no more room")
class Odd(Base):
    def act(self, readout): self.emit("no image")
class Shape(Base):
    def act(self, readout): self.emit(Image(np.zeros((3, 5), np.float64), 2, 9))
class Huge(Base):
    def act(self, readout): self.emit(Image(np.zeros((900, 900)), 2, 9))
class Threaded(Base):
    def open(self, header, emit): super().open(header, emit); self.threads = []
    def push(self, readout):
        if readout.index % 4 == 3:
            image = Image(np.ones(self.header.matrix, np.complex64), readout.frame, readout.index)
            self.threads.append(threading.Thread(target=self.emit, args=(image,))); self.threads[-1].start()
    def close(self):
        for thread in self.threads: thread.join()
class Waits(Base):
    def open(self, header, emit): time.sleep(1000)
class Waits_in_close(Base):
    def close(self): time.sleep(1000)
class Prescan(Base):
    combination = "root-sum-of-squares"
    def open(self, header, emit):
        super().open(header, emit)
        pixels = np.abs(header.prescan).sum(0).astype(np.complex64)
        self.pixels = np.zeros(header.matrix, np.complex64)
        self.pixels[:5, :3] = pixels
    def push(self, readout):
        if readout.index % 4 == 3: self.emit(Image(self.pixels, readout.frame, readout.index))
class Peeks(Base):
    def push(self, readout):
        frame = sys._getframe(0)
        while frame is not None:
            assert "feed" not in frame.f_locals and "stream" not in frame.f_locals
            frame = frame.f_back
        super().push(readout)
"""

STREAM = make_stream(40, header=make_header())


def run_of(candidate: str, limit_s: float = 20.0) -> Run:
    return replay(STREAM, Isolated(candidate, limit_s), VirtualClock(), ConstantService(0))


_earlier: list[int] = []


@pytest.fixture(autouse=True)
def earlier() -> None:
    """Know which processes the tests before have left, whose objects pytest may still hold."""
    _earlier[:] = []
    _earlier[:] = children()


def children() -> list[int]:
    """Return the processes that this one has got since the test began, zombies included."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                    found.append(int(entry.name))
    return [pid for pid in found if pid not in _earlier]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_shows_the_same_images() -> None:
    isolated, here = run_of("view-sharing"), replay(STREAM, ViewSharing(), VirtualClock(), ConstantService(0))
    assert isolated.failure is None
    assert isolated.images.pixels is not None
    assert here.images.pixels is not None
    assert np.array_equal(isolated.images.pixels, here.images.pixels)
    assert (isolated.images.completed_ns == here.images.completed_ns).all()
    assert children() == []


def test_one_that_is_killed_between_two_lines_has_died_however_many_files_we_hold() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip("this system lets a process hold too few files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    with contextlib.ExitStack() as held:  # `select` takes the first 1024 descriptors alone
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1100):
            held.enter_context(open(os.devnull))
        images: list[object] = []
        candidate = Isolated("view-sharing", 20.0)
        candidate.open(STREAM.header, images.append)
        for line in range(8):
            candidate.push(STREAM.readout(line))
        assert len(images) == 2
        os.kill(candidate.pid, signal.SIGKILL)
        time.sleep(0.1)  # until who watches between two lines has seen it
        with pytest.raises(CandidateLost, match="its process died in push: signal SIGKILL"):
            candidate.push(STREAM.readout(8))


def test_images_that_somebody_keeps_are_not_written_over() -> None:
    """Memory of images is used again, but only what nobody holds, not even by a part of it."""
    kept: dict[bool, list[np.ndarray]] = {}
    for isolated in (True, False):
        candidate, images = Isolated("view-sharing") if isolated else ViewSharing(), []
        candidate.open(STREAM.header, lambda image, images=images: images.append(image.pixels[1:]))
        for line in range(len(STREAM)):
            candidate.push(STREAM.readout(line))
        candidate.close()
        kept[isolated] = images
    assert len(kept[True]) == len(kept[False]) == 10
    assert all(np.array_equal(*two) for two in zip(kept[True], kept[False], strict=True))
    assert len({image.tobytes() for image in kept[True]}) == 10


def test_it_gets_the_prescan_and_says_how_it_combines_coils(mine: Path) -> None:
    rng = np.random.default_rng(4)
    prescan = (rng.standard_normal((2, 5, 3)) + 1j * rng.standard_normal((2, 5, 3))).astype(np.complex64)
    header = dataclasses.replace(make_header(coils=2), prescan=prescan)
    isolated = Isolated("python:mine.py:Prescan", 20.0)
    for _ in range(2):  # and once more, in the same process
        run = replay(make_stream(8, header=header), isolated, VirtualClock(), ConstantService(0))
        assert run.failure is None
        assert isolated.combination == "root-sum-of-squares"
        assert run.images.pixels is not None
        assert np.array_equal(run.images.pixels[0][:5, :3].real, np.abs(prescan).sum(0))
    isolated.end()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Segfault", "its process died in push: signal SIGSEGV"),
        ("Leaves", "its process died in push: exit code 7"),
        ("Exits", "SystemExit: 3"),
        ("Raises", "ValueError: no luck"),
        ("Late", "InputError: no more room"),
        ("Hangs", "it gave no answer to push in 1 s and was ended"),
    ],
)
def test_its_end_is_a_verdict_with_the_line_of_its_code(name: str, told: str, mine: Path) -> None:
    began = time.perf_counter()
    run = run_of(f"python:mine.py:{name}", 1.0)
    assert time.perf_counter() - began < 60
    assert run.failure is not None
    assert told in run.failure.error
    assert (run.failure.stage, run.failure.line) == ("push", 9)
    assert run.images.shown.tolist() == [True, True] + [False] * 8
    assert children() == []
    if name == "Leaves":  # os._exit leaves no trace
        assert run.traceback is None
        return
    assert run.traceback is not None
    at = run.traceback.at
    assert (at.file, at.function.rpartition(".")[2]) == (str(mine / "mine.py"), "act")
    assert at.code == MINE.splitlines()[at.line - 1].strip()
    assert [place.function.rpartition(".")[2] for place in run.traceback.places] == ["push", "act"]
    assert run.traceback.text.endswith(run.failure.error)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Waits", "it gave no answer to open in 1 s and was ended"),
        ("Waits_in_close", "it gave no answer to close in 1 s and was ended"),
        ("build", "it gave no answer to build in 3 s and was ended"),
        ("slow", None),
    ],
)
def test_the_limit_is_that_of_every_call_and_imports_have_their_own(
    name: str, told: str | None, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "IMPORT_LIMIT_S", 3.0 if name == "build" else 60.0)
    (mine / "imports.py").write_text(
        f"{MINE}\ntime.sleep({1.5 if name == 'slow' else 1000})\nslow = build = Base\n"
    )
    run = run_of(f"python:{'imports' if name in ('build', 'slow') else 'mine'}.py:{name}", 1.0)
    assert children() == []
    if told is None:
        assert run.failure is None
        return
    assert run.failure is not None
    assert told in run.failure.error
    assert run.traceback is not None
    assert run.traceback.at.code.startswith("time.sleep(") or "def " in run.traceback.at.code


@pytest.mark.parametrize(
    ("takes_s", "in_line", "shown"), [(0.6, 0.9, True), (0.6, 0.0, False), (99, 1.0, False)]
)
def test_what_a_process_stands_in_line_for_a_core_is_no_silence(
    takes_s: float, in_line: float, shown: bool, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is for what the candidate does; a host that keeps it waiting is no hang, up to a bound."""
    (mine / "late.py").write_text(
        f"{MINE}\nclass Late(Base):\n    def act(self, readout): time.sleep({takes_s})\n"
    )
    stood = property(lambda _: int(in_line * time.monotonic_ns()))
    monkeypatch.setattr(OtherProcess, "noted_in_line_ns", stood)
    began = time.monotonic()
    run = run_of("python:late.py:Late", 0.4)
    assert (run.failure is None) == shown
    if not shown:
        assert run.failure is not None
        assert "gave no answer to push in 0.4 s" in run.failure.error
        assert time.monotonic() - began < takes_s + 60


@pytest.mark.parametrize(
    ("name", "told"), [("Odd", "emitted str"), ("Shape", r"shape \(3, 5\)"), ("Huge", "emitted Image")]
)
def test_what_is_no_image_is_none_on_this_side_either(name: str, told: str, mine: Path) -> None:
    run = run_of(f"python:mine.py:{name}")
    assert run.violation is not None
    assert (run.violation.kind, run.violation.line) == ("contract", 9)
    with pytest.raises(ValueError, match=told):
        raise ValueError(run.violation.message)


def test_refusals_and_bad_names_are_the_users_to_mend(mine: Path) -> None:
    for candidate, told in (("python:mine.py:Refuses", "128 x 128"), ("view-shering", "did you mean")):
        with pytest.raises(InputError, match=told):
            run_of(candidate)
    with pytest.raises(InputError, match="no data here") as refused:
        run_of("python:mine.py:Loads")
    assert refused.value.note is not None
    assert f'File "{mine}/mine.py", line ' in refused.value.note
    del refused  # an exception holds the frames that it came through
    with pytest.raises(InputError, match="limit_s = 0"):
        Isolated("null", 0)
    assert children() == []


def test_threads_may_emit_and_nothing_of_the_scan_is_there_to_be_seen(mine: Path) -> None:
    threaded, peeking = run_of("python:mine.py:Threaded"), run_of("python:mine.py:Peeks")
    assert threaded.images.shown.all()
    assert peeking.failure is None
    assert peeking.images.pixels is not None
    assert (peeking.images.pixels == np.arange(10)[:, None, None]).all()


def test_the_command_line_contains_a_hang(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(STREAM, mine / "a.stream")
    argv = [
        "replay",
        "a.stream",
        "zero-filled",
        "--clock",
        "virtual",
        "--no-quality",
        "--faults",
        "hang:at=21",
    ]
    assert main([*argv, "--isolate", "--limit-s", "1"]) == 1
    out = capsys.readouterr().out
    assert "FAIL: the candidate raised CandidateLost: it gave no answer to push in 1 s and was ended" in out
    assert "Traceback" not in out


@pytest.mark.parametrize("where", ["Running._introduce", "visible_to", "os.pidfd_open", "os.chown"])
def test_a_signal_while_its_process_starts_leaves_no_folder(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody holds the process yet who would end it, and remove its folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen: list[str] = []

    def interrupted(*_: object) -> None:
        seen.extend(path.name for path in tmp_path.iterdir())
        raise KeyboardInterrupt

    made = Isolated("null")
    if where == "os.chown" and os.geteuid():
        pytest.skip("root alone makes its candidate nobody")
    monkeypatch.setattr(f"harness.candidates.running.{where}", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _ = made.held_by
    assert [name.startswith("mrsim-candidate-") for name in seen] == [True]
    assert list(tmp_path.iterdir()) == []


def test_a_second_signal_leaves_no_folder_of_a_candidate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends us at once, after what is half-written has been removed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = Isolated("null")
    assert made.held_by
    assert len(list(tmp_path.iterdir())) == 1
    discard_all()
    assert list(tmp_path.iterdir()) == []
    made.end()


def test_a_folder_that_goes_while_it_is_looked_through_is_not_the_candidates_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "below").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "below"))
    look = visible._streams_below

    def goes(folder: Path) -> list[str] | None:
        found = look(folder)
        shutil.rmtree(tmp_path / "below", ignore_errors=True)
        return found

    save(make_stream(8), tmp_path / "below" / "a.stream")
    monkeypatch.setattr(visible, "_streams_below", goes)
    made = Isolated("null")
    assert made.held_by
    assert not (tmp_path / "below").exists()
    made.end()


@pytest.mark.parametrize("where", ["os.pidfd_open", "start_process", "socket.socketpair"])
def test_a_host_that_starts_no_process_is_told_as_the_host(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    made = Isolated("null")
    monkeypatch.setattr(f"harness.candidates.running.{where}", full)
    with pytest.raises(HostError, match="could not be started: Too many open files"):
        made.open(make_stream(8).header, lambda image: None)
