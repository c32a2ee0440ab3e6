"""What a candidate's own process can do to the bench: end in a failure within its limit, and no more."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from harness.audits.audits import AUDITS
from harness.audits.bench import Bench, default_stream
from harness.candidates.isolation import Isolated, IsolatedBuilder
from harness.realtime.clock import VirtualClock
from harness.realtime.replay import replay
from harness.realtime.service import ConstantService
from mrsim.stream import save
from tests.harness.synthetic import make_header, make_stream

pytestmark = pytest.mark.slow

LIES = """
import gc, json, os, signal, socket, subprocess, sys, threading, time
import numpy as np
from recon.protocol import Image

class Base:
    def open(self, header, emit): self.header, self.emit = header, emit
    def push(self, readout):
        if readout.index == 9: self.act()
        if readout.index % 4 == 3:
            pixels = np.full(self.header.matrix, readout.frame, np.complex64)
            self.emit(Image(pixels, readout.frame, readout.index))
    def close(self): pass
    def server(self):
        from harness.candidates import served
        return [one for one in gc.get_objects() if isinstance(one, served._Server)][0]
    def calls(self):
        images = self.server()._images
        return [one for one in gc.get_objects() if isinstance(one, socket.socket) and one is not images][0]

class Floods(Base):
    def act(self):
        one = {"type": "Image", "shape": [8, 8], "dtype": "<c8", "frame": 2, "last_line": 9, "hold": False}
        while True: self.server()._images.send(json.dumps(one | {"shows_ns": None, "columns": None}).encode())
class Garbage(Base):
    def act(self): self.calls().send(b"{{")
class Answers(Base):  # where an image is said, an answer
    def act(self): self.server()._images.send(b'{"is": "done", "type": "Image"}')
class Typeless(Base):
    def act(self): self.server()._images.send(b'{"type": 3}')
class Nested(Base):
    def act(self): self.calls().send(b"[" * 60000)
class Early(Base):
    def act(self): self.calls().send(b"done"); self.calls().send(b"12345678done")
class Claims(Base):
    def act(self): self.server().sent += 5
