"""The plan knows the first breaths and nothing of the time after."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import harness.measure.finding.plan
from harness.measure.finding.plan import make_plan, planning_frames
from harness.measure.finding.segmentation import TargetFinder
from mrsim.errors import InputError
from mrsim.stream import Truth
from tests.harness.measure.finding.scenes import AXIS, HEADER, breaths, magnitude, scene, truth_of


@pytest.fixture(scope="module")
def scan() -> Truth:
    """Return 18 s of breaths of 3 s."""
    return truth_of("lung", breaths(300))


def another_future(truth: Truth, stop: int) -> Truth:
    """Return a truth that is the same up to a frame, and something else from there on."""
    rng = np.random.default_rng(3)
    image, mask, centroid = truth.image.copy(), truth.mask.copy(), truth.centroid.copy()
    image[stop:] = rng.standard_normal(image[stop:].shape)
    mask[stop:] = np.roll(mask[stop:], 40, axis=2)
    centroid[stop:] = 0.05 + 0.03 * rng.standard_normal(centroid[stop:].shape)
    return dataclasses.replace(truth, image=image, mask=mask, centroid=centroid)


def test_the_future_changes_nothing(scan: Truth) -> None:
    one = TargetFinder(scan, HEADER)
    assert one.planned_frames == 217  # 13 s: the fourth pass through the middle is at 12 s
    other = TargetFinder(another_future(scan, one.planned_frames), HEADER)
    for name in ("window", "area_px", "bright", "planned_frames", "method", "errors_mm"):
        assert getattr(one, name) == getattr(other, name)
    for x, y in breaths(40, seed=8):
        image = magnitude(scene("lung", x, y), 0.05)
        first, second = one.find(image), other.find(image)
        assert first is not None
        assert second is not None
        assert first.centroid_m == second.centroid_m
        assert (first.mask == second.mask).all()


def test_a_change_within_the_planning_breaths_is_seen(scan: Truth) -> None:
    one = make_plan(scan, HEADER)
    other = make_plan(another_future(scan, one.stop - 20), HEADER)
    assert one.window != other.window


@pytest.mark.parametrize(
    ("period_s", "planned_s"),
    [
        (3, 12),  # four breaths in 12 s
        (6, 19),  # the fourth pass through the middle is at 18.5 s
        (60, 30),  # no more is waited for
    ],
)
def test_the_plan_takes_three_breaths_but_no_more_than_30_s(period_s: int, planned_s: int) -> None:
    frames = 40_000_000_000 // HEADER.frame_ns
    t = np.arange(frames) * HEADER.frame_ns / 1e9
    path = np.stack([np.zeros(frames), 0.01 * np.sin(2 * np.pi * t / period_s - 0.5)], axis=1)
    seen = np.ones((frames, 1, 1), np.bool_)
    truth = Truth(("t",), "t", np.zeros((frames, 1, 2)), path, seen.astype(np.complex64), seen)
    first, stop = planning_frames(truth, HEADER)
    assert first == 0
    assert stop == -(-planned_s * 1_000_000_000 // HEADER.frame_ns)


def test_a_short_scan_is_planned_from_all_of_it() -> None:
    truth = truth_of("lung", breaths(30))
    plan = make_plan(truth, HEADER)
    assert plan.stop == 30
    assert len(plan.frames) == 15
    assert not set(plan.frames) & set(plan.others)  # what it is made from is not what it is tried on
    few = make_plan(truth_of("lung", breaths(5)), HEADER)
    assert few.frames.tolist() == few.others.tolist() == list(range(5))


def test_large_images_are_planned_from_fewer(monkeypatch: pytest.MonkeyPatch, scan: Truth) -> None:
    assert len(make_plan(scan, HEADER).frames) == 64
    monkeypatch.setattr(harness.measure.finding.plan, "MOST_PIXELS", 20 * 128 * 128)
    plan = make_plan(scan, HEADER)
    assert (len(plan.frames), len(plan.others)) == (20, 20)
    monkeypatch.setattr(harness.measure.finding.plan, "MOST_PIXELS", 0)
    assert len(make_plan(scan, HEADER).frames) == 16


def test_a_target_that_comes_late_is_planned_from_when_it_comes(scan: Truth) -> None:
    mask = scan.mask.copy()
    mask[:50] = False
    plan = make_plan(dataclasses.replace(scan, mask=mask), HEADER)
    assert plan.frames.min() == 50
    assert plan.stop == 50 + 217


def test_the_window_holds_every_planned_place_and_a_margin() -> None:
    rows, columns = TargetFinder(truth_of("lung", [(-0.01, 0.02), (0.0, -0.03)]), HEADER).window
    pixel = 0.4 / 128
    assert AXIS[rows.start] == pytest.approx(-0.03 - 0.015 - 0.02, abs=1.01 * pixel)
    assert AXIS[rows.stop - 1] == pytest.approx(0.02 + 0.015 + 0.02, abs=1.01 * pixel)
    assert AXIS[columns.start] == pytest.approx(-0.01 - 0.015 - 0.02, abs=1.01 * pixel)
    assert AXIS[columns.stop - 1] == pytest.approx(0.015 + 0.02, abs=1.01 * pixel)
    assert TargetFinder(truth_of("lung", [(0, -0.19)]), HEADER).window[0].start == 0


def test_a_stream_without_its_target_is_refused(scan: Truth) -> None:
    with pytest.raises(InputError, match="in no frame"):
        make_plan(dataclasses.replace(scan, mask=np.zeros_like(scan.mask)), HEADER)
