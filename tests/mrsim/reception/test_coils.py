"""Loops obey Biot and Savart, filters give the k-space of sensitivity times object, noise its covariance."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.special import hyp2f1

from mrsim.anatomy.containment import BEYOND_FOV
from mrsim.anatomy.phantom import load_phantom
from mrsim.anatomy.shapes import Ellipse
from mrsim.errors import InputError
from mrsim.reception.channels import body_noise_covariance, colour, combine, noise_covariance, prewhiten
from mrsim.reception.coil_fit import FittedCoils, fit_coils
from mrsim.reception.coils import MU0, CoilArray, Loop, _elliptic, _radial_bracket
from mrsim.scanner.protocol import ScanProtocol
from mrsim.scanner.receiver import Receiver
from mrsim.scanner.render import Renderer

FOV = (0.4, 0.36)
MATRIX = (32, 32)
TILTED = Loop((0.02, -0.01, 0.03), (0.3, -0.5, 0.8), 0.07)
OBJECTS = (Ellipse((0.02, -0.03), (0.11, 0.07), 0.4), Ellipse((-0.06, 0.08), (0.03, 0.045)))


def body(x, y):
    return (x / 0.15) ** 2 + (y / 0.15) ** 2 <= 1


@pytest.fixture(scope="module")
def array() -> CoilArray:
    return CoilArray.ring(8)


@pytest.fixture(scope="module")
def fitted(array) -> FittedCoils:
    return fit_coils(array, FOV, inside=body)


@pytest.mark.parametrize("z", [0.0, 1e-9, 0.02, -0.3])
def test_field_on_the_axis_is_the_closed_form(z):
    expected = MU0 * TILTED.radius_m**2 / (2 * (TILTED.radius_m**2 + z**2) ** 1.5) * TILTED.axis
    field = TILTED.field(np.array(TILTED.center) + z * TILTED.axis)
    assert np.allclose(field, expected, rtol=1e-13, atol=1e-13 * np.linalg.norm(expected))


def test_field_equals_the_sum_over_the_wire():
    points = np.random.default_rng(1).uniform(-0.25, 0.25, (200, 3))
    wire = TILTED.wire(4000)
    clear = np.linalg.norm(points[:, None] - wire, axis=-1).min(axis=1) > 0.02
    points = points[clear]
    step = np.cross(TILTED.axis, wire - np.array(TILTED.center)) * (2 * math.pi / len(wire))
    away = points[:, None] - wire
    summed = np.cross(step, away) / np.linalg.norm(away, axis=-1, keepdims=True) ** 3
    field = TILTED.field(points)
    assert np.allclose(field, MU0 / (4 * math.pi) * summed.sum(axis=1), rtol=1e-11, atol=1e-20)
    assert len(points) > 150


def test_field_has_no_divergence_and_no_curl():
    points = np.random.default_rng(2).uniform(-0.3, 0.3, (50, 3))
    points = points[np.linalg.norm(points[:, None] - TILTED.wire(720), axis=-1).min(axis=1) > 0.03]
    h = 1e-4
    # Fourth-order differences: row i holds the derivative along i.
    weights = ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0))
    slope = np.stack(
        [sum(w * TILTED.field(points + n * h * e) for n, w in weights) / (12 * h) for e in np.eye(3)], axis=1
    )
    size = np.linalg.norm(slope, axis=(1, 2))
    assert np.abs(np.trace(slope, axis1=1, axis2=2) / size).max() < 1e-6
    curl = np.linalg.norm(slope - slope.transpose(0, 2, 1), axis=(1, 2))
    assert (curl / size).max() < 1e-6


def test_bracket_is_smooth_where_series_and_closed_form_meet():
    m = np.array([0.0, 1e-12, 1e-3, 0.0999999, 0.1, 0.3, 0.9])
    expected = 3 * math.pi / 32 * hyp2f1(1.5, 2.5, 3, m)
    assert np.allclose(_radial_bracket(m, *_elliptic(m)), expected, rtol=1e-12)


def test_sensitivity_turns_with_the_spins():
    """One loop that faces +x: with B0 along y, B1- is Bz - i Bx; a loop that faces B0 sees nothing there."""
    loop = Loop((-0.3, 0.0, 0.0), (1.0, 0.0, 0.0), 0.1)
    assert np.allclose(CoilArray((loop,)).sensitivity(0.0, 0.0), -1j)
    assert np.allclose(CoilArray((loop,), "z").sensitivity(0.0, 0.0), 1)
    with pytest.raises(InputError, match="sees nothing at the isocentre"):
        CoilArray((loop,), "x").sensitivity(0.0, 0.0)
    at = np.array([[0.05, -0.1, 0.02]])
    reversed_loop = Loop(loop.center, (-1.0, 0.0, 0.0), 0.1)
    forward, backward = (CoilArray((x,)).sensitivity(*at.T) for x in (loop, reversed_loop))
    assert np.allclose(np.abs(forward), np.abs(backward))


@pytest.mark.parametrize("count", [2, 3, 8, 16, 32])
def test_ring_surrounds_the_body(count):
    array = CoilArray.ring(count)
    assert array.count == len(array.loops) == count
    centers = np.array([loop.center for loop in array.loops])
    assert np.allclose(np.hypot(centers[:, 0], centers[:, 2]), 0.30)
    assert len(np.unique(centers.round(6), axis=0)) == count
    assert math.isclose(np.linalg.norm(array.sensitivity(0.0, 0.0)), 1, rel_tol=1e-12)
    assert np.isfinite(array.sensitivity(*np.meshgrid([-0.2, 0.2], [-0.2, 0.2]))).all()


def test_one_coil_is_uniform():
    array = CoilArray.ring(1)
    assert np.array_equal(array.sensitivity(np.zeros((2, 3)), 0.1), np.ones((1, 2, 3)))
    fitted = fit_coils(array, FOV)
    assert fitted.error_rms == fitted.error_max == 0.0
    fine = fine_lines(fitted, 3, [OBJECTS[0]])
    out = np.empty((1, MATRIX[1]), np.complex128)
    fitted.filter_line(fine, out)
    assert np.array_equal(out[0], fine[0, : 2 * MATRIX[1] : 2])


def test_fit_reports_its_error(array, fitted):
    x, y = np.meshgrid(np.linspace(-0.15, 0.15, 101), np.linspace(-0.15, 0.15, 101))
    x, y = x[body(x, y)], y[body(x, y)]
    true = array.sensitivity(x, y)
    error = np.abs(fitted.sensitivity(x, y) - true)
    rms = (np.linalg.norm(error, axis=1) / np.linalg.norm(true, axis=1)).max()
    assert 0.8 < rms / fitted.error_rms < 1.25
    assert fitted.error_rms < 2e-3


@pytest.mark.parametrize("name", ["patient1", "quasar", "v2/patient3-day1"])
def test_the_stated_largest_error_bounds_that_of_a_dense_grid(name):
    """It was taken on a coarse grid, whose points do not reach the outline: 1.6 times too small."""
    phantom = load_phantom(name)
    receiver = Receiver.around(phantom, ScanProtocol(coils=8))
    high = BEYOND_FOV * 0.2 if phantom.beyond_fov else 0.2
    x, y = (v.ravel() for v in np.meshgrid(np.linspace(-0.2, 0.2, 443), np.linspace(-high, high, 443)))
    inside = phantom.resting_outline()(x, y)
    x, y = x[inside], y[inside]
    true = receiver.array.sensitivity(x, y)
    error = np.abs(receiver.fitted.sensitivity(x, y) - true).max(axis=1)
    largest = (error / np.abs(true).max(axis=1)).max()
    assert largest <= receiver.fitted.error_max < 1.35 * largest


def test_more_taps_fit_better(array):
    errors = [fit_coils(array, FOV, taps=taps, inside=body).error_rms for taps in (3, 5, 7, 9)]
    assert all(b < a / 3 for a, b in itertools.pairwise(errors))
    whole = fit_coils(array, (0.4, 0.4))
    assert errors[2] < whole.error_rms < 0.02  # corners cost accuracy


def fine_lines(fitted, ky, shapes):
    """Render the rows of the finer grid as the scanner would: one object, some shapes, contrasts of 1."""
    grid = fitted.fine_grid(MATRIX)
    count = len(shapes)
    still = np.zeros(count, bool)
    contrast = np.full(count, fitted.gain(MATRIX), np.complex128)
    renderer = Renderer(grid, shapes, contrast, still, still)
    rows = fitted.fine_rows(ky)
    return renderer.render(rows, np.zeros((len(rows), count, 2)), np.zeros((len(rows), 0, 2, 2)))


def quadrature(shape, sensitivity, kx, ky):
    """Integrate sensitivity times exp(-2 pi i k.r) over an ellipse: Gauss in the radius, periodic around."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    radius, weights = (nodes + 1) / 2, weights / 2
    turn = np.arange(160) * (2 * math.pi / 160)
    disc = radius[:, None, None] * np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    points = (np.array(shape.center) + disc @ shape.axes.T).reshape(-1, 2)
    area = np.repeat(weights * radius, 160) * (2 * math.pi / 160) * abs(np.linalg.det(shape.axes))
    seen = sensitivity(points[:, 0], points[:, 1]) * area
    return seen @ np.exp(-2j * math.pi * (np.multiply.outer(points[:, 0], kx) + points[:, 1:] * ky))


