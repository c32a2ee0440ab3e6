"""Polygons: their transform against closed forms and quadrature, what they hold, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from mrsim.anatomy.polygon import Polygon, add_edges
from mrsim.anatomy.shapes import Ellipse
from mrsim.errors import InputError

KITE = Polygon(((0.0, 0.0), (0.03, -0.004), (0.042, 0.021), (0.02, 0.012), (0.004, 0.03)))
K = np.linspace(-160, 160, 23)


def test_a_rectangle_is_a_product_of_sincs() -> None:
    a, b = 0.031, 0.018
    box = Polygon(((0, 0), (a, 0), (a, b), (0, b)))
    kx, ky = K[None, :], K[:, None] + 0.3
    expected = a * b * np.sinc(a * kx) * np.sinc(b * ky)
    assert np.abs(box.form_factor(kx, ky) - expected).max() < 1e-14 * 10


def test_a_triangle_agrees_with_quadrature() -> None:
    corners = np.array([(0.01, -0.02), (0.05, 0.01), (0.0, 0.03)])
    nodes, weights = np.polynomial.legendre.leggauss(40)
    u, v = (nodes[:, None] + 1) / 2, (nodes[None, :] + 1) / 2
    (e1, e2), jacobian = (corners[1] - corners[0], corners[2] - corners[0]), (1 - u) / 4
    x = corners[0, 0] + u * e1[0] + (1 - u) * v * e2[0]
    y = corners[0, 1] + u * e1[1] + (1 - u) * v * e2[1]
    area = abs(e1[0] * e2[1] - e1[1] * e2[0])
    triangle = Polygon(tuple(map(tuple, corners)))
    cx, cy = triangle.center
    for kx, ky in ((0, 0), (20, -31), (110, 70), (0.001, 0.0), (1e-7, 2e-7)):
        wave = np.exp(-2j * np.pi * (kx * (x - cx) + ky * (y - cy)))
        expected = area * (wave * jacobian * weights[:, None] * weights[None, :]).sum()
        got = triangle.form_factor(np.array([kx]), np.array([ky]))[0]
        assert abs(got - expected) < 1e-11 * triangle.area


def test_a_polygon_becomes_an_ellipse_as_its_corners_grow_in_number() -> None:
    ellipse = Ellipse((0.02, 0.01), (0.03, 0.02), 0.4)
    error = []
    for corners in (16, 32, 64, 128, 256):
        polygon = Polygon(tuple(map(tuple, ellipse.boundary(corners))))
        form = polygon.form_factor(K[None, :], K[:, None])
        error.append(np.abs(form - ellipse.form_factor(K[None, :], K[:, None])).max() / ellipse.area)
    assert error[-1] < 2e-4
    assert np.log2(np.array(error[:-1]) / error[1:]) == pytest.approx([2, 2, 2, 2], abs=0.1)


def test_the_way_round_and_the_place_change_nothing_of_the_form() -> None:
    turned = Polygon(KITE.points[::-1])
    moved = KITE.moved(KITE.vertices + np.array([0.05, -0.07]))
    form = KITE.form_factor(K[None, :], K[:, None])
    assert turned.area == pytest.approx(KITE.area, rel=1e-14)
    for other in (turned, moved):
        assert np.abs(other.form_factor(K[None, :], K[:, None]) - form).max() < 1e-12 * KITE.area
    hermitian = KITE.form_factor(-K[None, :], -K[:, None])
    assert np.abs(hermitian - form.conj()).max() < 1e-14 * KITE.area * 10


def test_lines_from_edges_are_the_transform_with_its_phase() -> None:
    rows, columns, step = np.arange(-9, 9, dtype=np.int32), 40, 2.5
    starts = np.repeat(KITE.vertices[None], len(rows), axis=0)
    out = np.zeros((len(rows), columns), np.complex128)
    add_edges(rows, starts, np.roll(starts, -1, axis=1), np.full(starts.shape[:2], 2 - 1j), step, step, out)
    kx, ky = (np.arange(columns) - columns // 2) * step, rows[:, None] * step
    turn = np.exp(-2j * np.pi * (kx * KITE.center[0] + ky * KITE.center[1]))
    expected = (2 - 1j) * KITE.form_factor(kx[None, :], ky) * turn
    assert np.abs(out - expected).max() < 1e-11 * KITE.area


def test_an_edge_across_the_line_has_no_pole() -> None:
    box = np.array([(0, 0), (0.03, 0), (0.03, 0.02), (0, 0.02)], np.float64)[None]
    out = np.zeros((1, 9), np.complex128)
    add_edges(np.zeros(1, np.int32), box, np.roll(box, -1, axis=1), np.ones((1, 4), complex), 10.0, 10.0, out)
    kx = (np.arange(9) - 4) * 10.0
    expected = 6e-4 * np.sinc(0.03 * kx) * np.exp(-2j * np.pi * kx * 0.015)
    assert np.abs(out[0] - expected).max() < 1e-14


def test_inside_agrees_with_the_area() -> None:
    x, y = (np.arange(600) + 0.5) / 600 * 0.06 - 0.01, (np.arange(600) + 0.5) / 600 * 0.06 - 0.02
    inside = KITE.inside(x[None, :], y[:, None])
    assert inside.mean() * 0.06**2 == pytest.approx(KITE.area, rel=2e-3)
    assert KITE.inside(np.array([0.028]), np.array([0.004])).all()
    assert not KITE.inside(np.array([0.014]), np.array([0.026])).any()  # in the notch
    middle = ((inside * x[None, :]).sum() / inside.sum(), (inside * y[:, None]).sum() / inside.sum())
    assert middle == pytest.approx(KITE.center, abs=5e-5)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (((0, 0), (1, 0)), "2 points: expected 3"),
        (((0, 0), (1, 1), (1, 0), (0, 1)), "edge 0 meets edge 2"),
        (((0, 0), (0, 0), (1, 0), (0, 1)), "edge 0 meets edge 0"),
        (((0, 0), (float("nan"), 0), (0, 1)), "not finite"),
    ],
)
def test_a_wrong_outline_is_refused(points: tuple[tuple[float, float], ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Polygon(points)
