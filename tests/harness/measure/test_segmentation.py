"""The target is found where it is, to a fraction of a pixel, and nothing else is taken for it."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.segmentation import TargetFinder, otsu_level, polygon_moments
from mrsim.errors import InputError, MissingExtraError
from mrsim.stream import Truth
from tests.harness.synthetic import disc_image, make_header

HEADER = make_header(lines_per_frame=32, tr_ns=2_200_000, matrix=(128, 128))
AXIS = (np.arange(128) - 64) * 0.4 / 128


def scene(kind: str, x: float, y: float) -> np.ndarray:
    """Draw a 30 mm disc at 3.1 mm pixels in a lung, beside a brighter organ, or dark in bright tissue."""
    target = disc_image(HEADER, 0.015, x, y)
    if kind == "dark":
        return disc_image(HEADER, 0.15, 0, 0) - 0.7 * target
    image = 0.2 * disc_image(HEADER, 0.15, 0, 0) + 0.8 * target
    if kind == "fiducial":
        image = image - 0.6 * disc_image(HEADER, 0.003, x, y)
    if kind == "neighbour":
        image = image + 0.8 * disc_image(HEADER, 0.06, 0.085, 0)
    return image


def truth_of(kind: str, places: list[tuple[float, float]]) -> Truth:
    image = np.array([scene(kind, x, y) for x, y in places]).astype(np.complex64)
    mask = np.array([np.hypot(AXIS[None, :] - x, AXIS[:, None] - y) <= 0.015 for x, y in places])
    count = len(places)
    return Truth(("t",), "t", np.zeros((count, 1, 2)), np.zeros((count, 2)), image, mask)


@pytest.mark.parametrize("kind", ["lung", "fiducial", "neighbour", "dark"])
@pytest.mark.parametrize("snr", [math.inf, 20])
def test_its_own_error_is_small(kind: str, snr: float) -> None:
    rng = np.random.default_rng(5)
    places = [(rng.uniform(-0.004, 0.004), rng.uniform(-0.012, 0.012)) for _ in range(25)]
    truth = truth_of(kind, places)
    finder = TargetFinder(truth, HEADER)
    assert finder.bright is (kind != "dark")
    for image, mask, place in zip(truth.image, truth.mask, places, strict=True):
        noise = rng.standard_normal((2, 128, 128)) / snr
        segment = finder.find(np.abs(image + noise[0] + 1j * noise[1]).astype(np.float32))
        assert segment is not None
        assert math.dist(segment.centroid_m, place) < 0.3e-3
        inside = mask[finder.window]
        dice = 2 * (inside & segment.mask).sum() / (inside.sum() + segment.mask.sum())
        assert dice > 0.95


def test_nothing_is_found_where_there_is_nothing() -> None:
    finder = TargetFinder(truth_of("lung", [(0, 0.005), (0, -0.005)]), HEADER)
    body = np.abs(0.2 * disc_image(HEADER, 0.15, 0, 0)).astype(np.float32)
    rng = np.random.default_rng(2)
    assert finder.find(np.zeros_like(body)) is None
    assert finder.find(np.full_like(body, 3)) is None
    assert finder.find(body + 0.01 * rng.random(body.shape, np.float32)) is None
    # A structure of the wrong size, or of the wrong polarity, is not the target either.
    small, dark = 0.8 * disc_image(HEADER, 0.006, 0, 0), -0.15 * disc_image(HEADER, 0.015, 0, 0)
    assert finder.find(np.abs(body + small).astype(np.float32)) is None
    assert finder.find(np.abs(body + dark).astype(np.float32)) is None


def test_the_window_is_the_same_for_all_and_holds_every_place() -> None:
    places = [(-0.01, 0.02), (0.0, -0.03)]
    truth = truth_of("lung", places)
    rows, columns = TargetFinder(truth, HEADER, margin_m=0.02).window
    assert AXIS[rows.start] <= -0.03 - 0.015 - 0.02 + 0.4 / 128
    assert AXIS[rows.stop - 1] >= 0.02 + 0.015 + 0.02 - 0.4 / 128
    assert AXIS[columns.start] <= -0.01 - 0.015 - 0.02 + 0.4 / 128
    at_edge = truth_of("lung", [(0, -0.19)])
    assert TargetFinder(at_edge, HEADER).window[0].start == 0


def test_a_stream_without_its_target_is_refused() -> None:
    truth = truth_of("lung", [(0, 0)])
    with pytest.raises(InputError, match="in no frame"):
        TargetFinder(Truth(**{**vars(truth), "mask": np.zeros_like(truth.mask)}), HEADER)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.measure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mrsim\[eval\]'"):
        TargetFinder(truth_of("lung", [(0, 0)]), HEADER)


@given(
    st.lists(st.floats(-10, 10), min_size=2, max_size=30),
    st.lists(st.floats(20, 40), min_size=2, max_size=30),
)
def test_otsu_separates_two_classes(low: list[float], high: list[float]) -> None:
    level = otsu_level(np.array([*low, *high]))
    assert level is not None
    if min(high) - max(low) > 25 and abs(len(low) - len(high)) < 5:
        assert max(low) < level < min(high)
    assert level == pytest.approx(_otsu_by_search(np.array([*low, *high])))


def _otsu_by_search(values: np.ndarray) -> float:
    """Try every split and take the one with the least variance within, the textbook's other form."""
    best, level = math.inf, 0.0
    ordered = np.sort(values)
    for split in range(1, len(ordered)):
        low, high = ordered[:split], ordered[split:]
        within = len(low) * low.var() + len(high) * high.var()
        if within < best - 1e-9 * (1 + abs(best) if math.isfinite(best) else 0):
            best, level = within, (low.mean() + high.mean()) / 2
    return float(level)


@given(st.floats(0.5, 20), st.floats(0.5, 20), st.floats(-100, 100), st.floats(-100, 100), st.floats(0, 6.28))
def test_polygon_moments_of_a_turned_rectangle(
    h: float, w: float, row: float, column: float, turn: float
) -> None:
    corners = np.array([[-h, -w], [h, -w], [h, w], [-h, w], [-h, -w]]) / 2
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    area, r, c = polygon_moments(corners @ rotation.T + [row, column])
    assert area == pytest.approx(h * w)
    assert (r, c) == (pytest.approx(row, abs=1e-9), pytest.approx(column, abs=1e-9))
