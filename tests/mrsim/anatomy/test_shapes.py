"""The ellipse: its transform against direct quadrature, and the laws that a transform obeys."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrsim.anatomy.shapes import Ellipse
from mrsim.errors import InputError

lengths = st.floats(1e-3, 0.2)
places = st.tuples(st.floats(-0.15, 0.15), st.floats(-0.15, 0.15))
angles = st.floats(-7, 7)
ellipses = st.builds(Ellipse, places, st.tuples(lengths, lengths), angles)
steps = st.tuples(st.floats(-0.05, 0.05), st.floats(-0.05, 0.05))
factors = st.floats(0.2, 3.0)

RNG = np.random.default_rng(11)
KX, KY = RNG.uniform(-200, 200, (2, 60))
KX[0] = KY[0] = 0.0

RADIAL, WEIGHTS = np.polynomial.legendre.leggauss(220)


def quadrature(ellipse: Ellipse, kx: float, ky: float) -> complex:
    """Integrate exp(-2 pi i k.r) over the ellipse: Gauss-Legendre in the radius, equal steps around."""
    theta = np.arange(720) * (2 * np.pi / 720)
    radius = (RADIAL + 1) / 2
    u, v = np.outer(radius, np.cos(theta)), np.outer(radius, np.sin(theta))
    (a, b), c, s = ellipse.semi_axes, math.cos(ellipse.angle), math.sin(ellipse.angle)
    x = ellipse.center[0] + c * a * u - s * b * v
    y = ellipse.center[1] + s * a * u + c * b * v
    ring = np.exp(-2j * np.pi * (kx * x + ky * y)).mean(axis=1) * 2 * np.pi
    return complex(a * b * np.sum(ring * radius * WEIGHTS / 2))


def close(actual: np.ndarray, expected: np.ndarray, ellipse: Ellipse, rtol: float = 1e-10) -> None:
    # The absolute part counts beside the zeros of J1 only.
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-14 * ellipse.area)


@pytest.mark.parametrize(
    "ellipse",
    [
        Ellipse((0.0, 0.0), (0.1, 0.1)),
        Ellipse((-0.052, -0.012), (0.015, 0.011), 0.3),
        Ellipse((0.03, -0.07), (0.15, 0.02), -1.1),
        Ellipse((0.1, 0.1), (0.002, 0.12), 2.5),
    ],
)
def test_the_transform_is_the_integral_to_1e_10(ellipse):
    integral = [quadrature(ellipse, kx, ky) for kx, ky in zip(KX, KY, strict=True)]
    close(ellipse.transform(KX, KY), np.array(integral), ellipse)


@given(ellipses)
def test_at_k_0_it_is_the_area(ellipse):
    a, b = ellipse.semi_axes
    value = ellipse.transform(np.array(0.0), np.array(0.0))
    assert complex(value) == pytest.approx(math.pi * a * b, rel=1e-10)
    assert ellipse.area == pytest.approx(math.pi * a * b)


@given(ellipses)
def test_it_is_hermitian(ellipse):
    close(ellipse.transform(-KX, -KY), ellipse.transform(KX, KY).conj(), ellipse)


@given(ellipses, steps)
def test_a_shift_multiplies_by_a_phase(ellipse, step):
    center = (ellipse.center[0] + step[0], ellipse.center[1] + step[1])
    moved = Ellipse(center, ellipse.semi_axes, ellipse.angle).transform(KX, KY)
    phase = np.exp(-2j * np.pi * (KX * step[0] + KY * step[1]))
    close(moved, ellipse.transform(KX, KY) * phase, ellipse)


@given(ellipses, angles)
def test_a_turn_of_the_ellipse_turns_its_transform(ellipse, angle):
    c, s = math.cos(angle), math.sin(angle)
    x, y = ellipse.center
    turned = Ellipse((c * x - s * y, s * x + c * y), ellipse.semi_axes, ellipse.angle + angle)
    close(turned.transform(c * KX - s * KY, s * KX + c * KY), ellipse.transform(KX, KY), ellipse, 1e-9)


@given(ellipses, factors, factors)
def test_a_stretch_shrinks_its_transform(ellipse, x, y):
    stretched = ellipse.stretched(x, y)
    assert stretched.center == ellipse.center
    assert stretched.area == pytest.approx(ellipse.area * x * y)
    close(stretched.form_factor(KX, KY), x * y * ellipse.form_factor(x * KX, y * KY), stretched, 1e-9)


@given(ellipses)
def test_the_transform_of_any_point_is_the_same_alone_and_in_an_array(ellipse):
    together = ellipse.form_factor(KX, KY)
    alone = [float(ellipse.form_factor(KX[i : i + 1], KY[i : i + 1])[0]) for i in (0, 7, 59)]
    close(np.array(alone), together[[0, 7, 59]], ellipse, 1e-13)


@given(ellipses)
def test_the_edge_parts_inside_from_outside_and_fills_the_bounding_box(ellipse):
    edge, center = ellipse.boundary(720), np.array(ellipse.center)
    inner, outer = center + 0.999 * (edge - center), center + 1.001 * (edge - center)
    assert ellipse.inside(inner[:, 0], inner[:, 1]).all()
    assert not ellipse.inside(outer[:, 0], outer[:, 1]).any()
    reach = np.abs(edge - center).max(axis=0)
    extent = np.array(ellipse.extent())
    assert np.all(reach <= extent * (1 + 1e-12))
    # Equal steps of the angle come this close to the furthest point.
    np.testing.assert_allclose(reach, extent, rtol=1 - math.cos(math.pi / 720))


def test_the_pixels_inside_have_its_area_and_centroid():
    ellipse = Ellipse((0.02, -0.01), (0.06, 0.03), 0.7)
    step = 2e-4
    y, x = np.mgrid[-0.1:0.1:step, -0.1:0.1:step]
    mask = ellipse.inside(x, y)
    assert mask.sum() * step**2 == pytest.approx(ellipse.area, rel=1e-3)
    assert (x[mask].mean(), y[mask].mean()) == pytest.approx(ellipse.center, abs=1e-5)


def test_a_positive_angle_turns_from_x_towards_y():
    needle = Ellipse((0.0, 0.0), (0.1, 0.001), math.radians(30))
    x, y = 0.09 * math.cos(math.radians(30)), 0.09 * math.sin(math.radians(30))
    assert bool(needle.inside(np.array(x), np.array(y)))
    assert not bool(needle.inside(np.array(x), np.array(-y)))


@pytest.mark.parametrize(
    ("center", "semi_axes", "angle"),
    [
        ((0, 0), (0.0, 0.1), 0.0),
        ((0, 0), (0.1, -0.1), 0.0),
        ((math.nan, 0), (0.1, 0.1), 0.0),
        ((0, 0), (0.1, math.inf), 0.0),
        ((0, 0), (0.1, 0.1), math.nan),
    ],
)
def test_what_is_no_ellipse_is_refused(center, semi_axes, angle):
    with pytest.raises(InputError, match="ellipse"):
        Ellipse(center, semi_axes, angle)
