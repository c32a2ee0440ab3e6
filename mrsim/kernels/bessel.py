"""J1(x) / x in double precision, fast: the kernel of every ellipse's transform.

Below 8 a polynomial in x^2, from 8 on Hankel's form. The coefficients are made at import from integral
representations, by trapezoidal sums that converge exponentially. `jinc` and `sincos` are free of branches
and inlined into the loop that calls them, so that the loop is vectorized. Only arithmetic and square roots
are used, so that a value has the same bits wherever it stands in an array.

`jinc_row` is for the rows of k-space that are made anew on every line. Along a row x falls and then rises, so
that the samples of the polynomial stand together and each sample is evaluated in one way only. The polynomial
reaches to 16, where it costs less than Hankel's form, and that has one sine in place of sine and cosine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from mrsim.kernels.compilation import inlined, kernel
from mrsim.kernels.fma import fma

Array = NDArray[np.float64]

SPLIT = 8.0  # below: a polynomial in x^2; from here on: Hankel's form
ROW_SPLIT = 16.0  # the same of `jinc_row`


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


def _x_of(z: Array, split: float = SPLIT) -> Array:
    x: Array = split / np.sqrt((z + 1) / 2)  # z = 2 (split / x)^2 - 1
    return x


def _row_hankel(z: Array) -> NDArray[np.complex128]:
    return _hankel(_x_of(z, ROW_SPLIT))


def _sine_over_x(z: Array) -> Array:
    return np.asarray(np.sinc(np.sqrt((z + 1) / 2) / 2), np.float64)  # z = 2 (2 x / pi)^2 - 1


_SMALL = _powers(lambda z: _poisson(SPLIT * np.sqrt((z + 1) / 2)), 15)
_P = _powers(lambda z: _hankel(_x_of(z)).real, 10)
_Q = _powers(lambda z: _hankel(_x_of(z)).imag * _x_of(z) / SPLIT, 9)
# The same for `jinc_row`: the polynomial, P + iQ as modulus and phase, and sin(x) / x on [-pi/2, pi/2].
_ROW_SMALL = _powers(lambda z: _poisson(ROW_SPLIT * np.sqrt((z + 1) / 2)), 21)
_ROW_EVEN, _ROW_ODD = _ROW_SMALL[0::2], _ROW_SMALL[1::2]
_MODULUS = _powers(lambda z: np.abs(_row_hankel(z)), 6)
_PHASE = _powers(lambda z: np.angle(_row_hankel(z)) * _x_of(z, ROW_SPLIT) / ROW_SPLIT, 6)
_SINE = _powers(_sine_over_x, 8)
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
_PI_PARTS = (2 * _PI_A, 2 * _PI_B, 2 * _PI_C)
_INV_PI = 1 / math.pi
_SQRT_TWO_OVER_PI = math.sqrt(2 / math.pi)
_ROW_SPLIT_2 = ROW_SPLIT**2
_SINE_SCALE = 8 / math.pi**2


@inlined
def _horner(coefficients: tuple[float, ...], x: float) -> float:
    y = coefficients[0]
    for i in range(1, len(coefficients)):
        y = fma(y, x, coefficients[i])
    return y


@inlined
def sincos(x: float) -> tuple[float, float]:
    """Return the sine and cosine of x, |x| below 1e8, to 3e-16 absolute."""
    turns = np.rint(x * _TWO_OVER_PI)
    r = fma(turns, -_PI_C, fma(turns, -_PI_B, fma(turns, -_PI_A, x)))
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


@inlined
def jinc(x: float) -> float:
    """Return J1(x) / x for x >= 0, to 1e-14 absolute (1/2 at 0)."""
    low = min(x, SPLIT)
    small = _horner(_SMALL, fma(low * low, 2.0 / SPLIT**2, -1.0))
    high = max(x, SPLIT)
    w = SPLIT / high
    z = fma(2.0 * w, w, -1.0)
    sine, cosine = sincos(high)
    # cos(x - 3 pi/4) = (sin x - cos x) / sqrt 2 and sin(x - 3 pi/4) = -(sin x + cos x) / sqrt 2
    hankel = fma(_horner(_P, z), sine - cosine, w * _horner(_Q, z) * (sine + cosine))
    large = _SQRT_INV_PI * hankel / (high * np.sqrt(high))
    return float(small if x < SPLIT else large)


@kernel()
def jinc_into(x: Array, out: Array) -> None:
    """Write J1(x) / x of every element; the arrays are one-dimensional and may be the same."""
    for i in range(x.size):
        out[i] = jinc(x[i])


@kernel()
def jinc_row(squares: Array, gain: float, low: int, high: int, phase: Array, out: Array) -> None:
    """Write gain * J1(x) / x for values that fall and then rise along a row, to 1e-14 gain.

    Parameters
    ----------
    squares
        x^2 of every sample, shape (n,): below 1e12, and convex along the row.
    gain
        Factor.
    low, high
        Guess of the first sample below 16 and of the one after the last; a good one saves time.
    phase
        Room for intermediate values, shape (n,).
    out
        Result, shape (n,).
    """
    count = squares.size
    low = min(max(low, 0), count)
    high = min(max(high, low), count)
    while low > 0 and squares[low - 1] < _ROW_SPLIT_2:
        low -= 1
    while high < count and squares[high] < _ROW_SPLIT_2:
        high += 1
    while low < high and squares[low] >= _ROW_SPLIT_2:
        low += 1
    while low < high and squares[high - 1] >= _ROW_SPLIT_2:
        high -= 1
    # Hankel's form is taken for whole groups of eight; what it writes beyond its part is written over.
    left = min(count, (low + 7) // 8 * 8)
    right = max(left, high // 8 * 8)
    if low < high:
        _hankel_row(squares, gain, 0, left, phase, out)
        _hankel_row(squares, gain, right, count, phase, out)
    else:
        _hankel_row(squares, gain, 0, count, phase, out)
    for i in range(np.uint64(low), np.uint64(high)):
        z = fma(squares[i], 2.0 / _ROW_SPLIT_2, -1.0)
        # Two sums in z^2 that do not wait for each other; a single one of 21 terms is not unrolled.
        out[i] = gain * fma(z, _horner(_ROW_ODD, z * z), _horner(_ROW_EVEN, z * z))


@kernel()
def _hankel_row(squares: Array, gain: float, start: int, stop: int, phase: Array, out: Array) -> None:
    """Write gain sqrt(2 / pi) x^-1.5 M sin(x - pi/4 + phi) from `start` to `stop`, for x >= 16.

    M exp(i phi) = P + iQ. Unsigned indices, which cannot count from an array's end, let loops be vectorized.
    """
    gain *= _SQRT_TWO_OVER_PI
    for i in range(np.uint64(start), np.uint64(stop)):
        square = max(squares[i], _ROW_SPLIT_2)
        # x^-0.5 in single precision, then a step of third order: roots and quotients are what is slow here.
        root = np.float64(np.float32(1.0) / np.sqrt(np.sqrt(np.float32(square))))
        inverse = root * root
        rest = fma(-square, inverse * inverse, 1.0)
        root = fma(root * rest, fma(rest, 5.0 / 32.0, 0.25), root)
        inverse = root * root
        z = fma((2.0 * _ROW_SPLIT_2) * inverse, inverse, -1.0)
        phase[i] = fma(ROW_SPLIT * inverse, _horner(_PHASE, z), square * inverse)
        out[i] = (gain * inverse) * (root * _horner(_MODULUS, z))
    for i in range(np.uint64(start), np.uint64(stop)):
        half_turns = np.rint(fma(phase[i], _INV_PI, -0.25))
        turned = half_turns + 0.25
        x = fma(turned, -_PI_PARTS[2], fma(turned, -_PI_PARTS[1], fma(turned, -_PI_PARTS[0], phase[i])))
        sign = 1.0 - 2.0 * (half_turns - 2.0 * np.floor(half_turns * 0.5))
        out[i] *= (x * _horner(_SINE, fma(x * x, _SINE_SCALE, -1.0))) * sign
