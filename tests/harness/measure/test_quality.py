"""Measures of quality: exact on images whose errors are known, and blind to what a candidate says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.measure.image_quality import FrameJudge, Quality, assess, nmse
from harness.measure.timing import measure
from harness.realtime.clock import VirtualClock
from harness.realtime.replay import replay
from harness.realtime.service import ServiceModel, TableService
from mrsim.errors import InputError
from mrsim.stream import Header, Readout, Stream
from recon.protocol import Emit, Image
from tests.harness.synthetic import Drawn, draw_target, moving_stream

MS = 1_000_000


@pytest.fixture(scope="module")
def stream() -> Stream:
    return moving_stream()


def judged(stream: Stream, candidate: Drawn, service: ServiceModel | None = None) -> Quality:
    run = replay(stream, candidate, VirtualClock(), service)
    quality = assess(stream, run, measure(run))
    assert quality is not None
    return quality


def truth_of(stream: Stream) -> np.ndarray:
    assert stream.truth is not None
    return stream.truth.image


def test_the_truth_itself_is_perfect(stream: Stream) -> None:
    image = truth_of(stream)
    quality = judged(stream, Drawn(lambda frame: image[frame]))
    assert (quality.nmse == 0).all()
    assert quality.ssim == pytest.approx(1)
    assert quality.dice.min() > 0.9  # pixels of 6 mm
    assert quality.last_line.max is not None
    assert quality.last_line.max < 0.3e-3
    assert quality.lag.claimed_ns == pytest.approx(0, abs=2 * MS)
    assert quality.frames.tolist() == list(range(8, 150))
    assert quality.breaths >= 4
    assert all(quality.intervals.values())


@pytest.mark.parametrize("delay", [1, 3])
def test_an_image_of_the_past_lags_by_as_much(stream: Stream, delay: int) -> None:
    image = truth_of(stream)
    quality = judged(stream, Drawn(lambda frame: image[max(frame - delay, 0)]))
    lag = delay * stream.header.frame_ns
    assert quality.lag.claimed_ns == pytest.approx(lag, abs=2 * MS)
    assert quality.lag.gain == pytest.approx(1, abs=0.02)
    assert stream.truth is not None
    path = stream.truth.centroid_at(quality.t_ns - lag, stream.header)
    expected = np.hypot(*(path - stream.truth.centroid_at(quality.t_ns, stream.header)).T)
    assert quality.last_line.max == pytest.approx(expected.max(), abs=0.3e-3)
    assert quality.last_line.rms == pytest.approx(np.sqrt(np.mean(expected**2)), abs=0.15e-3)


def test_an_image_that_comes_late_is_wrong_when_shown(stream: Stream) -> None:
    """Its lines are current, its pixels perfect: only the error when shown, and the total lag, tell."""
    image = truth_of(stream)
    delay_ns = 60 * MS  # the last push of each frame takes so long of the frame's 64 ms, the others nothing
    last = np.arange(len(stream)) % 16 == 15
    prompt, late = (
        judged(stream, Drawn(lambda frame: image[frame]), TableService(last * ns)) for ns in (0, delay_ns)
    )
    assert prompt.lag.claimed_ns == pytest.approx(late.lag.claimed_ns)
    assert prompt.total_lag_ns is not None
    assert late.total_lag_ns is not None
    assert late.total_lag_ns - prompt.total_lag_ns == pytest.approx(delay_ns)
    # even the prompt one is shown half a TR after its last echo
    assert prompt.total_lag_ns - prompt.lag.claimed_ns == pytest.approx(2 * MS)
    assert late.last_line == prompt.last_line
    assert stream.truth is not None
    now = stream.truth.centroid_at(late.shown_ns, stream.header)
    then = stream.truth.centroid_at(late.t_ns, stream.header)
    expected = np.hypot(*(now - then).T)[:-1]  # the last one is shown when the scan is over
    assert late.when_shown.count == len(late.frames) - 1
    assert late.when_shown.max == pytest.approx(expected.max(), abs=0.3e-3)
    assert prompt.when_shown.max is not None
    assert prompt.when_shown.max < 0.5e-3


def test_nmse_is_its_definition(stream: Stream) -> None:
    image = truth_of(stream)
    quality = judged(stream, Drawn(lambda frame: image[frame] * np.complex64(1.1j)))  # the phase is no matter
    assert quality.nmse == pytest.approx(0.01, rel=1e-4)
    assert nmse(np.array([3.0, 0.0]), np.array([0.0, 4.0])) == pytest.approx(25 / 16)
    with pytest.raises(InputError, match="blank"):
        nmse(np.ones(3), np.zeros(3))


def test_half_a_target_has_the_dice_of_its_overlap(stream: Stream) -> None:
    assert stream.truth is not None
    judge = FrameJudge(stream.truth, stream.header)
    path = stream.truth.centroid[15::16]
    moved = draw_target(stream.header, path[20] + [0.0, 0.012])
    score = judge.score(20, moved.astype(np.complex64))
    y = x = (np.arange(64) - 32) * 0.4 / 64
    shifted = np.hypot(x[None, :] - path[20, 0], y[:, None] - path[20, 1] - 0.012) <= 0.015
    mask = stream.truth.mask[20]
    assert score.dice == pytest.approx(2 * (mask & shifted).sum() / (mask.sum() + shifted.sum()), abs=0.12)
    assert score.dice < 0.75


def test_a_target_that_is_not_found_is_an_infinite_error_and_no_dice(stream: Stream) -> None:
    image = truth_of(stream)
    few, many = (
        judged(stream, Drawn(lambda frame, n=n: image[frame] if frame % n else np.zeros((64, 64))))  # type: ignore[misc]
        for n in (40, 10)
    )
    assert (few.last_line.not_found, many.last_line.not_found) == (3, 14)
    assert few.last_line.p95 is not None  # 3 of 142 may be wrong without touching the 95th percentile
    assert few.last_line.p95 < 0.3e-3
    assert many.last_line.p95 is None
    assert many.last_line.max is not None
    assert (many.dice == 0).sum() == 14
    assert np.isnan(many.centroid_m).any(axis=1).sum() == 14


def test_percentiles_need_enough_images(stream: Stream) -> None:
    image = truth_of(stream)
    run = replay(stream.first_frames(100), Drawn(lambda frame: image[frame]), VirtualClock())
    quality = assess(stream, run, measure(run))
    assert quality is not None
    assert quality.last_line.p95 is None
    assert quality.last_line.max is not None
    assert quality.when_shown.count == 92  # the longer scan knows what was true when the last one was shown


def test_quality_does_not_listen_to_claims(stream: Stream) -> None:
    image = truth_of(stream)

    class Boaster(Drawn):
        def push(self, readout: Readout) -> None:
            if (readout.index + 1) % self.header.lines_per_frame == 0:
                pixels = image[max(readout.frame - 2, 0)]
                self.emit(Image(pixels, readout.frame, 0, shows_ns=readout.t_ns))

    modest = judged(stream, Drawn(lambda frame: image[max(frame - 2, 0)]))
    boastful = judged(stream, Boaster(lambda frame: image[frame]))
    assert boastful.lag == modest.lag
    assert boastful.when_shown == modest.when_shown


def test_the_same_images_have_the_same_intervals(stream: Stream) -> None:
    image = truth_of(stream)
    one, same = (judged(stream, Drawn(lambda frame: image[frame - frame % 3])) for _ in range(2))
    assert None not in one.intervals.values()
    assert one.intervals == same.intervals
    assert one.lag == same.lag


def test_nothing_is_judged_without_truth_pixels_or_images(stream: Stream) -> None:
    image = truth_of(stream)
    blind = dataclasses.replace(stream, truth=None)
    run = replay(stream, Drawn(lambda frame: image[frame]), VirtualClock())
    with pytest.raises(InputError, match="needs a stream with truth"):
        assess(blind, run, measure(run))
    silent = replay(stream, _Silent(), VirtualClock())
    assert assess(stream, silent, measure(silent)) is None


class _Silent:
    def open(self, header: Header, emit: Emit) -> None: ...

    def push(self, readout: Readout) -> None: ...

    def close(self) -> None: ...
