"""The guard: what is slower by a quarter fails, the same code passes, however noisy the host."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.audits.bench import default_stream
from harness.cli.main import main
from harness.comparison.guard import BLOCK, MIN_BLOCKS, guard, ratio_of, refuse_shared_helpers
from harness.judge.outcome import Outcome
from mrsim.errors import InputError
from mrsim.stream import Header, Readout, Stream
from recon.protocol import Emit, Image

pytestmark = pytest.mark.slow

WORK = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
# A neighbour that takes a core for some tens of milliseconds, over and over, and ends by itself.
NOISE = """
import random, time

end = time.monotonic() + 120
while time.monotonic() < end:
    busy = time.monotonic() + random.uniform(0.005, 0.08)
    while time.monotonic() < busy: pass
    time.sleep(random.uniform(0.002, 0.05))
"""


class Worker:
    """Do so many rounds of arithmetic for each image."""

    rounds = 24

    def open(self, header: Header, emit: Emit) -> None:
        self.header, self.emit = header, emit

    def push(self, readout: Readout) -> None:
        if (readout.index + 1) % self.header.lines_per_frame == 0:
            self.finish(readout)

    def finish(self, readout: Readout) -> None:
        value = WORK
        for _ in range(self.rounds):
            value = np.tanh(value * np.float32(0.5) + WORK)
        pixels = np.arange(256).reshape(16, 16).astype(np.complex64) + readout.frame + 0 * value[0, 0]
        self.emit(Image(pixels, readout.frame, readout.index))

    def close(self) -> None:
        pass


class SlowerByAQuarter(Worker):
    rounds = 30


@pytest.fixture(scope="module")
def scan() -> Stream:
    return default_stream(frames=24, matrix=(16, 16))


@pytest.fixture
def noisy_neighbour() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", NOISE])
    yield
    process.kill()
    process.wait(10)


def test_a_planted_slowdown_of_a_quarter_fails_and_the_same_code_passes_ten_times(
    scan: Stream, noisy_neighbour: None
) -> None:
    for seed in range(10):
        same = guard(Worker, Worker, scan, images=120, seed=seed)
        assert same.verdict.outcome is Outcome.PASS, same.verdict.reason
        assert same.ratio == pytest.approx(1, abs=0.1)
    slower = guard(Worker, SlowerByAQuarter, scan)
    assert slower.verdict.outcome is Outcome.FAIL, slower.verdict.reason
    assert slower.low is not None
    assert slower.low > 1.15
    assert guard(SlowerByAQuarter, Worker, scan, images=120).verdict.outcome is Outcome.PASS


def shared_noise(pairs: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw times of 10 ms on a host that drifts by half, and hiccups of tenfold that strike one of a pair."""
    drift = np.exp(0.5 * np.sin(np.arange(pairs) / 17))
    times = 1e7 * drift[:, None] * np.exp(rng.normal(0, 0.1, (pairs, 2)))
    times *= np.where(rng.random((pairs, 2)) < 0.1, 10, 1)
    return times[:, 0].astype(np.int64), times[:, 1].astype(np.int64)


def test_the_ratio_is_found_under_noise_that_strikes_either() -> None:
    told = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        base, new = shared_noise(240, rng)
        ratio, low, high = ratio_of(base, new)
        assert None not in (ratio, low, high)
        assert low < ratio < high  # type: ignore[operator]
        assert low < 1.15  # type: ignore[operator]  # the same code
        ratio, low, high = ratio_of(base, (new * 1.25).astype(np.int64))
        assert low is not None
        told += low > 1.15
    assert told >= 0.9 * 120  # slower by a quarter


def test_the_bound_is_crossed_by_chance_about_one_time_in_twenty() -> None:
    crossed = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        base, new = shared_noise(240, rng)
        _, low, _ = ratio_of(base, new)
        assert low is not None
        crossed += low > 1.0
    # 5 % of 120 is 6.
    assert 1 <= crossed <= 15


def test_too_few_pairs_carry_no_ratio(scan: Stream) -> None:
    few = guard(Worker, Worker, scan, images=MIN_BLOCKS * BLOCK - 1)
    assert few.verdict.outcome is Outcome.INSUFFICIENT
    assert str(MIN_BLOCKS * BLOCK) in few.verdict.reason


class RaisesLater(Worker):
    def finish(self, readout: Readout) -> None:
        if readout.frame == 6:
            raise RuntimeError("out of\nmemory")
        super().finish(readout)


class ShowsNothing(Worker):
    def finish(self, readout: Readout) -> None:
        pass


class Draws(Worker):
    def pixels(self) -> np.ndarray:
        return np.arange(256).reshape(16, 16) + self.frame

    def finish(self, readout: Readout) -> None:
        self.frame = readout.frame
        self.emit(Image(self.pixels().astype(np.complex64), readout.frame, readout.index))


class Darkens(Draws):
    """Show an image, and from the sixth on nothing, which takes no time."""

    nothing = 0.0

    def pixels(self) -> np.ndarray:
        return super().pixels() if self.frame < 5 else np.full((16, 16), self.nothing)


