"""The level and the area of an outline agree with textbook forms of the same thing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.finding.outline import otsu_level, polygon_moments


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
