"""Blobs of texture: Gaussians summed in k-space in closed form, each where it is on its line.

A blob of width s at r gives 2 pi s^2 W(z) exp(-2 pi^2 s^2 |k|^2) exp(-2 pi i k.r), where W(z) is what the
slice takes of it at its height. Blobs of one group share s, so that the Gaussian of k is applied to their
sum. The phases at kx and -kx are conjugate, so that one recurrence serves both.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.anatomy import Anatomy
from mrsim.anatomy.region import STATIC
from mrsim.errors import ProtocolError
from mrsim.kernels.bessel import sincos
from mrsim.kernels.compilation import kernel
from mrsim.kernels.fma import fma
from mrsim.kernels.grid import Grid
from mrsim.kernels.lagrange import interpolated
from mrsim.kernels.rows import phase_row
from mrsim.physics.slices import Slice
from mrsim.physics.steady_state import FlipResponse
from mrsim.scanner.contrast import Contrast

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Numbers = NDArray[np.int64]

TWO_PI = 2 * math.pi
REACH = 8.0
"""Widths of a blob from the slice to where nothing of it is left: exp(-32)."""
_STEPS = 24  # of the table of W, a width: eight points then interpolate to 1e-12
_MARGIN = 8  # entries beyond that reach, for the interpolation
_NODES = 8
MAX_ENTRIES = 16_000


class Blobs:
    """Hold the blobs of a phantom, prepared for one protocol.

    Parameters
    ----------
    anatomy
        What they ride on.
    contrast
        Signals.
    flip_rad
        Nominal flip angle, radians.

    Raises
    ------
    ProtocolError
        If blobs are too narrow for the slice.
    """

    def __init__(self, anatomy: Anatomy, contrast: Contrast, flip_rad: float) -> None:
        phantom = anatomy.phantom
        groups, by_name = phantom.texture, {r.name: r for r in phantom.regions}
        follows = {f.motion for g in groups for f in by_name[g.region].follows}
        self.names = tuple(name for name in phantom.motions if name in follows) or (STATIC,)
        self.widths = np.array([g.width_m for g in groups])
        self.step = self.widths / _STEPS
        self.starts = np.cumsum([0, *(len(g.places) for g in groups)])
        self.rest = np.ascontiguousarray(np.concatenate([g.places for g in groups]).T)
        ways = [g.ways(by_name[g.region], phantom.fields, self.names) for g in groups]
        self.ways = np.ascontiguousarray(np.concatenate(ways, axis=2))
        if phantom.slice_ is None:
            self.ways[:, 2] = 0.0
        self.first = np.zeros(len(groups))  # height of the first entry of each table
        tables = []
        for n, group in enumerate(groups):
            if phantom.slice_ is None:
                # All are at height 0, the middle of a table of one value.
                self.first[n] = -_MARGIN * group.width_m / _STEPS
                table = np.full(2 * _MARGIN, contrast.of_texture(group), np.complex128)
            else:
                own, other = contrast.responses_of(group)
                self.first[n], table = slice_table(phantom.slice_, own, other, flip_rad, group.width_m)
            tables.append(group.strength * table)
        self.table_starts = np.cumsum([0, *map(len, tables)])
        self.table = np.concatenate(tables)

    def placed(self, values: Array) -> tuple[Array, Array, Complex]:
        """Return where the blobs are for given values of the motions `names`, and what the slice takes.

        Returns
        -------
        places, widths, weights
            (x, y, z), shape (3, blobs), and widths, metres; signal at the middle of each, complex128.
        """
        places = self.rest + np.einsum("n,nab->ab", values, self.ways)
        group = np.repeat(np.arange(len(self.widths)), np.diff(self.starts))
        weights = np.zeros(len(group), np.complex128)
        weigh(places[2], self.starts, self.table, self.table_starts, self.first, self.step, weights)
        return places, self.widths[group], weights


def slice_table(
    slice_: Slice, own: FlipResponse, other: FlipResponse, flip_rad: float, width_m: float
) -> tuple[float, Complex]:
    """Return what the slice takes of a blob, by its height.

    W(z0) = 1 / thickness * integral of (M_own - M_other)(alpha p(z)) exp(-(z - z0)^2 / 2 s^2) dz.

    Parameters
    ----------
    slice_
        The slice.
    own, other
        Responses of the blob's tissue and of what it replaces.
    flip_rad
        Nominal flip angle, radians.
    width_m
        Width s of the blob, metres.

    Returns
    -------
    first, table
        Height of the first entry, metres, and the entries, `width_m` / 24 apart, complex128.

    Raises
    ------
    ProtocolError
        If the blob is too narrow for the slice.
    """
    low, high = slice_.limits
    step = width_m / _STEPS
    first = low - REACH * width_m - _MARGIN * step
    count = math.ceil((high - low + 2 * REACH * width_m) / step) + 2 * _MARGIN
    if count > MAX_ENTRIES:
        raise ProtocolError(
            f"texture of width_mm = {width_m * 1e3:g} in a slice of {slice_.thickness_m * 1e3:g} mm: "
            "make the blobs wider, or the slice thinner"
        )
    panels = math.ceil((high - low) / min(width_m / 2, slice_.thickness_m / 16))
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    edge = low + (high - low) / panels * np.arange(panels)
    z = (edge[:, None] + (high - low) / panels / 2 * (nodes + 1)).ravel()
    share = np.tile(weights * (high - low) / panels / 2, panels) / slice_.thickness_m
    flip = flip_rad * slice_.flip_share(z)
    signal = (own.at(flip) - other.at(flip)) * share
    table = np.zeros(count, np.complex128)
    at = first + step * np.arange(count)
    for begin in range(0, count, 1024):
        part = slice(begin, begin + 1024)
        away = (at[part, None] - z) / width_m
        # Not a matrix product: its bits would depend on threads.
        table[part] = (np.exp(-0.5 * away * away) * signal).sum(axis=1)
    return first, table


class BlobLines:
    """Render the blobs on one k-space grid.

    Parameters
    ----------
    blobs
        The blobs.
    grid
        The grid.
    scale
        What transforms are multiplied by.
    """

    def __init__(self, blobs: Blobs, grid: Grid, scale: float) -> None:
        self._blobs, self._grid = blobs, grid
        _, ky = grid.k()
        half = np.arange(grid.matrix[1] // 2 + 1) / grid.fov_m[1]
        decay = -2 * math.pi**2 * blobs.widths[:, None] ** 2
        self._along = np.exp(decay * half**2)
        self._down = np.exp(decay * ky[:, 0] ** 2) * (TWO_PI * scale * blobs.widths[:, None] ** 2)

    def add(self, rows: NDArray[np.int32], taps: int, values: Array, out: Complex) -> None:
        """Add the blobs to rows of k-space, `taps` in a row of one instant.

        Parameters
        ----------
        rows
            Row of each line, centred, shape (instants * taps,), int32.
        taps
            Rows of one instant that follow each other.
        values
            Values of the motions `Blobs.names` at each instant, shape (instants, motions), metres.
        out
            Lines, shape (instants * taps, nx), complex128.
        """
        b, (dky, dkx) = self._blobs, self._grid.step
        add_blobs(
            rows,
            taps,
            np.ascontiguousarray(values),
            b.rest,
            b.ways,
            b.starts,
            b.table,
            b.table_starts,
            b.first,
            b.step,
            self._along,
            self._down,
            dky,
            dkx,
            out,
        )


@kernel()
def weigh(
    z: Array,
    starts: Numbers,
    table: Complex,
    table_starts: Numbers,
    table_first: Array,
    table_step: Array,
    out: Complex,
) -> None:
    """Write what the slice takes of each blob, by its height; nothing where it is out of reach."""
    for group in range(len(starts) - 1):
        begin, end = table_starts[group], table_starts[group + 1]
        re, im = table[begin:end].real, table[begin:end].imag
        for b in range(starts[group], starts[group + 1]):
            where = (z[b] - table_first[group]) / table_step[group]
            out[b] = 0j
            if 3.0 <= where < end - begin - 5.0:
                below = int(where)
                real, imaginary = interpolated(re, im, below, where - below)
                out[b] = complex(real, imaginary)


@kernel(nogil=True)
def add_blobs(
    ky: NDArray[np.int32],
    taps: int,
    values: Array,
    rest: Array,
    ways: Array,
    starts: Numbers,
    table: Complex,
    table_starts: Numbers,
    table_first: Array,
    table_step: Array,
    along: Array,
    down: Array,
    dky: float,
    dkx: float,
    out: Complex,
) -> None:
    """Add blobs to rows of k-space; `BlobLines.add` and `Blobs` say what the arrays hold."""
    count, groups, columns, half = rest.shape[1], len(starts) - 1, out.shape[1], along.shape[1]
    middle, first_row = columns // 2, down.shape[1] // 2
    place = np.empty((3, count))
    turns = np.empty((4, half))  # real and imaginary parts of two blobs' phases along x
    active, weight = np.empty(count, np.int64), np.empty(count, np.complex128)
    weight_re, weight_im = np.empty(count), np.empty(count)
    a_re, a_im = np.empty((taps, count)), np.empty((taps, count))
    sums = np.empty((taps, 4, half))
    for instant in range(len(values)):
        for axis in range(3):
            row_of = place[axis]
            for b in range(count):
                row_of[b] = rest[axis, b]
            for n in range(values.shape[1]):
                value, way = values[instant, n], ways[n, axis]
                for b in range(count):
                    row_of[b] = fma(value, way[b], row_of[b])
        weigh(place[2], starts, table, table_starts, table_first, table_step, weight)
        for group in range(groups):
            seen = 0
            for b in range(starts[group], starts[group + 1]):
                if weight[b] != 0:  # of others the slice takes nothing
                    weight_re[seen], weight_im[seen] = weight[b].real, weight[b].imag
                    active[seen] = b
                    seen += 1
            if seen == 0:
                continue
            for tap in range(taps):
                k_y = ky[instant * taps + tap] * dky
                for i in range(seen):
                    sine, cosine = sincos(-TWO_PI * (k_y * place[1, active[i]]))
                    a_re[tap, i] = fma(weight_re[i], cosine, -(weight_im[i] * sine))
                    a_im[tap, i] = fma(weight_re[i], sine, weight_im[i] * cosine)
            sums[:] = 0.0
            for i in range(0, seen - 1, 2):
                first, second = place[0, active[i]], place[0, active[i + 1]]
                phase_row(complex(1.0, 0.0), first, 0.0, 0.0, 0.0, dkx, turns[0], turns[1])
                phase_row(complex(1.0, 0.0), second, 0.0, 0.0, 0.0, dkx, turns[2], turns[3])
                for tap in range(taps):
                    one = complex(a_re[tap, i], a_im[tap, i])
                    _add_two(one, complex(a_re[tap, i + 1], a_im[tap, i + 1]), turns, sums[tap])
            if seen % 2:
                i = seen - 1
                phase_row(complex(1.0, 0.0), place[0, active[i]], 0.0, 0.0, 0.0, dkx, turns[0], turns[1])
                for tap in range(taps):
                    p, q = a_re[tap, i], a_im[tap, i]
                    for j in range(half):
                        sums[tap, 0, j] = fma(p, turns[0, j], sums[tap, 0, j])
                        sums[tap, 1, j] = fma(q, turns[1, j], sums[tap, 1, j])
                        sums[tap, 2, j] = fma(p, turns[1, j], sums[tap, 2, j])
                        sums[tap, 3, j] = fma(q, turns[0, j], sums[tap, 3, j])
            for tap in range(taps):
                line = instant * taps + tap
                size_y = down[group, ky[line] + first_row]
                for j in range(half):
                    size_xy = size_y * along[group, j]
                    if middle + j < columns:
                        real, imaginary = sums[tap, 0, j] - sums[tap, 1, j], sums[tap, 2, j] + sums[tap, 3, j]
                        out[line, middle + j] += complex(size_xy * real, size_xy * imaginary)
                    if j > 0 and middle - j >= 0:
                        real, imaginary = sums[tap, 0, j] + sums[tap, 1, j], sums[tap, 3, j] - sums[tap, 2, j]
                        out[line, middle - j] += complex(size_xy * real, size_xy * imaginary)


@kernel()
def _add_two(a: complex, b: complex, turns: Array, sums: Array) -> None:
    """Add the parts of two blobs' products with their phases, each part to a sum of its own.

    Rows of two arrays, not eight arrays: a compiler that must ask whether they overlap does not vectorize.
    """
    p, q, r, s = a.real, a.imag, b.real, b.imag
    for j in range(np.uint64(turns.shape[1])):
        sums[0, j] = fma(r, turns[2, j], fma(p, turns[0, j], sums[0, j]))
        sums[1, j] = fma(s, turns[3, j], fma(q, turns[1, j], sums[1, j]))
        sums[2, j] = fma(r, turns[3, j], fma(p, turns[1, j], sums[2, j]))
        sums[3, j] = fma(s, turns[2, j], fma(q, turns[0, j], sums[3, j]))
