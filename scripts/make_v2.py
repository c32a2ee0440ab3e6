"""Make the six patients of nsclc-v2, two days each: python scripts/make_v2.py phantoms/v2

One thorax in a coronal plane (x to the patient's left, y to the feet, millimetres), varied in build, field,
breathing and disease. This is the recipe; the files are the phantoms. Everything rides on smooth fields that
independent motions drive. Texture is blobs: vessels as trees, lobules, planes of muscle and fat,
marrow. Day two is the same body: set up elsewhere, breathing otherwise, the tumour smaller.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from make_patients import LEFT_LUNG, LEFT_SIDE, RIGHT_LUNG, RIGHT_SIDE, blob, smooth, value, widened
from v2_texture import Groups, cloud, inside, planes, tree

Array = np.ndarray
Table = dict[str, object]

SLICE: Table = {"thickness_mm": 8.0, "profile": "sinc", "time_bandwidth": 4.0}
# The right half of the skin; it goes on beyond a field of view of 400 mm.
SKIN = [(41, -219), (42, -203), (47, -176), (80, -162), (128, -148), (154, -114), (160, -60), (164, 0)]
SKIN += [(163, 60), (158, 120), (155, 165), (156, 195), (157, 232)]


GAP_MM = 0.8
"""What is left between a tumour and the wall that it touches: a quarter of a pixel."""


@dataclass
class Patient:
    """Say in what a patient differs from the others; lengths in mm.

    `tumour` is its centre, its semi-axes (or the seed of an outline) and its tissue. It is pushed `towards` a
    wall until it touches; (0, 0) leaves it free. `collapsed` is where the lung beside it
    has no air. `breathing` is of day one, `second` of day two. `scale` multiplies the
    independent motions.
    """

    number: int
    title: str
    field_t: float
    side: str
    tumour: Table
    towards: tuple[float, float]
    collapsed: tuple[float, float, float]
    breathing: Table
    second: Table
    dome_mm: float
    width: float = 1.0
    fat_mm: float = 11.0
    heart_s: float = 0.85
    scale: float = 1.0
    shift_mm: tuple[float, float] = (3.0, -4.0)
    coil_mm: tuple[float, float] = (6.0, -8.0)
    shrinks: float = 0.9
    extra: dict[str, Table] = field(default_factory=dict)


def regular(period: float, amplitude_sd: float, period_sd: float, exponent: int = 2, **more: object) -> Table:
    """Return a breathing without its amplitude."""
    return {"kind": "breathing", "period_s": period, "amplitude_sd": amplitude_sd, "period_sd": period_sd,
            "exponent": exponent, **more}  # fmt: skip


RECORDED: Table = {"kind": "trace", "file": "traces/irregular.csv", "repeat": True}

PATIENTS = [
    Patient(
        1, "right lower lobe, on the diaphragm, 30 mm, 0.5 T", 0.5, "right",
        {"center": (-84, 20), "axes": (15, 14, 14), "tissue": "lung-tumour"}, (0, 1), (-62, 34, 9),
        regular(4.2, 0.15, 0.12), regular(3.6, 0.2, 0.15, 1), 15.0,
    ),
    Patient(
        2, "left upper lobe, on the chest wall, 38 mm, 1.5 T", 1.5, "left",
        {"center": (80, -84), "radius": 19, "seed": 12, "tissue": "lung-tumour-fibrous"}, (1, -0.3),
        (70, -104, 10),
        regular(3.4, 0.2, 0.15), regular(4.4, 0.25, 0.2), 13.0, width=0.97, heart_s=0.76,
        shift_mm=(-4.0, 3.0),
    ),
    Patient(
        3, "right hilum, on the mediastinum, 44 mm, with collapsed lung, 3 T", 3.0, "right",
        {"center": (-62, -24), "radius": 22, "seed": 23, "tissue": "lung-tumour"}, (1, 0.1), (-58, -58, 13),
        RECORDED, regular(5.0, 0.25, 0.2), 14.0, fat_mm=13.0, heart_s=0.92, coil_mm=(-8.0, 5.0),
    ),
    Patient(
        4, "right lower lobe, free, 24 mm, 0.35 T, breathes deeply and irregularly", 0.35, "right",
        {"center": (-80, -8), "axes": (12, 12, 18), "tissue": "lung-tumour"}, (0, 0), (-98, 6, 7),
        regular(4.8, 0.3, 0.22), RECORDED, 18.0, heart_s=0.98, shift_mm=(2.0, 5.0),
    ),
    Patient(
        5, "left lower lobe, between heart, chest wall and diaphragm, 27 mm, 1.5 T", 1.5, "left",
        {"center": (112, 22), "radius": 13.5, "seed": 5, "tissue": "lung-tumour"}, (-0.3, 1), (112, 14, 9),
        regular(3.9, 0.22, 0.18, drift_mm_per_min=-0.5), regular(4.6, 0.18, 0.12), 14.0, width=1.03,
        fat_mm=15.0, shift_mm=(-2.0, -5.0), scale=1.15,
    ),
    Patient(
        6, "right apex, on the chest wall, 32 mm, 3 T, holds the breath", 3.0, "right",
        {"center": (-72, -92), "axes": (16, 15, 15), "tissue": "lung-tumour-fibrous"}, (-1, -0.5),
        (-62, -82, 10),
        regular(5.0, 0.18, 0.15, 1, hold_at_s=22, hold_s=7, hold_every_s=45, deep_amplitude_mm=24.0),
        regular(4.2, 0.25, 0.2), 16.0, width=0.98, fat_mm=9.0, coil_mm=(4.0, 9.0),
    ),
]  # fmt: skip

# Independent wanderings: standard deviation (mm), shortest and longest period (s).
WANDERS = {
    "w-chest": (1.0, 3.0, 25.0), "w-belly": (1.0, 3.5, 30.0), "w-right": (1.0, 3.0, 20.0),
    "w-left": (1.0, 3.0, 20.0), "w-upper": (1.0, 4.0, 25.0), "posture": (1.1, 12.0, 90.0),
    "lean": (1.1, 8.0, 70.0), "through": (1.5, 5.0, 40.0), "gut-1": (2.4, 2.5, 9.0),
    "gut-2": (2.4, 3.0, 11.0), "gut-3": (2.2, 2.5, 12.0), "shoulders": (1.2, 7.0, 60.0),
    "twist": (1.6, 2.5, 15.0), "swell": (1.4, 3.0, 20.0),
}  # fmt: skip


def motions(patient: Patient, day: int) -> dict[str, Table]:
    """Return all motions of a day."""
    breathing = dict(patient.breathing if day == 1 else patient.second)
    depth = patient.dome_mm * (1.0 if day == 1 else 0.87)
    if breathing["kind"] == "trace":
        breathing["scale"] = round(depth / 15, 3)
    else:
        breathing["amplitude_mm"] = round(depth, 2)
        if day == 2:
            breathing["baseline_mm"] = 1.5
    out: dict[str, Table] = {"breathing": breathing}
    out["late"] = {"kind": "delayed", "of": "breathing", "delay_ms": 380 if day == 1 else 300}
    out["later"] = {"kind": "delayed", "of": "breathing", "delay_ms": 700 if day == 1 else 560}
    for name, (size, short, long) in WANDERS.items():
        out[name] = {"kind": "wander", "amplitude_mm": round(size * patient.scale, 3), "period_s": short,
                     "longest_s": long}  # fmt: skip
    share = 45 if day == 1 else 50
    for name, of, by in (
        ("chest", "late", "w-chest"), ("belly", "breathing", "w-belly"),
        ("right-dome", "breathing", "w-right"),
        ("left-dome", "breathing", "w-left"), ("upper", "later", "w-upper"),
    ):  # fmt: skip
        out[name] = {"kind": "modulated", "of": of, "by": by, "share_percent_per_mm": share}
    beat = patient.heart_s * (1 if day == 1 else 0.93)
    out["heart"] = {"kind": "heart", "amplitude_mm": 6.0, "period_s": beat,
                    "period_sd": 0.08, "amplitude_sd": 0.14}  # fmt: skip
    return out


def fields(patient: Patient, day: int, lung: Array) -> dict[str, Table]:
    """Return the smooth fields: what each motion moves, and where."""
    cx, cy = place(patient, lung, 1.0)
    radius = float(patient.tumour.get("radius", 0) or patient.tumour["axes"][0])  # type: ignore[index]
    turn = [[0, -1.0], [1.0, 0]]
    sign = -1 if patient.side == "right" else 1

    def one(motion: str, direction: list[float], center: tuple[float, float], size: tuple[float, float],
            gradient: list[list[float]] | None = None) -> Table:  # fmt: skip
        out: Table = {
            "motion": motion,
            "direction": direction,
            "center_mm": list(center),
            "size_mm": list(size),
        }
        if gradient:
            out["gradient_percent_per_mm"] = gradient
        return out

    return {
        "descent": one("breathing", [0, 0.72, 0.05], (0, 150), (400, 105)),
        "forward": one("late", [0, 0, 0.34], (0, 60), (300, 150)),
        "right-cupola": one("right-dome", [-0.02, 0.3, 0.1], (-74, 52), (50, 52)),
        "left-cupola": one("left-dome", [0.02, 0.26, -0.08], (100, 70), (48, 55)),
        "ribs": one("chest", [0, -0.1, 0.05], (0, -30), (170, 110), [[0.1, 0], [0, 0]]),
        "belly": one("belly", [0, 0.06, 0.2], (0, 170), (170, 75), [[0.1, 0], [0, 0.05]]),
        "apices": one("upper", [0, 0.1, 0.12], (0, -95), (150, 60)),
        "beat": one("heart", [-0.15, 0.12, 0.1], (52, 8), (36, 44), [[-1.3, 0.3], [0.3, -1.0]]),
        "posture": one("posture", [0.6, 0.8, 0.3], (0, 0), (600, 600)),
        "lean": one("lean", [0, 0, 0], (0, 120), (500, 400), [[0, -0.55], [0.55, 0]]),
        "through": one("through", [0, 0, 1.0], (0, 40), (300, 170)),
        "shoulders": one("shoulders", [0.8, 0.7, 0.2], (60, -160), (110, 50)),
        "gut-1": one("gut-1", [0.6, 0.4, 0.3], (70, 150), (42, 36), [[1.4, 0], [0, -0.8]]),
        "gut-2": one("gut-2", [-0.5, 0.5, 0.3], (-70, 172), (48, 36), [[-0.8, 0.4], [0.4, 1.2]]),
        "gut-3": one("gut-3", [0.3, -0.6, 0.2], (10, 180), (40, 32), [[1.0, 0.3], [-0.3, 0.6]]),
        "tumour-turn": one("twist", [0.3 * sign, 0.2, 0.2], (cx, cy), (radius * 1.6, radius * 1.6),
                           [[2.0 * a for a in row] for row in turn]),
        "tumour-swell": one("swell", [0, 0.3, 0.3], (cx, cy), (radius * 1.5, radius * 1.5),
                            [[1.5, 0.5], [0.5, -1.4]]),
    }  # fmt: skip


def outline(half: list[tuple[float, float]], inset: float, width: float) -> Array:
    """Return a closed outline from its right half, drawn in by an inset."""
    x = np.array([(p[0] * width - inset, p[1] + 0.6 * inset * (-195 < p[1] < -140)) for p in half])
    x[[0, -1], 1] += np.sign(-x[[0, -1], 1]) * inset * 0.1
    ends = np.concatenate([[2 * x[0] - x[1]], x, [2 * x[-1] - x[-2]]])
    curve = smooth(ends, 2)[2 : 2 * len(x) + 1]
    return np.concatenate([curve, (curve * (-1, 1))[::-1]])


class Body:
    """Collect the regions of a patient on a day, all set up a little elsewhere on the second."""

    def __init__(self, shift: tuple[float, float]) -> None:
        self.shift, self.regions = shift, []

    def polygon(self, name: str, tissue: str, parent: str | None, points: Array, **keys: object) -> None:
        """Add a polygon."""
        moved = [[round(float(x) + self.shift[0], 2), round(float(y) + self.shift[1], 2)] for x, y in points]
        self._add(name, tissue, parent, {"shape": "polygon", "points_mm": moved, **keys})

    def ellipse(self, name: str, tissue: str, parent: str, center: tuple[float, ...], axes: tuple[float, ...],
                turn: float = 0.0) -> None:  # fmt: skip
        """Add an ellipse, or an ellipsoid where there are three axes."""
        x, y, *z = center
        keys: Table = {"shape": "ellipsoid"} if z else {}
        keys |= {"center_mm": [round(x + self.shift[0], 2), round(y + self.shift[1], 2), *z],
                 "semi_axes_mm": [round(a, 2) for a in axes]}  # fmt: skip
        self._add(name, tissue, parent, keys | ({"angle_deg": turn} if turn else {}))

    def _add(self, name: str, tissue: str, parent: str | None, keys: Table) -> None:
        entry: Table = {"name": name, "tissue": tissue, **({"parent": parent} if parent else {})}
        self.regions.append(entry | keys)


def lungs(body: Body, w: float) -> dict[str, Array]:
    """Add both sides with their lungs, whose bases lean through the slice; return the lungs' outlines."""
    found = {}
    for side, tissue, edge, lung in (
        ("right", "liver", RIGHT_SIDE, RIGHT_LUNG), ("left", "spleen", LEFT_SIDE, LEFT_LUNG),
    ):  # fmt: skip
        cavity = widened([(x, min(y, 138.0) if y > 120 else y) for x, y in edge if y < 175], w)
        body.polygon(f"{side}-side", tissue, "torso", cavity)
        curve = smooth(widened(lung, w), 2)
        base = curve[:, 2] > 0.3
        body.polygon(f"{side}-lung", "lung", f"{side}-side", curve[:, :2],
                     lean=[-1.8 if b else 0.0 for b in base],
                     bend_per_mm=[0.05 if b else 0.0 for b in base])  # fmt: skip
        found[side] = curve[:, :2]
    return found


