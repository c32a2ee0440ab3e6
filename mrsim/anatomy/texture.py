"""Texture: blobs of Gaussian density that ride on a region and on the smooth fields.

A blob of width s at r adds strength * (signal of its tissue - that of its region) exp(-|r' - r|^2 / 2 s^2).
It is as wide along z as in the plane, so that it comes and goes as it moves through the slice.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.fields import Field, own_follows
from mrsim.anatomy.region import STATIC, Region
from mrsim.errors import PhantomError
from mrsim.physics.tissue import tissue_names
from mrsim.toml_tables import Keys, is_name

Array = NDArray[np.float64]

MAX_GROUPS = 64
MAX_BLOBS = 4096


@dataclass(frozen=True)
class Texture:
    """Hold a group of blobs that differ in their places alone.

    Parameters
    ----------
    name
        Its name.
    region
        Name of the region that they ride on.
    tissue
        Name in the tissue table.
    strength
        Share of the tissue's contrast against the region at the middle of a blob.
    width_m
        Standard deviation of a blob, metres.
    places
        Where the blobs rest, (x, y, z) of each, metres.
    """

    name: str
    region: str
    tissue: str
    strength: float
    width_m: float
    places: tuple[tuple[float, float, float], ...]

    def ways(self, region: Region, fields: Mapping[str, Field], motions: Sequence[str]) -> Array:
        """Return how far each blob moves for each metre of each motion, shape (motions, 3, blobs).

        Parameters
        ----------
        region
            The region that they ride on, as `mrsim.anatomy.fields.riding` returns it.
        fields
            The fields of the phantom.
        motions
            Names of the motions, in the order of the result.
        """
        at = np.array(self.places)
        out = np.zeros((len(motions), 3, len(at)))
        for follow in own_follows(region, fields):
            if follow.motion == STATIC:
                continue
            n = motions.index(follow.motion)
            about = at[:, :2] - np.array(region.shape.center)
            out[n] += np.array(follow.direction)[:, None]
            out[n, :2] += np.array(follow.linear) @ about.T
            if region.depth is not None:
                out[n, 2] += follow.stretch_per_m[2] * (at[:, 2] - region.depth.center_z)
        for field in fields.values():
            out[motions.index(field.motion)] += field.at(at[:, :2]).T
        return out


def read_texture(entries: Any, regions: Mapping[str, Region], solid: bool, where: str) -> tuple[Texture, ...]:
    """Read the [[texture]] tables.

    Parameters
    ----------
    entries
        The tables.
    regions
        All regions by name.
    solid
        Whether there is a slice, so that blobs have a height.
    where
        How errors name the file.

    Raises
    ------
    PhantomError
        It names the group and the key.
    """
    if not isinstance(entries, list) or len(entries) > MAX_GROUPS:
        raise PhantomError(f"{where}: texture: expected at most {MAX_GROUPS} [[texture]] tables")
    groups = tuple(_read_group(entry, i, regions, solid, where) for i, entry in enumerate(entries))
    names: set[str] = set()
    for group in groups:
        if group.name in names:
            raise PhantomError(f"{where}: texture {group.name!r}: the name is used twice")
        names.add(group.name)
    count = sum(len(group.places) for group in groups)
    if count > MAX_BLOBS:
        raise PhantomError(f"{where}: texture: {count} blobs: expected at most {MAX_BLOBS}")
    return groups


def _read_group(entry: Any, number: int, regions: Mapping[str, Region], solid: bool, where: str) -> Texture:
    named = isinstance(entry, dict) and is_name(entry.get("name"))
    here = f"{where}: texture {entry['name']!r}" if named else f"{where}: texture number {number + 1}"
    keys = Keys(entry, here)
    name, region, tissue = keys.name("name"), keys.name("region"), keys.name("tissue")
    strength = keys.within("strength", -2, 2, 1.0)
    width_mm = keys.within("width_mm", 0.3, 100)
    x, y = keys.numbers("x_mm", MAX_BLOBS), keys.numbers("y_mm", MAX_BLOBS)
    z = keys.numbers("z_mm", MAX_BLOBS, () if solid else (0.0,) * len(x))
    keys.done()
    _check_known(tissue, tissue_names(), f"{here}: tissue")
    _check_known(region, regions, f"{here}: region")
    if not len(x) == len(y) == len(z) or not x:
        raise PhantomError(
            f"{here}: {len(x)} x_mm, {len(y)} y_mm, {len(z)} z_mm: expected one each, and at least one"
        )
    if not solid and any(z):
        raise PhantomError(f"{here}: z_mm: there is no [slice]: leave heights out, or add one")
    farthest = max(math.hypot(*place) for place in zip(x, y, z, strict=True))
    if farthest > 1000:
        raise PhantomError(f"{here}: a blob lies {farthest:g} mm from the centre: expected at most 1000")
    if regions[region].vertex_share is not None:
        raise PhantomError(
            f"{here}: region = {region!r}: its corners follow by shares, which a blob cannot; "
            "let the region ride on fields"
        )
    places = tuple((a / 1e3, b / 1e3, c / 1e3) for a, b, c in zip(x, y, z, strict=True))
    return Texture(name, region, tissue, strength, width_mm / 1e3, places)


def _check_known(name: str, known: Collection[str], here: str) -> None:
    if name not in known:
        raise PhantomError(f"{here} = {name!r} is not known; known: {', '.join(known)}")
