"""Spins that fill a phantom: a regular grid at rest, every region with its own and its own motion.

Every region brings spins of its tissue and takes away those of its parent, as its contrast does in the
analytic engine. For regions that ride together the two are added up first, so that the innermost one wins
and nothing is computed twice. A region that slides against its parent carries the negative spins of what it
covers: without them it would leave a hole where it was.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.phantom import Phantom
from mrsim.anatomy.region import STATIC, Region
from mrsim.errors import ProtocolError
from mrsim.kernels.grid import Grid
from mrsim.physics.tissue import tissue
from mrsim.scanner.protocol import SPINS_PER_SIDE, ScanProtocol
from mrsim.spins.isochromats import Spins
from mrsim.spins.off_resonance import lorentz_offsets

Array = NDArray[np.float64]

MAX_SIDE = 2048
MAX_SUB_SPINS = 256


def spins_of(
    phantom: Phantom,
    protocol: ScanProtocol,
    spins_per_side: int = SPINS_PER_SIDE,
    *,
    t2_prime_s: float | None = None,
    sub_spins: int = 8,
) -> Spins:
    """Fill a phantom with spins.

    Parameters
    ----------
    phantom
        What is filled, where it is at rest; its regions must be flat, and not stretch by corners.
    protocol
        Field of view, field and matrix: weights are such that lines have the scale of the scan.
    spins_per_side
        Spins across the field of view, each way; those in air and in what gives no signal are left out.
    t2_prime_s
        T2' of all tissues, seconds; None for no spread.
    sub_spins
        Spins at one place that share the spread.

    Returns
    -------
    spins
        Their `region` is a region of the phantom that has their motion.

    Raises
    ------
    ProtocolError
        If a value is out of range, a region is a solid, a tissue has no values at the field, or nothing
        gives signal.
    """
    if not 1 <= spins_per_side <= MAX_SIDE:
        raise ProtocolError(f"spins = {spins_per_side!r}: expected 1 to {MAX_SIDE} a side")
    if t2_prime_s is not None and not (t2_prime_s > 0 and 1 <= sub_spins <= MAX_SUB_SPINS):
        raise ProtocolError(
            f"t2_prime_s = {t2_prime_s!r} on {sub_spins!r} spins: expected a positive time, "
            f"on 1 to {MAX_SUB_SPINS}"
        )
    _check_flat(phantom)
    fov_y, fov_x = protocol.fov_m
    at = (np.arange(spins_per_side) + 0.5) / spins_per_side - 0.5
    x, y = (v.ravel() for v in np.meshgrid(at * fov_x, at * fov_y))
    area = fov_x * fov_y / spins_per_side**2 * Grid(protocol.matrix, protocol.fov_m).scale
    offsets = np.zeros(1) if t2_prime_s is None else lorentz_offsets(t2_prime_s, sub_spins)
    columns: list[Array] = []
    for (number, name), count in _fill(phantom, x, y).items():
        material, there = tissue(name, protocol.field_t), np.flatnonzero(count)
        if material.pd == 0 or not len(there):
            continue
        for offset in offsets.tolist():
            one = np.empty((7, len(there)))
            one[0], one[1], one[2] = x[there], y[there], number
            one[3] = count[there] * (material.pd * area / len(offsets))
            one[4], one[5], one[6] = material.t1_s, material.t2_s, material.shift_hz + offset
            columns.append(one)
    if not columns:
        raise ProtocolError(f"{phantom.name}: no spin of {spins_per_side} a side gives signal: take more")
    rest = np.concatenate(columns, axis=1)
    centers = np.array([r.shape.center for r in phantom.regions], np.float64)
    return Spins(rest[0], rest[1], rest[2].astype(np.int64), rest[3], rest[4], rest[5], rest[6], centers)


def _fill(phantom: Phantom, x: Array, y: Array) -> dict[tuple[int, str], NDArray[np.int64]]:
    """Return how often each point counts, by tissue and by the first region of those that ride together."""
    by_name = {r.name: r for r in phantom.regions}
    first: dict[object, int] = {}
    fill: dict[tuple[int, str], NDArray[np.int64]] = {}
    for number, region in enumerate(phantom.regions):
        lead = first.setdefault(_ride(region, number), number)
        inside = region.shape.inside(x, y).astype(np.int64)
        terms = [(region.tissue, 1)] + ([(by_name[region.parent].tissue, -1)] if region.parent else [])
        for name, sign in terms:
            fill[lead, name] = fill.get((lead, name), 0) + sign * inside
    return fill


def _ride(region: Region, number: int) -> object:
    """Return what is equal for regions that are always displaced alike and never stretched."""
    if region.deforms:
        return number
    if not region.moves:
        return None
    return tuple((f.motion, f.direction[:2]) for f in region.follows if f.motion != STATIC)


def _check_flat(phantom: Phantom) -> None:
    for what, found in (("fields", phantom.fields), ("texture", phantom.texture)):
        if found:
            raise ProtocolError(
                f"{phantom.name}: {what}: the isochromat engine scans flat regions that shift and stretch; "
                "take the analytic engine"
            )
    for region in phantom.regions:
        uneven = region.vertex_share is not None and region.deforms
        if region.depth is not None or uneven:
            what = "it is a solid" if region.depth is not None else "its corners move unlike each other"
            raise ProtocolError(
                f"{phantom.name}: region {region.name!r}: {what}: the isochromat engine scans flat regions "
                "that shift and stretch; take the analytic engine, or a flat phantom"
            )
