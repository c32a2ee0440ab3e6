"""TrackRAD2025's measures agree with their definitions, computed pixel by pixel."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.measure.trackrad import centres, surface_distances, track_rad
from tests.harness.synthetic import make_header

PIXEL_M = (0.003, 0.002)
HEADER = dataclasses.replace(make_header(matrix=(20, 24)), fov_m=(20 * 0.003, 24 * 0.002))


def blobs(seed: int, count: int = 7) -> np.ndarray:
    """Return masks of several pixels each: discs, with some pixels more, some at the edge of the image."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((20, 24))
    y, x, r = rng.uniform(0, 20, count), rng.uniform(0, 24, count), rng.uniform(1, 6, count)
    out = np.hypot(rows - y[:, None, None], columns - x[:, None, None]) <= r[:, None, None]
    out |= rng.random((count, 20, 24)) < 0.01
    out[:, 10, 12] = True
    return out


def outline(mask: np.ndarray) -> list[tuple[float, float]]:
    """Return the pixels with a neighbour that is outside, or beyond the image, in metres."""
    ny, nx = mask.shape

    def inside(y: int, x: int) -> bool:
        return 0 <= y < ny and 0 <= x < nx and bool(mask[y, x])

    sides = ((1, 0), (-1, 0), (0, 1), (0, -1))
    return [
        (y * PIXEL_M[0], x * PIXEL_M[1])
        for y in range(ny)
        for x in range(nx)
        if mask[y, x] and not all(inside(y + a, x + b) for a, b in sides)
    ]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_surface_distances_are_those_of_every_pair_of_pixels(seed: int) -> None:
    found, true = blobs(seed), blobs(seed + 1)
    hausdorff, surface = surface_distances(found, true, PIXEL_M)
    for i, (one, other) in enumerate(zip(found, true, strict=True)):
        a, b = outline(one), outline(other)
        there = [min(math.dist(p, q) for q in b) for p in a]
        back = [min(math.dist(p, q) for q in a) for p in b]
        assert hausdorff[i] == pytest.approx(max(np.quantile(there, 0.95), np.quantile(back, 0.95)))
        assert surface[i] == pytest.approx(np.mean(there))


def test_many_images_are_as_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    found, true = blobs(1, 23), blobs(2, 23)
    whole = surface_distances(found, true, PIXEL_M)
    monkeypatch.setattr("harness.measure.trackrad.STACK", 5)
    parts = surface_distances(found, true, PIXEL_M)
    assert np.array(parts) == pytest.approx(np.array(whole))


def test_centres_are_means_of_pixels() -> None:
    masks = blobs(4)
    expected = [[at[:, 0].mean() * 0.003, at[:, 1].mean() * 0.002] for at in map(np.argwhere, masks)]
    assert centres(masks, PIXEL_M) == pytest.approx(np.array(expected))


def test_the_truth_itself_is_perfect() -> None:
    true = blobs(3)
    told = track_rad(list(true), true, HEADER, 12.5)
    assert told is not None
    assert (told.dice_similarity_coefficient, told.relative_d98_dose) == (1, pytest.approx(1))
    assert told.hausdorff_distance_95 == told.surface_distance_average == told.center_distance == 0
    assert (told.runtime, told.images, told.not_found) == (12.5, 7, 0)


def test_a_shifted_mask_is_as_far_off_as_it_was_shifted() -> None:
    true = np.zeros((5, 20, 24), np.bool_)
    true[:, 5:12, 5:13] = True
    told = track_rad(list(np.roll(true, 2, axis=1)), true, HEADER)
    assert told is not None
    assert told.center_distance == pytest.approx(6)
    assert told.hausdorff_distance_95 == pytest.approx(6)
    assert told.dice_similarity_coefficient == pytest.approx(5 / 7)
    assert 0 < told.surface_distance_average < 6
    assert told.relative_d98_dose is not None
    assert told.relative_d98_dose < 0.95
    assert told.runtime is None


def test_what_is_not_found_costs_the_image_and_no_target_is_not_judged() -> None:
    true = blobs(3)
    true[2] = False
    found = [None if i in (0, 4) else mask for i, mask in enumerate(true)]
    told = track_rad(found, true, HEADER)
    assert told is not None
    assert (told.images, told.not_found) == (6, 2)
    assert told.dice_similarity_coefficient == pytest.approx(4 / 6)
    for distance in (told.hausdorff_distance_95, told.surface_distance_average, told.center_distance):
        assert distance == pytest.approx(60 * 2 / 6)  # the longer side of the image is 60 mm
    assert told.relative_d98_dose == pytest.approx(4 / 6)
    assert track_rad([None], np.zeros((1, 20, 24), np.bool_), HEADER) is None
