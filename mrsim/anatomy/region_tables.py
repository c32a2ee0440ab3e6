"""The [[region]] tables and the [slice] table of a phantom's file."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from mrsim.anatomy.polygon import MAX_CORNERS, Polygon
from mrsim.anatomy.region import Depth, Follow, Lean, Region
from mrsim.anatomy.shapes import Ellipse, Shape
from mrsim.errors import InputError, PhantomError
from mrsim.physics.slices import Slice
from mrsim.physics.tissue import tissue_names
from mrsim.toml_tables import Keys, is_name

_Shape = tuple[Shape, Depth | None, tuple[float, ...] | None, Lean | None]

SHAPES = ("ellipse", "ellipsoid", "polygon")


def read_region(entry: Any, number: int, motions: Collection[str], where: str) -> Region:
    """Read a region; what it inherits is left open (`follows` is empty).

    Parameters
    ----------
    entry
        Its table.
    number
        Its number, for a table without a name.
    motions
        Names of all motions.
    where
        How errors name the file.

    Raises
    ------
    PhantomError
        It names the region and the key.
    """
    named = isinstance(entry, dict) and is_name(entry.get("name"))
    here = f"{where}: region {entry['name']!r}" if named else f"{where}: region number {number + 1}"
    keys = Keys(entry, here)
    name = keys.name("name")
    tissue = keys.name("tissue")
    if tissue not in tissue_names():
        raise PhantomError(f"{here}: tissue = {tissue!r} is not known; known: {', '.join(tissue_names())}")
    shape, depth, vertex_share, lean = _shape(keys, here)
    parent = keys.optional_name("parent")
    follows = _follows(keys, motions, here)
    keys.done()
    if follows and vertex_share is not None and len(vertex_share) != len(shape.boundary(1)):
        raise PhantomError(
            f"{here}: follow: {len(vertex_share)} shares for {len(shape.boundary(1))} points: one each"
        )
    return Region(name, tissue, shape, parent, follows, depth, vertex_share, lean)


def read_slice(table: Any, where: str) -> Slice | None:
    """Read the slice; without a table there is none, and the phantom is two-dimensional.

    Raises
    ------
    PhantomError
        It names the key.
    """
    if table is None:
        return None
    keys = Keys(table, f"{where}: slice")
    thickness_mm = keys.within("thickness_mm", 0.1, 1000)
    profile = keys.name("profile", "sinc")
    z_mm = keys.within("z_mm", -1000, 1000, 0.0)
    time_bandwidth = keys.within("time_bandwidth", 1, 16, 4.0)
    keys.done()
    try:
        return Slice(thickness_mm / 1e3, profile, z_mm / 1e3, time_bandwidth)
    except InputError as error:
        raise PhantomError(f"{where}: slice: {error}") from None


def _shape(keys: Keys, here: str) -> _Shape:
    kind = keys.name("shape", "ellipse")
    if kind not in SHAPES:
        raise PhantomError(f"{here}: shape = {kind!r}: expected {', '.join(repr(s) for s in SHAPES)}")
    if kind == "polygon":
        return _polygon(keys, here)
    depth = None
    if kind == "ellipsoid":
        x, y, z = keys.triple("center_mm")
        a, b, c = keys.triple("semi_axes_mm")
        depth = _depth(z, c, f"{here}: semi_axes_mm")
    else:
        (x, y), (a, b) = keys.pair("center_mm"), keys.pair("semi_axes_mm")
    angle = math.radians(keys.number("angle_deg", 0.0))
    try:
        return Ellipse((x / 1e3, y / 1e3), (a / 1e3, b / 1e3), angle), depth, None, None
    except InputError as error:
        raise PhantomError(f"{here}: semi_axes_mm: {error}") from None


def _polygon(keys: Keys, here: str) -> _Shape:
    points = keys.pairs("points_mm", MAX_CORNERS)
    share = keys.numbers("follow", MAX_CORNERS, ())
    slope = keys.numbers("lean", MAX_CORNERS, ())
    bend = keys.numbers("bend_per_mm", MAX_CORNERS, ())
    z, half = keys.pair("depth_mm", (0.0, math.inf))
    depth = None if math.isinf(half) else _depth(z, half, f"{here}: depth_mm")
    try:
        polygon = Polygon(tuple((x / 1e3, y / 1e3) for x, y in points))
    except InputError as error:
        raise PhantomError(f"{here}: points_mm: {error}") from None
    turned = polygon.points[0] != (points[0][0] / 1e3, points[0][1] / 1e3)  # it runs the other way now
    lean = _lean(slope, bend, len(points), depth is not None, here)
    if turned:
        share = share[::-1]
        lean = lean and Lean(lean.slope[::-1], lean.bend_per_m[::-1])
    return polygon, depth, share or None, lean


def _lean(
    slope: tuple[float, ...], bend: tuple[float, ...], count: int, deep: bool, here: str
) -> Lean | None:
    if not slope and not bend:
        return None
    for key, values, most in (("lean", slope, 20.0), ("bend_per_mm", bend, 2.0)):
        if values and (len(values) != count or max(map(abs, values)) > most):
            raise PhantomError(
                f"{here}: {key}: {len(values)} numbers for {count} points: expected one each, "
                f"at most {most:g} in size"
            )
    if deep:
        raise PhantomError(f"{here}: depth_mm: a polygon that leans goes through the whole slice; leave one")
    return Lean(slope or (0.0,) * count, tuple(1e3 * b for b in bend) or (0.0,) * count)


def _depth(z_mm: float, half_mm: float, here: str) -> Depth:
    if not 0 < half_mm <= 1000 or not abs(z_mm) <= 1000:
        raise PhantomError(
            f"{here}: {z_mm:g}, {half_mm:g} mm along z: expected a height, and half a height above 0"
        )
    return Depth(z_mm / 1e3, half_mm / 1e3)


def _follows(keys: Keys, motions: Collection[str], here: str) -> tuple[Follow, ...]:
    """Read one motion, or a list of them with a list of directions and of stretches."""
    several = keys.holds_list("motion")
    names = keys.names("motion") if several else tuple(n for n in (keys.optional_name("motion"),) if n)
    for name in names:
        if name not in motions:
            raise PhantomError(f"{here}: motion = {name!r} is not known; known: {', '.join(motions)}")
    directions = keys.vectors("direction", several)
    stretches = keys.vectors("stretch_percent_per_mm", several)
    for key, vectors in (("direction", directions), ("stretch_percent_per_mm", stretches)):
        if several and vectors and len(vectors) != len(names):
            raise PhantomError(
                f"{here}: {key}: {len(vectors)} vectors for {len(names)} motions: expected one each"
            )
    none = (0.0, 0.0, 0.0)
    if not names and any(v != none for v in (*directions, *stretches)):
        raise PhantomError(f"{here}: direction or stretch without motion: name the motion that drives it")
    return tuple(
        Follow(
            name,
            directions[i] if directions else none,
            # 1 % per mm is 10 per metre.
            tuple(10.0 * s for s in stretches[i]) if stretches else none,  # type: ignore[arg-type]
        )
        for i, name in enumerate(names)
    )