class Whitens(Darkens):
    nothing = 1.0


class Breaks(Darkens):
    nothing = float("nan")


class OnAThread(Worker):
    """Emits from a thread of its own, after `push` has returned."""

    def finish(self, readout: Readout) -> None:
        self.thread = threading.Thread(target=super().finish, args=(readout,))
        self.thread.start()

    def close(self) -> None:
        self.thread.join()


def test_whoever_fails_is_named(scan: Stream) -> None:
    new = guard(Worker, RaisesLater, scan, names=("old", "mine"))
    assert new.verdict.outcome is Outcome.FAIL
    assert new.traceback is not None
    at = new.traceback.at
    assert at.code.startswith('raise RuntimeError("out of')
    assert new.verdict.reason == f"mine raised RuntimeError: out of memory ({at}) in frame 6"
    base = guard(RaisesLater, Worker, scan, names=("old", "mine"))
    assert base.verdict.outcome is Outcome.INVALID
    silent = guard(Worker, ShowsNothing, scan, names=("old", "mine"), limit_s=0.05)
    assert silent.verdict.reason == "mine showed no image of frame 0 within 0.05 s"


class Freezes(Draws):
    """Show the image of the fifth frame for ever."""

    def pixels(self) -> np.ndarray:
        return np.arange(256).reshape(16, 16) + min(self.frame, 4)


@pytest.mark.parametrize("new", [Darkens, Whitens, Breaks, Freezes])
def test_what_shows_nothing_is_not_faster(new: type[Darkens], scan: Stream) -> None:
    found = guard(Draws, new, scan, names=("old", "mine"))
    assert found.verdict.outcome is Outcome.FAIL
    assert found.verdict.reason == "mine shows nothing in frame 5, of which old shows an image"
    # It is no fault of new's where base shows nothing either, or alone.
    # Nor is it a pass: a comparison of nothing shows nothing.
    for base, other in ((new, new), (new, Draws)):
        nothing = guard(base, other, scan, images=240)
        assert not nothing.failed
        assert len(nothing.base_ns) <= 1  # frame 4 of the one sitting
        assert nothing.verdict.outcome is Outcome.INSUFFICIENT
        assert "pairs of images that show something" in nothing.verdict.reason


def test_an_image_from_a_thread_is_timed_until_it_comes(scan: Stream) -> None:
    found = guard(Worker, OnAThread, scan, images=60)
    assert found.verdict.outcome in (Outcome.PASS, Outcome.FAIL)  # starting a thread takes its time
    assert (found.new_ns > 0).all()
    assert np.median(found.new_ns) > 0.7 * np.median(found.base_ns)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"factor": 1.0}, "factor = 1.0"),
        ({"images": 0}, "images = 0"),
        ({"limit_s": float("nan")}, "limit_s"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, float], told: str, scan: Stream) -> None:
    with pytest.raises(InputError, match=told):
        guard(Worker, Worker, scan, **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="4 frames"):
        guard(Worker, Worker, scan.first_frames(4))


def test_two_helpers_of_one_name_are_refused_in_one_process(tmp_path: Path) -> None:
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.py").write_text("")
    old, new = (f"python:{tmp_path / folder}/net.py:build" for folder in ("old", "new"))
    refuse_shared_helpers(old, new)
    refuse_shared_helpers("view-sharing", new)
    for folder in ("old", "new"):
        (tmp_path / folder / "layers.py").write_text("")
    with pytest.raises(InputError, match=r"'layers'.*--isolate"):
        refuse_shared_helpers(old, new)
    refuse_shared_helpers(old, old)


HELPED = """
import numpy as np, layers
def build():
    return lambda kspace, mask: np.abs(kspace[0]) + layers.VALUE
"""


def test_the_command_isolates_writes_json_and_returns_the_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for value, folder in enumerate(("old", "new")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.py").write_text(HELPED)
        (tmp_path / folder / "layers.py").write_text(f"VALUE = {value}")
    old, new = (f"python:{tmp_path / folder}/net.py:build" for folder in ("old", "new"))
    report = tmp_path / "guard.json"
    assert main(["guard", old, new]) == 2
    assert "--isolate" in capsys.readouterr().err
    assert main(["guard", old, new, "--isolate", "--images", "20", "--json", str(report)]) == 4
    told = json.loads(report.read_text())
    assert (told["schema"], told["verdict"], told["ratio"]) == ("mrsim-guard/1", "INSUFFICIENT", None)
    assert len(told["base_ms"]) == len(told["new_ms"]) == 20
    # Where base shows nothing there is nothing to compare with, and that is no pass.
    assert main(["guard", "null", "null", "--images", "60"]) == 4
    assert "0 pairs of images that show something" in capsys.readouterr().out
    assert main(["guard", "zero-filled", "null", "--images", "60"]) == 1
    assert (
        "FAIL: null shows nothing in frame 0, of which zero-filled shows an image" in capsys.readouterr().out
    )
