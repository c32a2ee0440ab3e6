"""What is scanned: nested regions with a shape, a tissue and a motion, from a TOML definition.

A region's contrast counts relative to its parent: it replaces the parent where it lies, so the whole
transform stays a sum of closed forms. Lengths are metres inside, and positions are (x, y): x along the
readout (columns), y along the phase encode (rows, head-foot; +y is towards the feet).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.body import Inside, Recorded
from mrsim.anatomy.fields import Field, read_fields, riding
from mrsim.anatomy.phantom_file import apply_overrides, emit, parse, read_text
from mrsim.anatomy.region import STATIC, Follow, Region
from mrsim.anatomy.region_tables import read_region, read_slice
from mrsim.anatomy.texture import Texture, read_texture
from mrsim.argument_types import checked
from mrsim.errors import PhantomError, files_raise
from mrsim.motion.tables import AnyMotion, embed_traces, read_motions
from mrsim.physics.slices import Slice
from mrsim.summary import Summarised, listed
from mrsim.toml_tables import Keys, Table

__all__ = ["MAX_REGIONS", "STATIC", "Phantom", "Region", "load_phantom"]

MAX_REGIONS = 512
MAX_COIL_SHIFT_MM = 50.0
RIDING_MARGIN_M = 0.012
_MARGIN_POINTS = 12
_BOUNDARY_POINTS = 90


@dataclass(frozen=True, repr=False)
class Phantom(Summarised):
    """Hold a phantom: what is there and how it moves, before a seed makes one course of it.

    Parameters
    ----------
    name
        Short name.
    title
        One line that says what it is.
    target
        Name of the region that is tracked.
    regions
        All regions.
    motions
        All motions by name; "static" is always among them.
    text
        The definition in TOML with every override applied; `from_text` gives the phantom again.
    slice_
        The slice that is excited; None for a phantom of two dimensions.
    fields
        Smooth fields that everything rides on, by name.
    texture
        Groups of blobs.
    beyond_fov
        Whether the body may go on beyond the field of view along y, and so wrap around.
    coil_shift_m
        How far the receive coils are from where they are by default, (x, y), metres.
    """

    name: str
    title: str
    target: str
    regions: tuple[Region, ...]
    motions: Mapping[str, AnyMotion]
    text: str
    slice_: Slice | None = None
    fields: Mapping[str, Field] = field(default_factory=dict)
    texture: tuple[Texture, ...] = ()
    beyond_fov: bool = False
    coil_shift_m: tuple[float, float] = (0.0, 0.0)

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        facts = [
            ("title", self.title),
            ("target", self.target),
            ("regions", f"{len(self.regions)}: {listed(self.region_names)}"),
            ("motions", listed(sorted(self.motions))),
        ]
        if self.fields:
            facts.append(("fields", f"{len(self.fields)}: {listed(tuple(self.fields))}"))
        if self.texture:
            facts.append(("texture", f"{sum(len(t.places) for t in self.texture)} blobs"))
        return f"Phantom: {self.name}", facts

    @classmethod
    def from_text(cls, text: str, *, name: str = "phantom", where: str = "phantom text") -> Phantom:
        """Read a definition.

        Parameters
        ----------
        text
            TOML.
        name
            Short name, where the text does not say one.
        where
            How errors name it.

        Raises
        ------
        PhantomError
            If it is not a phantom: the error names the region and the key.
        """
        return _build(parse(text, where), name, where)

    @property
    def region_names(self) -> tuple[str, ...]:
        """Return the names of all regions in order."""
        return tuple(r.name for r in self.regions)

    @property
    def target_center_m(self) -> tuple[float, float]:
        """Return where the target rests, (x, y), metres."""
        x, y = self.regions[self.index(self.target)].shape.center
        return float(x), float(y)

    def resting_outline(self) -> Inside | None:
        """Return which points lie within the outermost regions; None if one of these moves freely.

        Around a body that rides on fields a margin is left, within which it moves.
        """
        roots = [r for r in self.regions if r.parent is None]
        if not self.fields and any(r.moves or r.deforms for r in roots):
            return None
        turn = np.arange(_MARGIN_POINTS) * (2 * np.pi / _MARGIN_POINTS)
        around = RIDING_MARGIN_M * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        shifts = np.concatenate([np.zeros((1, 2)), around if self.fields else np.empty((0, 2))])

        def inside(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
            found = np.zeros(np.shape(x), np.bool_)
            for region in roots:
                for dx, dy in shifts.tolist():
                    found |= region.shape.inside(x + dx, y + dy)
            return found

        return inside

    @property
    def tissues(self) -> frozenset[str]:
        """Return the names of the tissues of all regions and of their texture."""
        return frozenset(r.tissue for r in self.regions) | frozenset(t.tissue for t in self.texture)

    @property
    def anatomy_sha256(self) -> str:
        """Return the SHA-256 of regions, texture and slice, hexadecimal."""
        table = parse(self.text, self.name)
        what = {"region": table["region"], "slice": table.get("slice")}
        if self.texture:
            what["texture"] = table["texture"]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    @property
    def recorded(self) -> Recorded | None:
        """Return None: it is not made of images."""
        return None

    def index(self, region: str) -> int:
        """Return the number of a region.

        Raises
        ------
        PhantomError
            If there is none of this name.
        """
        if region not in self.region_names:
            raise PhantomError(
                f"{self.name}: region {region!r} is not known; known: {', '.join(self.region_names)}"
            )
        return self.region_names.index(region)


@checked
@files_raise(PhantomError)
def load_phantom(name_or_path: str | Path, overrides: Mapping[str, Any] | None = None) -> Phantom:
    """Load a phantom.

    Parameters
    ----------
    name_or_path
        Name of a shipped phantom such as "quasar", or path of a .toml file.
    overrides
        New values by dotted key, such as {"motion.breathing.amplitude_mm": 20} or
        {"region.target.center_mm": [0, 10]}.

    Raises
    ------
    PhantomError
        If there is no such phantom, or its definition is wrong: the error names the file, the region
        and the key.
    """
    text, where = read_text(name_or_path)
    table = apply_overrides(parse(text, where), overrides or {}, where)
    path = Path(name_or_path)
    embed_traces(table, path.parent if path.suffix == ".toml" else None, where)
    name = re.sub("[^A-Za-z0-9_-]+", "-", path.stem)[:60] or "phantom"
    return _build(table, name, where)


def _build(table: Table, name: str, where: str) -> Phantom:
    keys = Keys(table, where)
    name = keys.name("name", name)
    title = keys.text("title")
    target = keys.name("target")
    motions = read_motions(keys.take("motion", {}), where)
    slice_ = read_slice(table["slice"], where) if "slice" in table else None
    keys.take("slice", {})
    fields = read_fields(keys.take("field", {}), motions, where)
    textures = keys.take("texture", [])
    beyond_fov = keys.flag("beyond_fov", False)
    shift_x, shift_y = keys.pair("coil_shift_mm", (0.0, 0.0))
    if max(abs(shift_x), abs(shift_y)) > MAX_COIL_SHIFT_MM:
        raise PhantomError(
            f"{where}: coil_shift_mm = {[shift_x, shift_y]}: expected at most {MAX_COIL_SHIFT_MM:g} mm"
        )
    entries = keys.take("region", [])
    keys.done()
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_REGIONS:
        raise PhantomError(f"{where}: region: expected 1 to {MAX_REGIONS} [[region]] tables")
    drafts = [read_region(entry, i, motions, where) for i, entry in enumerate(entries)]
    by_name = {r.name: r for r in drafts}
    if len(by_name) < len(drafts):
        twice = next(r.name for i, r in enumerate(drafts) if r.name in {d.name for d in drafts[:i]})
        raise PhantomError(f"{where}: region {twice!r}: the name is used twice")
    if target not in by_name:
        raise PhantomError(f"{where}: target = {target!r}: no such region; known: {', '.join(by_name)}")
    regions = tuple(_inherit(r, by_name, where) for r in drafts)
    for region in regions:
        if region.depth is not None and slice_ is None:
            raise PhantomError(
                f"{where}: region {region.name!r}: it extends along z, and there is no [slice]: add one with "
                "its thickness_mm, or make the region flat"
            )
        if region.lean is not None and slice_ is None:
            raise PhantomError(
                f"{where}: region {region.name!r}: lean: there is no [slice]: add one, or leave it out"
            )
        _check_inside_parent(region, by_name, where)
    texture = read_texture(textures, {r.name: r for r in regions}, slice_ is not None, where)
    return Phantom(
        name,
        title,
        target,
        tuple(riding(r, fields) for r in regions) if fields else regions,
        motions,
        emit({"name": name, **table}),
        slice_,
        fields,
        texture,
        beyond_fov,
        (shift_x / 1e3, shift_y / 1e3),
    )


def _inherit(region: Region, by_name: Mapping[str, Region], where: str) -> Region:
    """Return the region with its motion: its own, or that of the nearest ancestor that names one."""
    seen = [region.name]
    at = region
    while at.parent is not None:
        if at.parent not in by_name:
            raise PhantomError(f"{where}: region {at.name!r}: parent = {at.parent!r}: no such region")
        if at.parent in seen:
            raise PhantomError(f"{where}: region {region.name!r}: parent: a circle: {' in '.join(seen)}")
        at = by_name[at.parent]
        seen.append(at.name)
    if region.follows:
        return region
    # An ancestor's stretch is its own: a child keeps its form unless it says otherwise.
    source = next((by_name[n] for n in seen if by_name[n].follows), None)
    rigid = () if source is None else source.follows
    follows = tuple(Follow(f.motion, f.direction, (0.0, 0.0, 0.0)) for f in rigid)
    return dataclasses.replace(region, follows=follows)


def _check_inside_parent(region: Region, by_name: Mapping[str, Region], where: str) -> None:
    if region.parent is None:
        return
    edge = region.shape.boundary(_BOUNDARY_POINTS)
    outside = ~by_name[region.parent].shape.inside(edge[:, 0], edge[:, 1])
    if outside.any():
        x, y = edge[int(np.argmax(outside))] * 1e3
        raise PhantomError(
            f"{where}: region {region.name!r}: center_mm, semi_axes_mm: at rest it leaves its parent "
            f"{region.parent!r} at ({x:.1f}, {y:.1f}) mm"
        )
