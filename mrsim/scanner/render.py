"""Lines of k-space from closed-form transforms: the kernels, and the object prepared for them.

What stands still is summed once into a complex table. What only shifts keeps a real table of form
factors, and a line costs one phase recurrence. What deforms is evaluated anew on every line. A line's
bits depend on its own row and state alone, whatever is rendered before, after or with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.shapes import Shape
from mrsim.errors import ProtocolError
from mrsim.kernels.bessel import sincos
from mrsim.kernels.compilation import kernel
from mrsim.kernels.fma import fma
from mrsim.kernels.grid import Grid
from mrsim.kernels.rows import add_one, add_pair, form_row, phase_row, start_and_step, write_turns

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
TWO_PI = 2 * math.pi
MAX_TABLE_BYTES = 2 << 30


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
    ProtocolError
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
            raise ProtocolError(
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
        scaled = np.asarray(contrast, np.complex128) * grid.scale
        self._shift_contrast, self._deform_contrast = scaled[self._shifting], scaled[self._deforming]

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
            self._shift_contrast,
            np.ascontiguousarray(np.take(centers, self._shifting, axis=1)),
            self._deform_contrast,
            np.ascontiguousarray(np.take(centers, self._deforming, axis=1)),
            np.require(axes, np.float64, ("C", "W")),  # or a second kernel, for arrays that are read-only
            dky,
            dkx,
            out,
        )
        return out


@kernel(nogil=True)
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
    room = np.empty((10, columns))  # in one piece: a piece of its own costs as much as a region's 40 samples
    re_a, im_a, re_b, im_b, total_re, total_im = room[0], room[1], room[2], room[3], room[4], room[5]
    form_a, form_b, squares, phase = room[6], room[7], room[8], room[9]
    shifting, deforming = shift_contrast.size, deform_contrast.size
    turned = np.empty((3, 2 * (shifting + deforming)))
    turns, sines, cosines = turned[0], turned[1], turned[2]
    k_first = -(columns // 2) * dkx
    for line in range(ky.size):
        row = ky[line] + rows // 2
        k_y = ky[line] * dky
        for i in range(columns):
            total_re[i] = still[row, i].real
            total_im[i] = still[row, i].imag
        # The sines and cosines of all regions together: at the row's start, and of a step along it.
        write_turns(shift_centers[line], k_first, k_y, dkx, turns[: 2 * shifting])
        write_turns(deform_centers[line], k_first, k_y, dkx, turns[2 * shifting :])
        for i in range(turns.size):
            sines[i], cosines[i] = sincos(turns[i])
        for n in range(0, shifting - 1, 2):
            first = start_and_step(shift_contrast[n], sines, cosines, 2 * n)
            second = start_and_step(shift_contrast[n + 1], sines, cosines, 2 * n + 2)
            add_pair(
                tables[n, row], tables[n + 1, row], first, second, re_a, im_a, re_b, im_b, total_re, total_im
            )
        if shifting % 2:
            n = shifting - 1
            one = start_and_step(shift_contrast[n], sines, cosines, 2 * n)
            add_one(tables[n, row], one, re_a, im_a, total_re, total_im)
        for n in range(0, deforming - 1, 2):
            at = 2 * (shifting + n)
            first = start_and_step(deform_contrast[n], sines, cosines, at)
            second = start_and_step(deform_contrast[n + 1], sines, cosines, at + 2)
            form_row(deform_axes[line, n], k_first, k_y, dkx, squares, phase, form_a)
            form_row(deform_axes[line, n + 1], k_first, k_y, dkx, squares, phase, form_b)
            add_pair(form_a, form_b, first, second, re_a, im_a, re_b, im_b, total_re, total_im)
        if deforming % 2:
            n = deforming - 1
            one = start_and_step(deform_contrast[n], sines, cosines, 2 * (shifting + n))
            form_row(deform_axes[line, n], k_first, k_y, dkx, squares, phase, form_a)
            add_one(form_a, one, re_a, im_a, total_re, total_im)
        for i in range(columns):
            out[line, i] = complex(total_re[i], total_im[i])


@kernel(nogil=True)
def add_tables(
    ky: NDArray[np.int32], tables: Complex, centers: Array, scale: float, dky: float, dkx: float, out: Complex
) -> None:
    """Add regions that only shift: `tables` (regions, rows, nx), `centers` (lines, regions, 2)."""
    rows, columns = tables.shape[1], out.shape[1]
    re, im = np.empty(columns), np.empty(columns)
    total_re, total_im = np.empty(columns), np.empty(columns)
    k_first = -(columns // 2) * dkx
    for line in range(ky.size):
        total_re[:] = 0.0
        total_im[:] = 0.0
        for n in range(tables.shape[0]):
            x, y = centers[line, n, 0], centers[line, n, 1]
            phase_row(complex(scale, 0.0), x, y, k_first, ky[line] * dky, dkx, re, im)
            table = tables[n, ky[line] + rows // 2]
            for i in range(columns):
                a, b = table[i].real, table[i].imag
                total_re[i] = fma(a, re[i], fma(-b, im[i], total_re[i]))
                total_im[i] = fma(a, im[i], fma(b, re[i], total_im[i]))
        for i in range(columns):
            out[line, i] += complex(total_re[i], total_im[i])
