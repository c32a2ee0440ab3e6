"""Smooth fields of displacement: everything rides on them, each point by where it rests.

A field is driven by one motion. Where a point rests at r, it moves by value * w(r) * (d + G (r - c)), with
w(r) = exp(-((x - cx) / sx)^2 / 2 - ((y - cy) / sy)^2 / 2). Polygons ride with each corner, blobs with each
blob, and ellipses by the field and its gradient at their centre, so that they stay ellipses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsim.anatomy.polygon import Polygon
from mrsim.anatomy.region import Follow, Region
from mrsim.errors import PhantomError
from mrsim.toml_tables import NAME_RULE, Keys, is_name

Array = NDArray[np.float64]

MAX_FIELDS = 64
_EVERYWHERE_M = 1e3


@dataclass(frozen=True)
class Field:
    """Hold a smooth field of displacement.

    Parameters
    ----------
    motion
        Name of the motion that drives it.
    direction
        How far its middle moves along (x, y, z) for each metre of the motion's value.
    gradient
        How much (x, y) moves more for each metre from the middle, ((xx, xy), (yx, yy)), for each metre of
        the value: 1 / metre.
    center_m
        Its middle (x, y), metres.
    size_m
        Standard deviation of its envelope along x and y, metres.
    """

    motion: str
    direction: tuple[float, float, float]
    gradient: tuple[tuple[float, float], tuple[float, float]]
    center_m: tuple[float, float]
    size_m: tuple[float, float]

    def at(self, points: ArrayLike) -> Array:
        """Return how far points (x, y), shape (n, 2), move along (x, y, z) for each metre, shape (n, 3)."""
        away, weight = self._away(points)
        way = np.broadcast_to(np.array(self.direction), (len(away), 3)).copy()
        way[:, :2] += away @ np.array(self.gradient).T
        return np.asarray(weight[:, None] * way, np.float64)

    def linear(self, point: tuple[float, float]) -> Array:
        """Return the gradient of the displacement (x, y) at a point, shape (2, 2), for each metre."""
        away, weight = self._away([point])
        gradient = np.array(self.gradient)
        way = np.array(self.direction[:2]) + gradient @ away[0]
        slope = -away[0] / np.array(self.size_m) ** 2
        return np.asarray(weight[0] * (gradient + np.outer(way, slope)), np.float64)

    def _away(self, points: ArrayLike) -> tuple[Array, Array]:
        away = np.asarray(points, np.float64) - np.array(self.center_m)
        weight = np.exp(-0.5 * ((away / np.array(self.size_m)) ** 2).sum(axis=1))
        return away, np.asarray(weight, np.float64)


def read_fields(table: Any, motions: Collection[str], where: str) -> dict[str, Field]:
    """Read the [field.NAME] tables.

    Parameters
    ----------
    table
        The tables by name.
    motions
        Names of all motions.
    where
        How errors name the file.

    Raises
    ------
    PhantomError
        It names the field and the key.
    """
    if not isinstance(table, dict) or len(table) > MAX_FIELDS:
        raise PhantomError(f"{where}: field: expected at most {MAX_FIELDS} tables [field.NAME]")
    fields: dict[str, Field] = {}
    for name, entry in table.items():
        here = f"{where}: field {name!r}"
        if not is_name(name):
            raise PhantomError(f"{here[:300]}: expected {NAME_RULE}")
        keys = Keys(entry, here)
        motion = keys.name("motion")
        if motion not in motions:
            raise PhantomError(f"{here}: motion = {motion!r} is not known; known: {', '.join(motions)}")
        ways = keys.vectors("direction", False)
        rows = keys.pairs("gradient_percent_per_mm", 2, ())
        center = keys.pair("center_mm", (0.0, 0.0))
        size = keys.pair("size_mm", (_EVERYWHERE_M * 1e3, _EVERYWHERE_M * 1e3))
        keys.done()
        if rows and len(rows) != 2:
            raise PhantomError(f"{here}: gradient_percent_per_mm: expected two rows [[xx, xy], [yx, yy]]")
        if not all(1.0 <= s <= _EVERYWHERE_M * 1e3 for s in size):
            raise PhantomError(f"{here}: size_mm = {list(size)}: expected 1 to {_EVERYWHERE_M * 1e3:g} both")
        # 1 % per mm is 10 per metre.
        (xx, xy), (yx, yy) = rows or ((0.0, 0.0), (0.0, 0.0))
        fields[name] = Field(
            motion,
            ways[0] if ways else (0.0, 0.0, 0.0),
            ((10 * xx, 10 * xy), (10 * yx, 10 * yy)),
            (center[0] / 1e3, center[1] / 1e3),
            (size[0] / 1e3, size[1] / 1e3),
        )
    return fields


def own_follows(region: Region, fields: Mapping[str, Field]) -> tuple[Follow, ...]:
    """Return what a region that rides on fields follows of its own."""
    return region.follows[: len(region.follows) - len({f.motion for f in fields.values()})]


def riding(region: Region, fields: Mapping[str, Field]) -> Region:
    """Return a region that follows the fields where it rests, in addition to its own motions."""
    follows = list(region.follows)
    for motion in dict.fromkeys(f.motion for f in fields.values()):
        driven = [f for f in fields.values() if f.motion == motion]
        center = region.shape.center
        way = sum(f.at([center])[0] for f in driven)
        assert isinstance(way, np.ndarray)
        direction = (float(way[0]), float(way[1]), float(way[2]))
        if isinstance(region.shape, Polygon):
            each = sum(f.at(region.shape.vertices)[:, :2] for f in driven)
            assert isinstance(each, np.ndarray)
            corners = tuple((float(x), float(y)) for x, y in each)
            follows.append(Follow(motion, direction, (0.0, 0.0, 0.0), corners=corners))
        else:
            (xx, xy), (yx, yy) = sum((f.linear(center) for f in driven), np.zeros((2, 2)))
            stretch = (float(xx), float(yy), 0.0)
            follows.append(Follow(motion, direction, stretch, (float(xy), float(yx))))
    return dataclasses.replace(region, follows=tuple(follows))