def middle(body: Body) -> None:
    """Add the mediastinum: heart, great vessels, windpipe and its two branches, spine."""
    body.ellipse("heart", "myocardium", "torso", (50, 10), (25, 38), -38)
    body.ellipse("left-ventricle", "blood", "heart", (57, 6), (10, 24), -38)
    body.ellipse("right-heart", "blood", "heart", (42, 16), (7, 22), -38)
    arch = [(11, -88), (18, -90), (22, -80), (22, -62), (17, -57), (12, -68)]
    body.polygon("aorta", "blood", "torso", smooth(np.array(arch, float), 2))
    cava = [(-20, -112), (-12, -114), (-11, -80), (-14, -63), (-20, -61)]
    body.polygon("vena-cava", "blood", "torso", np.array(cava, float))
    pipe = [(-8, -215), (7, -215), (7, -84), (7, -66), (21, -42), (21, -33), (14, -36), (0, -56), (-14, -36),
            (-20, -32), (-20, -42), (-8, -66), (-8, -84)]  # fmt: skip
    body.polygon("windpipe", "air", "torso", np.array(pipe, float))
    down = np.linspace(4, 209, 9)
    spine = np.concatenate([np.stack([11 + 0.01 * down, down], axis=1),
                            np.stack([-17 - 0.01 * down, down], axis=1)[::-1]])  # fmt: skip
    body.polygon("spine", "muscle", "torso", spine)
    for n in range(8):
        y, half = 17 + 25.2 * n, 14 + 0.2 * n
        box = [
            (-half, -10),
            (-half * 0.9, 0),
            (-half, 10),
            (0, 11),
            (half, 10),
            (half * 0.9, 0),
            (half, -10),
            (0, -11),
        ]
        edge = np.array(box, float) * (0.94, 1) + (-3.2, y)
        body.polygon(f"vertebra-{n + 1}", "acrylic", "spine", edge)
        body.polygon(f"marrow-{n + 1}", "marrow", f"vertebra-{n + 1}", (edge - (-3.2, y)) * 0.88 + (-3.2, y))


