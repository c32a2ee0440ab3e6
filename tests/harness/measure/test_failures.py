"""Silent failures: what is wrong with an image is named, and what is right raises no alarm."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

import mrsim
from harness.judge.evaluate import evaluate
from harness.judge.outcome import Outcome
from harness.judge.result import RunResult
from harness.measure.failures import KINDS
from harness.realtime.clock import VirtualClock
from harness.realtime.service import ConstantService
from mrsim.stream import Header, Readout, Stream
from recon.classical.zero_filled import ZeroFilled
from recon.protocol import Builder, Emit, Image
from tests.harness.judge.mutants import Mutant, mutants, truth_itself
from tests.harness.synthetic import disc_image, moving_stream


@pytest.fixture(scope="module")
def stream() -> Stream:
    return moving_stream(150)


@pytest.fixture(scope="module")
def wrong(stream: Stream) -> dict[str, Mutant]:
    body = 0.3 * disc_image(stream.header, 0.16, 0.0, 0.0)
    others = [body + disc_image(stream.header, 0.1, 0.08, y) for y in (0.04, 0.045, 0.05)]
    return mutants(stream, np.array(others, np.complex64))


def result(stream: Stream, build: Builder) -> RunResult:
    return evaluate(stream, "one", build, clock=VirtualClock(), service=ConstantService(1000), claim=0.9)


@pytest.mark.parametrize(
    ("name", "kind", "share"),
    [
        ("black", "blank", 1.0),
        ("constant", "blank", 1.0),
        # One frame in four of this scan holds the middle of k-space.
        ("noise", "another anatomy", 0.25),
        ("another patient", "another anatomy", 0.25),
        ("training mean", "frozen", 1.0),
        ("frozen", "frozen", 0.75),
    ],
)
def test_what_is_wrong_is_named(
    name: str, kind: str, share: float, stream: Stream, wrong: dict[str, Mutant]
) -> None:
    found = result(stream, wrong[name].build)
    assert found.margin is not None
    silent = found.margin.silent
    assert silent.kinds[kind] >= share - 0.02
    assert silent.unflagged >= 1
    assert silent.first_sign_ns is None
    target = found.verdict.answer("target")
    assert target is not None
    assert target.outcome is Outcome.FAIL
    assert kind in target.reason


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1j, -7.0, 1e12])
def test_the_truth_raises_no_alarm_at_any_scale_or_phase(scale: complex, stream: Stream) -> None:
    good = truth_itself(stream)
    good = dataclasses.replace(good, images=(good.images * np.complex64(scale)).astype(np.complex64))
    found = result(stream, good.build)
    assert found.margin is not None
    assert found.margin.silent.share == 0
    assert set(found.margin.silent.kinds) == set(KINDS)


def test_lines_as_they_were_acquired_are_of_the_same_anatomy() -> None:
    """A scan drawn in pixels is some percent poorer than its truth, in lines as in images."""
    drawn = mrsim.simulate(
        "quasar",
        seconds=3,
        acceleration=1,
        timing="retrospective",
        rendering="raster",
        target_snr=math.inf,
    )
    for name, other in (("zero-filled", 0.0), ("noise", 1.0)):
        build = ZeroFilled if name == "zero-filled" else mutants(drawn, drawn.truth.image[:3])["noise"].build
        found = result(drawn, build)
        assert found.margin is not None
        assert found.margin.silent.kinds["another anatomy"] == other


@pytest.mark.parametrize("seed", [1, 3, 8])
def test_the_end_of_a_breath_that_has_but_one_image_is_not_frozen(seed: int) -> None:
    scan = mrsim.simulate("quasar", seconds=4, matrix=(64, 64), seed=seed, acceleration=1)
    found = result(scan, ZeroFilled)
    assert found.margin is not None
    assert found.margin.silent.kinds["frozen"] == 0


def test_a_target_at_rest_has_a_margin_with_bounds(stream: Stream) -> None:
    """It has no breaths; stretches of 5 s stand for them, and noise differs from one to the next."""
    resting = moving_stream(1100)
    assert resting.truth is not None
    centroid = np.broadcast_to(resting.truth.centroid[:1], resting.truth.centroid.shape)
    image = np.broadcast_to(resting.truth.image[:1], resting.truth.image.shape)
    mask = np.broadcast_to(resting.truth.mask[:1], resting.truth.mask.shape)
    truth = dataclasses.replace(resting.truth, centroid=centroid, image=image, mask=mask)
    resting = dataclasses.replace(resting, truth=truth)
    good = truth_itself(resting)
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((2, *good.images.shape)).astype(np.float32) * 0.02
    noisy = dataclasses.replace(good, images=good.images + (noise[0] + 1j * noise[1]).astype(np.complex64))
    found = result(resting, noisy.build)
    assert found.margin is not None
    assert found.margin.breaths == round(1100 * resting.header.frame_ns / 5e9)
    assert found.margin.bounds is not None
    target = found.verdict.answer("target")
    assert target is not None
    assert target.outcome is Outcome.PASS


def test_a_scan_of_tiny_numbers_is_judged_like_any_other(stream: Stream) -> None:
    assert stream.truth is not None
    tiny = np.float32(2.0**-110)  # its square is no float32
    truth = dataclasses.replace(stream.truth, image=stream.truth.image * tiny)
    small = dataclasses.replace(stream, samples=stream.samples * tiny, truth=truth)
    plain, found = (result(s, truth_itself(s).build) for s in (stream, small))
    assert plain.margin is not None
    assert found.margin is not None
    assert found.margin.silent.kinds == plain.margin.silent.kinds
    assert found.quality is not None
    assert plain.quality is not None
    assert found.quality.ssim == pytest.approx(plain.quality.ssim, abs=1e-6)
    assert found.quality.nmse == pytest.approx(plain.quality.nmse, abs=1e-12)


def test_a_mean_with_a_little_of_the_day_is_an_average(stream: Stream) -> None:
    """An image that is not frozen, but that hardly knows where the anatomy is."""
    good = truth_itself(stream)
    mean = good.images.mean(axis=0)
    nearly = dataclasses.replace(good, images=mean + np.float32(0.1) * (good.images - mean))
    found = result(stream, nearly.build)
    assert found.margin is not None
    assert found.margin.silent.kinds["average anatomy"] > 0.5


def test_hold_takes_time_out_of_margin_and_failures(stream: Stream, wrong: dict[str, Mutant]) -> None:
    class Careful:
        """Freeze as the mutant does, and say so from its tenth frozen frame on."""

        def open(self, header: Header, emit: Emit) -> None:
            self._lines, self._emit = header.lines_per_frame, emit

        def push(self, readout: Readout) -> None:
            if (readout.index + 1) % self._lines == 0:
                image = wrong["frozen"].images[readout.frame]
                self._emit(Image(image, readout.frame, readout.index, hold=readout.frame >= 50))

        def close(self) -> None:
            pass

    found = result(stream, Careful)
    assert found.margin is not None
    silent, header = found.margin.silent, stream.header
    frames = 150 - 9  # the judged ones
    assert silent.share == pytest.approx(9 / frames, abs=0.02)
    assert found.margin.held_share == pytest.approx(100 / frames, abs=0.02)
    assert found.margin.availability == pytest.approx(1 - found.margin.held_share, abs=1e-9)
    assert silent.first_sign_ns == pytest.approx(9 * header.frame_ns, abs=header.frame_ns)
    target = found.verdict.answer("target")
    assert target is not None
    assert target.outcome is Outcome.FAIL
    assert "availability" in target.reason


@pytest.mark.parametrize("as_positions", [False, True])
def test_noise_on_what_stands_still_makes_it_no_less_frozen(stream: Stream, as_positions: bool) -> None:
    """What changes without following is as frozen; what follows 300 ms late, noise and all, is not."""
    truth, rng = truth_itself(stream), np.random.default_rng(1)
    noise = rng.standard_normal((2, *truth.images.shape)) * 3e-3 * np.abs(truth.images).max()
    noisy = (noise[0] + 1j * noise[1]).astype(np.complex64)
    jitter = rng.normal(0, 1e-5, truth.trace_m.shape)
    late = np.maximum(np.arange(len(truth.images)) - round(300e6 / stream.header.frame_ns), 0)
    for frames, frozen in ((np.full(len(late), 40), True), (late, False)):
        seen = dataclasses.replace(
            truth, images=truth.images[frames] + noisy, trace_m=truth.trace_m[frames] + jitter
        )
        found = result(stream, seen.build_tracker if as_positions else seen.build)
        assert found.margin is not None
        kinds = found.margin.silent.kinds
        # What is called another anatomy first, by its lines, is not called frozen as well.
        assert kinds["frozen"] == pytest.approx(1 - kinds["another anatomy"] if frozen else 0, abs=0.02)
        assert kinds["another anatomy"] < 0.15
