"""Transforms of points that lie between the samples: each is spread on a finer grid, and that is transformed.

A point of weight v at x gives v exp(-2 pi i n x / L) at the frequencies n. It is spread by a narrow kernel on
a grid that is four times (two, in two dimensions) as fine as the frequencies need. After the FFT the kernel's
own transform is divided out. What is left out is below 1e-8 of the sum of the weights' magnitudes.

Barnett et al. 2019, 10.1137/18M120885X (the kernel exp(b (sqrt(1 - z^2) - 1))).
"""

from __future__ import annotations

import functools
import math
from typing import Any, cast

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from mrsim.kernels.bessel import sincos
from mrsim.kernels.compilation import inlined, kernel
from mrsim.kernels.fma import fma

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Modes = NDArray[np.float32]

TWO_PI = 2 * math.pi
LINE_WIDTH, LINE_FINER = 8, 4
"""Samples of the kernel along a line, and how much finer than the frequencies its grid is."""
IMAGE_WIDTH, IMAGE_FINER = 10, 2
"""The same of an image."""
TERMS = 12  # of a piece of the kernel: its polynomial errs by less than the kernel does


class Spreading:
    """Hold the kernel of one width on grids of one fineness.

    Parameters
    ----------
    width
        Samples that it covers.
    finer
        How much finer than the frequencies the grid is.
    """

    def __init__(self, width: int, finer: int) -> None:
        self.width, self.finer = width, finer
        self._sharp = 0.98 * math.pi * width * (1 - 0.5 / finer)
        self.table = np.empty((TERMS, width))
        for lane in range(width):
            piece = functools.partial(self._piece, lane)
            series = np.asarray(chebyshev.chebinterpolate(cast(Any, piece), TERMS - 1), np.float64)
            self.table[:, lane] = chebyshev.cheb2poly(series)[::-1]

    def samples(self, frequencies: int) -> int:
        """Return how many samples a grid for so many frequencies has: even, and quick to transform."""
        return _quick(max(self.finer * frequencies, 2 * self.width))

    def divided(self, numbers: Array, samples: int) -> Array:
        """Return what the FFT of a grid is multiplied by at frequencies, whole numbers about 0."""
        nodes, weights = _nodes()
        shape = np.exp(self._sharp * (np.sqrt(1 - nodes**2) - 1)) * weights * (self.width / 2)
        seen = np.cos(np.multiply.outer(numbers, nodes) * (math.pi * self.width / samples)) * shape
        return np.asarray(1 / seen.sum(axis=-1), np.float64)

    def _piece(self, lane: int, s: Array) -> Array:
        away = ((s + 1) / 2 + lane - self.width / 2) * (2 / self.width)
        return np.exp(self._sharp * (np.sqrt(np.clip(1 - away**2, 0, None)) - 1))


@functools.cache
def _nodes() -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(100)
    return np.asarray(nodes, np.float64), np.asarray(weights, np.float64)


@functools.cache
def line_spreading() -> Spreading:
    """Return the kernel for lines."""
    return Spreading(LINE_WIDTH, LINE_FINER)


@functools.cache
def image_spreading() -> Spreading:
    """Return the kernel for images."""
    return Spreading(IMAGE_WIDTH, IMAGE_FINER)


def _quick(least: int) -> int:
    """Return the least even number from `least` on whose factors are 2, 3 and 5."""
    number = least + least % 2
    while True:
        rest = number
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return number
        number += 2


@kernel(nogil=True)
def moved_into(modes: Modes, values: Array, down: Array, right: Array) -> None:
    """Write the sum of modes, shape (modes, 2, ny, nx), times their values: rows and columns, (ny, nx)."""
    rows, columns = down.shape
    for i in range(rows):
        y, x = down[i], right[i]
        y[:] = 0.0
        x[:] = 0.0
        for m in range(len(values)):
            value, of_y, of_x = values[m], modes[m, 0, i], modes[m, 1, i]
            for j in range(np.uint64(columns)):
                y[j] = fma(value, of_y[j], y[j])
                x[j] = fma(value, of_x[j], x[j])


