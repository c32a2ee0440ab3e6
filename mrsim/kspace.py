"""Lines of k-space from closed-form transforms: the kernels, and the object prepared for them.

What stands still is summed once into a complex table. What only shifts keeps a real table of form
factors, and a line costs one phase recurrence. What deforms is evaluated anew on every line. A line's
bits depend on its own row and state alone, whatever is rendered before, after or with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mrsim.bessel import FUSED, jinc, sincos
from mrsim.errors import InputError
from mrsim.shapes import Shape

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
TWO_PI = 2 * math.pi
MAX_TABLE_BYTES = 2 << 30


@dataclass(frozen=True)
class Grid:
    """Hold the k-space grid of a scan.

    Parameters
    ----------
    matrix
        Rows (ky) and columns (kx).
    fov_m
        Field of view along y and x, metres.
    """

    matrix: tuple[int, int]
    fov_m: tuple[float, float]

    @property
    def step(self) -> tuple[float, float]:
        """Return the distance of samples along ky and kx, cycles per metre."""
        return 1 / self.fov_m[0], 1 / self.fov_m[1]

    @property
    def scale(self) -> float:
        """Return what a transform is multiplied by, so that the unitary inverse FFT gives the density."""
        return math.sqrt(self.matrix[0] * self.matrix[1]) / (self.fov_m[0] * self.fov_m[1])

    def k(self) -> tuple[Array, Array]:
        """Return kx, shape (1, nx), and ky, shape (ny, 1), centred, cycles per metre."""
        (ny, nx), (dky, dkx) = self.matrix, self.step
        kx = np.asarray((np.arange(nx) - nx // 2) * dkx, np.float64)
        ky = np.asarray((np.arange(ny) - ny // 2) * dky, np.float64)
        return kx[None, :], ky[:, None]

    def pixels(self) -> tuple[Array, Array]:
        """Return the pixel centres: x, shape (1, nx), and y, shape (ny, 1), metres."""
        ny, nx = self.matrix
        x = np.asarray((np.arange(nx) - nx // 2) * (self.fov_m[1] / nx), np.float64)
        y = np.asarray((np.arange(ny) - ny // 2) * (self.fov_m[0] / ny), np.float64)
        return x[None, :], y[:, None]


class Renderer:
    """Turn regions and their state on every line into lines of k-space.

    Parameters
    ----------
    grid
        The k-space grid.
    shapes
        Shape of every region.
    contrast
        Complex signal of every region relative to its parent, shape (regions,).
    moves, deforms
        Whether each region shifts, and whether it changes its form, shape (regions,), bool.

    Raises
    ------
    InputError
        If the tables of the moving regions would exceed a bound.
    """

    def __init__(
        self,
        grid: Grid,
        shapes: Sequence[Shape],
        contrast: Complex,
        moves: NDArray[np.bool_],
        deforms: NDArray[np.bool_],
    ) -> None:
        self._grid = grid
        self._shifting = np.flatnonzero(moves & ~deforms)
        self._deforming = np.flatnonzero(deforms)
        size = (len(self._shifting) * 8 + 16) * grid.matrix[0] * grid.matrix[1]
        if size > MAX_TABLE_BYTES:
            raise InputError(
                f"matrix = {grid.matrix} with {len(self._shifting)} moving regions needs {size >> 20} MiB of "
                f"tables, above {MAX_TABLE_BYTES >> 20}; take a smaller matrix or fewer regions"
            )
        kx, ky = grid.k()
        self._still = np.zeros(grid.matrix, np.complex128)
        for i in np.flatnonzero(~moves & ~deforms).tolist():
            x, y = shapes[i].center
            phase = np.exp(-1j * TWO_PI * (kx * x + ky * y))
            self._still += grid.scale * contrast[i] * shapes[i].form_factor(kx, ky) * phase
        self._tables = np.empty((len(self._shifting), *grid.matrix))
        for n, i in enumerate(self._shifting.tolist()):
            self._tables[n] = shapes[i].form_factor(kx, ky)
        self._contrast = np.asarray(contrast, np.complex128) * grid.scale

    @property
    def deforming(self) -> NDArray[Any]:
        """Return the numbers of the regions that deform."""
        return self._deforming

    def render(self, ky: NDArray[np.int32], centers: Array, axes: Array) -> Complex:
        """Compute lines, each with the regions where they are on it.

        Parameters
        ----------
        ky
            Row of each line, centred, shape (lines,), int32.
        centers
            Centre (x, y) of every region on every line, shape (lines, regions, 2), float64, metres.
        axes
            Matrices that map the unit disc onto the deforming regions, in the order of `deforming`,
            shape (lines, deforming, 2, 2), float64, metres.

        Returns
        -------
        lines
            Shape (lines, nx), complex128.
        """
        dky, dkx = self._grid.step
        out = np.empty((len(ky), self._grid.matrix[1]), np.complex128)
        render_lines(
            np.ascontiguousarray(ky, np.int32),
            self._still,
            self._tables,
            self._contrast[self._shifting],
            np.ascontiguousarray(centers[:, self._shifting]),
            self._contrast[self._deforming],
            np.ascontiguousarray(centers[:, self._deforming]),
            np.ascontiguousarray(axes),
            dky,
            dkx,
            out,
        )
        return out


@njit(cache=True, error_model="numpy", fastmath=FUSED, nogil=True)
def render_lines(
    ky: NDArray[np.int32],
    still: Complex,
    tables: Array,
    shift_contrast: Complex,
    shift_centers: Array,
    deform_contrast: Complex,
    deform_centers: Array,
    deform_axes: Array,
    dky: float,
    dkx: float,
    out: Complex,
) -> None:
    """Write the lines `ky` of k-space; `Renderer.render` says what the arrays hold."""
    rows, columns = still.shape
    re, im = np.empty(columns), np.empty(columns)
    total_re, total_im = np.empty(columns), np.empty(columns)
    form = np.empty(columns)
    k_first = -(columns // 2) * dkx
    for line in range(ky.size):
        row = ky[line] + rows // 2
        k_y = ky[line] * dky
        for i in range(columns):
            total_re[i] = still[row, i].real
            total_im[i] = still[row, i].imag
        for n in range(tables.shape[0]):
            x, y = shift_centers[line, n, 0], shift_centers[line, n, 1]
            phase_row(shift_contrast[n], x, y, k_first, k_y, dkx, re, im)
            table = tables[n, row]
            for i in range(columns):
                total_re[i] += table[i] * re[i]
                total_im[i] += table[i] * im[i]
        for n in range(deform_contrast.size):
            x, y = deform_centers[line, n, 0], deform_centers[line, n, 1]
            phase_row(deform_contrast[n], x, y, k_first, k_y, dkx, re, im)
            form_row(deform_axes[line, n], k_first, k_y, dkx, form)
            for i in range(columns):
                total_re[i] += form[i] * re[i]
                total_im[i] += form[i] * im[i]
        for i in range(columns):
            out[line, i] = complex(total_re[i], total_im[i])


@njit(cache=True, error_model="numpy", fastmath=FUSED)
def form_row(axes: Array, k_first: float, k_y: float, dkx: float, form: Array) -> None:
    """Write the form factor of the ellipse L u, |u| <= 1, along one line of k-space."""
    a, b, c, d = TWO_PI * axes[0, 0], TWO_PI * axes[0, 1], TWO_PI * axes[1, 0], TWO_PI * axes[1, 1]
    scale = TWO_PI * abs(axes[0, 0] * axes[1, 1] - axes[0, 1] * axes[1, 0])
    for i in range(form.size):
        k_x = k_first + i * dkx
        u = a * k_x + c * k_y
        v = b * k_x + d * k_y
        form[i] = scale * jinc(np.sqrt(u * u + v * v))


@njit(cache=True, error_model="numpy", fastmath=FUSED)
def phase_row(
    contrast: complex, x: float, y: float, k_first: float, k_y: float, dkx: float, re: Array, im: Array
) -> None:
    """Write contrast * exp(-2 pi i k.r) along one line, by a recurrence over eight samples at a time."""
    sine, cosine = sincos(-TWO_PI * (k_first * x + k_y * y))
    step_sine, step_cosine = sincos(-TWO_PI * (dkx * x))
    p = contrast * complex(cosine, sine)
    q = complex(step_cosine, step_sine)
    for i in range(min(8, re.size)):
        re[i] = p.real
        im[i] = p.imag
        p *= q
    q *= q
    q *= q
    q *= q
    c, s = q.real, q.imag
    for i in range(8, re.size):
        # Eight apart, the steps do not wait for each other and the loop is vectorized.
        re[i] = re[i - 8] * c - im[i - 8] * s
        im[i] = re[i - 8] * s + im[i - 8] * c
