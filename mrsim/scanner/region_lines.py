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
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.anatomy import Anatomy
from mrsim.anatomy.polygon import Polygon, add_edges, centroids, edge_transform
from mrsim.anatomy.shapes import Ellipse
from mrsim.errors import ProtocolError
from mrsim.kernels.grid import Grid
from mrsim.reception.coil_fit import FittedCoils, filter_lines
from mrsim.scanner.blobs import BlobLines, Blobs
from mrsim.scanner.contrast import Contrast
from mrsim.scanner.placement import PlacedEdges, PlacedSolid, Placement
from mrsim.scanner.render import MAX_TABLE_BYTES, Renderer, add_tables
from mrsim.scanner.solids import add_solid
from mrsim.stream import Header

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Rows = NDArray[np.int32]
Numbers = NDArray[np.int64]

TWO_PI = 2 * math.pi
_BLOCK_ROWS = 448
_SHARED_ROWS = (
    8  # rows of one instant that blobs share their phases along x in: their sums fit into the cache
)


class MovingEdges(NamedTuple):
    """Name the edges of a polygon that are summed anew on every line, by the number of the region."""

    region: int
    edges: Numbers


class LeaningEdges(NamedTuple):
    """Hold what of a leaning polygon's edges is the same at every instant; see `RegionLines._leaning`."""

    once: Numbers
    often: Numbers
    lower: list[tuple[Array, Array]]
    of_rows: Complex
    weights: Complex
    first: Complex


