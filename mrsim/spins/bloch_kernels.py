"""Kernels of the Bloch engine: a block of spins through pulse, echo and relaxation, TR after TR.

Each loop does one thing over few arrays, so that the compiler vectorizes it. The pulses turn about x. The
frame alternates with their phase, which is in the sign of the decay over a TR.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange
from numpy.typing import NDArray

from mrsim.kernels.bessel import sincos
from mrsim.kernels.compilation import kernel
from mrsim.kernels.fma import fma

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Indices = NDArray[np.int64]
TWO_PI = 2 * math.pi


@kernel(parallel=True)
def run_lines(
    ky: Array,
    kx: Array,
    shift: Array,
    scale: Array,
    field: Array,
    centers: Array,
    blocks: Indices,
    columns: Indices,
    column_x: Array,
    column_region: Indices,
    spins: Array,
    turns: Array,
    pulses: Array,
    read: bool,
    m: Array,
    out: Complex,
) -> None:
    """Run one TR for each of `ky`, and add its line to `out`; a block of spins runs all of them in a go."""
    parts = blocks.size - 1
    part_re = np.zeros((parts, ky.size, out.shape[1]))
    part_im = np.zeros((parts, ky.size, out.shape[1]))
    for block in prange(parts):
        run_block(
            ky,
            kx,
            shift,
            scale,
            field,
            centers,
            columns[blocks[block] : blocks[block + 1] + 1],
            column_x[blocks[block] : blocks[block + 1]],
            column_region[blocks[block] : blocks[block + 1]],
            spins,
            turns,
            pulses,
            read,
            m,
            part_re[block],
            part_im[block],
        )
    for block in range(parts):  # in their order, whoever was ready first
        for line in range(ky.size):
            for j in range(out.shape[1]):
                out[line, j] += complex(part_re[block, line, j], part_im[block, line, j])


@kernel()
def run_block(
    ky: Array,
    kx: Array,
    shift: Array,
    scale: Array,
    field: Array,
    centers: Array,
    columns: Indices,
    column_x: Array,
    column_region: Indices,
    spins: Array,
    turns: Array,
    pulses: Array,
    read: bool,
    m: Array,
    part_re: Array,
    part_im: Array,
) -> None:
    """Run the columns of one block; kx is (first, step), pulses (cos, sin, TE, TR), spins (y, weight, E1,
    E2 at the echo, -E2 at the next pulse, shift)."""
    longest = 0
    for column in range(column_x.size):
        longest = max(longest, columns[column + 1] - columns[column])
    own = np.empty((5, longest))
    echo = np.empty((4, longest))
    row = np.empty((2, part_re.shape[1]))
    for line in range(ky.size):
        # Columns of several regions that stand at one x, as they do unless they move along x, are one.
        h_re, h_im, h_x = 0.0, 0.0, column_x[0]
        for column in range(column_x.size):
            start, stop = columns[column], columns[column + 1]
            n = stop - start
            r = column_region[column]
            s_x, s_y = scale[line, r, 0], scale[line, r, 1]
            x = column_x[column] + shift[line, r, 0] + (s_x - 1.0) * (column_x[column] - centers[r, 0])
            y_0 = shift[line, r, 1] - (s_y - 1.0) * centers[r, 1]
            y, weight, e1 = spins[0, start:stop], spins[1, start:stop], spins[2, start:stop]
            mx, my, mz = m[0, start:stop], m[1, start:stop], m[2, start:stop]
            te_re, te_im = turns[0, start:stop], turns[1, start:stop]
            tr_re, tr_im = turns[2, start:stop], turns[3, start:stop]
            if field.size:
                te_re, te_im, tr_re, tr_im = own[0, :n], own[1, :n], own[2, :n], own[3, :n]
                angular = own[4, :n]
                precession(y, spins[5, start:stop], field[line], x, y_0, s_y, angular)
                turn_into(angular, pulses[2], spins[3, start:stop], te_re, te_im)
                turn_into(angular, pulses[3], spins[4, start:stop], tr_re, tr_im)
            pulse(my, mz, pulses[0], pulses[1])
            if read:
                if x != h_x:
                    add_row(h_re, h_im, h_x, kx[0], kx[1], row, part_re[line], part_im[line])
                    h_re, h_im, h_x = 0.0, 0.0, x
                phases(y, -TWO_PI * ky[line] * s_y, -TWO_PI * ky[line] * y_0, echo[0, :n], echo[1, :n])
                transverse(mx, my, te_re, te_im, echo[2, :n], echo[3, :n])
                re, im = project(weight, echo[0, :n], echo[1, :n], echo[2, :n], echo[3, :n])
                h_re += s_x * s_y * re
                h_im += s_x * s_y * im
            evolve(mx, my, tr_re, tr_im)
            recover(mz, e1)
        if read:
            add_row(h_re, h_im, h_x, kx[0], kx[1], row, part_re[line], part_im[line])


@kernel()
def precession(
    y: Array, shift_hz: Array, field: Array, x: float, y_0: float, s_y: float, angular: Array
) -> None:
    """Write the angular frequency of a column in the field where it stands."""
    c_0 = field[0] + x * (field[1] + x * field[3])
    c_1 = field[2] + x * field[4]
    c_2 = field[5]
    for i in range(y.size):
        at = fma(s_y, y[i], y_0)
        angular[i] = TWO_PI * fma(at, fma(at, c_2, c_1), shift_hz[i] + c_0)


@kernel()
def turn_into(angular: Array, time_s: float, decay: Array, re: Array, im: Array) -> None:
    """Write decay and precession over a time."""
    for i in range(re.size):
        sine, cosine = sincos(angular[i] * time_s)
        re[i] = decay[i] * cosine
        im[i] = decay[i] * sine


@kernel()
def phases(y: Array, slope: float, offset: float, re: Array, im: Array) -> None:
    """Write exp(i (slope y + offset)) of a column."""
    for i in range(y.size):
        sine, cosine = sincos(fma(slope, y[i], offset))
        re[i] = cosine
        im[i] = sine


@kernel()
def pulse(my: Array, mz: Array, cosine: float, sine: float) -> None:
    """Turn a column about x."""
    for i in range(my.size):
        up = fma(my[i], cosine, -(mz[i] * sine))
        mz[i] = fma(mz[i], cosine, my[i] * sine)
        my[i] = up


@kernel()
def transverse(mx: Array, my: Array, te_re: Array, te_im: Array, re: Array, im: Array) -> None:
    """Write i M+ at the echo: i is the receiver's phase."""
    for i in range(mx.size):
        re[i] = -fma(mx[i], te_im[i], my[i] * te_re[i])
        im[i] = fma(mx[i], te_re[i], -(my[i] * te_im[i]))


