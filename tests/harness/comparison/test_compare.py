"""Candidates side by side: alike are level, an order is the same each time, and a bad host voids it."""

from __future__ import annotations

import itertools
import json
import pickle
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness.comparison.compare
import harness.comparison.timing
from harness.cli.main import main
from harness.comparison.compare import compare, lockstep_pass, timed_pairs
from harness.comparison.order import BY_NAME, Difference, paired
from harness.comparison.plan import ComparisonPlan
from harness.comparison.scans import segments
from harness.comparison.timing import Times, in_memory, interleave, turn_order
from harness.realtime.clock import VirtualClock
from mrsim.anatomy.phantom import load_phantom
from mrsim.errors import InputError
from mrsim.scanner.acquisition import ScanProtocol, scan_to
from mrsim.stream import Readout, Stream, load, save
from recon.classical.zero_filled import ViewSharing
from tests.harness.synthetic import Blank, make_header, make_stream

MS = 1_000_000
RULER = {"dice": "dice", "lag_ms": "lag_ms", "centroid_mm": "centroid_p95_mm"}
CANDIDATES = """
import numpy as np
from recon.classical.zero_filled import ViewSharing

made = []

def blank():
    return lambda kspace, mask: np.ones(kspace.shape[1:], np.complex64)

def raises():
    def image(kspace, mask): raise RuntimeError("no memory")
    return image

class Other(ViewSharing):
    # The first two that are made are tried and played in lockstep; those after it show another image.
    def __init__(self):
        super().__init__()
        made.append(self)
        self.factor = 1 if len(made) <= 3 else 2
    def open(self, header, emit):
        import dataclasses
        super().open(header, lambda i: emit(dataclasses.replace(i, pixels=i.pixels * self.factor)))

def other():
    return Other()
"""


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a scan of 6 s with some six breaths in it."""
    phantom = load_phantom("quasar", {"motion.breathing.period_s": 1.0})
    path = tmp_path_factory.mktemp("scans") / "a.stream"
    return scan_to(path, phantom, ScanProtocol(matrix=(64, 64)), seed=2, seconds=6.0)


@pytest.fixture
def folder(tmp_path: Path, scan: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save(load(scan), tmp_path / "a.stream")
    (tmp_path / "mine.py").write_text(CANDIDATES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(
        harness.comparison.compare, "interleave", partial(interleave, make_clock=VirtualClock)
    )
    return tmp_path


def result_of(argv: Sequence[str], code: int) -> dict[str, Any]:
    """Run a comparison that must end so; return its JSON."""
    assert main(["compare", *argv, "--json", "c.json"]) == code
    found: dict[str, Any] = json.loads(Path("c.json").read_text())
    return found


def test_in_lockstep_a_candidate_and_itself_are_level_and_an_order_is_exact(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["zero-filled", "view-sharing", "zero-filled", "--on", "a.stream", "--lockstep"]
    found = result_of(argv, 0)
    first = (folder / "c.json").read_bytes()
    out = capsys.readouterr().out
    assert result_of([*argv, "--seed", "0"], 0) == found
    assert (folder / "c.json").read_bytes() == first
    assert [c["name"] for c in found["candidates"]] == ["zero-filled", "view-sharing", "zero-filled (2)"]
    zero, shared, again = found["candidates"]
    assert zero["figures"] == again["figures"]
    assert shared["figures"]["nmse"] < zero["figures"]["nmse"]
    pairs = {(p["first"], p["second"]): p["measures"] for p in found["pairs"]}
    itself = pairs["zero-filled", "zero-filled (2)"]
    assert set(itself) == {"m95_mm", "dice_shown", "nmse", "dice", "lag_ms", "centroid_mm"}
    assert {m["standing"] for m in itself.values()} == {"tie"}
    assert set(found["order"].values()) == {"view-sharing, then zero-filled = zero-filled (2)"}
    assert "NMSE: view-sharing, then zero-filled = zero-filled (2)" in out
    assert "computing takes no time in lockstep" in out
    told = next(line for line in out.splitlines() if line.startswith("(the judge on the truth)"))
    assert f"{found['ruler']['dice']:.3f}" in told
    assert found["blocks"] is None


def test_the_figures_are_those_of_a_lockstep_replay(folder: Path) -> None:
    found = result_of(["view-sharing", "zero-filled", "--on", "a.stream", "--lockstep"], 0)
    argv = ["replay", "a.stream", "view-sharing", "--scenario", "lockstep", "--json", "r.json"]
    main(argv)
    told = json.loads((folder / "r.json").read_text())
    replayed, margin = told["quality"], told["margin"]
    figures = found["candidates"][0]["figures"]
    assert figures["m95_mm"] == pytest.approx(margin["m95_mm"])
    assert figures["dice_shown"] == pytest.approx(margin["dice"])
    ruler = replayed["ruler"]
    assert found["ruler"] == {key: ruler[name] for key, name in RULER.items()}
    on_display = found["candidates"][0]["streams"][0]["on_display"]
    assert on_display["m95_mm"] == figures["m95_mm"]
    assert (on_display["availability"], on_display["breaths"]) == (margin["availability"], margin["breaths"])
    assert figures["nmse"] == replayed["nmse"]
    assert figures["dice"] == replayed["dice"]
    assert figures["lag_ms"] == replayed["lag_ms"]
    assert figures["centroid_mm"] == pytest.approx(replayed["centroid_last_line_mm"]["p95"])


def test_two_streams_weigh_by_their_images(folder: Path) -> None:
    save(load("a.stream").first_frames(100), folder / "b.stream")
    one = result_of(["view-sharing", "zero-filled", "--on", "a.stream", "--lockstep"], 0)
    both = result_of(["view-sharing", "zero-filled", "--on", "a.stream", "b.stream", "--lockstep"], 0)
    streams = both["candidates"][0]["streams"]
    assert [s["images"] for s in streams] == [s["expected"] for s in streams]
    assert streams[0] == one["candidates"][0]["streams"][0]
    counts = np.array([s["images"] for s in streams])
    means = np.array([s["quality"]["nmse"] for s in streams])
    assert both["candidates"][0]["figures"]["nmse"] == pytest.approx((counts * means).sum() / counts.sum())


def test_an_executor_can_take_the_work(folder: Path) -> None:
    plan = ComparisonPlan(("zero-filled", "view-sharing"), ("a.stream",), frames=60)
    tasks = [(name, "a.stream", (0, 5)) for name in plan.candidates]
    here = [lockstep_pass(plan, task) for task in tasks]
    with ThreadPoolExecutor(2) as executor:
        there = list(executor.map(pickle.loads(pickle.dumps(partial(lockstep_pass, plan))), tasks))
    for one, other in zip(here, there, strict=True):
        other = pickle.loads(pickle.dumps(other))
        for name in ("frame", "nmse", "dice", "x_m", "error_last_m", "block"):
            assert getattr(one.series, name).tobytes() == getattr(other.series, name).tobytes(), name
        assert one.pixels.keys() == other.pixels.keys() == {0, 5}
    assert here[0].scores[0].nmse != here[1].scores[0].nmse


def test_a_timed_comparison_has_all_eight_measures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["zero-filled", "view-sharing", "view-sharing", "--on", "a.stream"]
    found = result_of([*argv, "--segment-s", "2", "--repeat", "2"], 0)
    assert found["blocks"]["planned"] == found["blocks"]["count"] == 6
    # The clock stands still here, so every response is one instant: level.
    assert found["order"]["response_ms"] == "zero-filled = view-sharing = view-sharing (2)"
    assert found["order"]["missed"] == "zero-filled = view-sharing = view-sharing (2)"
    assert found["order"]["nmse"] == "view-sharing = view-sharing (2), then zero-filled"
    assert found["order"]["m95_mm"] == "view-sharing = view-sharing (2), then zero-filled"
    assert list(found["order"]) == list(found["measures"])
    assert len(found["order"]) == 8
    assert found["candidates"][0]["streams"][0]["on_display"]["rounds"] == 2
    assert found["environment"]["cores"] >= 1
    orders = found["blocks"]["order"]
    assert all(sorted(order) == ["view-sharing", "view-sharing (2)", "zero-filled"] for order in orders)
    assert [order[::-1] for order in orders[:3]] == orders[3:]
    out = capsys.readouterr().out
    assert "6 blocks of replays at TR, in turns" in out
    assert "in the time that it took in each round of replays" in out


class Host:
    """Slow down with every line that anyone pushes, and make each candidate pay for it."""

    def __init__(self, drift: float) -> None:
        self.drift, self.pushed = drift, 0
        self.clocks: list[VirtualClock] = []

    def clock(self) -> VirtualClock:
        self.clocks.append(VirtualClock())
        return self.clocks[-1]

    def build(self, cost_ns: int) -> Blank:
        def work(readout: Readout) -> None:
            self.pushed += 1
            if (readout.index + 1) % 4 == 0:
                self.clocks[-1].advance(round(cost_ns * (1 + self.drift * self.pushed)))

        return Blank(work)


def play(drift: float, costs: Sequence[int], seed: int = 0) -> Times:
    host = Host(drift)
    plan = ComparisonPlan(tuple(map(str, costs)), ("a",), repeat=4, segment_s=1.0, seed=seed)
    builders = [partial(host.build, cost) for cost in costs]
    stream = make_stream(1600, header=make_header(tr_ns=4 * MS))
    return interleave(plan, [stream], builders, [{} for _ in costs], make_clock=host.clock)


def ratio(times: Times) -> Difference:
    pairs, blocks = timed_pairs("response_ms", times, (0, 1))
    return paired(BY_NAME["response_ms"], pairs, blocks)


@pytest.mark.parametrize("seed", range(6))
def test_a_host_that_slows_down_fivefold_hits_all_alike(seed: int) -> None:
    drift = 4 / (2 * 4 * 1600)
    same = ratio(play(drift, (MS, MS), seed))
    assert same.standing == "tie"
    assert same.value == pytest.approx(1, abs=0.02)
    slower = ratio(play(drift, (2 * MS, MS), seed))
    assert slower.standing == "behind"
    assert slower.value == pytest.approx(2, rel=0.05)


def test_one_after_the_other_the_same_host_would_have_deceived(monkeypatch: pytest.MonkeyPatch) -> None:
    """What taking turns is for: with one fixed place for each, he who is last pays for the drift."""
    drift = 20 / (2 * 4 * 1600)
    monkeypatch.setattr(harness.comparison.timing, "turn_order", lambda count, *_: tuple(range(count)))
    one_segment = partial(segments, segment_s=100.0)
    monkeypatch.setattr(harness.comparison.timing, "segments", lambda streams, _: one_segment(streams))
    times = play(drift, (MS, MS))
    means = [np.mean([b.response_ns[i].mean() for b in times.blocks]) for i in (0, 1)]
    assert means[1] > 1.1 * means[0]


def test_response_times_are_those_of_the_candidate() -> None:
    times = play(0.0, (MS, 3 * MS))
    assert {int(n) for b in times.blocks for n in b.response_ns[0]} == {MS}
    assert {int(n) for b in times.blocks for n in b.response_ns[1]} == {3 * MS}
    assert not any(b.missed.any() for b in times.blocks)
    late = play(0.0, (MS, 17 * MS))
    assert all(b.missed[1].all() and not b.missed[0].any() for b in late.blocks)


def test_segments_cover_every_frame_once_and_are_scans_of_their_own() -> None:
    stream = make_stream(1000)
    cut = segments([stream, stream.first_frames(30)], 1.0)
    for number, frames in ((0, 250), (1, 30)):
        edges = [(s.first, s.first + s.frames) for s in cut if s.stream == number]
        assert edges[0][0] == 0
        assert edges[-1][1] == frames
        assert all(a[1] == b[0] for a, b in itertools.pairwise(edges))
    third = cut[2]
    part = in_memory(stream, third)
    assert part.truth is None
    assert part.provenance is None
    assert (part.frames, int(part.frame[0]), int(part.t_ns[0])) == (third.frames, 0, stream.header.te_ns)
    lines = slice(third.first * 4, (third.first + third.frames) * 4)
    assert part.samples.tobytes() == stream.samples[lines].tobytes()
    assert part.ky.tobytes() == stream.ky[lines].tobytes()
    with pytest.raises(InputError, match="11 frames, a comparison takes 12"):
        segments([stream.first_frames(11)], 1.0)


def test_turns_are_drawn_and_then_reversed() -> None:
    orders = [turn_order(4, round_, block, 7) for round_ in range(4) for block in range(20)]
    assert orders[:20] == [order[::-1] for order in orders[20:40]]
    assert orders[:20] != orders[40:60]
    assert len(set(orders)) > 10
    assert orders[0] == turn_order(4, 0, 0, 7)
    assert [turn_order(4, 0, block, 8) for block in range(20)] != orders[:20]


QUICK = ["view-sharing", "zero-filled", "--on", "a.stream", "--segment-s", "1.4", "--repeat", "1"]


def test_a_host_that_spoils_a_block_once_has_it_played_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count()
    monkeypatch.setattr(
        harness.comparison.timing, "why_invalid", lambda *_: "it stalled" if next(calls) == 3 else None
    )
    found = result_of(QUICK, 0)
    assert (found["blocks"]["count"], found["blocks"]["played_again"]) == (4, 1)


def test_a_host_that_spoils_every_block_voids_the_comparison(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(harness.comparison.timing, "why_invalid", lambda *_: "it stalled")
    found = result_of(QUICK, 3)
    assert found["verdict"] == "INVALID"
    assert "it stalled" in found["reason"]
    assert found["blocks"]["count"] == 0
    assert len(found["blocks"]["spoiled"]) == 2  # then it is past a quarter
    assert found["order"]["response_ms"] is None
    assert found["candidates"][0]["figures"]["response_ms"] is None
    assert found["order"]["m95_mm"] is None  # what is on display depends on time
    assert found["candidates"][0]["figures"]["m95_mm"] is None
    assert found["order"]["nmse"] == "view-sharing, then zero-filled"  # lockstep needs no host
    out = capsys.readouterr().out
    assert "response p50 ms: not ordered: view-sharing and zero-filled: no valid time was measured" in out
    assert "INVALID: " in out


def test_one_scan_or_one_folder_is_enough(folder: Path) -> None:
    two = ["zero-filled", "view-sharing"]
    scan = load("a.stream").first_frames(24)
    in_a_list = compare(two, [scan], lockstep=True)
    assert compare(two, scan, lockstep=True).to_json() == in_a_list.to_json()
    assert compare(two, "a.stream", frames=24, lockstep=True).figures(1) == in_a_list.figures(1)


def test_a_candidate_that_breaks_off_fails_and_is_named(folder: Path) -> None:
    found = result_of(["view-sharing", "python:mine.py:raises", "--on", "a.stream"], 1)
    assert found["reason"].startswith("python:mine.py:raises: the candidate raised RuntimeError: no memory")
    assert found["order"]["response_ms"] is None


def test_other_images_at_tr_than_in_lockstep_void_it(folder: Path) -> None:
    found = result_of(["view-sharing", "python:mine.py:other", "--on", "a.stream"], 3)
    assert "shows another image at TR than in lockstep (frame 0 of" in found["reason"]
    assert found["reason"].endswith("mrsim audit python:mine.py:other")


def test_too_few_breaths_are_told(folder: Path) -> None:
    found = result_of(["view-sharing", "zero-filled", "--on", "a.stream", "--frames", "40"], 4)
    assert "1 breath, an interval takes " in found["reason"]
    assert "take longer streams" in found["reason"]


def test_what_shows_nothing_has_failed(folder: Path) -> None:
    words = ["view-sharing", "python:mine.py:blank", "--on", "a.stream", "--frames", "40", "--lockstep"]
    found = result_of(words, 1)
    assert found["reason"] == "python:mine.py:blank: shows something in 0 of 32 images, half is the least"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["view-sharing", "--on", "a.stream"], "1 candidates: expected 2 to 16"),
        (["view-sharing", "view-shoring", "--on", "a.stream"], "did you mean 'view-sharing'"),
        (["view-sharing", "null", "--on", "b.stream"], "b.stream"),
        (["view-sharing", "null"], "--on"),
        (["view-sharing", "null", "--on", "a.stream", "--repeat", "0"], "--repeat 0: expected 1 to 100"),
        (["view-sharing", "null", "--on", "a.stream", "--segment-s", "nan"], "--segment-s nan"),
        (["view-sharing", "null", "--on", "a.stream", "--frames", "9999"], "--frames 9999"),
        (["view-sharing", "null", "--on", "a.stream", "--json", "no/c.json"], "no such folder"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(
    folder: Path, capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    assert main(["compare", *argv]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_a_stream_without_truth_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stream = load("a.stream")
    bare = Stream(stream.header, stream.ky, stream.frame, stream.t_ns, stream.samples)
    save(bare, folder / "bare.stream")
    assert main(["compare", "null", "view-sharing", "--on", "bare.stream"]) == 2
    told = capsys.readouterr().err
    assert "it has no truth" in told
    assert "mrsim guard" in told


def test_objects_and_streams_in_memory_are_compared_as_named_ones_are(folder: Path) -> None:
    by_name = result_of(["view-sharing", "zero-filled", "--on", "a.stream", "--lockstep"], 0)
    found = compare([ViewSharing, "zero-filled", ViewSharing()], on=[load("a.stream")], lockstep=True)
    assert found.plan.names == ("ViewSharing", "zero-filled", "ViewSharing (2)")
    assert found.figures(0) == found.figures(2) == by_name["candidates"][0]["figures"]
    assert found.differences[0, 1]["nmse"].to_json() == by_name["pairs"][0]["measures"]["nmse"]
    lines = repr(found).splitlines()
    assert lines[0] == "Comparison of 3 candidates on 1 stream"
    assert lines[1].split()[:2] == ["verdict", "PASS:"]
    named = [line[2:].split("  ")[0].strip() for line in lines[2:]]
    assert named == [*found.plan.names, "by M95 on display mm", "by NMSE"]
    assert f"NMSE {found.figures(1)['nmse']:.2g}, Dice {found.figures(1)['dice']:.3f}, lag " in lines[3]
    assert lines[6].endswith("ViewSharing = ViewSharing (2), then zero-filled")
    assert "<table>" in found._repr_html_()
    with pytest.raises(InputError, match="cluster: workers take candidates and streams by name"):
        compare([ViewSharing, "zero-filled"], on=["a.stream"], lockstep=True, cluster="tcp://127.0.0.1:1")
    with pytest.raises(InputError, match="cluster: add lockstep = True"):
        compare(["view-sharing", "zero-filled"], on=["a.stream"], cluster="tcp://127.0.0.1:1")


def test_a_plan_names_the_same_candidate_apart() -> None:
    plan = ComparisonPlan(("a", "b", "a", "a"), ("s",))
    assert plan.names == ("a", "b", "a (2)", "a (3)")
    with pytest.raises(InputError, match="257 streams"):
        compare(("a", "b"), ("s",) * 257)