@pytest.mark.parametrize("ky", [0, 5, -16, 15])
def test_filtered_line_is_the_transform_of_sensitivity_times_object(array, fitted, ky):
    fov_y, fov_x = FOV
    scale = math.sqrt(MATRIX[0] * MATRIX[1]) / (fov_x * fov_y)
    kx = (np.arange(MATRIX[1]) - MATRIX[1] // 2) / fov_x
    out = np.empty((8, MATRIX[1]), np.complex128)
    fitted.filter_line(fine_lines(fitted, ky, OBJECTS), out)
    exact = sum(scale * quadrature(s, fitted.sensitivity, kx, ky / fov_y) for s in OBJECTS)
    true = sum(scale * quadrature(s, array.sensitivity, kx, ky / fov_y) for s in OBJECTS)
    largest = np.abs(sum(scale * quadrature(s, fitted.sensitivity, np.zeros(1), 0.0) for s in OBJECTS)).max()
    assert np.abs(out - exact).max() < 1e-8 * largest
    area = sum(s.area for s in OBJECTS) * scale
    peak = np.abs(array.sensitivity(*np.array(OBJECTS[0].boundary(90)).T)).max()
    assert np.abs(out - true).max() < fitted.error_max * peak * area
    assert np.abs(out - true).max() > 0  # the fit is not the truth, and says so


def test_filter_works_for_odd_matrices(fitted):
    matrix = (15, 17)
    grid = fitted.fine_grid(matrix)
    kx, ky = grid.k()
    transform = OBJECTS[0].transform(kx, ky)
    for row in (-7, 7):
        fine = transform[fitted.fine_rows(row) + grid.matrix[0] // 2]
        out = np.empty((8, 17), np.complex128)
        fitted.filter_line(np.ascontiguousarray(fine), out)
        exact = quadrature(OBJECTS[0], fitted.sensitivity, (np.arange(17) - 8) / FOV[1], row / FOV[0])
        assert np.abs(out - exact).max() < 1e-9 * OBJECTS[0].area


@pytest.mark.parametrize("psi", [noise_covariance(8, 0.3), body_noise_covariance(CoilArray.ring(8))])
def test_noise_has_its_covariance_and_loses_it(psi):
    assert np.allclose(psi, psi.conj().T)
    assert np.linalg.eigvalsh(psi).min() > 0
    assert math.isclose(np.trace(psi).real, 8)
    rng = np.random.default_rng(3)
    phase = np.exp(2j * math.pi * rng.random(8))
    psi = phase[:, None] * psi * phase.conj()  # complex, as measured ones are
    white = (rng.normal(size=(200, 8, 500)) + 1j * rng.normal(size=(200, 8, 500))) / math.sqrt(2)
    coloured = colour(white, psi)
    for noise, expected in ((coloured, psi), (prewhiten(coloured, psi), np.eye(8))):
        measured = np.einsum("lcx,ldx->cd", noise, noise.conj()) / (200 * 500)
        assert np.abs(measured - expected).max() < 6 * np.abs(psi).max() / math.sqrt(200 * 500)
    assert np.allclose(prewhiten(coloured, psi), white)


def test_neighbours_share_more_noise_than_strangers():
    psi = body_noise_covariance(CoilArray.ring(4), own_noise=1e-3).real  # one ring: 0 and 2 face each other
    assert psi[0, 1] > psi[0, 2]
    assert np.allclose(body_noise_covariance(CoilArray.ring(4), own_noise=1.0), np.eye(4))
    assert np.array_equal(body_noise_covariance(CoilArray.ring(1)), np.ones((1, 1)))


def test_combination_is_exact_without_noise_and_best_with_it(array):
    x, y = np.meshgrid(np.linspace(-0.15, 0.15, 24), np.linspace(-0.15, 0.15, 24))
    maps = array.sensitivity(x, y)
    psi = noise_covariance(8, 0.5) * np.outer(np.arange(1, 9), np.arange(1, 9))
    rng = np.random.default_rng(4)
    image = rng.normal(size=x.shape) + 1j * rng.normal(size=x.shape)
    assert np.allclose(combine(maps * image, maps, psi), image, rtol=1e-12)
    noise = colour(rng.normal(size=(300, 8, x.size)) + 1j * rng.normal(size=(300, 8, x.size)), psi)
    noise = noise.transpose(1, 0, 2).reshape(8, 300, *x.shape)
    spread = np.broadcast_to(maps[:, None], noise.shape)
    best = combine(noise, spread, psi).std(axis=0)
    ignorant = combine(noise, spread, np.eye(8)).std(axis=0)
    assert best.mean() < 0.9 * ignorant.mean()
    dark = maps.copy()
    dark[:, 0, 0] = 0
    assert combine(maps * image, dark, psi)[0, 0] == 0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: CoilArray.ring(0), "expected 1 to 32"),
        (lambda: CoilArray.ring(33), "expected 1 to 32"),
        (lambda: CoilArray.ring(8, loop_radius_m=0.5), "smaller than the cylinder"),
        (lambda: CoilArray.ring(8, b0="w"), "'x', 'y' or 'z'"),
        (lambda: Loop((0, 0, 0), (0, 0, 0), 0.1), "an axis"),
        (lambda: Loop((0, 0, math.nan), (0, 0, 1), 0.1), "finite"),
        (lambda: fit_coils(CoilArray.ring(8), FOV, taps=4), "odd number"),
        (lambda: fit_coils(CoilArray.ring(8), (0.4, math.inf)), "two positive lengths"),
        (lambda: fit_coils(CoilArray.ring(8), (0.7, 0.7)), "its wire comes within"),
        (lambda: fit_coils(CoilArray.ring(8), FOV, inside=lambda x, y: x > 0.17), "too few"),
        (lambda: noise_covariance(4, 1.0), "expected 1 or more"),
        (lambda: colour(np.zeros((2, 4), complex), -np.eye(2)), "positive definite"),
        (lambda: colour(np.zeros((2, 4), complex), np.array([[1, 0.5], [0, 1]])), "Hermitian"),
        (lambda: colour(np.zeros((3, 4), complex), np.eye(2)), "for 3 channels"),
        (lambda: combine(np.zeros((2, 3)), np.zeros((2, 4)), np.eye(2)), "differ"),
        (lambda: body_noise_covariance(CoilArray.ring(2), own_noise=0), "own noise"),
    ],
)
def test_wrong_arrays_are_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        wrong()


def test_filter_refuses_lines_that_do_not_fit(fitted):
    with pytest.raises(InputError, match="expected"):
        fitted.filter_line(np.zeros((7, 40), np.complex128), np.zeros((8, 32), np.complex128))
