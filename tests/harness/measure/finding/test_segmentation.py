"""The target is found where it is, by the better of two methods, and nothing else is taken for it."""

from __future__ import annotations

import gc
import math
import sys
from typing import Any

import numpy as np
import pytest

import harness.measure.finding.segmentation
from harness.measure.finding.segmentation import TargetFinder, finder_of
from mrsim.errors import MissingExtraError, OptionError
from tests.harness.measure.finding.scenes import (
    HEADER,
    breaths,
    disc_mask,
    header_like,
    magnitude,
    scene,
    truth_of,
)
from tests.harness.synthetic import disc_image


@pytest.mark.parametrize("method", ["outline", "registration"])
@pytest.mark.parametrize("kind", ["lung", "fiducial", "neighbour", "dark"])
@pytest.mark.parametrize("snr", [math.inf, 20])
def test_its_own_error_is_small(method: str, kind: str, snr: float) -> None:
    rng = np.random.default_rng(5)
    places = [(rng.uniform(-0.004, 0.004), rng.uniform(-0.012, 0.012)) for _ in range(25)]
    finder = TargetFinder(truth_of(kind, places), HEADER, method)
    assert finder.bright is (kind != "dark")
    for seed, place in enumerate(places):
        segment = finder.find(magnitude(scene(kind, *place), 1 / snr, seed))
        assert segment is not None
        assert math.dist(segment.centroid_m, place) < 0.3e-3
        inside = disc_mask(*place)[finder.window]
        dice = 2 * (inside & segment.mask).sum() / (inside.sum() + segment.mask.sum())
        assert dice > 0.93


@pytest.mark.parametrize("method", ["outline", "registration"])
def test_nothing_is_found_where_there_is_nothing(method: str) -> None:
    finder = TargetFinder(truth_of("lung", breaths(20)), HEADER, method)
    body = np.abs(0.2 * disc_image(HEADER, 0.15, 0, 0)).astype(np.float32)
    rng = np.random.default_rng(2)
    assert finder.find(np.zeros_like(body)) is None
    assert finder.find(np.full_like(body, 3)) is None
    assert finder.find(body + 0.01 * rng.random(body.shape, np.float32)) is None
    # A structure of the wrong size, or of the wrong polarity, is not the target either.
    small, dark = 0.8 * disc_image(HEADER, 0.005, 0, 0), -0.15 * disc_image(HEADER, 0.015, 0, 0)
    assert finder.find(magnitude(body + small)) is None
    assert finder.find(magnitude(body + dark)) is None


def test_the_scan_chooses_the_method() -> None:
    """Both are tried on the planning breaths, and the one whose centres are nearer to the truth is taken."""
    free = TargetFinder(truth_of("lung", breaths(60)), HEADER)
    assert free.method == "registration"
    assert free.errors_mm["registration"] < free.errors_mm["outline"] < 0.3
    assert free.error_mm == free.errors_mm["registration"]
    on_a_wall = TargetFinder(truth_of("wall", breaths(60, sway_m=3e-4)), HEADER)
    assert on_a_wall.method == "registration"
    assert on_a_wall.errors_mm["outline"] > 1
    assert on_a_wall.error_mm < 0.1
    # No template fits where the target comes to the edge of the image.
    at_the_edge = TargetFinder(
        truth_of("lung", [(x, y + 0.17) for x, y in breaths(60, depth_m=0.005)]), HEADER
    )
    assert at_the_edge.method == "outline"
    assert math.isinf(at_the_edge.errors_mm["registration"])
    assert at_the_edge.error_mm < 0.5


def test_the_error_that_is_told_is_that_of_the_method() -> None:
    truth = truth_of("lung", breaths(5))  # so few that all of them are planned from, and tried
    finder = TargetFinder(truth, HEADER, "outline")
    found = [finder.find(np.abs(image)) for image in truth.image]
    errors = sorted(
        1e3 * math.dist(one.centroid_m, true)
        for one, true in zip(found, truth.centroid, strict=True)
        if one is not None
    )
    assert finder.errors_mm == {"outline": pytest.approx(errors[-1])}  # of 5, the 95th percentile


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(OptionError, match="outline, registration"):
        TargetFinder(truth_of("lung", [(0, 0)]), HEADER, "guess")


@pytest.mark.parametrize("module", ["skimage.measure", "skimage.feature", "scipy.ndimage"])
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mrsim\[eval\]'"):
        TargetFinder(truth_of("lung", [(0, 0)]), HEADER)


def test_a_finder_is_planned_once_for_as_long_as_the_truth_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[Any, Any] = {}
    monkeypatch.setattr(harness.measure.finding.segmentation, "_kept", kept)
    monkeypatch.setattr(harness.measure.finding.segmentation, "KEPT", 3)
    truth = truth_of("lung", breaths(4))
    finder = finder_of(truth, HEADER)
    assert finder_of(truth, header_like(HEADER)) is finder
    other = truth_of("lung", breaths(4))
    assert finder_of(other, HEADER) is not finder
    key = (id(truth), HEADER)
    del truth
    gc.collect()
    gone = kept[key]
    assert gone[0]() is None
    newcomer = truth_of("lung", breaths(4))
    kept[id(newcomer), HEADER] = gone  # as if it came to lie where the other had been
    assert finder_of(newcomer, HEADER) is not finder
    scans = [truth_of("lung", [(0, 0)]) for _ in range(3)]
    for scan in scans:
        finder_of(scan, HEADER)
    assert len(kept) == 3
    assert key not in kept
