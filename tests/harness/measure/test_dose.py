"""The relative D98 of a target that is not where the beam aims."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.ndimage import binary_dilation, gaussian_filter, shift
from scipy.special import i0e

from harness.measure.dose import FALLOFF_M, LUNG_FALLOFF_M, MARGIN_M, pixel_of, relative_d98
from mrsim.errors import InputError
from mrsim.stream import Header

PIXEL_M = (1e-3, 1e-3)


def disc(radius_m: float, pixel_m: float = 1e-3, size: int = 41) -> NDArray[np.bool_]:
    at = (np.arange(size) - size // 2) * pixel_m
    return np.hypot(at[:, None], at) <= radius_m


def along(y_m: float, n: int = 1) -> NDArray[np.float64]:
    return np.tile((0.0, y_m), (n, 1))


def corner() -> NDArray[np.bool_]:
    """Return a target without any symmetry: an L with a foot."""
    mask = np.zeros((40, 36), np.bool_)
    mask[8:28, 10:16] = mask[22:28, 10:24] = mask[8:12, 10:20] = True
    return mask


def blurred_disc(r_m: float, radius_m: float, sd_m: float) -> float:
    """Return a uniform disc smoothed by a Gaussian, at a distance from its centre."""
    return quad(
        lambda s: s / sd_m**2 * np.exp(-((r_m - s) ** 2) / (2 * sd_m**2)) * i0e(r_m * s / sd_m**2),
        0,
        radius_m,
    )[0]


def test_without_error_nothing_is_lost() -> None:
    for mask in (disc(0.01), corner()):
        for hard_edge in (False, True):
            assert relative_d98(mask, PIXEL_M, np.zeros((3, 2)), hard_edge=hard_edge) == pytest.approx(1)


def test_a_larger_error_leaves_less_and_its_direction_is_all_the_same_for_a_disc() -> None:
    shares = []
    for error_m in (0.0, 0.5e-3, 1e-3, 2e-3, 3e-3, 5e-3, 8e-3, 12e-3, 20e-3):
        round_trip = [
            relative_d98(disc(0.01), PIXEL_M, error_m * np.array([[np.cos(angle), np.sin(angle)]]))
            for angle in (0, np.pi / 2, np.pi, 3 * np.pi / 2)
        ]
        assert np.ptp(np.array(round_trip, np.float64)) < 1e-9
        shares.append(round_trip[0])
    assert np.all(np.diff(np.array(shares, np.float64)) < 0)


@pytest.mark.parametrize("falloff_m", [FALLOFF_M, LUNG_FALLOFF_M])
def test_a_disc_has_the_d98_of_the_closed_form(falloff_m: float) -> None:
    """Of a disc, 98 % lie within 0.99 of its radius; shifted by an error, the lowest 2 % lie on one side."""
    radius_m, pixel_m = 0.01, 0.1e-3
    mask = disc(radius_m, pixel_m, 221)
    at = (np.arange(221) - 110) * pixel_m
    y, x = np.meshgrid(at, at, indexing="ij")
    far = np.linspace(0, 0.06, 400)
    profile = [blurred_disc(r, radius_m + MARGIN_M, falloff_m) for r in far]
    reference = blurred_disc(np.sqrt(0.98) * radius_m, radius_m + MARGIN_M, falloff_m)
    for error in ((0.0, 0.0), (0.0, 4e-3), (3e-3, -6e-3)):
        dose = np.interp(np.hypot(y[mask] - error[1], x[mask] - error[0]), far, profile)
        found = relative_d98(mask, (pixel_m, pixel_m), np.array([error]), falloff_m=falloff_m)
        assert found == pytest.approx(np.quantile(dose, 0.02) / reference, abs=0.002)


def test_it_is_the_mean_of_the_shifted_doses_for_any_shape_and_direction() -> None:
    """Against shifting by hand, for a target that a wrong sign or a swap of axes would tell."""
    pixel_m, mask = 0.5e-3, np.pad(corner(), 60)
    rng = np.random.default_rng(3)
    pixels = rng.integers(-9, 10, (12, 2)) + np.array([4, -3])  # x, y
    weights = rng.random(12)
    y, x = (np.arange(-6, 7) for _ in range(2))
    grown = binary_dilation(mask, np.hypot(y[:, None], x) <= 6)
    dose = gaussian_filter(grown.astype(float), 8, truncate=6, mode="constant")
    given = sum(
        w * shift(dose, (dy, dx), order=0)
        for (dx, dy), w in zip(pixels, weights / weights.sum(), strict=True)
    )
    expected = np.quantile(given[mask], 0.02) / np.quantile(dose[mask], 0.02)
    found = relative_d98(mask, (pixel_m, pixel_m), pixels * pixel_m, weights)
    assert found == pytest.approx(expected, abs=1e-6)
    assert relative_d98(mask, (pixel_m, pixel_m), -pixels * pixel_m, weights) != pytest.approx(
        expected, abs=1e-3
    )


def test_pixels_may_be_oblong() -> None:
    square = np.repeat(np.repeat(corner(), 4, axis=0), 2, axis=1)
    error = np.array([[2e-3, -3e-3], [0.0, 1e-3]])
    expected = relative_d98(square, (0.5e-3, 0.5e-3), error)
    assert relative_d98(corner(), (2e-3, 1e-3), error) == pytest.approx(expected, abs=1e-12)
    assert relative_d98(corner(), (1e-3, 2e-3), error) != pytest.approx(expected, abs=1e-3)


def test_time_without_a_target_gets_no_dose() -> None:
    """Lost for a quarter of the time is a quarter of the dose lost, as it is infinitely far away."""
    for lost in (np.nan, np.inf, -np.inf, 1.0, 1e6):
        error = np.vstack([along(0.0, 3), (0.0, lost)])
        assert relative_d98(disc(0.01), PIXEL_M, error) == pytest.approx(0.75)
    assert relative_d98(disc(0.01), PIXEL_M, along(np.nan, 4)) == pytest.approx(0, abs=1e-12)


def test_what_just_misses_the_target_comes_back_on_no_other_side() -> None:
    """Dose that leaves the field is no dose: from 30 mm on, nothing reaches the far side of the target."""
    directions = np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1)])
    for far in np.linspace(0.03, 0.1, 71):
        for error in far * directions:
            assert relative_d98(corner(), PIXEL_M, error[None]) == pytest.approx(0, abs=1e-3)


def test_weights_are_shares_of_time() -> None:
    error = np.array([[0.0, 0.0], [0.0, 6e-3]])
    expected = relative_d98(disc(0.01), PIXEL_M, error[[0, 0, 0, 1]])
    assert relative_d98(disc(0.01), PIXEL_M, error, np.array([0.6, 0.2])) == pytest.approx(expected)
    assert relative_d98(disc(0.01), PIXEL_M, error, np.array([1.0, 0.0])) == pytest.approx(1)
    assert relative_d98(disc(0.01), PIXEL_M, error, np.zeros(2)) is None


def test_an_error_between_pixels_is_between_theirs() -> None:
    shares = [relative_d98(disc(0.01), PIXEL_M, along(far)) for far in np.linspace(4e-3, 6e-3, 21)]
    steps = -np.diff(np.array(shares, np.float64))
    assert steps.min() > 0.5 * steps.mean()
    assert steps.max() < 1.6 * steps.mean()


def test_a_hard_edge_forgives_what_stays_within_it_and_nothing_more() -> None:
    """Its dose is 0 or 1: within the edge an error costs nothing, beyond it all that time."""
    error = np.vstack([along(1e-3, 8), along(-9e-3, 2)])
    assert relative_d98(disc(0.01), PIXEL_M, error, hard_edge=True) == pytest.approx(0.8)
    assert relative_d98(disc(0.01), PIXEL_M, along(2e-3), hard_edge=True) == pytest.approx(1)
    assert relative_d98(disc(1e-3), PIXEL_M, along(0.0), hard_edge=True) is None  # smoothed below one half


def test_what_cannot_be_is_refused() -> None:
    error = np.zeros((2, 2))
    for mask in (np.zeros((4, 4), np.bool_), np.ones(4, np.bool_)):
        with pytest.raises(InputError, match="mask of the target is empty"):
            relative_d98(mask, PIXEL_M, error)
    for wrong in (np.zeros(2), np.zeros((2, 3))):
        with pytest.raises(InputError, match="expected"):
            relative_d98(disc(0.01), PIXEL_M, wrong)
    for weight in (np.ones(3), np.array([1.0, -1.0]), np.array([1.0, np.nan])):
        with pytest.raises(InputError, match="weights"):
            relative_d98(disc(0.01), PIXEL_M, error, weight)
    with pytest.raises(InputError, match="fall-off"):
        relative_d98(disc(0.01), PIXEL_M, error, falloff_m=0.0)
    with pytest.raises(InputError, match="pixel"):
        relative_d98(disc(0.01), (1.0, 1e-3), error)


def test_the_pixels_of_a_scan_are_of_a_size_that_a_dose_is_told_for() -> None:
    header = Header((32, 64), (0.4, 0.32), 2_200_000, 1_100_000, 0.35, 1.5, 1, 8, 4.0, "uniform", "random")
    assert pixel_of(header) == pytest.approx((0.0125, 0.005))
    with pytest.raises(InputError, match=r"make pixels of 0\.0125 x 1e-06 m: .*--no-quality"):
        pixel_of(dataclasses.replace(header, fov_m=(0.4, 1e-4), matrix=(32, 100)))