class Deaf(Base):
    def act(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        time.sleep(1000)
class Closes(Base):
    def act(self): os.closerange(3, 100); time.sleep(1000)
class Shouts(Base):
    def act(self):
        while True: print("x" * 1000)
class Cuts(Base):
    def act(self): os.ftruncate(self.server()._task["memory"], 0)
class Forks(Base):
    def act(self):
        if os.fork(): os._exit(0)
        time.sleep(1000)
class Starts(Base):
    def act(self): subprocess.run(["true"])
class Becomes(Base):
    def act(self): os.execv(sys.executable, ["python"])
class Kills(Base):
    def act(self): os.kill(os.getppid(), 9)
class Connects(Base):
    def act(self): socket.socket()

class Remembers(Base):
    rows = None
    def push(self, readout):
        if self.rows is None: self.rows = np.zeros(self.header.matrix, np.complex64)
        self.rows[readout.ky] = readout.samples[0]
        if (readout.index + 1) % self.header.lines_per_frame == 0:
            self.emit(Image(np.fft.fft2(self.rows).astype(np.complex64), readout.frame, readout.index))

class Looks(Base):
    def open(self, header, emit):
        super().open(header, emit)
        self.found, here = [], os.path.dirname(__file__)
        for path in (f"{here}/a.stream/header.json", f"{here}/deep/b.stream/header.json", "/etc/shadow",
                     *(f"/proc/{os.getppid()}/{name}" for name in ("maps", "mem", "environ", "cmdline"))):
            try:
                with open(path, "rb") as file: file.read(1)
                self.found.append(path)
            except OSError: pass
        with open(f"{here}/deep/mine.txt") as file: assert file.read() == "mine"
        with open(os.path.join(os.environ["TMPDIR"], "scratch"), "w") as file: file.write("mine")
        assert not [k for k in os.environ if "SECRET" in k] and len(sys.argv) == 1
        frame = sys._getframe()
        while frame is not None:
            assert "stream" not in frame.f_locals and "feed" not in frame.f_locals
            frame = frame.f_back
        threading.Thread(target=time.sleep, args=(1000,)).start()
    def act(self): assert not self.found, self.found
"""
STREAM = make_stream(40, header=make_header())
LIMIT_S = 1.0
NO_ANSWER = "gave no answer to push in 1 s"
DENIED = "Operation not permitted"
TOLD = {
    "Floods": NO_ANSWER, "Garbage": "no answer to what it was asked", "Nested": "no message",
    "Answers": "no message", "Typeless": "no message",
    "Early": "no answer to what it was asked", "Claims": NO_ANSWER, "Deaf": NO_ANSWER,
    "Closes": "closed its connection", "Shouts": NO_ANSWER, "Cuts": DENIED, "Forks": DENIED,
    "Starts": DENIED, "Becomes": DENIED, "Kills": DENIED, "Connects": DENIED,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lies")
    (folder / "lies.py").write_text(LIES)
    (folder / "deep").mkdir()
    (folder / "deep" / "mine.txt").write_text("mine")
    save(STREAM, folder / "a.stream")
    save(STREAM, folder / "deep" / "b.stream")
    return folder


@pytest.mark.parametrize("name", TOLD)
def test_it_ends_in_a_failure_within_the_limit(name: str, folder: Path) -> None:
    build = IsolatedBuilder(f"python:{folder}/lies.py:{name}", LIMIT_S, "", 0)
    candidate = build()
    assert isinstance(candidate, Isolated)
    if TOLD[name] == DENIED and name != "Cuts" and "seccomp" not in candidate.held_by:
        pytest.skip("this system has no filter of calls that is known here")
    began = time.monotonic()
    run = replay(STREAM, candidate, VirtualClock(), ConstantService(0))
    assert time.monotonic() - began < 60
    assert run.failure is not None
    assert TOLD[name] in run.failure.error
    assert (run.failure.stage, run.failure.line) == ("push", 9)
    assert run.images.shown.tolist()[:2] == [True, True]


def test_it_sees_its_own_folder_and_nothing_of_the_scan_or_of_us(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_SECRET", "no number")
    candidate = Isolated(f"python:{folder}/lies.py:Looks", 20.0)
    if not {"bubblewrap", "Landlock"} & {word.split()[0] for word in candidate.held_by}:
        pytest.skip("nothing keeps files from a process here")
    run = replay(STREAM, candidate, VirtualClock(), ConstantService(0))
    assert run.failure is None, run.failure
    assert run.images.shown.all()


def test_what_it_remembers_of_the_scan_before_is_found_as_in_process(folder: Path) -> None:
    bench = Bench(default_stream(3, 12, (16, 16)), IsolatedBuilder(f"python:{folder}/lies.py:Remembers"), 5)
    assert AUDITS["determinism"](bench).fault == (
        "frame 0: opened again, it remembers the scan before; forget it in `open`"
    )


def test_a_reconstructor_lives_on_in_its_process_and_a_loss_is_not_waited_for_again(folder: Path) -> None:
    build = IsolatedBuilder("view-sharing", 20.0, "", 0)
    one, other = build(), build()
    assert isinstance(one, Isolated)
    assert isinstance(other, Isolated)
    runs = [replay(STREAM, each, VirtualClock(), ConstantService(0)) for each in (one, other, one)]
    assert one.pid == other.pid
    pixels = [run.images.pixels for run in runs]
    assert pixels[0] is not None
    assert all(np.array_equal(pixels[0], each) for each in pixels if each is not None)
    deaf = IsolatedBuilder(f"python:{folder}/lies.py:Deaf", LIMIT_S, "", 0)
    began, errors = time.monotonic(), []
    for _ in range(20):
        run = replay(STREAM, deaf(), VirtualClock(), ConstantService(0))
        assert run.failure is not None
        errors.append(run.failure.error)
    assert len(set(errors)) == 1
    assert time.monotonic() - began < 10 * LIMIT_S
