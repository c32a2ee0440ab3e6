"""What is scanned: nested regions with a shape, a tissue and a motion, from a TOML definition.

A region's contrast counts relative to its parent: it replaces the parent where it lies, so the whole
transform stays a sum of closed forms. Lengths are metres inside, and positions are (x, y): x along the
readout (columns), y along the phase encode (rows, head-foot; +y is towards the feet).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mrsim.errors import InputError
from mrsim.motion import Breathing, Motion, Static
from mrsim.phantom_file import NAME_RULE, Keys, Table, apply_overrides, emit, is_name, parse, read_text
from mrsim.shapes import Ellipse, Shape
from mrsim.tissue import tissue_names

if TYPE_CHECKING:
    from mrsim.anatomy import Anatomy

MAX_REGIONS = 512
STATIC = "static"
_BOUNDARY_POINTS = 90


@dataclass(frozen=True)
class Region:
    """Hold one region of a phantom.

    Parameters
    ----------
    name
        Its name.
    tissue
        Name in the tissue table.
    shape
        Where it is at motion 0.
    parent
        Name of the region that it lies in; None for one that lies in air.
    motion
        Name of the motion that it follows.
    direction
        How far it moves along (x, y) for each metre of the motion's value.
    stretch_per_m
        How much it is stretched about its centre along (x, y), relative, for each metre of the value.
    """

    name: str
    tissue: str
    shape: Shape
    parent: str | None
    motion: str
    direction: tuple[float, float]
    stretch_per_m: tuple[float, float]

    @property
    def moves(self) -> bool:
        """Return whether it ever leaves its place."""
        return self.motion != STATIC and self.direction != (0.0, 0.0)

    @property
    def deforms(self) -> bool:
        """Return whether it ever changes its form."""
        return self.motion != STATIC and self.stretch_per_m != (0.0, 0.0)


@dataclass(frozen=True)
class Phantom:
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
    """

    name: str
    title: str
    target: str
    regions: tuple[Region, ...]
    motions: Mapping[str, Motion]
    text: str

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
        InputError
            If it is not a phantom: the error names the region and the key.
        """
        return _build(parse(text, where), name, where)

    @property
    def region_names(self) -> tuple[str, ...]:
        """Return the names of all regions in order."""
        return tuple(r.name for r in self.regions)

    def index(self, region: str) -> int:
        """Return the number of a region.

        Raises
        ------
        InputError
            If there is none of this name.
        """
        if region not in self.region_names:
            raise InputError(
                f"{self.name}: region {region!r} is not known; known: {', '.join(self.region_names)}"
            )
        return self.region_names.index(region)

    def animate(self, seed: int) -> Anatomy:
        """Return the course of all motions that belongs to a seed."""
        from mrsim.anatomy import Anatomy  # it needs this module

        return Anatomy(self, seed)


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
    InputError
        If there is no such phantom, or its definition is wrong: the error names the file, the region
        and the key.
    """
    text, where = read_text(name_or_path)
    table = parse(text, where)
    name = re.sub("[^A-Za-z0-9_-]+", "-", Path(name_or_path).stem)[:60] or "phantom"
    return _build(apply_overrides(table, overrides or {}, where), name, where)


def _build(table: Table, name: str, where: str) -> Phantom:
    keys = Keys(table, where)
    name = keys.name("name", name)
    title = keys.text("title")
    target = keys.name("target")
    motions = _motions(keys.take("motion", {}), where)
    entries = keys.take("region", [])
    keys.done()
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_REGIONS:
        raise InputError(f"{where}: region: expected 1 to {MAX_REGIONS} [[region]] tables")
    drafts = [_region(entry, i, motions, where) for i, entry in enumerate(entries)]
    by_name = {r.name: r for r in drafts}
    if len(by_name) < len(drafts):
        twice = next(r.name for i, r in enumerate(drafts) if r.name in {d.name for d in drafts[:i]})
        raise InputError(f"{where}: region {twice!r}: the name is used twice")
    if target not in by_name:
        raise InputError(f"{where}: target = {target!r}: no such region; known: {', '.join(by_name)}")
    regions = tuple(_inherit(r, by_name, where) for r in drafts)
    for region in regions:
        _check_inside_parent(region, by_name, where)
    return Phantom(name, title, target, regions, motions, emit({"name": name, **table}))


