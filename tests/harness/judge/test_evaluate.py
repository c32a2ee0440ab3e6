"""One replay from start to verdict, and its JSON: strict, whole, and with the keys that it promises."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.candidates.registry import Null
from harness.judge.evaluate import evaluate
from harness.judge.outcome import Outcome
from harness.judge.profiles import SHIPPED, Criterion
from harness.judge.result import RunResult
from harness.judge.search import at_tr
from harness.realtime.clock import RealClock, VirtualClock
from harness.realtime.service import ConstantService
from mrsim.errors import InputError, MissingExtraError
from mrsim.files.writing import write_json
from mrsim.stream import Readout, Stream
from recon.protocol import Image, Reconstructor
from tests.harness.judge.mutants import truth_itself
from tests.harness.synthetic import Blank, Drawn, make_header, make_stream, moving_stream


@pytest.fixture(scope="module")
def stream() -> Stream:
    return moving_stream()


def perfect(stream: Stream) -> Reconstructor:
    assert stream.truth is not None
    image = stream.truth.image
    return Drawn(lambda frame: image[frame])


@pytest.fixture(scope="module")
def result(stream: Stream) -> RunResult:
    return evaluate(stream, "perfect", lambda: perfect(stream), clock=VirtualClock(), claim=0.7)


def test_the_json_has_what_it_promises(result: RunResult) -> None:
    told = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert {
        "schema",
        "verdict",
        "reason",
        "latency_ms",
        "deadline",
        "quality",
        "stream",
        "candidate",
        "environment",
    } <= set(told)
    for kind in ("response", "service", "injector"):
        assert {"p50", "p99", "max"} <= set(told["latency_ms"][kind])
    assert {"period_ms", "images", "misses", "longest_run"} <= set(told["deadline"])
    assert {"nmse", "ssim", "dice", "lag_ms", "gain", "residual_mm", "centroid_mm"} <= set(told["quality"])
    assert {"rms", "p95", "max"} <= set(told["quality"]["centroid_mm"])
    assert {"host", "cpu", "python", "numpy", "torch", "threads"} <= set(told["environment"])
    assert told["schema"] == "mrsim-replay/2"
    assert list(told["answers"]) == ["time", "target", "image"]
    assert told["answers"]["time"]["verdict"] == "PASS"  # 142 images carry a claim of 0.7
    assert told["answers"]["image"]["verdict"] is None
    assert told["margin"]["availability"] == 1
    assert told["deadline"]["images"] == 142
    assert told["deadline"]["period_ms"] == 64
    assert told["latency_ms"]["response"]["p95"] is not None
    assert told["latency_ms"]["response"]["p99"] is None  # 142 images do not carry it
    assert told["latency_ms"]["injector"]["p99"] == 0  # the lines do
    assert told["quality"]["nmse"] == 0
    assert told["stream"]["target_snr"] == 20


def test_nothing_measured_is_null_and_never_nan(stream: Stream) -> None:
    """A candidate that never emits: no latency, no quality, no age, all missed, and still strict JSON."""

    class Silent(Blank):
        def push(self, readout: Readout) -> None:
            pass

    noiseless = dataclasses.replace(
        stream, provenance=dataclasses.replace(stream.provenance, target_snr=math.inf)
    )
    silent = evaluate(noiseless, "silent", Silent, clock=VirtualClock())
    told = json.loads(json.dumps(silent.to_json(), allow_nan=False))
    assert told["quality"] is None
    assert told["latency_ms"]["response"] == {"p50": None, "p95": None, "p99": None, "max": None, "count": 0}
    assert told["queue"]["age_max_ms"] is None
    assert told["stream"]["target_snr"] is None
    assert (told["deadline"]["misses"], told["deadline"]["longest_run"]) == (142, 142)
    assert (told["verdict"], silent.exit_code) == ("FAIL", 1)


def test_the_null_reconstructor_runs_beside_every_candidate(result: RunResult) -> None:
    assert result.null is not None
    told = result.to_json()["null_latency_ms"]["service"]
    assert 0 < told["p50"] < 1  # the bench costs far less than the deadline of 64 ms


def test_it_runs_in_real_time(stream: Stream) -> None:
    part = at_tr(stream, 100_000)
    result = evaluate(part, "perfect", lambda: perfect(stream), clock=RealClock(), quality=False, frames=100)
    assert result.quality is None
    assert result.run.clock == "real"
    assert (result.run.delivered_ns >= result.run.due_ns).all()
    assert len(result.timing.missed) == 100


def test_a_modelled_service_decides_the_verdict(stream: Stream) -> None:
    for service_ns, expected in (
        (4_000_000, "PASS"),
        (5_000_000, "FAIL"),
    ):  # TR is 4 ms: then the queue grows
        result = evaluate(
            stream,
            "modelled",
            lambda: perfect(stream),
            clock=VirtualClock(),
            service=ConstantService(service_ns),
            claim=0.7,
            quality=False,
        )
        assert result.verdict.outcome.name == expected


def test_an_image_of_the_wrong_shape_fails_and_is_named(stream: Stream) -> None:
    class Wrong(Blank):
        def push(self, readout: Readout) -> None:
            self.emit(Image(np.zeros((63, 64), np.complex64), readout.frame, readout.index))

    result = evaluate(stream, "mine", Wrong, clock=VirtualClock())
    assert (result.verdict.outcome.name, result.exit_code) == ("FAIL", 1)
    assert "contract: k-space line 0 (frame 0): " in result.verdict.reason
    assert "shape (63, 64), expected (64, 64)" in result.verdict.reason
    assert result.to_json()["answers"]["time"]["verdict"] == "FAIL"


def test_bad_input_is_refused_before_anything_runs(stream: Stream) -> None:
    def never() -> Reconstructor:
        raise AssertionError("the candidate was built")

    sick = dataclasses.replace(stream, samples=stream.samples.copy())
    sick.samples[37, 0, 5] = np.nan
    for bad, kwargs, message in (
        (sick, {}, r"line 37 \(frame 2\).*not finite"),
        (stream, {"frames": 151}, "1 to 150"),
        (stream, {"frames": 0}, "1 to 150"),
        (stream, {"claim": 1.0}, "claim"),
        (make_stream(3, header=make_header()), {"quality": False}, "3 lines, a frame has 4"),
    ):
        with pytest.raises(InputError, match=message):
            evaluate(bad, "never", never, clock=VirtualClock(), **kwargs)  # type: ignore[arg-type]


def test_quality_without_its_library_is_refused_first(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mrsim\[eval\]'"):
        evaluate(stream, "null", Null, clock=VirtualClock())
    assert evaluate(stream, "null", Null, clock=VirtualClock(), quality=False).quality is None


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    write_json(file, {"a": 1})
    for bad in ({"a": math.nan}, {"a": math.inf}, {"a": object()}):
        with pytest.raises((ValueError, TypeError)):
            write_json(file, bad)
    assert json.loads(file.read_text()) == {"a": 1}
    with pytest.raises(InputError, match="no such folder"):
        write_json(tmp_path / "no" / "report.json", {})
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def _keys(value: Any, prefix: str = "") -> set[str]:
    if not isinstance(value, dict):
        return {prefix}
    return set().union(*(_keys(v, f"{prefix}.{k}") for k, v in value.items()))


def test_every_result_has_the_same_keys(result: RunResult, stream: Stream) -> None:
    """A reader need not ask whether a key is there, whatever the verdict."""

    def raising() -> Reconstructor:
        def work(readout: Readout) -> None:
            if readout.index == 600:
                raise RuntimeError("gone")

        return Blank(work)

    failed = evaluate(stream, "raising", raising, clock=VirtualClock())
    assert failed.verdict.outcome.name == "FAIL"
    assert _keys(failed.to_json()) == _keys(result.to_json())


def answers(stream: Stream, build: Any, **bars: Any) -> dict[str, tuple[Outcome | None, str]]:
    profile = dataclasses.replace(SHIPPED[bars.pop("profile", "keep-up")], **bars)
    found = evaluate(
        stream, "one", build, clock=VirtualClock(), service=ConstantService(1000), claim=0.5,
        criterion=Criterion.of(profile, 5.0 if profile.measure == "total" else None),
    )  # fmt: skip
    return {answer.question: (answer.outcome, answer.reason) for answer in found.verdict.answers}


def test_what_is_grossly_wrong_fails_on_the_breaths_that_there_are() -> None:
    """By Markov: a margin that holds for 95 % is passed for half of a breath in one of ten at most."""
    few = moving_stream(90)
    wrong = truth_itself(few)
    for away_m, outcome in ((8e-3, Outcome.FAIL), (0.0, Outcome.INSUFFICIENT)):
        shown = dataclasses.replace(wrong, trace_m=wrong.trace_m + away_m)
        told = answers(few, shown.build_tracker)["target"]
        assert told[0] is outcome, told
        assert "breaths" in told[1]


def test_a_beam_of_too_few_breaths_is_insufficient() -> None:
    few = moving_stream(20)
    told = answers(few, truth_itself(few).build_tracker, profile="gating")["target"]
    assert told[0] is Outcome.INSUFFICIENT, told
    assert "too few breaths" in told[1]


def test_without_a_truth_no_lag_is_told_and_nobody_is_blamed(stream: Stream) -> None:
    told = answers(dataclasses.replace(stream, truth=None), lambda: perfect(stream), profile="gating")
    assert told["time"] == (Outcome.INSUFFICIENT, told["time"][1])
    assert "the stream has no truth" in told["time"][1]

    class Raises(Blank):
        def push(self, readout: Readout) -> None:
            raise ValueError("no luck")

    told = answers(dataclasses.replace(stream, truth=None), Raises, profile="gating")
    assert told["time"][0] is Outcome.FAIL  # that it failed is told without a lag
    assert "no luck" in told["time"][1]


def test_a_beam_that_never_was_on_has_strayed_for_all_that_is_known(stream: Stream) -> None:
    bars = {"duty_of_ideal": None, "stray_share": 0.05, "m95_mm": float("inf"), "silent": 1.0}
    few = moving_stream(20)
    assert answers(few, Null, profile="gating", availability=0.0, **bars)["target"][0] is Outcome.FAIL


def test_bars_of_what_is_not_there_are_not_asked(stream: Stream) -> None:
    """Positions have no NMSE, a scan without a target no Dice; masks on some frames leave 0 on the others."""
    seen = truth_itself(stream)
    assert answers(stream, seen.build_tracker, nmse=0.1, dice=0.9)["image"][0] is None
    assert stream.truth is not None
    empty = dataclasses.replace(stream.truth, mask=np.zeros_like(stream.truth.mask))
    bare = dataclasses.replace(stream, truth=empty)
    assert answers(bare, lambda: perfect(stream), dice=0.9, gain=0.9)["image"][0] is None
    assert answers(bare, lambda: perfect(stream), dice=0.9, nmse=0.1)["image"][0] is Outcome.PASS
    short = moving_stream(20)
    told = answers(short, lambda: perfect(short), gain=0.9)["image"]
    assert told[0] is Outcome.INSUFFICIENT, told