@kernel(nogil=True)
def stretch_row(down: Array, right: Array, i: int, out: Array) -> None:
    """Write the determinant of I + grad u along one row, by differences of neighbours."""
    rows, columns = down.shape
    above, below = max(i - 1, 0), min(i + 1, rows - 1)
    y0, y1, x0, x1 = down[above], down[below], right[above], right[below]
    y, x = down[i], right[i]
    inverse = 1.0 / max(below - above, 1)
    for j in range(np.uint64(columns)):
        out[j] = 1.0 + inverse * (y1[j] - y0[j])
    for j in range(columns):
        before, after = max(j - 1, 0), min(j + 1, columns - 1)
        across = 1.0 / max(after - before, 1)
        along_x, along_y = across * (x[after] - x[before]), across * (y[after] - y[before])
        out[j] = fma(out[j], 1.0 + along_x, -(along_y * (inverse * (x1[j] - x0[j]))))


@kernel(nogil=True)
def weights_row(
    states: NDArray[np.float32],
    frames: NDArray[np.int64],
    shares: Array,
    i: int,
    stretch: Array,
    re: Array,
    im: Array,
) -> None:
    """Write the weights of a row: a mixture of states, (states, 1 or 2, ny, nx), times `stretch`."""
    re[:] = 0.0
    im[:] = 0.0
    for k in range(len(frames)):
        share = shares[k]
        if share == 0.0:
            continue
        real = states[frames[k], 0, i]
        for j in range(np.uint64(len(re))):
            re[j] = fma(share, real[j], re[j])
        if states.shape[1] > 1:
            imaginary = states[frames[k], 1, i]
            for j in range(np.uint64(len(im))):
                im[j] = fma(share, imaginary[j], im[j])
    for j in range(np.uint64(len(re))):
        re[j] *= stretch[j]
        im[j] *= stretch[j]


@inlined
def _lanes(table: Array, place: Array, samples: int, first: NDArray[np.int64], lanes: Array) -> None:
    """Write the first sample that each point reaches, and its kernel's values there, (width, points)."""
    width = table.shape[1]
    half = 0.5 * width
    for j in range(np.uint64(len(place))):
        low = np.ceil(place[j] - half)
        turns = np.floor(low / samples)
        place[j] = 2.0 * (low - (place[j] - half)) - 1.0
        first[j] = np.int64(low - turns * samples)
    for lane in range(width):
        out = lanes[lane]
        for j in range(np.uint64(len(place))):
            s, value = place[j], table[0, lane]
            for d in range(1, TERMS):  # a constant: it is unrolled, and the loop over points is vectorised
                value = fma(value, s, table[d, lane])
            out[j] = value


@kernel(nogil=True)
def spread_lines(
    turn: Array,
    tap_turn: float,
    values: Array,
    weighed: Array,
    frames: NDArray[np.int64],
    shares: Array,
    modes: Modes,
    states: NDArray[np.float32],
    scale: float,
    table: Array,
    out: Complex,
) -> None:
    """Spread the moved pixels of lines.

    `turn` is the phase of a line per pixel along y, cycles; `tap_turn` is what a tap adds to it. `values`
    move the pixels, and the weights make up for the compression of `weighed`, both (lines, modes). `scale` is
    the distance of pixels in samples. `out` is (lines, taps, samples); the middle tap is the line itself.
    """
    lines, taps, samples = out.shape
    _, _, rows, columns = modes.shape
    width = table.shape[1]
    down, right = np.empty((rows, columns)), np.empty((rows, columns))
    down_w, right_w = np.empty((rows, columns)), np.empty((rows, columns))
    stretch, re, im, place = np.empty(columns), np.empty(columns), np.empty(columns), np.empty(columns)
    turn_re, turn_im = np.empty(columns), np.empty(columns)
    first, lanes = np.empty(columns, np.int64), np.empty((width, columns))
    grid_re, grid_im = np.empty((taps, samples + width)), np.empty((taps, samples + width))
    v_re, v_im = np.empty((taps, columns)), np.empty((taps, columns))
    middle_y, middle_x, middle = rows // 2, columns // 2, taps // 2
    for n in range(lines):
        moved_into(modes, values[n], down, right)
        pressed_y, pressed_x = down, right
        if (values[n] != weighed[n]).any():
            moved_into(modes, weighed[n], down_w, right_w)
            pressed_y, pressed_x = down_w, right_w
        grid_re[:] = 0.0
        grid_im[:] = 0.0
        for i in range(rows):
            stretch_row(pressed_y, pressed_x, i, stretch)
            weights_row(states, frames[n], shares[n], i, stretch, re, im)
            y, x = down[i], right[i]
            start = float(i - middle_y)
            low = turn[n] - middle * tap_turn
            for j in range(np.uint64(columns)):
                sine, cosine = sincos(-TWO_PI * (low * (start + y[j])))
                v_re[0, j] = fma(re[j], cosine, -(im[j] * sine))
                v_im[0, j] = fma(re[j], sine, im[j] * cosine)
            if taps > 1:
                for j in range(np.uint64(columns)):
                    sine, cosine = sincos(-TWO_PI * (tap_turn * (start + y[j])))
                    turn_re[j] = cosine
                    turn_im[j] = sine
                for tap in range(1, taps):
                    a_re, a_im, b_re, b_im = v_re[tap - 1], v_im[tap - 1], v_re[tap], v_im[tap]
                    for j in range(np.uint64(columns)):
                        b_re[j] = fma(a_re[j], turn_re[j], -(a_im[j] * turn_im[j]))
                        b_im[j] = fma(a_re[j], turn_im[j], a_im[j] * turn_re[j])
            for j in range(np.uint64(columns)):
                place[j] = scale * (x[j] + (float(j) - middle_x))
            _lanes(table, place, samples, first, lanes)
            for j in range(columns):
                at = first[j]
                for tap in range(taps):
                    p, q = v_re[tap, j], v_im[tap, j]
                    for lane in range(width):
                        w = lanes[lane, j]
                        grid_re[tap, at + lane] = fma(w, p, grid_re[tap, at + lane])
                        grid_im[tap, at + lane] = fma(w, q, grid_im[tap, at + lane])
        for tap in range(taps):
            for m in range(width):
                grid_re[tap, m] += grid_re[tap, samples + m]
                grid_im[tap, m] += grid_im[tap, samples + m]
            for m in range(samples):
                out[n, tap, m] = complex(grid_re[tap, m], grid_im[tap, m])


