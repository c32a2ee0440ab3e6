"""A phantom as the scanner sees it: every region prepared for the cheapest exact way to render it.

- What stands still is summed once into a complex table, whatever its shape.
- A flat ellipse that only shifts, or that deforms, is left to `mrsim.scanner.render.Renderer`.
- A solid or a polygon that only shifts keeps a complex table of its form factor, slice integral and all.
- A solid that deforms or moves through the slice is cut anew on every line.
- Of a polygon that deforms, the edges that stand still go into the first table, the others are summed anew.

A line's bits depend on its own row and instant alone, so blocks of lines are rendered on several threads
without changing one.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.anatomy import Anatomy
from mrsim.anatomy.polygon import Polygon, add_edges, centroids, edge_transform
from mrsim.anatomy.shapes import Ellipse
from mrsim.errors import InputError
from mrsim.kernels.bessel import jinc
from mrsim.kernels.compilation import inlined, kernel
from mrsim.kernels.fma import fma
from mrsim.kernels.grid import Grid
from mrsim.kernels.rows import phase_row
from mrsim.physics.slices import Sections
from mrsim.physics.steady_state import FlipResponse, tissue_signal
from mrsim.physics.tissue import tissue
from mrsim.reception.coil_fit import FittedCoils, filter_into
from mrsim.scanner.render import MAX_TABLE_BYTES, Renderer
from mrsim.stream.stream import Header

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Rows = NDArray[np.int32]

TWO_PI = 2 * math.pi
SECTION_TOLERANCE = 1e-7  # of a solid's largest value in k-space
MAX_SECTIONS = 64
Q_STEP = 0.25
_BLOCK_ROWS = 448


class Scene:
    """Render lines of k-space of a moving phantom.

    Parameters
    ----------
    anatomy
        Where everything is.
    header
        The protocol.
    fitted
        The coils; None for one of uniform sensitivity.

    Raises
    ------
    InputError
        If a tissue has no values at the field, or the tables would be too large.
    """

    def __init__(self, anatomy: Anatomy, header: Header, fitted: FittedCoils | None = None) -> None:
        self._anatomy, self._header, self._fitted = anatomy, header, fitted
        plain = Grid(header.matrix, header.fov_m)
        self.grid = plain if fitted is None else fitted.fine_grid(header.matrix)
        self._scale = plain.scale
        regions, slice_ = anatomy.phantom.regions, anatomy.phantom.slice_
        names = {r.tissue for r in regions}
        tissues = {name: tissue(name, header.field_t) for name in names}
        self._responses = {n: FlipResponse.of(t, header.tr_ns, header.te_ns) for n, t in tissues.items()}
        if slice_ is None:
            signals = {
                n: tissue_signal(t, header.flip_rad, header.tr_ns, header.te_ns) for n, t in tissues.items()
            }
        else:
            signals = {n: slice_.flat_weight(r, header.flip_rad) for n, r in self._responses.items()}
        by_name = {r.name: r for r in regions}
        self.contrast = np.array(
            [signals[r.tissue] - (signals[by_name[r.parent].tissue] if r.parent else 0) for r in regions],
            np.complex128,
        )
        self.target_signal = abs(signals[by_name[anatomy.phantom.target].tissue])
        self._parents = {r.name: by_name[r.parent].tissue if r.parent else None for r in regions}
        moves, deforms = anatomy.moves, anatomy.deforms
        flat = np.array([isinstance(r.shape, Ellipse) and r.depth is None for r in regions])
        self._flat = np.flatnonzero(flat)
        self._shifting = np.flatnonzero(moves & ~deforms & ~flat)
        solid = np.array([r.depth is not None and isinstance(r.shape, Ellipse) for r in regions])
        self._solids = np.flatnonzero(deforms & solid)
        self._polygons = np.flatnonzero(deforms & np.array([isinstance(r.shape, Polygon) for r in regions]))
        size = 16 * len(self._shifting) * math.prod(self.grid.matrix)
        if size > MAX_TABLE_BYTES:
            raise InputError(
                f"matrix = {header.matrix} with {len(self._shifting)} moving solids and polygons needs "
                f"{size >> 20} MiB of tables, above {MAX_TABLE_BYTES >> 20}; take a smaller matrix"
            )
        self.sections = {
            i: self._section_count(i) for i in range(len(regions)) if regions[i].depth is not None
        }
        kx, ky = self.grid.k()
        still = np.zeros(self.grid.matrix, np.complex128)
        for i in np.flatnonzero(~moves & ~deforms & ~flat).tolist():
            x, y = regions[i].shape.center
            still += self._form(i, kx, ky) * np.exp(-1j * TWO_PI * (kx * x + ky * y))
        self._tables = np.empty((len(self._shifting), *self.grid.matrix), np.complex128)
        for n, i in enumerate(self._shifting.tolist()):
            self._tables[n] = self._form(i, kx, ky)
        self._edges: list[tuple[int, NDArray[np.int64]]] = []
        for i in self._polygons.tolist():
            still += self._split_edges(i, kx, ky)
        # The renderer's scale is its grid's; what is stored here is per unit of density.
        self._gain = 1.0 if fitted is None else fitted.gain(header.matrix)
        self._extra = still * self._scale if len(self._flat) < len(regions) else None
        self._renderer = Renderer(
            self.grid,
            [regions[i].shape for i in self._flat],
            self.contrast[self._flat] * self._gain,
            moves[self._flat],
            deforms[self._flat],
        )
        kinds = [
            f"{len(self._flat)} flat",
            f"{len(self.sections)} solids",
            f"{len(self._polygons)} deforming polygons",
        ]
        self.summary = f"{len(regions)} regions ({', '.join(kinds)}), {sum(self.sections.values())} sections"

    def lines(self, ky: Rows, t_ns: NDArray[np.int64], one_instant: bool = False) -> Complex:
        """Compute lines without noise.

        Parameters
        ----------
        ky
            Row of each line, centred, shape (lines,), int32.
        t_ns
            Instant of each line, shape (lines,), int64, nanoseconds; of shape (1,) if all share it.

        Returns
        -------
        lines
            Shape (lines, coils, nx), complex128; one coil of sensitivity 1 without coils.
        """
        state = self._state(np.asarray(t_ns, np.int64))
        index = np.zeros(len(ky), np.int64) if one_instant else np.arange(len(ky))
        coils = 1 if self._fitted is None else self._fitted.count
        out = np.empty((len(ky), coils, self._header.matrix[1]), np.complex128)
        taps = 1 if self._fitted is None else 2 * self._fitted.halo + 1
        size = max(1, _BLOCK_ROWS // taps)
        blocks = [slice(a, a + size) for a in range(0, len(ky), size)]

        def work(block: slice) -> None:
            out[block] = self._block(ky[block], {k: v[index[block]] for k, v in state.items()})

        threads = min(len(blocks), numba.get_num_threads())
        if threads <= 1:
            for block in blocks:
                work(block)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(work, blocks))
        return out

    def cuts(self, number: int, t_ns: NDArray[np.int64]) -> list[tuple[float, complex]]:
        """Return scale and signal (relative to the parent) of each section of a region at an instant."""
        if self._anatomy.phantom.regions[number].depth is None:
            return [(1.0, complex(self.contrast[number]))]
        scale, weight = self._cutter(number).cut(*self._anatomy.depth(number, t_ns))
        return list(zip(scale[0].tolist(), weight[0].tolist(), strict=True))

    def _state(self, t_ns: NDArray[np.int64]) -> dict[str, Array | Complex]:
        """Place everything that moves; each array has one row for each instant."""
        anatomy = self._anatomy
        centers = anatomy.centers(t_ns)
        state: dict[str, Any] = {"centers": centers}
        state["axes"] = anatomy.axes(t_ns)
        for i in self._solids.tolist():
            center, half = anatomy.depth(i, t_ns)
            state[f"scale {i}"], state[f"weight {i}"] = self._cutter(i).cut(center, half)
        for i, moving in self._edges:
            corners = anatomy.vertices(i, t_ns)
            weight = np.full((len(t_ns), 1), self.contrast[i])
            if anatomy.phantom.regions[i].depth is not None:
                scale, weight = self._cutter(i).cut(*anatomy.depth(i, t_ns))
                middle = centroids(corners)[:, None, None]
                corners = middle + scale[:, :, None, None] * (corners[:, None] - middle)
            else:
                corners = corners[:, None]
            after = np.roll(corners, -1, axis=2)[:, :, moving]
            corners = corners[:, :, moving]
            count = len(t_ns)
            state[f"starts {i}"] = corners.reshape(count, -1, 2)
            state[f"ends {i}"] = after.reshape(count, -1, 2)
            state[f"edge weights {i}"] = np.repeat(weight, len(moving), axis=1)
        return state

    def _block(self, ky: Rows, state: dict[str, Any]) -> Complex:
        """Render some lines, and filter them by the coils."""
        fitted = self._fitted
        if fitted is not None:
            taps = 2 * fitted.halo + 1
            rows = (2 * ky[:, None] + np.arange(-fitted.halo, fitted.halo + 1, dtype=np.int32)).ravel()
            fine = self._rows(rows.astype(np.int32), state, taps)
            out = np.empty((len(ky), fitted.count, self._header.matrix[1]), np.complex128)
            filter_lines(fitted.coefficients, fine.reshape(len(ky), taps, -1), out)
            return out
        return self._rows(ky, state, 1)[:, None, :]

    def _rows(self, rows: Rows, state: dict[str, Any], taps: int) -> Complex:
        """Render rows of the grid, `taps` in a row of each instant of the state."""
        centers = np.repeat(state["centers"], taps, axis=0)
        ellipses = [i for i in np.flatnonzero(self._anatomy.deforms).tolist() if self._is_ellipse(i)]
        among = [n for n, i in enumerate(ellipses) if i in set(self._flat.tolist())]
        axes = np.repeat(state["axes"][:, among], taps, axis=0)
        out = self._renderer.render(rows, centers[:, self._flat], axes)
        if self._extra is None:
            return out
        dky, dkx = self.grid.step
        rows = np.ascontiguousarray(rows)
        first = self.grid.matrix[0] // 2
        out += self._extra[rows + first]
        moved = np.ascontiguousarray(centers[:, self._shifting])
        add_tables(rows, self._tables, moved, self._scale, dky, dkx, out)
        for i in self._solids.tolist():
            add_solid(
                rows,
                taps,
                np.ascontiguousarray(state["centers"][:, i]),
                np.ascontiguousarray(state["axes"][:, ellipses.index(i)]),
                state[f"scale {i}"],
                state[f"weight {i}"] * self._scale,
                dky,
                dkx,
                out,
            )
        for i, _ in self._edges:
            starts, ends = (np.repeat(state[f"{end} {i}"], taps, axis=0) for end in ("starts", "ends"))
            weights = np.repeat(state[f"edge weights {i}"] * self._scale, taps, axis=0)
            add_edges(rows, starts, ends, weights, dky, dkx, out)
        return out

    def _is_ellipse(self, i: int) -> bool:
        return isinstance(self._anatomy.phantom.regions[i].shape, Ellipse)

    def _cutter(self, i: int, count: int | None = None) -> Sections:
        region, slice_ = self._anatomy.phantom.regions[i], self._anatomy.phantom.slice_
        assert slice_ is not None
        parent = self._parents[region.name]
        own, other = self._responses[region.tissue], self._responses[parent] if parent else None
        return Sections(slice_, (own, other), self._header.flip_rad, count or self.sections[i])

    def _form(self, i: int, kx: Array, ky: Array) -> Complex:
        """Return the transform of a region about its centre times its contrast, through the slice."""
        region = self._anatomy.phantom.regions[i]
        if region.depth is None:
            return np.asarray(self.contrast[i] * region.shape.form_factor(kx, ky), np.complex128)
        scale, weight = self._cutter(i).cut(np.array([region.depth.center_z]), np.array([region.depth.half]))
        total = np.zeros(np.broadcast_shapes(kx.shape, ky.shape), np.complex128)
        for s, w in zip(scale[0].tolist(), weight[0].tolist(), strict=True):
            if w != 0:
                total += (w * s * s) * region.shape.form_factor(s * kx, s * ky)
        return total

    def _split_edges(self, i: int, kx: Array, ky: Array) -> Complex:
        """Return what the edges that never move give, and remember the others."""
        region = self._anatomy.phantom.regions[i]
        shape, share = region.shape, region.vertex_share
        assert isinstance(shape, Polygon)
        count = len(shape.vertices)
        rigid = region.depth is None and not any(any(f.stretch_per_m) for f in region.follows)
        still = np.array([rigid and share is not None and share[n] == 0 for n in range(count)])
        fixed = still & np.roll(still, -1)
        self._edges.append((i, np.flatnonzero(~fixed)))
        if not fixed.any():
            return np.zeros((1, 1), np.complex128)
        starts, ends = shape.vertices[fixed], np.roll(shape.vertices, -1, axis=0)[fixed]
        return np.asarray(self.contrast[i] * edge_transform(starts, ends, kx, ky), np.complex128)

    def _section_count(self, i: int) -> int:
        """Return how many sections hold the tolerance wherever the solid may be.

        A disc as wide as the region stands for it: along any direction its transform turns the fastest.
        """
        anatomy, region = self._anatomy, self._anatomy.phantom.regions[i]
        assert region.depth is not None
        assert anatomy.phantom.slice_ is not None
        low, high = anatomy.phantom.slice_.limits
        reach = region.depth.half
        center = np.linspace(low - 0.9 * reach, high + 0.9 * reach, 13) if anatomy.deforms[i] else np.zeros(0)
        center = np.append(center, region.depth.center_z)
        half = np.full(len(center), reach)
        edge = np.linalg.norm(region.shape.boundary(90) - np.array(region.shape.center), axis=1).max()
        most = math.hypot(*(n / f / 2 for n, f in zip(self._header.matrix, self._header.fov_m, strict=True)))
        q = np.linspace(0, most * float(edge), 48)

        def projected(count: int) -> Complex:
            scale, weight = self._cutter(i, count).cut(center, half)
            disc = Ellipse((0, 0), (1, 1)).form_factor(scale[..., None] * q, 0 * q)
            return np.asarray((weight[..., None] * scale[..., None] ** 2 * disc).sum(axis=1), np.complex128)

        exact = projected(MAX_SECTIONS)
        size = np.abs(exact).max()
        for count in range(4, MAX_SECTIONS, 2):
            if size == 0 or np.abs(projected(count) - exact).max() <= SECTION_TOLERANCE * size:
                return count
        return MAX_SECTIONS


@kernel(nogil=True)
def add_tables(
    ky: Rows, tables: Complex, centers: Array, scale: float, dky: float, dkx: float, out: Complex
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


@kernel(nogil=True)
def add_solid(
    ky: Rows,
    taps: int,
    centers: Array,
    axes: Array,
    scales: Array,
    weights: Complex,
    dky: float,
    dkx: float,
    out: Complex,
) -> None:
    """Add a solid of elliptic sections to rows of k-space, `taps` in a row of one instant.

    `ky` and `out` have a row for each; `centers` (n, 2), `axes` (n, 2, 2), `scales` and `weights`
    (n, sections) for each instant. The sum over sections depends on q = 2 pi |L^T k| alone, so where rows
    are many it is tabulated in q and interpolated (eight points, 2e-8 of its largest value).
    """
    columns = out.shape[1]
    re, im, q = np.empty(columns), np.empty(columns), np.empty(columns)
    form_re, form_im = np.empty(columns), np.empty(columns)
    k_first = -(columns // 2) * dkx
    for line in range(len(centers)):
        a, b = TWO_PI * axes[line, 0, 0], TWO_PI * axes[line, 0, 1]
        c, d = TWO_PI * axes[line, 1, 0], TWO_PI * axes[line, 1, 1]
        area = abs(axes[line, 0, 0] * axes[line, 1, 1] - axes[line, 0, 1] * axes[line, 1, 0])
        least, most = np.inf, 0.0
        for row in range(line * taps, (line + 1) * taps):
            for k_x in (k_first, k_first + (columns - 1) * dkx):
                u, v = a * k_x + c * ky[row] * dky, b * k_x + d * ky[row] * dky
                most = max(most, u * u + v * v)
            # |L^T k| along a row is least where its derivative is 0.
            at = -(a * c + b * d) * ky[row] * dky / (a * a + b * b)
            at = min(max(at, k_first), k_first + (columns - 1) * dkx)
            u, v = a * at + c * ky[row] * dky, b * at + d * ky[row] * dky
            least = min(least, u * u + v * v)
        first = np.sqrt(least) - 5.0 * Q_STEP
        nodes = int((np.sqrt(most) - first) / Q_STEP) + 8
        tabulated = 2 * nodes < taps * columns
        count = nodes if tabulated else 0
        table_re, table_im, table_q = np.zeros(count), np.zeros(count), np.empty(count)
        for i in range(count):
            table_q[i] = abs(first + i * Q_STEP)  # even in q
        if tabulated:
            _sum_sections(scales[line], weights[line], table_q, table_re, table_im)
        for row in range(line * taps, (line + 1) * taps):
            k_y = ky[row] * dky
            for i in range(columns):
                k_x = fma(i, dkx, k_first)
                u, v = fma(a, k_x, c * k_y), fma(b, k_x, d * k_y)
                q[i] = np.sqrt(fma(u, u, v * v))
            form_re[:] = 0.0
            form_im[:] = 0.0
            if tabulated:
                for i in range(columns):
                    place = (q[i] - first) / Q_STEP
                    below = int(place)
                    form_re[i], form_im[i] = _interpolated(table_re, table_im, below, place - below)
            else:
                _sum_sections(scales[line], weights[line], q, form_re, form_im)
            phase_row(
                complex(TWO_PI * area, 0.0), centers[line, 0], centers[line, 1], k_first, k_y, dkx, re, im
            )
            for i in range(columns):
                out[row, i] += complex(
                    fma(form_re[i], re[i], -(form_im[i] * im[i])), fma(form_re[i], im[i], form_im[i] * re[i])
                )


@kernel(nogil=True)
def _sum_sections(scales: Array, weights: Complex, q: Array, re: Array, im: Array) -> None:
    """Add the sections of a solid at each q, relative to 2 pi times the area of the widest."""
    for n in range(len(scales)):
        s = scales[n]
        w_re, w_im = weights[n].real * s * s, weights[n].imag * s * s
        if w_re == 0.0 and w_im == 0.0:
            continue
        for i in range(q.size):
            j = jinc(s * q[i])
            re[i] = fma(w_re, j, re[i])
            im[i] = fma(w_im, j, im[i])


@inlined
def _interpolated(re: Array, im: Array, below: int, t: float) -> tuple[float, float]:
    """Return Lagrange's polynomial through the nodes -3 to 4 about `below`, at t in [0, 1)."""
    a, b, c, d = t + 3.0, t + 2.0, t + 1.0, t
    e, f, g, h = t - 1.0, t - 2.0, t - 3.0, t - 4.0
    ab, cd, ef, gh = a * b, c * d, e * f, g * h
    abcd, efgh = ab * cd, ef * gh
    w0 = b * cd * efgh * (-1.0 / 5040.0)
    w1 = a * cd * efgh * (1.0 / 720.0)
    w2 = ab * d * efgh * (-1.0 / 240.0)
    w3 = ab * c * efgh * (1.0 / 144.0)
    w4 = abcd * f * gh * (-1.0 / 144.0)
    w5 = abcd * e * gh * (1.0 / 240.0)
    w6 = abcd * ef * h * (-1.0 / 720.0)
    w7 = abcd * ef * g * (1.0 / 5040.0)
    i = below - 3
    real = w0 * re[i] + w1 * re[i + 1] + w2 * re[i + 2] + w3 * re[i + 3]
    real += w4 * re[i + 4] + w5 * re[i + 5] + w6 * re[i + 6] + w7 * re[i + 7]
    imag = w0 * im[i] + w1 * im[i + 1] + w2 * im[i + 2] + w3 * im[i + 3]
    imag += w4 * im[i + 4] + w5 * im[i + 5] + w6 * im[i + 6] + w7 * im[i + 7]
    return real, imag


@kernel(nogil=True)
def filter_lines(coefficients: Complex, fine: Complex, out: Complex) -> None:
    """Filter lines: `fine` (lines, taps, fine columns) into `out` (lines, coils, nx)."""
    for line in range(len(out)):
        filter_into(coefficients, fine[line], out[line])
