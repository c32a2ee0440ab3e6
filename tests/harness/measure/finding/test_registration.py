"""A template finds the target to a hundredth of a pixel, whatever it touches, and finds nothing else."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

import harness.measure.finding.layers
import harness.measure.finding.shape
from harness.measure.finding.outline import Outline
from harness.measure.finding.plan import Plan, make_plan
from harness.measure.finding.registration import Registration
from mrsim.stream import Truth
from tests.harness.measure.finding.scenes import (
    AXIS,
    HEADER,
    Place,
    breaths,
    disc_mask,
    magnitude,
    scene,
    truth_of,
)
from tests.harness.synthetic import disc_image, make_stream

PIXEL_MM = 400 / 128
PLANNED = breaths(100)
ELSEWHERE = breaths(40, seed=9, depth_m=0.016)
ALONG_A_WALL = breaths(100, sway_m=3e-4), breaths(40, seed=9, depth_m=0.016, sway_m=3e-4)


def errors_mm(
    finder: Registration | Outline, kind: str, noise: float = 0.0, places: list[Place] = ELSEWHERE
) -> np.ndarray:
    """Return the centre errors (x, y) at places that were not planned; NaN where nothing is found."""
    out = np.full((len(places), 2), np.nan)
    for i, (x, y) in enumerate(places):
        segment = finder.find(magnitude(scene(kind, x, y), noise, seed=i))
        if segment is not None:
            out[i] = (np.array(segment.centroid_m) - (x, y)) * 1e3
    return out


@pytest.fixture(scope="module")
def lung() -> Registration:
    return Registration(make_plan(truth_of("lung", PLANNED), HEADER))


@pytest.mark.parametrize("kind", ["lung", "fiducial", "neighbour", "dark"])
def test_its_error_is_a_hundredth_of_a_pixel_between_pixels_too(kind: str) -> None:
    error = errors_mm(Registration(make_plan(truth_of(kind, PLANNED), HEADER)), kind)
    assert np.abs(error).max() < 0.01 * PIXEL_MM


def test_a_target_on_a_wall_is_found_where_no_outline_shows_it() -> None:
    planned, others = ALONG_A_WALL
    plan = make_plan(truth_of("wall", planned), HEADER)
    error = errors_mm(Registration(plan), "wall", places=others)
    assert np.hypot(*error.T).max() < 0.03 * PIXEL_MM
    assert np.isnan(errors_mm(Outline(plan), "wall", places=others)).all()


def test_noise_is_averaged_over_the_rim(lung: Registration) -> None:
    """The error is near the bound of Cramer and Rao for the rim's slope, and without bias."""
    noise = 0.05
    error = errors_mm(lung, "lung", noise)
    x, y = ELSEWHERE[0]
    step = 1e-5
    slope = (np.abs(scene("lung", x, y + step)) - np.abs(scene("lung", x, y - step))) / (2 * step)
    bound_mm = 1e3 * noise / np.sqrt(np.sum(slope**2))
    assert error[:, 1].std() == pytest.approx(bound_mm, rel=0.4)
    assert abs(error[:, 1].mean()) < 3 * bound_mm / math.sqrt(len(error))


def turning(count: int, phase: float) -> Truth:
    """Return the truth of a target with a bite of 4 mm in its rim, which turns by up to 20 degrees."""
    places = breaths(count, seed=int(phase * 10))
    truth = truth_of("lung", places)
    turn = 0.35 * np.sin(0.9 * np.arange(count) + phase)
    bite = [
        disc_image(HEADER, 0.004, x + 0.011 * np.cos(a), y + 0.011 * np.sin(a))
        for (x, y), a in zip(places, turn, strict=True)
    ]
    return dataclasses.replace(truth, image=(truth.image - 0.8 * np.array(bite)).astype(np.complex64))


def test_modes_follow_a_target_that_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, unseen = turning(120, 0.0), turning(40, 0.3)

    def worst_mm() -> float:
        finder = Registration(make_plan(seen, HEADER))
        found = [finder.find(np.abs(image)) for image in unseen.image]
        return max(
            math.inf if one is None else 1e3 * math.dist(one.centroid_m, true)
            for one, true in zip(found, unseen.centroid, strict=True)
        )

    with_modes = worst_mm()
    monkeypatch.setattr(harness.measure.finding.layers, "MODES", 0)
    assert with_modes < 0.05 * PIXEL_MM
    assert worst_mm() > 3 * with_modes


@pytest.mark.parametrize("kind", ["lung", "dark"])
def test_its_pixels_are_the_targets(kind: str) -> None:
    plan = make_plan(truth_of(kind, PLANNED), HEADER)
    finder = Registration(plan)
    assert dices(finder, plan, kind, ELSEWHERE).mean() > 0.985
    found = [finder.find(magnitude(scene(kind, x, y))) for x, y in ELSEWHERE]
    area = sum(segment.mask.sum() for segment in found if segment is not None)
    assert area / sum(disc_mask(x, y).sum() for x, y in ELSEWHERE) == pytest.approx(1, abs=0.015)