def wall(body: Body, patient: Patient) -> None:
    """Add ribs, collar bones and the gut."""
    for side, sign in (("right", -1), ("left", 1)):
        body.ellipse(f"{side}-collar-bone", "marrow", "torso", (sign * 74, -145), (17, 3), sign * 14)
        for n in range(7):
            y = -92 + 31.5 * n
            skin = np.interp(y, [p[1] for p in SKIN], [p[0] for p in SKIN]) * patient.width - patient.fat_mm
            cavity = widened(list(RIGHT_SIDE[:7]), patient.width)
            inner = -np.interp(y, cavity[:, 1], cavity[:, 0])
            x, a = sign * (skin + inner) / 2, max(2.2, min(4.2, (skin - inner) / 2 - 1.6))
            body.ellipse(
                f"{side}-rib-{n + 1}", "acrylic" if n % 2 else "marrow", "torso", (x, y), (a, 8.0), sign * 12
            )
    gut = [(-74, 166, 40, 15, -8), (-70, 197, 34, 14, 6), (62, 166, 33, 15, 12), (66, 198, 38, 13, -5),
           (118, 176, 13, 26, 4), (-124, 182, 11, 28, -3)]  # fmt: skip
    for n, (x, y, a, b, turn) in enumerate(gut, 1):
        body.ellipse(f"gut-{n}", "gel" if n % 2 else "spleen", "torso", (x, y), (a, b), turn)
        if n % 2:
            body.ellipse(
                f"gut-{n}-gas", "air", f"gut-{n}", (x + 0.1 * a, y - 0.35 * b), (0.45 * a, 0.3 * b), turn
            )
    body.ellipse("stomach", "gel", "left-side", (70, 112), (25, 15), -20)
    body.ellipse("stomach-gas", "air", "stomach", (73, 106), (11, 5), -20)


