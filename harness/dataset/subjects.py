"""The subjects of a dataset: phantoms with drawn anatomies, each assigned to a part.

Two subjects have the same anatomy if their regions and their slice are equal, whatever their names and
motion. The same anatomy in two parts would be a leak and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.dataset.draws import Plain, draw_all, seed_of
from harness.dataset.spec import TARGET_DEFAULTS, TARGET_KEYS, DatasetSpec, label_of, patient_folder
from mrsim.anatomy.body import Body
from mrsim.anatomy.phantom import Phantom
from mrsim.anatomy.phantom_file import emit, parse, read_text
from mrsim.anatomy.series.text import KIND
from mrsim.errors import DatasetError, InputError
from mrsim.scanner.scenes import load_body
from mrsim.toml_tables import Table

MAX_ATTEMPTS = 64
"""Greatest number of draws of an anatomy; one that does not fit is drawn again."""
_EDGE_POINTS = 72


@dataclass(frozen=True)
class Subject:
    """Hold one subject.

    Parameters
    ----------
    name
        Its name in the dataset.
    phantom
        Phantom that it was made from, as the specification names it.
    part
        "train", "validation" or "test".
    values
        Drawn values, by key.
    text
        Its complete definition.
    anatomy
        SHA-256 of its regions and slice.
    regions, tissues
        Number of its regions, and the names of their tissues.
    """

    name: str
    phantom: str
    part: str
    values: Mapping[str, Plain]
    text: str
    anatomy: str
    regions: int
    tissues: frozenset[str]


def make_subjects(spec: DatasetSpec) -> list[Subject]:
    """Make all subjects of a specification and assign each to a part.

    Parameters
    ----------
    spec
        The specification.

    Raises
    ------
    DatasetError
        If a phantom or a drawn value is wrong, or the split puts an anatomy into two parts.
    """
    for phantom in spec.phantoms:
        _check_ends(spec, phantom)
    drawn = [
        _draw(spec, phantom, number)
        for phantom in spec.phantoms
        for number in range(spec.subjects)
    ]  # fmt: skip
    parts = _parts(spec, [(name, label_of(phantom)) for name, phantom, *_ in drawn])
    subjects = [
        Subject(
            name,
            phantom,
            parts[name],
            values,
            made.text,
            made.anatomy_sha256,
            len(made.region_names),
            made.tissues,
        )
        for name, phantom, values, made in drawn
    ]
    by_anatomy: dict[str, Subject] = {}
    for subject in subjects:
        other = by_anatomy.setdefault(subject.anatomy, subject)
        if other.part != subject.part:
            raise DatasetError(
                f"{spec.where}: [split]: {other.name} in {other.part} and {subject.name} in {subject.part} "
                "are the same anatomy; put them into one part, or draw their anatomy in [subject]"
            )
    return subjects


def load_base(spec: DatasetSpec, phantom: str, overrides: Mapping[str, Any]) -> Body:
    """Load a phantom of the specification, with some values replaced.

    Parameters
    ----------
    spec
        The specification.
    phantom
        Name of a shipped phantom, or path of a .toml file or of a patient's folder.
    overrides
        New values, by dotted key.

    Raises
    ------
    DatasetError
        If it is wrong, or it or a trace that it names lies outside the specification's folder.
    """
    if not phantom.endswith(".toml"):
        return load_body(patient_folder(phantom, spec.folder) or phantom, overrides)
    assert spec.folder is not None
    root, path = spec.folder.resolve(), spec.folder / phantom
    table = parse(*read_text(path))
    motions = table.get("motion", {})
    for key in ("folder", "drive") if table.get("kind") == KIND else ():
        named = table.get(key)
        if isinstance(named, str) and not (path.parent / named).resolve().is_relative_to(root):
            raise DatasetError(
                f"{path}: {key} = {named[:80]!r}: outside the folder of {spec.where}; copy it beside it"
            )
    for name, entry in motions.items() if isinstance(motions, dict) else ():
        file = entry.get("file") if isinstance(entry, dict) else None
        if isinstance(file, str) and not (path.parent / file).resolve().is_relative_to(root):
            raise DatasetError(
                f"{path}: motion {name!r}: file = {file[:80]!r}: outside the folder of {spec.where}; "
                "copy it beside it"
            )
    return load_body(path, overrides)


def _check_ends(spec: DatasetSpec, phantom: str) -> None:
    """Load the phantom with the ends of every drawn value, so that a wrong key is found at once."""
    for key, draw in spec.subject.items():
        if key not in TARGET_KEYS:
            for end in draw.ends():
                load_base(spec, phantom, {key: end})
    for values in spec.breathing.values():
        for key, draw in values.items():
            for end in draw.ends():
                load_base(spec, phantom, {f"motion.breathing.{key}": end})


def _draw(spec: DatasetSpec, phantom: str, number: int) -> tuple[str, str, dict[str, Plain], Body]:
    label = label_of(phantom)
    name = label if spec.subjects == 1 else f"{label}-{number:0{len(str(spec.subjects - 1))}d}"
    last: InputError | None = None
    for attempt in range(MAX_ATTEMPTS):
        values = draw_all(dict(spec.subject), spec.seed, "subject", label, number, attempt)
        overrides = {k: v for k, v in values.items() if k not in TARGET_KEYS}
        try:
            base = load_base(spec, phantom, {**overrides, "name": name})
            return name, phantom, values, _place_target(base, values)
        except InputError as error:
            if not spec.subject:
                raise
            last = error
    raise DatasetError(
        f"{spec.where}: [subject]: {name}: none of {MAX_ATTEMPTS} drawings fits; the last: {last}"
    )


def _place_target(phantom: Body, values: Mapping[str, Plain]) -> Body:
    """Return the phantom with the target and its inner regions scaled about its centre and shifted."""
    scale, dx, dy = (_number(values.get(key, default)) for key, default in TARGET_DEFAULTS.items())
    if (scale, dx, dy) == (1, 0, 0):
        return phantom
    table = parse(phantom.text, phantom.name)
    if "region" not in table:
        raise DatasetError(
            f"{phantom.name}: a patient made of a cine has no regions to move; leave target_* out"
        )
    cx, cy = (1e3 * c for c in phantom.target_center_m)
    inner = {phantom.target}
    while True:
        more = {r["name"] for r in table["region"] if r.get("parent") in inner} - inner
        if not more:
            break
        inner |= more
    for region in table["region"]:
        if region["name"] in inner:
            _move(region, scale, (cx, cy), (dx, dy))
    moved = Phantom.from_text(emit(table), name=phantom.name, where=phantom.name)
    _check_clear(moved)
    return moved


def _number(value: Plain) -> float:
    assert isinstance(value, int | float)
    return float(value)


def _move(region: Table, scale: float, about: tuple[float, float], by: tuple[float, float]) -> None:
    """Scale a region about a point of the plane and shift it; sizes along z are scaled too."""

    def moved_point(x: float, y: float) -> list[float]:
        return [
            round(c + scale * (v - c) + d, 4) for v, c, d in zip((x, y), about, by, strict=True)
        ]  # fmt: skip

    if "points_mm" in region:
        region["points_mm"] = [moved_point(x, y) for x, y in region["points_mm"]]
        if "depth_mm" in region:
            z, half = region["depth_mm"]
            region["depth_mm"] = [z, round(scale * half, 4)]
        return
    x, y, *z = region["center_mm"]
    region["center_mm"] = [*moved_point(x, y), *z]
    region["semi_axes_mm"] = [round(scale * axis, 4) for axis in region["semi_axes_mm"]]


def _check_clear(phantom: Phantom) -> None:
    """Raise an error if the target overlaps a sibling at rest, since contrasts of siblings would add up."""
    target = phantom.regions[phantom.index(phantom.target)]
    edge = target.shape.boundary(_EDGE_POINTS)
    for other in phantom.regions:
        if other.parent != target.parent or other.name == target.name:
            continue
        other_edge = other.shape.boundary(_EDGE_POINTS)
        if (
            other.shape.inside(edge[:, 0], edge[:, 1]).any()
            or target.shape.inside(other_edge[:, 0], other_edge[:, 1]).any()
        ):
            raise DatasetError(f"{phantom.name}: target {target.name!r} lies over {other.name!r}")


def _parts(spec: DatasetSpec, named: list[tuple[str, str]]) -> dict[str, str]:
    """Return the part of every subject, given names and the labels of their phantoms."""
    shares = {part: v for part, v in spec.split.items() if isinstance(v, float)}
    if shares:
        return _shared_out(spec, [name for name, _ in named], shares)
    parts: dict[str, str] = {}
    known = {name for pair in named for name in pair}
    for part, entries in spec.split.items():
        assert isinstance(entries, tuple)
        for entry in entries:
            wanted = label_of(entry)
            if wanted not in known:
                raise DatasetError(
                    f"{spec.where}: [split]: {part}: {entry!r} is no phantom or subject of this dataset"
                )
            for name in (name for name, label in named if wanted in (name, label)):
                if parts.setdefault(name, part) != part:
                    raise DatasetError(
                        f"{spec.where}: [split]: subject {name} is in {parts[name]} and in {part}: a leak; "
                        "name it in one part"
                    )
    for name, _ in named:
        if name not in parts:
            raise DatasetError(f"{spec.where}: [split]: subject {name} is in no part; name it in one")
    return parts


def _shared_out(spec: DatasetSpec, names: list[str], shares: Mapping[str, float]) -> dict[str, str]:
    """Assign subjects to parts by share, the largest remainders first, in a drawn order."""
    exact = {part: share * len(names) for part, share in shares.items()}
    counts = {part: int(value + 1e-9) for part, value in exact.items()}
    for part in sorted(exact, key=lambda p: (counts[p] - exact[p], p))[: len(names) - sum(counts.values())]:
        counts[part] += 1
    for part, count in counts.items():
        if count == 0:
            raise DatasetError(
                f"{spec.where}: [split]: {part} = {shares[part]:g} of {len(names)} subjects is none; make "
                "more subjects, or leave the part out"
            )
    order = np.random.default_rng(seed_of(spec.seed, "split")).permutation(len(names))
    parts = [part for part, count in counts.items() for _ in range(count)]
    return {names[i]: part for i, part in zip(order, parts, strict=True)}