@kernel(nogil=True)
def spread_image(
    values: Array,
    weighed: Array,
    frames: NDArray[np.int64],
    shares: Array,
    modes: Modes,
    states: NDArray[np.float32],
    scale: tuple[float, float],
    table: Array,
    out: Complex,
) -> None:
    """Spread the moved pixels of one instant on rows and columns; arguments as of `spread_lines`."""
    samples_y, samples_x = out.shape
    _, _, rows, columns = modes.shape
    width = table.shape[1]
    down, right = np.empty((rows, columns)), np.empty((rows, columns))
    down_w, right_w = np.empty((rows, columns)), np.empty((rows, columns))
    stretch, re, im = np.empty(columns), np.empty(columns), np.empty(columns)
    place_y, place_x = np.empty(columns), np.empty(columns)
    first_y, lanes_y = np.empty(columns, np.int64), np.empty((width, columns))
    first_x, lanes_x = np.empty(columns, np.int64), np.empty((width, columns))
    grid = np.zeros((2, samples_y + width, samples_x + width))
    moved_into(modes, values, down, right)
    moved_into(modes, weighed, down_w, right_w)
    for i in range(rows):
        stretch_row(down_w, right_w, i, stretch)
        weights_row(states, frames, shares, i, stretch, re, im)
        y, x = down[i], right[i]
        for j in range(np.uint64(columns)):
            place_y[j] = scale[0] * (y[j] + (i - rows // 2))
            place_x[j] = scale[1] * (x[j] + (float(j) - columns // 2))
        _lanes(table, place_y, samples_y, first_y, lanes_y)
        _lanes(table, place_x, samples_x, first_x, lanes_x)
        for j in range(columns):
            at = first_x[j]
            for lane_y in range(width):
                p, q = lanes_y[lane_y, j] * re[j], lanes_y[lane_y, j] * im[j]
                row_re, row_im = grid[0, first_y[j] + lane_y], grid[1, first_y[j] + lane_y]
                for lane in range(width):
                    w = lanes_x[lane, j]
                    row_re[at + lane] = fma(w, p, row_re[at + lane])
                    row_im[at + lane] = fma(w, q, row_im[at + lane])
    for part in range(2):
        for i in range(width):
            for m in range(samples_x + width):
                grid[part, i, m] += grid[part, samples_y + i, m]
        for i in range(samples_y):
            for m in range(width):
                grid[part, i, m] += grid[part, i, samples_x + m]
    for i in range(samples_y):
        for m in range(samples_x):
            out[i, m] = complex(grid[0, i, m], grid[1, i, m])