class RegionLines:
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
    ProtocolError
        If a tissue has no values at the field, or the tables would be too large.
    """

    def __init__(self, anatomy: Anatomy, header: Header, fitted: FittedCoils | None = None) -> None:
        self._anatomy, self._header, self._fitted = anatomy, header, fitted
        plain = Grid(header.matrix, header.fov_m)
        self.grid = plain if fitted is None else fitted.fine_grid(header.matrix)
        self._scale = plain.scale
        self.contrast = Contrast(anatomy, header)
        regions, moves, deforms = anatomy.phantom.regions, anatomy.moves, anatomy.deforms
        ellipse = np.array([isinstance(r.shape, Ellipse) for r in regions])
        flat = ellipse & np.array([r.depth is None for r in regions])
        self._flat = np.flatnonzero(flat)
        self._shifting = np.flatnonzero(moves & ~deforms & ~flat)
        self._solids = np.flatnonzero(deforms & ellipse & ~flat)
        polygons = np.flatnonzero(deforms & np.array([isinstance(r.shape, Polygon) for r in regions]))
        # `Anatomy.axes` is of all the ellipses that deform, in this order.
        deforming = np.flatnonzero(deforms & ellipse)
        self._flat_axes = np.flatnonzero(np.isin(deforming, self._flat))
        self._solid_axes = np.flatnonzero(np.isin(deforming, self._solids))
        size = 16 * len(self._shifting) * math.prod(self.grid.matrix)
        if size > MAX_TABLE_BYTES:
            raise ProtocolError(
                f"matrix = {header.matrix} with {len(self._shifting)} moving solids and polygons needs "
                f"{size >> 20} MiB of tables, above {MAX_TABLE_BYTES >> 20}; take a smaller matrix"
            )
        kx, ky = self.grid.k()
        still = np.zeros(self.grid.matrix, np.complex128)
        for i in np.flatnonzero(~moves & ~deforms & ~flat).tolist():
            x, y = regions[i].shape.center
            still += self.contrast.form(i, kx, ky) * np.exp(-1j * TWO_PI * (kx * x + ky * y))
        self._tables = np.empty((len(self._shifting), *self.grid.matrix), np.complex128)
        for n, i in enumerate(self._shifting.tolist()):
            self._tables[n] = self.contrast.form(i, kx, ky)
        self._lean = {i: self._leaning(i) for i in polygons.tolist() if regions[i].lean is not None}
        self._edges: list[MovingEdges] = []
        for i in polygons.tolist():
            moving, fixed = self._split_edges(i, kx, ky)
            self._edges.append(moving)
            still += fixed
        # The renderer's scale is its grid's; what is stored here is per unit of density.
        gain = 1.0 if fitted is None else fitted.gain(header.matrix)
        self._extra = still * self._scale if len(self._flat) < len(regions) else None
        self._renderer = Renderer(
            self.grid,
            [regions[i].shape for i in self._flat],
            self.contrast.signal[self._flat] * gain,
            moves[self._flat],
            deforms[self._flat],
        )
        self._motions: tuple[str, ...] = ()
        self._blobs: BlobLines | None = None
        if anatomy.phantom.texture:
            blobs = Blobs(anatomy, self.contrast, header.flip_rad)
            self._motions, self._blobs = blobs.names, BlobLines(blobs, self.grid, self._scale)
        counts = self.contrast.section_counts
        kinds = [
            f"{len(self._flat)} flat",
            f"{len(counts)} solids",
            f"{len(polygons)} deforming polygons",
        ]
        if anatomy.phantom.texture:
            kinds.append(f"{sum(len(t.places) for t in anatomy.phantom.texture)} blobs")
        self.summary = f"{len(regions)} regions ({', '.join(kinds)}), {sum(counts.values())} sections"

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
        placed = self._placed(np.asarray(t_ns, np.int64))
        instant = np.zeros(len(ky), np.int64) if one_instant else np.arange(len(ky))
        coils = 1 if self._fitted is None else self._fitted.count
        out = np.empty((len(ky), coils, self._header.matrix[1]), np.complex128)
        taps = 1 if self._fitted is None else 2 * self._fitted.halo + 1
        size = max(1, _BLOCK_ROWS // taps)
        if one_instant:  # an image's rows are shared among the threads, whole groups of blobs' rows each
            share = -(-len(ky) // numba.get_num_threads())
            size = min(size, -(-share // _SHARED_ROWS) * _SHARED_ROWS)
        blocks = [slice(a, a + size) for a in range(0, len(ky), size)]

        def work(block: slice) -> None:
            out[block] = self._block(ky[block], placed.at(instant[block]), one_instant)

        threads = min(len(blocks), numba.get_num_threads())
        if threads <= 1:
            for block in blocks:
                work(block)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(work, blocks))
        return out

    def _placed(self, t_ns: Numbers) -> Placement:
        anatomy = self._anatomy
        axes = anatomy.axes(t_ns)
        solids = [
            PlacedSolid(axes[:, n], *self.contrast.sections(i).cut(*anatomy.depth(i, t_ns)))
            for n, i in zip(self._solid_axes.tolist(), self._solids.tolist(), strict=True)
        ]
        edges = [self._placed_edges(moving, t_ns) for moving in self._edges]
        motions = anatomy.values_of(self._motions, t_ns)
        return Placement(
            anatomy.centers(t_ns), axes[:, self._flat_axes], tuple(solids), tuple(edges), motions
        )

    def _placed_edges(self, moving: MovingEdges, t_ns: Numbers) -> PlacedEdges:
        i, count = moving.region, len(t_ns)
        corners = self._anatomy.vertices(i, t_ns)
        if self._anatomy.phantom.regions[i].lean is not None:
            return self._leaning_edges(i, corners)
        if self._anatomy.phantom.regions[i].depth is not None:
            scale, weight = self.contrast.sections(i).cut(*self._anatomy.depth(i, t_ns))
            middle = centroids(corners)[:, None, None]
            corners = middle + scale[:, :, None, None] * (corners[:, None] - middle)
        else:
            weight = np.full((count, 1), self.contrast.signal[i])
            corners = corners[:, None]
        after = np.roll(corners, -1, axis=2)[:, :, moving.edges]
        return PlacedEdges(
            corners[:, :, moving.edges].reshape(count, -1, 2),
            after.reshape(count, -1, 2),
            np.repeat(weight, len(moving.edges), axis=1),
        )

    def _leaning_edges(self, i: int, corners: Array) -> PlacedEdges:
        """Return the edges of a polygon that leans.

        An edge whose ends lean alike only shifts along y from section to section, and the sum over sections
        is a factor of ky. Others are there at every section.
        """
        lean, after = self._lean[i], np.roll(corners, -1, axis=1)
        once, often = lean.once, lean.often
        starts, ends = [corners[:, once]], [after[:, once]]
        for here, there in lean.lower:
            starts.append(corners[:, often] + here)
            ends.append(after[:, often] + there)
        swept = ((corners[:, once, 0] - after[:, once, 0]) * lean.first).sum(axis=1)
        return PlacedEdges(
            np.concatenate(starts, axis=1),
            np.concatenate(ends, axis=1),
            np.tile(lean.weights, (len(corners), 1)),
            lean.of_rows,
            swept,
        )

    def _leaning(self, i: int) -> LeaningEdges:
        """Return what of a leaning polygon's edges is the same at every instant."""
        _, moved, weight = self.contrast.leaning(i)
        alike = (moved == np.roll(moved, -1, axis=1)).all(axis=0)
        once, often = np.flatnonzero(alike), np.flatnonzero(~alike)
        lower = []
        for shift in moved:
            whole = np.stack([0 * shift, shift], axis=-1)
            lower.append((whole[often], np.roll(whole, -1, axis=0)[often]))
        _, ky = self.grid.k()
        turned = np.exp(-1j * TWO_PI * ky[:, :, None] * moved[None, :, once].swapaxes(1, 2))
        of_rows = np.ones((len(ky), len(once) + len(weight) * len(often)), np.complex128)
        of_rows[:, : len(once)] = (turned * weight).sum(axis=-1)
        weights = np.concatenate([np.ones(len(once)), np.repeat(weight, len(often))])
        # At k = 0 an edge gives the area to the origin, which its shift along y changes.
        first = (weight[:, None] * moved[:, once]).sum(axis=0) / 2
        return LeaningEdges(once, often, lower, of_rows, weights, first)

    def _block(self, ky: Rows, placed: Placement, one_instant: bool) -> Complex:
        """Render some lines, and filter them by the coils."""
        fitted = self._fitted
        if fitted is not None:
            taps = 2 * fitted.halo + 1
            rows = (2 * ky[:, None] + np.arange(-fitted.halo, fitted.halo + 1, dtype=np.int32)).ravel()
            fine = self._rows(rows.astype(np.int32), placed, taps, False)
            out = np.empty((len(ky), fitted.count, self._header.matrix[1]), np.complex128)
            filter_lines(fitted.coefficients, fine.reshape(len(ky), taps, -1), out)
            return out
        return self._rows(ky, placed, 1, one_instant)[:, None, :]

    def _rows(self, rows: Rows, placed: Placement, taps: int, one_instant: bool) -> Complex:
        """Render rows of the grid, `taps` in a row of each instant."""
        centers = np.repeat(placed.centers, taps, axis=0)
        axes = np.repeat(placed.flat_axes, taps, axis=0)
        out = self._renderer.render(rows, centers[:, self._flat], axes)
        if self._extra is None and self._blobs is None:
            return out
        dky, dkx = self.grid.step
        rows = np.ascontiguousarray(rows)
        first = self.grid.matrix[0] // 2
        if self._extra is not None:
            out += self._extra[rows + first]
        moved = np.ascontiguousarray(centers[:, self._shifting])
        add_tables(rows, self._tables, moved, self._scale, dky, dkx, out)
        for i, solid in zip(self._solids.tolist(), placed.solids, strict=True):
            add_solid(
                rows,
                taps,
                np.ascontiguousarray(placed.centers[:, i]),
                np.ascontiguousarray(solid.axes),
                solid.scale,
                solid.weight * self._scale,
                dky,
                dkx,
                out,
            )
        for edges in placed.edges:
            starts, ends = (np.repeat(end, taps, axis=0) for end in (edges.starts, edges.ends))
            weight = np.repeat(edges.weight * self._scale, taps, axis=0)
            if edges.of_rows is not None:
                weight *= edges.of_rows[rows + first]
            add_edges(rows, starts, ends, weight, dky, dkx, out)
            if edges.swept is not None:
                out[:, out.shape[1] // 2] += np.repeat(edges.swept * self._scale, taps) * (rows == 0)
        if self._blobs is not None and one_instant:
            for first in range(0, len(rows), _SHARED_ROWS):
                part = slice(first, first + _SHARED_ROWS)
                self._blobs.add(rows[part], len(rows[part]), placed.motions[:1], out[part])
        elif self._blobs is not None:
            self._blobs.add(rows, taps, placed.motions, out)
        return out

    def _split_edges(self, i: int, kx: Array, ky: Array) -> tuple[MovingEdges, Complex]:
        """Return which edges of a polygon move, and the transform of the others."""
        region = self._anatomy.phantom.regions[i]
        shape, share = region.shape, region.vertex_share
        assert isinstance(shape, Polygon)
        count = len(shape.vertices)
        bends = any(any(f.stretch_per_m) or any(f.shear_per_m) or f.corners for f in region.follows)
        rigid = region.depth is None and region.lean is None and not bends
        still = np.array([rigid and share is not None and share[n] == 0 for n in range(count)])
        fixed = still & np.roll(still, -1)
        moving = MovingEdges(i, np.flatnonzero(~fixed))
        if not fixed.any():
            return moving, np.zeros((1, 1), np.complex128)
        starts, ends = shape.vertices[fixed], np.roll(shape.vertices, -1, axis=0)[fixed]
        flat = self.contrast.signal[i]
        return moving, np.asarray(flat * edge_transform(starts, ends, kx, ky), np.complex128)
