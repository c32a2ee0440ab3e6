"""J1(x) / x in double precision, fast: the kernel of every ellipse's transform.

Below 8 a polynomial in x^2, from 8 on Hankel's form with modulus and phase. The coefficients are made
at import from integral representations, by trapezoidal sums that converge exponentially. `jinc` and
`sincos` are free of branches and inlined into the loop that calls them, so that the loop is vectorized.
Only arithmetic and square roots are used. A caller that may fuse multiply and add (`FUSED`) runs twice
as fast; one that may not gets the same bits wherever a value stands in an array.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numba import njit
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

Array = NDArray[np.float64]

FUSED = {"contract"}  # the `fastmath` flags of kernels: fused multiply-add, nothing reordered
SPLIT = 8.0  # below: a polynomial in x^2; from here on: Hankel's form


def _poisson(x: Array) -> Array:
    # J1(x) / x = 1/pi int_0^pi cos(x cos u) sin(u)^2 du; periodic, so the trapezoidal sum is spectral.
    u = np.arange(64) * (math.pi / 64)
    values: Array = np.mean(np.cos(np.multiply.outer(x, np.cos(u))) * np.sin(u) ** 2, axis=-1)
    return values


def _hankel(x: Array) -> NDArray[np.complex128]:
    # P + iQ = 2/sqrt(pi) int exp(-u^2) u^2 sqrt(1 + i u^2 / (2x)) du over the real line; the integrand is
    # analytic within |Im u| < sqrt(x), so that with a step of 0.2 the sum is exact to rounding.
    u = np.arange(-60, 61) * 0.2
    weight = 0.2 * np.exp(-(u**2)) * u**2 * (2 / math.sqrt(math.pi))
    values: NDArray[np.complex128] = np.sqrt(1 + 1j * np.divide.outer(u**2, 2 * x)).T @ weight
    return values


def _powers(function: Callable[[Array], Array], terms: int) -> tuple[float, ...]:
    # Interpolate at Chebyshev nodes on [-1, 1]; highest power first, for Horner's rule. The series falls
    # so fast that the change of basis costs no digits (the largest coefficient is about 1).
    series = np.asarray(chebyshev.chebinterpolate(cast(Any, function), terms - 1), np.float64)
    return tuple(float(c) for c in chebyshev.cheb2poly(series)[::-1])


def _x_of(z: Array) -> Array:
    x: Array = SPLIT / np.sqrt((z + 1) / 2)  # z = 2 (8 / x)^2 - 1
    return x


_SMALL = _powers(lambda z: _poisson(SPLIT * np.sqrt((z + 1) / 2)), 15)
_P = _powers(lambda z: _hankel(_x_of(z)).real, 10)
_Q = _powers(lambda z: _hankel(_x_of(z)).imag * _x_of(z) / SPLIT, 9)
# sin and cos on [-pi/4, pi/4] by their Taylor series in x^2, highest power first.
_SIN = tuple((-1.0) ** n / math.factorial(2 * n + 1) for n in range(8, -1, -1))
_COS = tuple((-1.0) ** n / math.factorial(2 * n) for n in range(9, -1, -1))


def _half_pi_parts() -> tuple[float, float, float]:
    # The first two have 24 bits, so that their products with a whole number of quarter turns are exact
    # up to 2^28 turns; the third carries what double precision leaves out: pi = fl(pi) + sin(fl(pi)).
    a = float(np.float32(math.pi / 2))
    b = float(np.float32(math.pi / 2 - a))
    return a, b, (math.pi / 2 - a - b) + math.sin(math.pi) / 2


_PI_A, _PI_B, _PI_C = _half_pi_parts()
_TWO_OVER_PI = 2 / math.pi
_SQRT_INV_PI = 1 / math.sqrt(math.pi)


@njit(inline="always")
def _horner(coefficients: tuple[float, ...], x: float) -> float:
    y = coefficients[0]
    for i in range(1, len(coefficients)):
        y = y * x + coefficients[i]
    return y


@njit(inline="always")
def sincos(x: float) -> tuple[float, float]:
    """Return the sine and cosine of x, |x| below 1e8, to 3e-16 absolute."""
    turns = np.rint(x * _TWO_OVER_PI)
    r = ((x - turns * _PI_A) - turns * _PI_B) - turns * _PI_C
    r2 = r * r
    s = r * _horner(_SIN, r2)
    c = _horner(_COS, r2)
    quarter = turns - 4.0 * np.floor(turns * 0.25)  # 0, 1, 2 or 3
    odd = (quarter == 1.0) | (quarter == 3.0)
    sine = c if odd else s
    cosine = s if odd else c
    sine = -sine if quarter >= 2.0 else sine
    cosine = -cosine if (quarter == 1.0) | (quarter == 2.0) else cosine
    return sine, cosine


@njit(inline="always")
def jinc(x: float) -> float:
    """Return J1(x) / x for x >= 0, to 1e-14 absolute (1/2 at 0)."""
    low = min(x, SPLIT)
    small = _horner(_SMALL, low * low * (2.0 / SPLIT**2) - 1.0)
    high = max(x, SPLIT)
    w = SPLIT / high
    z = 2.0 * (w * w) - 1.0
    sine, cosine = sincos(high)
    # cos(x - 3 pi/4) = (sin x - cos x) / sqrt 2 and sin(x - 3 pi/4) = -(sin x + cos x) / sqrt 2
    hankel = _horner(_P, z) * (sine - cosine) + w * _horner(_Q, z) * (sine + cosine)
    large = _SQRT_INV_PI * hankel / (high * np.sqrt(high))
    return float(small if x < SPLIT else large)


@njit(cache=True, error_model="numpy", fastmath=FUSED)
def jinc_into(x: Array, out: Array) -> None:
    """Write J1(x) / x of every element; the arrays are one-dimensional and may be the same."""
    for i in range(x.size):
        out[i] = jinc(x[i])