def _motions(table: Any, where: str) -> dict[str, Motion]:
    if not isinstance(table, dict):
        raise InputError(f"{where}: motion: expected tables [motion.NAME]")
    motions: dict[str, Motion] = {STATIC: Static()}
    for name, entry in table.items():
        here = f"{where}: motion {name!r}"
        if not is_name(name):
            raise InputError(f"{here[:300]}: expected {NAME_RULE}")
        if name == STATIC:
            raise InputError(f"{here}: this name is taken: it stands for no motion")
        keys = Keys(entry, here)
        kind = keys.name("kind", "breathing")
        if kind != "breathing":
            raise InputError(f"{here}: kind = {kind!r}: expected 'breathing'")
        values = {
            "amplitude_m": keys.within("amplitude_mm", 0, 100) / 1e3,
            "period_s": keys.within("period_s", 0.5, 60),
            "exponent": keys.within("exponent", 1, 16, 2),
            "amplitude_sd": keys.within("amplitude_sd", 0, 0.5, 0.0),
            "period_sd": keys.within("period_sd", 0, 0.5, 0.0),
            "baseline_m": keys.within("baseline_mm", -100, 100, 0.0) / 1e3,
            "drift_m_per_s": keys.within("drift_mm_per_min", -60, 60, 0.0) / 60e3,
            "phase": keys.within("phase", 0, 1, 0.0),
        }
        keys.done()
        try:
            motions[name] = Breathing(**values)  # type: ignore[arg-type]
        except InputError as error:
            raise InputError(f"{here}: {error}") from None
    return motions


def _region(entry: Any, number: int, motions: Mapping[str, Motion], where: str) -> Region:
    named = isinstance(entry, dict) and is_name(entry.get("name"))
    here = f"{where}: region {entry['name']!r}" if named else f"{where}: region number {number + 1}"
    keys = Keys(entry, here)
    name = keys.name("name")
    tissue = keys.name("tissue")
    if tissue not in tissue_names():
        raise InputError(f"{here}: tissue = {tissue!r} is not known; known: {', '.join(tissue_names())}")
    kind = keys.name("shape", "ellipse")
    if kind != "ellipse":
        raise InputError(f"{here}: shape = {kind!r}: expected 'ellipse'")
    center, semi_axes = keys.pair("center_mm"), keys.pair("semi_axes_mm")
    angle = keys.number("angle_deg", 0.0)
    parent = keys.optional_name("parent")
    motion = keys.optional_name("motion")
    if motion is not None and motion not in motions:
        raise InputError(f"{here}: motion = {motion!r} is not known; known: {', '.join(motions)}")
    direction = keys.pair("direction", (0.0, 0.0))
    stretch = keys.pair("stretch_percent_per_mm", (0.0, 0.0))
    keys.done()
    if motion is None and (direction != (0.0, 0.0) or stretch != (0.0, 0.0)):
        raise InputError(f"{here}: direction or stretch without motion: name the motion that drives it")
    try:
        shape = Ellipse(
            (center[0] / 1e3, center[1] / 1e3),
            (semi_axes[0] / 1e3, semi_axes[1] / 1e3),
            float(np.deg2rad(angle)),
        )
    except InputError as error:
        raise InputError(f"{here}: semi_axes_mm: {error}") from None
    # 1 % per mm is 10 per metre.
    return Region(
        name, tissue, shape, parent, motion or "", direction, (stretch[0] * 10.0, stretch[1] * 10.0)
    )


def _inherit(region: Region, by_name: Mapping[str, Region], where: str) -> Region:
    """Return the region with its motion: its own, or that of the nearest ancestor that names one."""
    seen = [region.name]
    at = region
    while at.parent is not None:
        if at.parent not in by_name:
            raise InputError(f"{where}: region {at.name!r}: parent = {at.parent!r}: no such region")
        if at.parent in seen:
            raise InputError(f"{where}: region {region.name!r}: parent: a circle: {' in '.join(seen)}")
        at = by_name[at.parent]
        seen.append(at.name)
    if region.motion:
        return region
    source = next((by_name[n] for n in seen if by_name[n].motion), None)
    motion, direction = (STATIC, (0.0, 0.0)) if source is None else (source.motion, source.direction)
    return Region(
        region.name, region.tissue, region.shape, region.parent, motion, direction, region.stretch_per_m
    )


def _check_inside_parent(region: Region, by_name: Mapping[str, Region], where: str) -> None:
    if region.parent is None:
        return
    edge = region.shape.boundary(_BOUNDARY_POINTS)
    outside = ~by_name[region.parent].shape.inside(edge[:, 0], edge[:, 1])
    if outside.any():
        x, y = edge[int(np.argmax(outside))] * 1e3
        raise InputError(
            f"{where}: region {region.name!r}: center_mm, semi_axes_mm: at rest it leaves its parent "
            f"{region.parent!r} at ({x:.1f}, {y:.1f}) mm"
        )