def drawn(patient: Patient, size: float) -> Array:
    """Return the outline of the tumour about its centre."""
    tumour = patient.tumour
    if "seed" in tumour:
        radius = float(tumour["radius"]) * size  # type: ignore[arg-type]
        return np.array(blob(int(tumour["seed"]), (0, 0), radius))  # type: ignore[call-overload]
    turn = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    a, b, _ = tumour["axes"]  # type: ignore[misc]
    return size * np.stack([a * np.cos(turn), b * np.sin(turn)], axis=1)


def place(patient: Patient, lung: Array, size: float) -> tuple[float, float]:
    """Return the tumour's centre: pushed to the wall, but for a gap of `GAP_MM`."""
    edge, center = drawn(patient, size), np.array(patient.tumour["center"], float)
    edge = edge * (1 + GAP_MM / np.linalg.norm(edge, axis=1).max())
    if not any(patient.towards):
        return float(center[0]), float(center[1])
    step = 0.25 * np.array(patient.towards) / math.hypot(*patient.towards)
    while all(inside(lung, x, y) for x, y in edge + center + step):
        center = center + step
    return round(float(center[0]), 2), round(float(center[1]), 2)


def regions(patient: Patient, day: int) -> tuple[Body, dict[str, Array]]:
    """Return all regions of a patient on a day, and the outlines of the lungs."""
    body = Body((0.0, 0.0) if day == 1 else patient.shift_mm)
    w = patient.width
    body.polygon("fat", "fat", None, outline(SKIN, 0, w))
    body.polygon("torso", "muscle", "fat", outline(SKIN, patient.fat_mm, w))
    found = lungs(body, w)
    tumour, size = patient.tumour, 1.0 if day == 1 else patient.shrinks
    parent = f"{patient.side}-lung"
    x, y = place(patient, found[patient.side], size)
    if "seed" in tumour:
        edge = drawn(patient, size) + np.array([x, y])
        body.polygon("tumour", str(tumour["tissue"]), parent, edge, depth_mm=[0, round(16.0 * size, 2)])
    else:
        axes = tuple(a * size for a in tumour["axes"])  # type: ignore[attr-defined]
        body.ellipse("tumour", str(tumour["tissue"]), parent, (x, y, 0), axes)
    middle(body)
    wall(body, patient)
    return body, found


