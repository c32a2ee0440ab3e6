"""What the judge itself cannot see is not held against a candidate, and hides nothing of what it can see."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.judge.evaluate import evaluate
from harness.judge.outcome import Outcome
from harness.judge.result import RunResult
from harness.measure.ruler import loses_target
from harness.realtime.clock import VirtualClock
from harness.realtime.service import ConstantService
from mrsim.stream import Stream
from tests.harness.judge.mutants import Mutant, truth_itself
from tests.harness.synthetic import draw_target, moving_stream

FRAMES = 400
AWAY_M = 0.07
"""Far out of the window in which the judge looks, which it learns from the first breaths."""


def leaving(away: int) -> Stream:
    """Make a scan whose target is far from where it ever was in its last frames."""
    stream = moving_stream(FRAMES)
    assert stream.truth is not None
    lines = stream.header.lines_per_frame
    centroid, image, mask = (np.array(getattr(stream.truth, k)) for k in ("centroid", "image", "mask"))
    gone = slice((FRAMES - away) * lines, None)
    centroid[gone, 1] += AWAY_M
    for frame in range(FRAMES - away, FRAMES):
        image[frame] = draw_target(stream.header, centroid[(frame + 1) * lines - 1])
        pixels = round(AWAY_M / stream.header.fov_m[0] * stream.header.matrix[0])
        mask[frame] = np.roll(mask[frame], pixels, axis=0)
    displacement = centroid[:, None, :]
    truth = dataclasses.replace(
        stream.truth, centroid=centroid, image=image, mask=mask, displacement=displacement
    )
    return dataclasses.replace(stream, truth=truth)


def judged(stream: Stream, mutant: Mutant, tracker: bool = False) -> RunResult:
    build = mutant.build_tracker if tracker else mutant.build
    return evaluate(stream, "one", build, clock=VirtualClock(), service=ConstantService(1000), claim=0.9)


@pytest.fixture(scope="module", params=[12, 60])
def stream(request: pytest.FixtureRequest) -> Stream:
    return leaving(request.param)


def test_it_loses_the_target_where_that_has_never_been(stream: Stream) -> None:
    assert stream.truth is not None
    away = np.asarray(stream.truth.centroid[stream.header.lines_per_frame - 1 :: 16, 1]) > 0.03
    np.testing.assert_array_equal(loses_target(stream, np.arange(FRAMES)), away)


def test_the_truth_does_not_fail_for_what_the_judge_cannot_see(stream: Stream) -> None:
    found = judged(stream, truth_itself(stream))
    margin, target = found.margin, found.verdict.answer("target")
    assert margin is not None
    assert target is not None
    assert stream.truth is not None
    away = float((stream.truth.centroid[:, 1] > 0.03).mean())
    assert margin.unseen_share == pytest.approx(away, abs=0.01)
    assert margin.silent.share == 0
    assert margin.lost_share == 0
    if away > 0.05:
        assert target.outcome is Outcome.INVALID
        assert "the judge itself loses the target" in target.reason
    else:
        assert target.outcome is not Outcome.FAIL


def test_what_is_wrong_where_the_judge_sees_fails(stream: Stream) -> None:
    truth = truth_itself(stream)
    late = np.maximum(np.arange(FRAMES) - 5, 0)
    wrong = {
        "blank": truth.images * 0,
        "another anatomy": np.flip(truth.images, axis=2),
        "M95": truth.images[late],
    }
    for reason, images in wrong.items():
        target = judged(stream, dataclasses.replace(truth, images=images)).verdict.answer("target")
        assert target is not None
        assert target.outcome is Outcome.FAIL
        assert reason in target.reason


def test_a_tracker_is_judged_for_all_of_the_time(stream: Stream) -> None:
    truth = truth_itself(stream)
    found = judged(stream, truth, tracker=True)
    assert found.margin is not None
    assert found.margin.unseen_share == 0
    assert found.margin.beyond_share < 0.01
    astray = np.where(truth.trace_m[:, 1:] > 0.03, 0.0, truth.trace_m)
    found = judged(stream, dataclasses.replace(truth, trace_m=astray), tracker=True)
    assert found.margin is not None
    assert found.margin.beyond_share > 0.02
