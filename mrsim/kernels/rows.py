"""What a row of k-space is made of: phases by a recurrence, form factors of ellipses, and their products.

The kernels are called by those of other modules, with arrays that do not overlap. Indices without a sign
cannot count from an array's end: only with them, and with each row as an array of its own, are loops over
samples that stand eight apart vectorized.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mrsim.kernels.bessel import ROW_SPLIT, jinc_row, sincos
from mrsim.kernels.compilation import inlined, kernel
from mrsim.kernels.fma import fma

Array = NDArray[np.float64]
Step = tuple[complex, complex]  # the value at the start of a row, and the factor from a sample to the next

TWO_PI = 2 * math.pi


@inlined
def write_turns(centers: Array, k_first: float, k_y: float, dkx: float, turns: Array) -> None:
    """Write the phases of regions at the start of a row, and by how much they turn with a step along it."""
    for n in range(len(centers)):
        x, y = centers[n, 0], centers[n, 1]
        turns[2 * n] = -TWO_PI * fma(k_first, x, k_y * y)
        turns[2 * n + 1] = -TWO_PI * (dkx * x)


@inlined
def start_and_step(contrast: complex, sines: Array, cosines: Array, at: int) -> Step:
    """Return a region's value at the start of a row and its factor of a step, from those of its turns."""
    return contrast * complex(cosines[at], sines[at]), complex(cosines[at + 1], sines[at + 1])


@kernel()
def form_row(
    axes: Array, k_first: float, k_y: float, dkx: float, squares: Array, phase: Array, form: Array
) -> None:
    """Write the form factor of the ellipse L u, |u| <= 1, along one line; `squares` and `phase` are room."""
    a, b, c, d = TWO_PI * axes[0, 0], TWO_PI * axes[0, 1], TWO_PI * axes[1, 0], TWO_PI * axes[1, 1]
    determinant = axes[0, 0] * axes[1, 1] - axes[0, 1] * axes[1, 0]
    u_first, v_first = c * k_y, d * k_y
    for i in range(form.size):
        k_x = fma(i, dkx, k_first)
        u = fma(a, k_x, u_first)
        v = fma(b, k_x, v_first)
        squares[i] = fma(u, u, v * v)
    # The squares (2 pi |L^T k|)^2 are a parabola in kx: where it is below that of the split.
    bend = a * a + b * b
    least = (TWO_PI * TWO_PI * determinant * k_y) ** 2 / bend
    middle = (-(a * c + b * d) * k_y / bend - k_first) / dkx
    half = np.sqrt(max(ROW_SPLIT * ROW_SPLIT - least, 0.0) / bend) / dkx
    low, high = max(middle - half, 0.0), min(middle + half + 1.0, 1.0 * form.size)
    jinc_row(squares, TWO_PI * abs(determinant), int(low), int(max(high, 0.0)), phase, form)


@kernel()
def phase_row(
    contrast: complex, x: float, y: float, k_first: float, k_y: float, dkx: float, re: Array, im: Array
) -> None:
    """Write contrast * exp(-2 pi i k.r) along one line, by a recurrence over eight samples at a time."""
    sine, cosine = sincos(-TWO_PI * fma(k_first, x, k_y * y))
    step_sine, step_cosine = sincos(-TWO_PI * (dkx * x))
    turn = _first_eight((contrast * complex(cosine, sine), complex(step_cosine, step_sine)), re, im)
    c, s = turn.real, turn.imag
    eight = np.uint64(8)
    if re.size > 8:
        for i in range(np.uint64(re.size) - eight):
            re[eight + i] = fma(re[i], c, -(im[i] * s))
            im[eight + i] = fma(re[i], s, im[i] * c)


@inlined
def _first_eight(one: Step, re: Array, im: Array) -> complex:
    """Write start * step^i for the first eight samples of a row; return step^8."""
    value, step = one
    turn = step * step
    turn *= turn
    turn *= turn
    for i in range(min(8, re.size)):
        re[i] = value.real
        im[i] = value.imag
        value *= step
    return turn


@kernel()
def add_one(form: Array, one: Step, re: Array, im: Array, total_re: Array, total_im: Array) -> None:
    """Add form * start * step^i along a row; `re` and `im` are room for its phases."""
    turn = _first_eight(one, re, im)
    c, s = turn.real, turn.imag
    for i in range(min(8, re.size)):
        total_re[i] = fma(form[i], re[i], total_re[i])
        total_im[i] = fma(form[i], im[i], total_im[i])
    eight = np.uint64(8)
    if re.size > 8:
        for i in range(np.uint64(re.size) - eight):
            real = fma(re[i], c, -(im[i] * s))
            imaginary = fma(re[i], s, im[i] * c)
            at = eight + i
            re[at] = real
            im[at] = imaginary
            total_re[at] = fma(form[at], real, total_re[at])
            total_im[at] = fma(form[at], imaginary, total_im[at])


@kernel()
def add_pair(
    form_a: Array,
    form_b: Array,
    a: Step,
    b: Step,
    re_a: Array,
    im_a: Array,
    re_b: Array,
    im_b: Array,
    total_re: Array,
    total_im: Array,
) -> None:
    """Add two regions as `add_one` does one after the other, to the same bits.

    Each step of a recurrence waits for the one eight samples before: two of them wait together.
    """
    turn_a, turn_b = _first_eight(a, re_a, im_a), _first_eight(b, re_b, im_b)
    c_a, s_a, c_b, s_b = turn_a.real, turn_a.imag, turn_b.real, turn_b.imag
    for i in range(min(8, re_a.size)):
        total_re[i] = fma(form_b[i], re_b[i], fma(form_a[i], re_a[i], total_re[i]))
        total_im[i] = fma(form_b[i], im_b[i], fma(form_a[i], im_a[i], total_im[i]))
    eight = np.uint64(8)
    if re_a.size > 8:
        for i in range(np.uint64(re_a.size) - eight):
            real_a = fma(re_a[i], c_a, -(im_a[i] * s_a))
            imag_a = fma(re_a[i], s_a, im_a[i] * c_a)
            real_b = fma(re_b[i], c_b, -(im_b[i] * s_b))
            imag_b = fma(re_b[i], s_b, im_b[i] * c_b)
            re_a[eight + i], im_a[eight + i] = real_a, imag_a
            re_b[eight + i], im_b[eight + i] = real_b, imag_b
            at = eight + i
            total_re[at] = fma(form_b[at], real_b, fma(form_a[at], real_a, total_re[at]))
            total_im[at] = fma(form_b[at], imag_b, fma(form_a[at], imag_a, total_im[at]))
