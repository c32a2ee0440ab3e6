"""The centred transform along y, compiled: sixteen columns at a time stay in the first cache throughout.

A library transforms along an axis that is not contiguous column by column, or copies there and back. The
signs of a centred transform take it two more passes. Here they are part of the first and the last pass.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrsim.kernels.compilation import kernel
from recon.simd import (
    WIDTH,
    add,
    evens,
    load,
    multiply,
    multiply_add,
    multiply_subtract,
    odds,
    pairs_high,
    pairs_low,
    spread,
    store,
    subtract,
)

Floats = NDArray[np.float32]
Images = NDArray[np.complex64]


@kernel()
def transform_columns(values: Images, out: Images, cosines: Floats, sines: Floats, inverse: bool) -> None:
    """Transform along the middle axis, k = 0 and r = 0 at its middle, keeping energy.

    Parameters
    ----------
    values
        Shape (images, ny, nx), contiguous, ny a power of two of 8 or more, nx at least 16.
    out
        For the transform, of the same shape; not `values` itself.
    cosines, sines
        Of 2 pi j / ny, shape (ny,).
    inverse
        Whether to sum exp(+2 pi i k.r), from k-space to image, in place of exp(-2 pi i k.r).

    References
    ----------
    Stockham's order of the radix-4 transform: Van Loan 1992, 10.1137/1.9781611970999.
    """
    images, ny, nx = values.shape
    width, plane = 2 * nx, ny * WIDTH
    room, other = np.empty(2 * plane, np.float32), np.empty(2 * plane, np.float32)
    half, scale = ny // 2, np.float32(1 / np.sqrt(ny))
    # With real and imaginary parts exchanged before and after, the inverse transform is the forward one.
    real, imaginary = (0, plane) if inverse else (plane, 0)
    for image in range(images):
        for start in range(0, width, 2 * WIDTH):
            # The last columns may be done twice: they are read from one array and written to another.
            first = image * ny * width + min(start, width - 2 * WIDTH)
            for y in range(ny):
                a, b = load(values, first + y * width), load(values, first + y * width + WIDTH)
                store(room, real + y * WIDTH, evens(a, b))
                store(room, imaginary + y * WIDTH, odds(a, b))
            length, stride = ny, 1
            while length >= 4:
                _quarter(length, stride, room, other, cosines, sines)
                room, other = other, room
                length, stride = length // 4, stride * 4
            # (-1)^k before the transform is a shift by half its length after it.
            if length == 2:
                for y in range(half):
                    at, apart = y * WIDTH, half * WIDTH
                    ar, ai = load(room, real + at), load(room, imaginary + at)
                    br, bi = load(room, real + at + apart), load(room, imaginary + at + apart)
                    sign = spread(scale if y % 2 == 0 else -scale)
                    _write(out, first + (y + half) * width, add(ar, br), add(ai, bi), sign)
                    _write(out, first + y * width, subtract(ar, br), subtract(ai, bi), sign)
            else:
                for y in range(ny):
                    at, to = y * WIDTH, y + half if y < half else y - half
                    sign = spread(scale if y % 2 == 0 else -scale)
                    _write(out, first + to * width, load(room, real + at), load(room, imaginary + at), sign)


@kernel(cached=False)
def _quarter(length: int, stride: int, room: Floats, out: Floats, cosines: Floats, sines: Floats) -> None:
    """Take one radix-4 step: each transform becomes four of a quarter of its length."""
    plane, quarter, step = room.size // 2, length // 4, cosines.size // length
    apart, places = stride * quarter * WIDTH, stride * WIDTH
    for p in range(quarter):
        cos1, sin1 = spread(cosines[p * step]), spread(sines[p * step])
        cos2, sin2 = spread(cosines[2 * p * step]), spread(sines[2 * p * step])
        cos3, sin3 = spread(cosines[3 * p * step]), spread(sines[3 * p * step])
        for q in range(stride):
            at = (q + stride * p) * WIDTH
            ar, ai = load(room, at), load(room, plane + at)
            br, bi = load(room, at + apart), load(room, plane + at + apart)
            cr, ci = load(room, at + 2 * apart), load(room, plane + at + 2 * apart)
            dr, di = load(room, at + 3 * apart), load(room, plane + at + 3 * apart)
            even_r, even_i = add(ar, cr), add(ai, ci)
            odd_r, odd_i = add(br, dr), add(bi, di)
            cross_r, cross_i = subtract(ar, cr), subtract(ai, ci)
            turn_r, turn_i = subtract(br, dr), subtract(bi, di)
            at = (q + stride * 4 * p) * WIDTH
            store(out, at, add(even_r, odd_r))
            store(out, plane + at, add(even_i, odd_i))
            _turned(out, at + places, subtract(cross_r, turn_i), add(cross_i, turn_r), cos1, sin1)
            _turned(out, at + 2 * places, subtract(even_r, odd_r), subtract(even_i, odd_i), cos2, sin2)
            _turned(out, at + 3 * places, add(cross_r, turn_i), subtract(cross_i, turn_r), cos3, sin3)


@kernel(cached=False)
def _turned(out, at, real, imaginary, cosine, sine):  # type: ignore[no-untyped-def]  # vectors have no type here
    store(out, at, multiply_subtract(cosine, real, multiply(sine, imaginary)))
    store(out, out.size // 2 + at, multiply_add(cosine, imaginary, multiply(sine, real)))


@kernel(cached=False)
def _write(out, at, real, imaginary, sign):  # type: ignore[no-untyped-def]
    real, imaginary = multiply(sign, real), multiply(sign, imaginary)
    store(out, at, pairs_low(real, imaginary))
    store(out, at + WIDTH, pairs_high(real, imaginary))