def texture(patient: Patient, day: int, found: dict[str, Array]) -> Groups:
    """Return the blobs: the same on both days, but for the set-up."""
    rng = np.random.default_rng(1000 + patient.number)
    groups = Groups((0.0, 0.0) if day == 1 else patient.shift_mm)
    x, y = place(patient, found[patient.side], 1.0)
    reach = float(patient.tumour.get("radius", 0) or patient.tumour["axes"][0])  # type: ignore[index]
    clear = (x, y, reach)
    for side, hilum, budget in (("right", (-32, -22), 430), ("left", (36, -76), 370)):
        tree(rng, groups, f"{side}-vessels", f"{side}-lung", "blood", hilum, found[side], budget, clear)
        cloud(rng, groups, f"{side}-lobules", f"{side}-lung", "muscle", found[side], 110, 5.0, 0.12, clear)
    liver = np.array([(-120, 104), (-92, 76), (-60, 72), (-34, 84), (-30, 130), (-120, 132)], float)
    tree(rng, groups, "liver-vessels", "right-side", "blood", (-40, 118), liver, 190, (0, 0, 0), long=0.9)
    cloud(rng, groups, "liver-grain", "right-side", "muscle", liver, 90, 4.0, 0.4, (0, 0, 0))
    planes(rng, groups, "wall-planes", "torso", "fat", SKIN, patient, 260)
    cx, cy, size = patient.collapsed
    ring = np.array([(cx + size * math.cos(t), cy + size * math.sin(t)) for t in np.linspace(0, 5.5, 8)])
    cloud(rng, groups, "collapsed", f"{patient.side}-lung", "spleen", ring, 14, 5.0, 0.5, clear)
    column = np.array([(-13, 12), (7, 12), (8, 204), (-14, 204)], float)
    cloud(rng, groups, "spine-grain", "spine", "fat", column, 70, 2.2, 0.35, (0, 0, 0))
    gut = np.array([(-118, 158), (108, 158), (112, 212), (-118, 212)], float)
    cloud(rng, groups, "mesentery", "torso", "fat", gut, 150, 3.5, 0.5, (0, 0, 0))
    return groups


