"""What candidates have on display is compared: who computes for long loses what his images gain."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import main
from harness.comparison.compare import compare
from harness.comparison.on_display import (
    NEVER_NS,
    OnDisplay,
    coming_ns,
    compare_displays,
    displays_of,
    figure_of,
)
from harness.comparison.scans import Segment
from harness.comparison.single_pass import Ground, Pass, play
from harness.comparison.timing import Block, Times
from harness.judge.evaluate import evaluate
from harness.measure.displayed import emissions_of
from harness.measure.image_quality import FrameScore
from harness.measure.timing import measure
from harness.realtime.clock import VirtualClock
from harness.realtime.replay import replay
from harness.realtime.service import TableService
from mrsim.stream import Header, Readout, Stream, save
from recon.protocol import Emit, Image, Position
from tests.harness.synthetic import Blank, Drawn, draw_target, make_header, make_stream, moving_stream

MS = 1_000_000
FRAMES = 300


@pytest.fixture(scope="module")
def scan() -> Stream:
    """Return a scan of 19.2 s with an image every 64 ms and breaths of 1.5 s."""
    return moving_stream(FRAMES)


def earlier(stream: Stream, ms: float) -> Drawn:
    """Return a candidate that shows the target where it was so long before the last line."""
    assert stream.truth is not None
    header, truth = stream.header, stream.truth

    def draw(frame: int) -> np.ndarray:
        t_ns = header.echo_ns((frame + 1) * header.lines_per_frame - 1) - round(ms * MS)
        return draw_target(header, truth.centroid_at(np.array([max(t_ns, 0)]), header)[0])

    return Drawn(draw)


def passed(stream: Stream, candidate: Drawn | Tracker) -> Pass:
    return play(Ground(stream, 8, stream.frames), candidate, "it", service_ms=0.0)


def block(service_ms: list[list[float]], first: int, frames: int) -> Block:
    """Return a block of replays of some frames; a row for each candidate, the last frames are steady."""
    service = np.round(np.array(service_ms) * MS).astype(np.int64)
    response = np.where(service < 0, -1, service)
    return Block(Segment(0, first, frames), tuple(range(len(service))), response, response, service < 0, "")


def times_of(*blocks: Block) -> Times:
    return Times(blocks, 0, (), len(blocks), {}, {})


def steadily(*service_ms: float) -> Times:
    return times_of(block([[ms] * (FRAMES - 8) for ms in service_ms], 0, FRAMES))


def test_images_come_when_a_replay_with_the_same_times_shows_them() -> None:
    """Some take longer than a frame, so that those behind them wait."""
    stream = make_stream(1600, header=make_header(tr_ns=4 * MS))  # a frame takes 16 ms
    rng, clock = np.random.default_rng(3), VirtualClock()
    cost_ns = rng.integers(1 * MS, 30 * MS, 400)

    def work(readout: Readout) -> None:
        if (readout.index + 1) % 4 == 0:
            clock.advance(int(cost_ns[readout.frame]))

    run = replay(stream, Blank(work), clock)
    timing = measure(run, warmup=0)
    assert timing.service_ns.tolist() == cost_ns.tolist()
    assert timing.missed.mean() > 0.5
    scores = {frame: FrameScore(0.0, 1.0, 0.0, None) for frame in range(400)}
    shown = emissions_of(run, scores, (slice(0, 8), slice(0, 8)))
    told = coming_ns(shown, timing.service_ns.astype(float), stream.header)
    assert told.tolist() == shown.shown_ns.tolist() == (run.images.completed_ns - run.t0_ns).tolist()
    # One that never comes keeps nobody waiting.
    service = timing.service_ns.astype(float)
    service[7] = np.inf
    rest = coming_ns(shown, service, stream.header)
    assert rest[7] == NEVER_NS
    assert (rest[8:12] < told[8:12]).any()
    assert (np.delete(rest, 7) <= np.delete(told, 7)).all()


def test_every_round_is_told_apart_and_what_was_not_timed_is_the_median() -> None:
    times = times_of(
        block([[1.0, 2.0], [50.0, 50.0]], 0, 4),  # its first two frames warm up
        block([[3.0, -1.0], [50.0, 50.0]], 4, 3),
        block([[5.0, 7.0], [50.0, 50.0]], 0, 4),
    )
    assert (times.services(0, 0, 7) / MS).tolist() == [
        [3.0, 3.0, 1.0, 2.0, 3.0, 3.0, np.inf],
        [3.0, 3.0, 5.0, 7.0, 3.0, 3.0, 3.0],
    ]
    assert np.unique(times.services(1, 0, 7)).tolist() == [50 * MS]
    never = times_of(block([[-1.0, -1.0]], 0, 2))
    assert np.isinf(never.services(0, 0, 2)).all()


def test_the_figures_are_those_of_a_replay_on_the_same_times(scan: Stream) -> None:
    cost_ns = np.random.default_rng(5).integers(20 * MS, 90 * MS, FRAMES)  # a frame takes 64 ms
    table = np.zeros(len(scan), np.int64)
    table[15::16] = cost_ns
    result = evaluate(
        scan, "it", lambda: earlier(scan, 10.0), clock=VirtualClock(), service=TableService(table), claim=0.5
    )
    assert result.margin is not None
    times = times_of(block([(cost_ns[8:] / MS).tolist()], 0, FRAMES))
    # The first eight are not told apart from the rest: in the replay they are made to take as long.
    table[15 : 8 * 16 : 16] = int(np.median(cost_ns[8:]))
    result = evaluate(
        scan, "it", lambda: earlier(scan, 10.0), clock=VirtualClock(), service=TableService(table), claim=0.5
    )
    margin = result.margin
    assert margin is not None
    ((shown,),) = displays_of([scan], [[passed(scan, earlier(scan, 10.0)).emissions]], times)
    assert figure_of("m95_mm", [shown]) == pytest.approx(margin.m95_mm)
    assert figure_of("dice_shown", [shown]) == pytest.approx(margin.dice)


def test_two_change_places_by_the_time_that_they_take(scan: Stream) -> None:
    """Of the images alone the exact one is ahead; on display it is as late as it takes."""
    exact, old = passed(scan, earlier(scan, 0.0)), passed(scan, earlier(scan, 20.0))
    assert exact.series.error_last_m.mean() < old.series.error_last_m.mean()
    emissions = [[exact.emissions], [old.emissions]]
    standings = {}
    for name, times in (("lockstep", None), ("timed", steadily(60.0, 1.0))):
        one, other = displays_of([scan], emissions, times)
        for of in ("m95_mm", "dice_shown"):
            standings[name, of] = compare_displays(of, one, other).standing
    assert standings == {
        ("lockstep", "m95_mm"): "ahead", ("lockstep", "dice_shown"): "ahead",
        ("timed", "m95_mm"): "behind", ("timed", "dice_shown"): "behind",
    }  # fmt: skip
    # Whoever takes longer than a frame falls further and further behind.
    ((slow,), _) = displays_of([scan], emissions, steadily(70.0, 1.0))
    assert slow is not None
    ((quick,), _) = displays_of([scan], emissions, steadily(60.0, 1.0))
    assert figure_of("m95_mm", [slow]) > 1.5 * figure_of("m95_mm", [quick])  # type: ignore[operator]


def test_what_never_comes_is_never_on_display(scan: Stream) -> None:
    ((shown,),) = displays_of([scan], [[passed(scan, earlier(scan, 0.0)).emissions]], steadily(-1.0))
    assert shown is not None
    assert np.isinf(shown.error_m).all()
    assert figure_of("m95_mm", [shown]) is None
    assert figure_of("dice_shown", [shown]) == 0


def test_rounds_and_streams_are_drawn_by_their_breaths() -> None:
    rng = np.random.default_rng(2)
    numbers = np.repeat(np.arange(5), 40)

    def shown(factor: float, rounds: int) -> OnDisplay:
        error = factor * rng.uniform(1e-3, 2e-3, (rounds, 200))
        return OnDisplay(error, np.full((rounds, 200), 0.9), np.ones((rounds, 200), bool), numbers)

    one = compare_displays("m95_mm", [shown(1, 3)], [shown(3, 3)])
    assert one.standing == "ahead"
    few = dataclasses.replace(shown(1, 9), block=numbers // 2)
    # Nine rounds of three breaths are still three breaths.
    assert compare_displays(
        "m95_mm", [few], [dataclasses.replace(few, error_m=2 * few.error_m)]
    ).standing == ("undecided")
    held = shown(1, 3)
    held.open[:, :150] = False
    held.error_m[:, :150] = 1.0
    assert figure_of("m95_mm", [held]) == pytest.approx(2, abs=0.2)
    nothing = dataclasses.replace(held, open=np.zeros_like(held.open))
    assert figure_of("m95_mm", [nothing]) is None
    assert compare_displays("m95_mm", [nothing], [held]).standing == "none"


class Tracker:
    """Tell where the target is after every line, with no image; say hold in the last half of the scan."""

    def __init__(self, stream: Stream, holds: bool = False) -> None:
        assert stream.truth is not None
        self._path, self._holds = stream.truth.centroid * 1e3, holds

    def open(self, header: Header, emit: Emit) -> None:
        self._emit = emit

    def push(self, readout: Readout) -> None:
        x, y = self._path[readout.index]
        hold = self._holds and readout.index > len(self._path) // 2
        self._emit(Position(float(x), float(y), readout.frame, readout.index, hold=hold))

    def close(self) -> None:
        pass


def test_a_tracker_is_compared_by_what_it_has(scan: Stream, capsys: pytest.CaptureFixture[str]) -> None:
    from harness.cli.compare import show

    found = compare([lambda: Tracker(scan, holds=True), lambda: earlier(scan, 30.0)], scan, lockstep=True)
    figures = found.figures(0)
    assert (figures["nmse"], figures["dice_shown"]) == (None, None)
    # It is one line behind, the other 30 ms and a frame.
    assert figures["m95_mm"] < 0.3 * found.figures(1)["m95_mm"]  # type: ignore[operator]
    assert found.rank("m95_mm") == [1, 2]
    assert found.rank("nmse") is None
    assert found.unordered("nmse").endswith("one of the two has no such figure")
    assert found.verdict.outcome.name == "PASS", found.verdict
    show(found)
    out = capsys.readouterr().out
    assert "its target can be followed for 48.5%" in out
    assert "NMSE: not ordered: " in out


def without_target(stream: Stream) -> Stream:
    assert stream.truth is not None
    truth = dataclasses.replace(stream.truth, mask=np.zeros_like(stream.truth.mask))
    return dataclasses.replace(stream, truth=truth)


def test_without_a_target_images_alone_are_compared_and_it_is_said(
    scan: Stream, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    samples = np.random.default_rng(0).normal(size=(*scan.samples.shape, 2)).astype(np.float32)
    noisy = dataclasses.replace(scan, samples=samples.view(np.complex64)[..., 0])
    save(without_target(noisy), tmp_path / "bare.stream")
    words = [
        "compare",
        "view-sharing",
        "zero-filled",
        "--on",
        "bare.stream",
        "--lockstep",
        "--json",
        "c.json",
    ]
    code = main(words)
    out = capsys.readouterr().out
    assert code == 0, out
    assert "M95 on display mm: not ordered: view-sharing and zero-filled: the target is in no frame" in out
    assert "PASS: 2 candidates, ordered in 1 measure" in out
    told = json.loads((tmp_path / "c.json").read_text())
    assert told["candidates"][0]["streams"][0]["on_display"] is None
    assert told["candidates"][0]["figures"]["centroid_mm"] is None
    # Beside a stream with a target it is left out of what takes one.
    two = [lambda: earlier(scan, 0.0), lambda: earlier(scan, 30.0)]
    both = compare(two, [scan, without_target(scan)], lockstep=True)
    alone = compare(two, [scan], lockstep=True)
    for name in ("m95_mm", "dice_shown", "dice", "lag_ms", "centroid_mm"):
        assert both.figures(1)[name] == alone.figures(1)[name], name
        assert both.rank(name) == [1, 2], name


class Flagging(Drawn):
    """Say hold with every image."""

    def open(self, header: Header, emit: Emit) -> None:
        self.header = header
        self.emit: Callable[[Image], None] = lambda image: emit(dataclasses.replace(image, hold=True))


def test_one_who_always_says_hold_is_ahead_of_nobody(scan: Stream) -> None:
    assert scan.truth is not None
    held = compare(
        [lambda: Flagging(earlier(scan, 0.0).draw), lambda: earlier(scan, 30.0)], scan, lockstep=True
    )
    assert held.figures(0)["m95_mm"] is None
    assert held.rank("m95_mm") is None
    assert held.rank("nmse") == [1, 2]