def dices(finder: Registration, plan: Plan, kind: str, places: list[Place]) -> np.ndarray:
    """Return the overlap with the true disc at each place."""
    out = []
    for x, y in places:
        segment, true = finder.find(magnitude(scene(kind, x, y))), disc_mask(x, y)[plan.window]
        assert segment is not None
        out.append(2 * (segment.mask & true).sum() / (segment.mask.sum() + true.sum()))
    return np.array(out)


def test_the_image_decides_on_the_rim(lung: Registration) -> None:
    """A target that is 1 mm larger all around than planned has more pixels."""
    x, y = ELSEWHERE[3]
    grown = 0.2 * disc_image(HEADER, 0.15, 0, 0) + 0.8 * disc_image(HEADER, 0.016, x, y)
    as_planned, larger = lung.find(magnitude(scene("lung", x, y))), lung.find(magnitude(grown))
    assert as_planned is not None
    assert larger is not None
    assert larger.mask.sum() / as_planned.mask.sum() == pytest.approx((16 / 15) ** 2, abs=0.06)


def test_the_planned_outline_stands_on_a_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    planned, others = ALONG_A_WALL
    plan = make_plan(truth_of("wall", planned), HEADER)
    with_it = dices(Registration(plan), plan, "wall", others)
    assert with_it.mean() > 0.97
    monkeypatch.setattr(
        harness.measure.finding.shape, "LEAST_SLOPE", -math.inf
    )  # the image decides there, too
    assert dices(Registration(plan), plan, "wall", others).mean() < with_it.mean() - 0.005


@pytest.mark.parametrize("factor", [1e-30, 3.7, 1e30])
def test_brightness_does_not_matter(lung: Registration, factor: float) -> None:
    image = np.abs(scene("lung", *ELSEWHERE[5]))
    one, other = lung.find(image), lung.find(factor * image)
    assert one is not None
    assert other is not None
    assert other.centroid_m == pytest.approx(one.centroid_m, abs=1e-9)
    assert (one.mask == other.mask).all()


def test_nothing_is_found_where_there_is_nothing(lung: Registration) -> None:
    rng = np.random.default_rng(2)
    body = np.abs(0.2 * disc_image(HEADER, 0.15, 0, 0))
    blank = [np.zeros((128, 128)), np.full((128, 128), 3.0), body]
    noise = [np.abs(rng.standard_normal((128, 128, 2)) @ [1, 1j]) for _ in range(50)]
    noise += [rng.random((128, 128)) for _ in range(50)]
    noise += [body + 0.01 * rng.random((128, 128)) for _ in range(50)]
    assert [lung.find(image) for image in (*blank, *noise)] == [None] * 153


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
def test_pixels_that_are_no_magnitudes_show_no_target(lung: Registration, bad: float) -> None:
    image = np.abs(scene("lung", 0, 0))
    image[64, 64] = bad
    assert lung.find(image) is None


def test_other_structures_are_not_the_target(lung: Registration) -> None:
    body = 0.2 * disc_image(HEADER, 0.15, 0, 0)
    dark = magnitude(body - 0.15 * disc_image(HEADER, 0.015, 0, 0))
    half = magnitude(body + 0.8 * disc_image(HEADER, 0.05, 0.05, 0))  # the straight edge of an organ
    small = magnitude(body + 0.8 * disc_image(HEADER, 0.005, 0, 0))
    assert lung.find(dark) is None
    assert lung.find(half) is None
    assert lung.find(small) is None


def test_a_target_beyond_the_margin_is_not_found(lung: Registration) -> None:
    assert lung.find(magnitude(scene("lung", 0, 0.012 * 1.1 + 0.018))) is not None
    assert lung.find(magnitude(scene("lung", 0, 0.012 * 1.1 + 0.030))) is None


def test_no_template_fits_at_the_edge_of_the_image() -> None:
    at_edge = truth_of("lung", [(0, float(AXIS[1])), (0, float(AXIS[2]))])
    assert Registration(make_plan(at_edge, HEADER)).find(np.abs(at_edge.image[0])) is None


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_truth_that_shows_nothing_teaches_nothing(level: float) -> None:
    truth = truth_of("lung", PLANNED[:20])
    flat = dataclasses.replace(truth, image=np.full_like(truth.image, level))
    finder = Registration(make_plan(flat, HEADER))
    assert finder.find(np.abs(flat.image[0])) is None
    assert finder.find(np.abs(truth.image[0])) is None


def test_a_target_as_large_as_the_image_has_no_template() -> None:
    """Masks of chance are such targets; they are refused nowhere, and found nowhere."""
    stream = make_stream(40)
    assert stream.truth is not None
    finder = Registration(make_plan(stream.truth, stream.header))
    assert [finder.find(np.abs(image)) for image in stream.truth.image] == [None] * 10