def text(patient: Patient, day: int) -> str:
    """Return a patient's file of one day."""
    body, found = regions(patient, day)
    coil = (0.0, 0.0) if day == 1 else patient.coil_mm
    lines = [
        "# Coronal slice of a thorax: x to the patient's left (readout), y to the feet (phase encode).",
        "# Made by scripts/make_v2.py; all values are inventions within what is published.",
        f'title = "lung patient {patient.number} of nsclc-v2, day {day}: {patient.title}"',
        'target = "tumour"',
        "beyond_fov = true",
        f"coil_shift_mm = {value(list(coil))}",
        "",
        "[slice]",
        *(f"{k} = {value(v)}" for k, v in SLICE.items()),
    ]
    for kind, tables in (
        ("motion", motions(patient, day)),
        ("field", fields(patient, day, found[patient.side])),
    ):
        for name, keys in tables.items():
            lines += ["", f"[{kind}.{name}]", *(f"{k} = {value(v)}" for k, v in keys.items())]
    for kind, entries in (("region", body.regions), ("texture", texture(patient, day, found).tables())):
        for entry in entries:
            lines += ["", f"[[{kind}]]", *(f"{k} = {value(v)}" for k, v in entry.items())]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write all patients into a folder."""
    parser = argparse.ArgumentParser(description="Make the six patients of nsclc-v2, two days each.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for patient in PATIENTS:
        for day in (1, 2):
            path = folder / f"patient{patient.number}-day{day}.toml"
            path.write_text(text(patient, day), encoding="utf-8")


if __name__ == "__main__":
    main()
