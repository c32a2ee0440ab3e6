"""What each region adds to the signal: its steady state, and the slice through it, less its parent's."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.anatomy import Anatomy
from mrsim.anatomy.shapes import Ellipse
from mrsim.anatomy.texture import Texture
from mrsim.physics.slices import Sections
from mrsim.physics.steady_state import FlipResponse, tissue_signal
from mrsim.physics.tissue import tissue
from mrsim.stream import Header

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

SECTION_TOLERANCE = 1e-7  # of a solid's largest value in k-space
LEAN_TOLERANCE = 1e-4  # of the signal, at the edge of k-space, of the corner that moves most
MAX_SECTIONS = 64
ENDLESS_M = 1e6


class Contrast:
    """Hold the signal of every region relative to its parent, and how solids are cut by the slice.

    Parameters
    ----------
    anatomy
        Where everything is.
    header
        The protocol.

    Raises
    ------
    InputError
        If a tissue has no values at the field.
    """

    def __init__(self, anatomy: Anatomy, header: Header) -> None:
        self._anatomy, self._header = anatomy, header
        regions, slice_ = anatomy.phantom.regions, anatomy.phantom.slice_
        names = {r.tissue for r in regions} | {t.tissue for t in anatomy.phantom.texture}
        tissues = {name: tissue(name, header.field_t) for name in names}
        self._responses = {n: FlipResponse.of(t, header.tr_ns, header.te_ns) for n, t in tissues.items()}
        if slice_ is None:
            signals = {
                n: tissue_signal(t, header.flip_rad, header.tr_ns, header.te_ns) for n, t in tissues.items()
            }
        else:
            signals = {n: slice_.flat_weight(r, header.flip_rad) for n, r in self._responses.items()}
        by_name = {r.name: r for r in regions}
        # Of each region relative to its parent, where it fills the slice, shape (regions,).
        self.signal: Complex = np.array(
            [signals[r.tissue] - (signals[by_name[r.parent].tissue] if r.parent else 0) for r in regions],
            np.complex128,
        )
        self._signals = signals
        self._tissues = {r.name: r.tissue for r in regions}
        self.target_signal = abs(signals[by_name[anatomy.phantom.target].tissue])
        self._parents = {r.name: by_name[r.parent].tissue if r.parent else None for r in regions}
        self.section_counts = {
            i: self._sections_needed(i) for i, region in enumerate(regions) if region.depth is not None
        } | {i: self._leaning_needed(i) for i, region in enumerate(regions) if region.lean is not None}

    def of_texture(self, group: Texture) -> complex:
        """Return the signal of a group's tissue relative to its region's, where it fills the slice."""
        return complex(self._signals[group.tissue] - self._signals[self._tissues[group.region]])

    def responses_of(self, group: Texture) -> tuple[FlipResponse, FlipResponse]:
        """Return the responses of a group's tissue and of its region's."""
        return self._responses[group.tissue], self._responses[self._tissues[group.region]]

    def sections(self, number: int, count: int | None = None) -> Sections:
        """Return what cuts a solid; with as many sections as it needs, unless a count is given."""
        region, slice_ = self._anatomy.phantom.regions[number], self._anatomy.phantom.slice_
        assert slice_ is not None
        parent = self._parents[region.name]
        own, other = self._responses[region.tissue], self._responses[parent] if parent else None
        return Sections(slice_, (own, other), self._header.flip_rad, count or self.section_counts[number])

    def leaning(self, number: int, count: int | None = None) -> tuple[Array, Array, Complex]:
        """Return the sections of a polygon that leans.

        Returns
        -------
        height, moved, weight
            Height of each above the slice's middle, metres; how far each corner lies further along y there,
            shape (sections, corners), metres; and the signal of each relative to the parent.
        """
        region, slice_ = self._anatomy.phantom.regions[number], self._anatomy.phantom.slice_
        assert slice_ is not None
        assert region.lean is not None
        low, high = slice_.limits
        count = count or self.section_counts[number]
        nodes, _ = np.polynomial.legendre.leggauss(count)
        height = (high - low) / 2 * nodes
        # As a solid without end: it fills the slice at every height.
        _, weight = self.sections(number, count).cut(np.array([slice_.z_m]), np.array([ENDLESS_M]))
        slope, bend = np.array(region.lean.slope), np.array(region.lean.bend_per_m)
        moved = height[:, None] * slope + height[:, None] ** 2 * bend
        return height, moved, weight[0]

    def _leaning_needed(self, number: int) -> int:
        """Return how many sections hold the tolerance for the corner that moves most through the slice."""
        slice_ = self._anatomy.phantom.slice_
        assert slice_ is not None
        (ny, _), (fov_y, _) = self._header.matrix, self._header.fov_m
        k = np.linspace(0, ny / fov_y / 2, 48)

        def summed(count: int) -> Complex:
            _, moved, weight = self.leaning(number, count)
            turn = np.exp(-2j * np.pi * k[:, None, None] * moved)
            return np.asarray((turn * weight[:, None]).sum(axis=1), np.complex128)

        exact = summed(MAX_SECTIONS)
        size = np.abs(exact[0]).max()
        for count in range(4, MAX_SECTIONS, 2):
            if size == 0 or np.abs(summed(count) - exact).max() <= LEAN_TOLERANCE * size:
                return count
        return MAX_SECTIONS

    def cuts(self, number: int, t_ns: NDArray[np.int64]) -> list[tuple[float, complex]]:
        """Return scale and signal (relative to the parent) of each section of a region at an instant."""
        if self._anatomy.phantom.regions[number].depth is None:
            return [(1.0, complex(self.signal[number]))]
        scale, weight = self.sections(number).cut(*self._anatomy.depth(number, t_ns))
        return list(zip(scale[0].tolist(), weight[0].tolist(), strict=True))

    def form(self, number: int, kx: Array, ky: Array) -> Complex:
        """Return the transform of a region about its centre times its contrast, through the slice."""
        region = self._anatomy.phantom.regions[number]
        if region.depth is None:
            return np.asarray(self.signal[number] * region.shape.form_factor(kx, ky), np.complex128)
        center, half = np.array([region.depth.center_z]), np.array([region.depth.half])
        scale, weight = self.sections(number).cut(center, half)
        total = np.zeros(np.broadcast_shapes(kx.shape, ky.shape), np.complex128)
        for s, w in zip(scale[0].tolist(), weight[0].tolist(), strict=True):
            if w != 0:
                total += (w * s * s) * region.shape.form_factor(s * kx, s * ky)
        return total

    def _sections_needed(self, number: int) -> int:
        """Return how many sections hold the tolerance wherever the solid may be.

        A disc as wide as the region stands for it: along any direction its transform turns the fastest.
        """
        anatomy, region = self._anatomy, self._anatomy.phantom.regions[number]
        assert region.depth is not None
        assert anatomy.phantom.slice_ is not None
        low, high = anatomy.phantom.slice_.limits
        reach = region.depth.half
        moving = anatomy.deforms[number]
        center = np.linspace(low - 0.9 * reach, high + 0.9 * reach, 13) if moving else np.zeros(0)
        center = np.append(center, region.depth.center_z)
        half = np.full(len(center), reach)
        edge = np.linalg.norm(region.shape.boundary(90) - np.array(region.shape.center), axis=1).max()
        most = math.hypot(*(n / f / 2 for n, f in zip(self._header.matrix, self._header.fov_m, strict=True)))
        q = np.linspace(0, most * float(edge), 48)

        def projected(count: int) -> Complex:
            scale, weight = self.sections(number, count).cut(center, half)
            disc = Ellipse((0, 0), (1, 1)).form_factor(scale[..., None] * q, 0 * q)
            return np.asarray((weight[..., None] * scale[..., None] ** 2 * disc).sum(axis=1), np.complex128)

        exact = projected(MAX_SECTIONS)
        size = np.abs(exact).max()
        for count in range(4, MAX_SECTIONS, 2):
            if size == 0 or np.abs(projected(count) - exact).max() <= SECTION_TOLERANCE * size:
                return count
        return MAX_SECTIONS