@kernel()
def project(weight: Array, p_re: Array, p_im: Array, re: Array, im: Array) -> tuple[float, float]:
    """Return the sum of weight times phase times signal, of one spin or more; `re` and `im` are used up."""
    for i in range(weight.size):
        real = fma(p_re[i], re[i], -(p_im[i] * im[i]))
        im[i] = weight[i] * fma(p_re[i], im[i], p_im[i] * re[i])
        re[i] = weight[i] * real
    # Half onto half: a running sum would be one chain, which is not vectorized unless its order is let go.
    count = np.uint64(weight.size)
    while count > 1:
        half = count // np.uint64(2)
        rest = count - half
        for i in range(half):
            re[i] += re[rest + i]
            im[i] += im[rest + i]
        count = rest
    return re[0], im[0]


@kernel()
def evolve(mx: Array, my: Array, tr_re: Array, tr_im: Array) -> None:
    """Precess and relax a column over a TR."""
    for i in range(mx.size):
        real = fma(mx[i], tr_re[i], -(my[i] * tr_im[i]))
        my[i] = fma(mx[i], tr_im[i], my[i] * tr_re[i])
        mx[i] = real


@kernel()
def recover(mz: Array, e1: Array) -> None:
    """Relax a column along z over a TR."""
    for i in range(mz.size):
        mz[i] = fma(mz[i] - 1.0, e1[i], 1.0)


@kernel()
def add_row(
    h_re: float, h_im: float, x: float, k_first: float, dkx: float, row: Array, re: Array, im: Array
) -> None:
    """Add h exp(-2 pi i kx x) along a line, by a recurrence over eight samples at a time."""
    sine, cosine = sincos(-TWO_PI * (k_first * x))
    step_sine, step_cosine = sincos(-TWO_PI * (dkx * x))
    p = complex(h_re, h_im) * complex(cosine, sine)
    q = complex(step_cosine, step_sine)
    row_re, row_im = row[0], row[1]
    for i in range(min(8, re.size)):
        row_re[i] = p.real
        row_im[i] = p.imag
        p *= q
    q *= q
    q *= q
    q *= q
    c, s = q.real, q.imag
    for i in range(8, re.size):
        row_re[i] = fma(row_re[i - 8], c, -(row_im[i - 8] * s))
        row_im[i] = fma(row_re[i - 8], s, row_im[i - 8] * c)
    for i in range(re.size):
        re[i] += row_re[i]
        im[i] += row_im[i]
