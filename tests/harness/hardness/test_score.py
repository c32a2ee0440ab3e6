"""Rank and memory score: their values where they can be said beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.hardness.score import hardness_of
from mrsim.errors import InputError

SIDE = 12


def body_series(frames: int) -> np.ndarray:
    """Positive images, so that magnitudes are they themselves; a body within empty air."""
    series = np.zeros((frames, SIDE, SIDE))
    series[:, 2:-2, 2:-2] = 1.0
    return series


def test_the_rank_counts_components_by_the_energy_that_they_leave() -> None:
    # Three patterns of disjoint pixels: energies 0.98, 0.0195 and 0.0005 of the whole.
    series, shares = np.zeros((30, SIDE, SIDE)), (0.98, 0.0195, 0.0005)
    for number, share in enumerate(shares):
        series[number::3, 2 + 2 * number : 4 + 2 * number, 2:10] = math.sqrt(share)
    found = hardness_of(series, 0.2)
    assert found.rank == (2, 2, 3)
    assert found.outside == pytest.approx(0.0, abs=1e-20)


def test_memory_is_that_of_the_nearest_image_over_that_of_a_late_one() -> None:
    # A ramp of brightness: 1, 2, ..., 30. Training ends at 20; 5 frames make 200 ms.
    series = body_series(30) * np.arange(1.0, 31.0)[:, None, None]
    found = hardness_of(series, 0.04)
    test = np.arange(21.0, 31.0)
    nearest, late = np.mean(((test - 20) / test) ** 2), np.mean((5 / test) ** 2)
    assert found.nearest == pytest.approx(nearest, rel=1e-9)
    assert found.late == pytest.approx(late, rel=1e-9)
    assert found.memory_score == pytest.approx(nearest / late, rel=1e-9)
    assert found.lag_s == pytest.approx(0.2)


def test_what_was_never_seen_lies_outside_and_magnitudes_alone_count() -> None:
    series = body_series(30).astype(np.complex128) * np.exp(1j * np.arange(30))[:, None, None]
    series[20:, 2:-2, 2:6] *= 2  # half the body, twice as bright: 2/5 of its energy is common ground
    found = hardness_of(series, 0.2)
    # (1, 2) has (9/2)/5 of its energy along (1, 1).
    assert found.outside == pytest.approx(0.1, rel=1e-9)
    assert math.isnan(hardness_of(body_series(30), 0.2).memory_score)
    assert "memory score, the ratio of the two" in repr(hardness_of(body_series(30), 0.2))


@pytest.mark.parametrize(
    ("series", "frame_s", "told"),
    [
        (body_series(11), 0.2, "11 images; expected 12 or more"),
        (body_series(20), 0.0, "0 s from image to image"),
        (body_series(20), float("nan"), "nan s from image to image"),
        (body_series(20), 0.01, "too short for a lag of 0.2 s"),
        (body_series(20) * 0, 0.2, "empty"),
        (body_series(20) * float("nan"), 0.2, "not finite"),
        (np.concatenate([body_series(20), np.zeros((1, SIDE, SIDE))]), 0.2, "image 20 is empty"),
    ],
)
def test_what_has_no_hardness_is_refused(series: np.ndarray, frame_s: float, told: str) -> None:
    with pytest.raises(InputError, match=told):
        hardness_of(series, frame_s, "mine")
