"""J1(x)/x and the sine and cosine below it, against scipy and numpy."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from scipy import special

from mrsim.kernels.bessel import SPLIT, jinc_into, jinc_row, sincos


def jinc(x: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    jinc_into(x, out)
    return out


@njit
def _sincos_into(x, sine, cosine):
    for i in range(x.size):
        sine[i], cosine[i] = sincos(x[i])


def test_agrees_with_scipy_to_1e14_everywhere() -> None:
    x = np.concatenate([np.linspace(1e-9, 60, 200_001), np.geomspace(60, 1e5, 100_001)])
    assert np.abs(jinc(x) - special.j1(x) / x).max() < 1e-14


def test_is_one_half_at_zero_and_even_near_it() -> None:
    x = np.array([0.0, 1e-300, 1e-8, 1e-3])
    expected = 0.5 - x**2 / 16 + x**4 / 384
    assert np.abs(jinc(x) - expected).max() < 2e-15


def test_the_two_branches_meet() -> None:
    around = SPLIT * (1 + np.array([-2, -1, 0, 1, 2]) * np.finfo(float).eps)
    assert np.ptp(jinc(around)) < 1e-14


def test_is_relatively_exact_in_its_tail() -> None:
    # Absolute accuracy says little where the function is small: compare with its envelope.
    x = np.geomspace(10, 1e5, 50_001)
    envelope = np.sqrt(2 / np.pi) * x**-1.5
    assert (np.abs(jinc(x) - special.j1(x) / x) / envelope).max() < 1e-10


def test_sine_and_cosine_agree_with_numpy() -> None:
    x = np.concatenate([np.linspace(-20, 20, 40_001), np.linspace(-1e6, 1e6, 40_001)])
    sine, cosine = np.empty_like(x), np.empty_like(x)
    _sincos_into(x, sine, cosine)
    assert np.abs(sine - np.sin(x)).max() < 3e-16
    assert np.abs(cosine - np.cos(x)).max() < 3e-16


@pytest.mark.parametrize("least", [0.0, 3.0, 15.9, 16.0, 40.0])
@pytest.mark.parametrize("guess", ["right", "nothing", "all", "outside"])
def test_a_row_of_values_that_fall_and_rise_is_that_of_scipy(least: float, guess: str) -> None:
    # The middle of the row is below 16, where it is another form; a wrong guess of where costs time alone.
    x = np.hypot(np.linspace(-90, 130, 263), least)
    below = np.flatnonzero(x < 16)
    low, high = (int(below[0]), int(below[-1]) + 1) if len(below) else (0, 0)
    low, high = {"right": (low, high), "nothing": (0, 0), "all": (0, 263), "outside": (-5, 400)}[guess]
    if guess == "nothing" and len(below):
        low = high = int(below[0])
    phase, out = np.empty(263), np.empty(263)
    jinc_row(x * x, 3.0, low, high, phase, out)
    exact = np.where(x > 0, special.j1(x) / np.where(x > 0, x, 1), 0.5)
    assert np.abs(out - 3.0 * exact).max() < 1e-14
