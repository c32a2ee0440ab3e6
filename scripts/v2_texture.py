"""Draw the texture of the patients of nsclc-v2: trees of vessels, grain, planes of fat in muscle."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray
Table = dict[str, object]

WIDTHS_MM = (3.2, 2.5, 1.9, 1.5)
DEPTH_MM = 18.0
"""How far texture reaches from the slice's middle: more than it moves through the plane."""


class Groups:
    """Collect blobs by name and width, all moved by the set-up of the day."""

    def __init__(self, shift: tuple[float, float]) -> None:
        self._shift = shift
        self._groups: dict[tuple[str, float], tuple[Table, list[tuple[float, float, float]]]] = {}

    def add(
        self,
        name: str,
        region: str,
        tissue: str,
        strength: float,
        width: float,
        places: list[tuple[float, float, float]],
    ) -> None:
        """Add blobs of one width."""
        keys: Table = {"region": region, "tissue": tissue, "strength": strength, "width_mm": width}
        self._groups.setdefault((name, width), (keys, []))[1].extend(places)

    def tables(self) -> list[Table]:
        """Return the groups as tables of a file."""
        out: list[Table] = []
        for n, ((name, _), (keys, places)) in enumerate(self._groups.items()):
            xyz = np.array(places) + np.array([*self._shift, 0.0])
            each = {f"{axis}_mm": [round(float(v), 1) for v in xyz[:, i]] for i, axis in enumerate("xyz")}
            out.append({"name": f"{name}-{n}", **keys, **each})
        return out


def inside(outline: Array, x: float, y: float) -> bool:
    """Return whether a point lies in an outline."""
    within = False
    for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            within = not within
    return within


def _clear(x: float, y: float, away: tuple[float, float, float]) -> bool:
    return math.hypot(x - away[0], y - away[1]) > away[2]


def tree(
    rng: np.random.Generator,
    groups: Groups,
    name: str,
    region: str,
    tissue: str,
    root: tuple[float, float],
    outline: Array,
    budget: int,
    away: tuple[float, float, float],
    long: float = 1.0,
) -> None:
    """Grow a branching tree within an outline: strings of blobs that get thinner, in and out of the slice."""
    middle = outline.mean(axis=0)
    main = math.atan2(middle[1] - root[1], middle[0] - root[0])
    # Each tip: place, direction in the plane, rise along z, generation.
    tips = [((*root, float(rng.uniform(-4, 4))), main + t, float(rng.normal(0, 0.2)), 0)
            for t in (-1.3, -0.65, 0.0, 0.65, 1.3)]  # fmt: skip
    left = budget
    for _ in range(100 * budget):
        if left == 0:
            break
        if not tips:  # all have left the outline: another branch of the stem
            tips.append(
                (
                    (*root, float(rng.uniform(-6, 6))),
                    main + rng.uniform(-1.4, 1.4),
                    float(rng.normal(0, 0.3)),
                    1,
                )
            )
        (x, y, z), turn, rise, generation = tips.pop(0)
        width = WIDTHS_MM[min(generation, len(WIDTHS_MM) - 1)]
        step, length = 1.8 * width, long * rng.uniform(20, 34) * 0.86**generation
        places: list[tuple[float, float, float]] = []
        for _ in range(max(2, round(length / step))):
            turn += rng.normal(0, 0.09)
            x, y, z = x + step * math.cos(turn), y + step * math.sin(turn), z + step * rise
            if not inside(outline, x, y) or abs(z) > DEPTH_MM:
                break
            if _clear(x, y, away):
                places.append((x, y, z))
        else:
            for sign in (-1, 1):
                spread = sign * rng.uniform(0.3, 0.75)
                tips.append(((x, y, z), turn + spread, float(rng.normal(0, 0.35)), generation + 1))
        places = places[:left]
        left -= len(places)
        if places:
            groups.add(name, region, tissue, round(0.75 - 0.06 * generation, 2) if generation < 4 else 0.5,
                       width, places)  # fmt: skip


def cloud(
    rng: np.random.Generator,
    groups: Groups,
    name: str,
    region: str,
    tissue: str,
    outline: Array,
    count: int,
    width: float,
    strength: float,
    away: tuple[float, float, float],
) -> None:
    """Scatter blobs in an outline, half of them brighter and half darker."""
    (left, top), (right, bottom) = outline.min(axis=0), outline.max(axis=0)
    places: list[tuple[float, float, float]] = []
    while len(places) < count:
        x, y = rng.uniform(left, right), rng.uniform(top, bottom)
        if inside(outline, x, y) and _clear(x, y, away):
            places.append((float(x), float(y), float(rng.uniform(-DEPTH_MM, DEPTH_MM))))
    groups.add(name, region, tissue, strength, width, places[: 2 * count // 3])
    groups.add(f"{name}-dark", region, tissue, -strength / 2, width, places[2 * count // 3 :])


def planes(
    rng: np.random.Generator,
    groups: Groups,
    name: str,
    region: str,
    tissue: str,
    skin: list[tuple[float, float]],
    patient: Any,
    count: int,
) -> None:
    """String blobs along the wall, between its layers of muscle."""
    ys, xs = [p[1] for p in skin], [p[0] for p in skin]
    places: list[tuple[float, float, float]] = []
    while len(places) < count:
        y, depth = rng.uniform(-138, 212), rng.choice([3.0, 6.0]) + patient.fat_mm
        side, length = rng.choice([-1, 1]), int(rng.integers(4, 10))
        z = rng.uniform(-DEPTH_MM, DEPTH_MM)
        for _ in range(length):
            y += 3.0
            if y > 214:
                break
            x = side * (np.interp(y, ys, xs) * patient.width - depth)
            places.append((float(x), float(y), float(z)))
    # Shoulders and neck: strands that run to the head.
    for _ in range(12):
        x, y, z = rng.uniform(-90, 90), rng.uniform(-158, -145), rng.uniform(-DEPTH_MM, DEPTH_MM)
        places += [(float(x + 2.5 * n), float(y + 0.4 * n), float(z)) for n in range(6)]
    groups.add(name, region, tissue, 0.5, 1.8, places)
