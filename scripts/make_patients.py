"""Make the six lung patients: python scripts/make_patients.py phantoms/nsclc

One thorax in a mid-coronal plane (x to the patient's left, y to the feet, millimetres), varied in build,
breathing and disease. The files are the phantoms; this is how they were drawn.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

Points = list[tuple[float, float]]

SLICE = {"thickness_mm": 20.0, "profile": "sinc", "time_bandwidth": 4.0}

# Right halves of outlines, from the neck down; the other half is the mirror image.
SKIN: Points = [(42, -192), (47, -174), (80, -161), (128, -146), (154, -112), (160, -60), (164, 0)]
SKIN += [(163, 60), (158, 120), (154, 165), (151, 191)]
# Lungs with the share of the breathing that each corner takes: the base moves, the apex does not.
RIGHT_LUNG = [
    (-58, -136, 0), (-82, -126, 0), (-104, -96, 0), (-118, -50, 0), (-125, 0, 0),
    (-127, 48, 0),
    (-126, 84, 0.45), (-120, 98, 0.8), (-108, 76, 0.95), (-92, 56, 1.0), (-72, 46, 1.0), (-50, 50, 1.0),
    (-34, 66, 0.85), (-27, 62, 0.5), (-27, 20, 0.0), (-31, -20, 0), (-27, -60, 0),
    (-27, -100, 0), (-38, -130, 0),
]  # fmt: skip
LEFT_LUNG = [
    (52, -136, 0), (34, -128, 0), (29, -100, 0), (33, -66, 0), (52, -52, 0), (76, -36, 0), (92, -8, 0),
    (97, 24, 0), (92, 48, 0.4), (84, 66, 0.9), (94, 64, 1.0), (106, 72, 1.0), (117, 90, 0.9),
    (122, 102, 0.75),
    (127, 84, 0.4), (127, 48, 0.0), (125, 0, 0), (118, -50, 0), (104, -96, 0), (78, -128, 0),
]  # fmt: skip
RIGHT_SIDE: Points = [(-58, -141), (-86, -131), (-109, -98), (-123, -50), (-130, 0), (-132, 60), (-131, 120)]
RIGHT_SIDE += [
    (-124, 172),
    (-80, 180),
    (-30, 178),
    (-22, 140),
    (-22, 60),
    (-26, -20),
    (-22, -60),
    (-22, -104),
]
RIGHT_SIDE += [(-36, -135)]
LEFT_SIDE: Points = [(52, -141), (31, -133), (24, -100), (28, -62), (50, -46), (72, -30), (87, -5), (92, 24)]
LEFT_SIDE += [
    (86, 50),
    (70, 72),
    (36, 84),
    (33, 140),
    (38, 178),
    (84, 180),
    (126, 172),
    (132, 120),
    (132, 60),
]
LEFT_SIDE += [(130, 0), (123, -50), (109, -98), (80, -133)]


@dataclass
class Patient:
    """Say in what a patient differs from the others."""

    number: int
    title: str
    breathing: dict[str, object]
    dome_mm: float
    tumour: dict[str, object]
    travel: list[tuple[str, tuple[float, float, float]]]
    width: float = 1.0
    fat_mm: float = 11.0
    core: dict[str, object] | None = None
    motions: dict[str, dict[str, object]] = field(default_factory=dict)
    heart_ms: float = 850.0


def blob(seed: int, center: tuple[float, float], radius: float, corners: int = 22) -> list[list[float]]:
    """Return an irregular outline."""
    rng = np.random.default_rng(seed)
    turn = np.arange(corners) * 2 * math.pi / corners
    size = np.ones(corners)
    for n in range(2, 7):
        size += rng.normal(0, 0.26 / n) * np.cos(n * turn + rng.uniform(0, 2 * math.pi))
    size *= radius / np.abs(size).max()
    return [
        [round(center[0] + s * math.cos(t), 2), round(center[1] + s * math.sin(t), 2)]
        for s, t in zip(size, turn, strict=True)
    ]


PATIENTS = [
    Patient(
        1,
        "lung patient 1: right lower lobe, 30 mm, moves 15 mm, breathes regularly",
        {"period_s": 4.2, "amplitude_sd": 0.06, "period_sd": 0.05, "exponent": 2},
        18.0,
        {"tissue": "lung-tumour", "center_mm": [-82, 2, 0], "semi_axes_mm": [15, 15, 15]},
        [("breathing", (0, 15 / 18, 0))],
    ),
    Patient(
        2,
        "lung patient 2: right upper lobe, 60 mm with a necrotic core, moves 5 mm, baseline drifts",
        {"period_s": 3.6, "amplitude_sd": 0.2, "period_sd": 0.15, "exponent": 3, "drift_mm_per_min": 0.8},
        12.0,
        {"tissue": "lung-tumour", "center_mm": [-74, -58, 2], "semi_axes_mm": [27, 30, 26], "angle_deg": 12},
        [("breathing", (0, 5 / 12, 0))],
        width=1.06,
        fat_mm=17.0,
        core={"tissue": "necrosis", "center_mm": [-77, -54, 2], "semi_axes_mm": [11, 14, 12]},
        heart_ms=760.0,
    ),
    Patient(
        3,
        "lung patient 3: left upper lobe, 20 mm, moves 3 mm and with the heart, coughs",
        {"period_s": 4.8, "amplitude_sd": 0.1, "period_sd": 0.08, "exponent": 2},
        11.0,
        {"tissue": "lung-tumour-fibrous", "center_mm": [74, -70, -1], "semi_axes_mm": [10, 10, 11]},
        [("chest", (0, 3 / 11, 0)), ("heart", (0.25, 0.2, 0))],
        width=0.94,
        fat_mm=8.0,
        motions={
            "cough": {"kind": "cough", "amplitude_mm": 6.0, "every_s": 35.0, "burst_ms": 320, "bursts": 3},
            "chest": {"kind": "sum", "of": ["breathing", "cough"]},
        },
        heart_ms=920.0,
    ),
    Patient(
        4,
        "lung patient 4: right lower lobe, 35 mm, moves 18 mm as was recorded, and through the plane",
        {"kind": "trace", "file": "traces/irregular.csv", "scale": 1.25, "repeat": True},
        18.75,
        {"tissue": "lung-tumour", "center_mm": [-78, -12, 1], "semi_axes_mm": [16, 17.5, 17]},
        [("breathing", (0, 18 / 18.75, 0.22))],
        fat_mm=13.0,
        heart_ms=810.0,
    ),
    Patient(
        5,
        "lung patient 5: right middle lobe, irregular, 45 mm, moves 12 mm with hysteresis",
        {"period_s": 3.9, "amplitude_sd": 0.22, "period_sd": 0.18, "exponent": 2, "drift_mm_per_min": -0.5},
        16.0,
        {
            "tissue": "lung-tumour",
            "shape": "polygon",
            "points_mm": blob(5, (-80, -16), 24),
            "depth_mm": [0, 22],
        },
        [("breathing", (0, 12 / 16, 0)), ("late", (0.16, 0, 0))],
        width=1.03,
        motions={"late": {"kind": "delayed", "of": "breathing", "delay_ms": 450}},
        heart_ms=880.0,
    ),
    Patient(
        6,
        "lung patient 6: right lower lobe, 26 mm, moves 25 mm, holds the breath and breathes deeply",
        {
            "period_s": 5.0, "amplitude_sd": 0.12, "period_sd": 0.12, "exponent": 1,
            "hold_at_s": 25, "hold_s": 9, "hold_every_s": 55, "deep_amplitude_mm": 33,
        },
        25.0,
        {"tissue": "lung-tumour-fibrous", "center_mm": [-84, 0, 0], "semi_axes_mm": [12, 13, 14]},
        [("breathing", (0.06, 1.0, 0.1))],
        width=0.98,
        fat_mm=9.0,
        heart_ms=990.0,
    ),
]  # fmt: skip


def smooth(points: np.ndarray, parts: int) -> np.ndarray:
    """Return a closed Catmull-Rom curve through points; further columns are carried along linearly."""
    before, after, later = (np.roll(points, n, axis=0) for n in (1, -1, -2))
    out = []
    for i in range(parts):
        u = i / parts
        a, b = -u + 2 * u**2 - u**3, 2 - 5 * u**2 + 3 * u**3
        c, d = u + 4 * u**2 - 3 * u**3, -(u**2) + u**3
        curve = (a * before + b * points + c * after + d * later) / 2
        curve[:, 2:] = (1 - u) * points[:, 2:] + u * after[:, 2:]
        out.append(curve)
    return np.stack(out, axis=1).reshape(-1, points.shape[1])


def mirrored(half: Points, inset: float, width: float) -> list[list[float]]:
    """Return a closed outline from its right half, drawn in by an inset."""
    x = np.array([(p[0] * width - inset, p[1] + 0.6 * inset * (-195 < p[1] < -140)) for p in half])
    x[[0, -1], 1] += np.sign(-x[[0, -1], 1]) * inset * 0.1
    ends = np.concatenate([[2 * x[0] - x[1]], x, [2 * x[-1] - x[-2]]])
    curve = smooth(ends, 3)[3 : 3 * len(x) + 1]  # rounded between its ends, which stay where they are
    return points_of(np.concatenate([curve, (curve * (-1, 1))[::-1]]))


def points_of(curve: np.ndarray) -> list[list[float]]:
    """Return points for a file."""
    return [[round(float(x), 2), round(float(y), 2)] for x, y in curve[:, :2]]


def widened(points: list[tuple[float, ...]], width: float) -> np.ndarray:
    """Return points with x scaled, the lateral ones alone, so that the middle keeps its place."""
    out = np.array(points, np.float64)
    out[:, 0] = np.sign(out[:, 0]) * (
        np.abs(out[:, 0]) + (width - 1) * np.maximum(np.abs(out[:, 0]) - 60, 0) * 2
    )
    return out


def regions(patient: Patient) -> list[dict[str, object]]:
    """Return all regions of a patient."""
    w, dome = patient.width, patient.dome_mm
    out: list[dict[str, object]] = []

    def add(name: str, tissue: str, parent: str | None, **keys: object) -> None:
        entry: dict[str, object] = {"name": name, "tissue": tissue}
        if parent:
            entry["parent"] = parent
        out.append({**entry, **keys})

    def ellipse(
        name: str,
        tissue: str,
        parent: str,
        x: float,
        y: float,
        a: float,
        b: float,
        turn: float = 0.0,
        **keys: object,
    ) -> None:
        add(
            name,
            tissue,
            parent,
            center_mm=[x, y],
            semi_axes_mm=[a, b],
            **({"angle_deg": turn} if turn else {}),
            **keys,
        )

    half = SKIN
    add("fat", "fat", None, shape="polygon", points_mm=mirrored(half, 0, w))
    add(
        "torso",
        "muscle",
        "fat",
        shape="polygon",
        points_mm=mirrored(half, patient.fat_mm if patient.fat_mm < 15 else 15, w),
    )
    breath = {"motion": "breathing", "direction": [0, 1]}
    for side, tissue, edge, lung in (
        ("right", "liver", RIGHT_SIDE, RIGHT_LUNG),
        ("left", "spleen", LEFT_SIDE, LEFT_LUNG),
    ):
        add(f"{side}-side", tissue, "torso", shape="polygon", points_mm=points_of(widened(edge, w)))
        curve = smooth(widened(lung, w), 2)
        follow = [round(float(v), 3) for v in curve[:, 2]]
        add(
            f"{side}-lung",
            "lung",
            f"{side}-side",
            shape="polygon",
            points_mm=points_of(curve),
            follow=follow,
            **breath,
        )
    # Pulmonary vessels spread from the hilum; they move less the higher they lie.
    for side, sign, tree in (
        ("right", -1, [(44, -30, 12, 3.2, 25), (52, -62, 12, 2.6, -35), (48, -98, 10, 2.2, -60),
                       (100, -34, 11, 2.2, 10),
                       (48, 12, 13, 2.8, 68), (103, 28, 10, 2.0, 48), (92, -70, 8, 1.9, -25),
                       (112, -6, 7, 1.7, 10)]),
        ("left", 1, [(58, -74, 11, 2.8, -30), (46, -104, 11, 2.3, -62), (98, -44, 11, 2.4, 35),
                     (88, -92, 9, 2.0, -42),
                     (108, 8, 11, 2.2, 62), (114, -22, 7, 1.7, 50), (108, 44, 9, 1.8, 70)]),
    ):  # fmt: skip
        for n, (x, y, a, b, turn) in enumerate(tree, 1):
            if any(math.hypot(sign * x - c[0], y - c[1]) < c[2] for c in keep_clear(patient)):
                continue
            x = float(widened([(x, y)], w)[0, 0])
            share = round(min(0.9, max(0.1, (y + 130) / 190)), 3)
            add(
                f"{side}-vessel-{n}", "blood", f"{side}-lung", shape="ellipsoid",
                center_mm=[round(sign * x, 1), y, (n * 5) % 9 - 4],
                semi_axes_mm=[a, b, b + 3.0], angle_deg=sign * turn, motion="breathing", direction=[0, share],
            )  # fmt: skip
    add_tumour(patient, add)
    # The heart rides on the diaphragm and beats: a wall with two chambers.
    pulse = {"motion": ["breathing", "heart"]}
    ride = [[0, 0.22, 0], [0, 0, 0]]
    for name, tissue, parent, center, axes, turn, squeeze in (
        ("heart", "myocardium", "torso", [50, 10, 2], [27, 40, 42], -38, [-0.5, -0.5, -0.5]),
        ("left-ventricle", "blood", "heart", [58.5, 5.5, 2], [11, 26, 26], -38, [-2.6, -1.4, -1.4]),
        ("right-heart", "blood", "heart", [41.5, 17, 0], [7.5, 24, 20], -38, [-1.8, -1.0, -1.0]),
    ):
        add(name, tissue, parent, shape="ellipsoid", center_mm=center, semi_axes_mm=axes, angle_deg=turn,
            **pulse, direction=ride, stretch_percent_per_mm=[[0, 0, 0], squeeze])  # fmt: skip
    ellipse("aortic-arch", "blood", "torso", 11, -62, 9.5, 12, -15)
    ellipse("superior-vena-cava", "blood", "torso", -13, -72, 5.5, 24, 4)
    ellipse("trachea", "air", "torso", -1, -128, 7.5, 40)
    ellipse("aorta", "blood", "torso", 22, 128, 7.5, 40, 2)
    for n in range(8):  # vertebrae come into the plane below the carina
        y = -12 + 25.5 * n
        if y < 172:
            ellipse(f"vertebra-{n + 1}", "acrylic", "torso", -4, y, 14.6, 11.2)
            ellipse(f"vertebra-{n + 1}-marrow", "marrow", f"vertebra-{n + 1}", -4, y, 12.9, 9.6)
    for side, sign in (("right", -1), ("left", 1)):
        ellipse(f"{side}-clavicle", "marrow", "torso", sign * 72, -144, 17, 3.0, sign * 14)
        for n in range(7):
            y = -90 + 31 * n
            x = np.interp(y, [p[1] for p in SKIN], [p[0] for p in SKIN]) * w - patient_wall(patient, y)
            cortex, tilt = f"{side}-rib-{n + 1}", sign * 14
            ellipse(cortex, "acrylic", "torso", round(sign * x, 1), y, 4.2, 8.2, tilt)
            ellipse(f"{cortex}-marrow", "marrow", cortex, round(sign * x, 1), y, 2.7, 6.6, tilt)
    # Vessels of the liver and the stomach go down with the diaphragm.
    for n, (x, y, a, b, turn) in enumerate(
        [(-62, 112, 15, 3.0, 28), (-88, 124, 12, 2.6, -35), (-40, 136, 10, 3.4, 70)], 1
    ):
        ellipse(
            f"liver-vessel-{n}",
            "blood",
            "right-side",
            x,
            y,
            a,
            b,
            turn,
            motion="breathing",
            direction=[0, round(0.9 * 18 / max(18, dome), 3)],
        )
    ellipse("stomach", "gel", "left-side", 72, 118, 26, 18, -20, motion="breathing", direction=[0, 0.7])
    ellipse("stomach-gas", "air", "stomach", 74, 110, 12, 6, -20)
    return out


def patient_wall(patient: Patient, y: float) -> float:
    """Return the depth of the ribs under the skin: in the middle of the wall of the chest."""
    inset = min(patient.fat_mm, 15)
    skin = np.interp(y, [p[1] for p in SKIN], [p[0] for p in SKIN]) * patient.width
    side = widened(list(LEFT_SIDE[14:]), patient.width)
    order = np.argsort(side[:, 1])
    inner = np.interp(y, side[order, 1], side[order, 0])
    return float(skin - ((skin - inset) + inner) / 2)


def keep_clear(patient: Patient) -> list[tuple[float, float, float]]:
    """Return circles (x, y, radius) that vessels leave to the tumour, its way included."""
    if "points_mm" in patient.tumour:
        xy = np.array(patient.tumour["points_mm"]).mean(axis=0)
        reach = 24.0
    else:
        xy, reach = np.array(patient.tumour["center_mm"])[:2], float(max(patient.tumour["semi_axes_mm"]))
    return [(float(xy[0]), float(xy[1]) + shift, reach + 16) for shift in (0.0, 12.0)]


def add_tumour(patient: Patient, add: object) -> None:
    """Add the tumour, and its core."""
    side = "left-lung" if patient.number == 3 else "right-lung"
    names = [name for name, _ in patient.travel]
    ways = [[round(v, 4) for v in way] for _, way in patient.travel]
    moves = (
        {"motion": names[0], "direction": ways[0]}
        if len(names) == 1
        else {"motion": names, "direction": ways}
    )
    body = dict(patient.tumour)
    tissue = body.pop("tissue")
    add("tumour", tissue, side, **({"shape": "ellipsoid", **body}), **moves)  # type: ignore[operator]
    if patient.core:
        core = dict(patient.core)
        add("tumour-core", core.pop("tissue"), "tumour", shape="ellipsoid", **core)  # type: ignore[operator]


def value(v: object) -> str:
    """Return a value as TOML."""
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, str):
        return f'"{v}"'
    if isinstance(v, list):
        return "[" + ", ".join(value(e) for e in v) + "]"
    return f"{v:g}" if isinstance(v, float) else str(v)


def text(patient: Patient) -> str:
    """Return a patient's file."""
    lines = [
        "# Mid-coronal slice of a thorax: x to the patient's left (readout), y to the feet (phase encode).",
        "# Drawn by scripts/make_patients.py; all values are inventions within what is published.",
        f'title = "{patient.title}"',
        'target = "tumour"',
        "",
        "[slice]",
        *(f"{k} = {value(v)}" for k, v in SLICE.items()),
    ]
    breathing: dict[str, object] = {"kind": "breathing", "amplitude_mm": patient.dome_mm}
    if patient.breathing.get("kind") == "trace":
        breathing = {}
    beat = {
        "kind": "heart",
        "amplitude_mm": 6.0,
        "period_s": patient.heart_ms / 1e3,
        "period_sd": 0.05,
        "amplitude_sd": 0.05,
    }
    for name, keys in {
        "breathing": {**breathing, **patient.breathing},
        "heart": beat,
        **patient.motions,
    }.items():
        lines += ["", f"[motion.{name}]", *(f"{k} = {value(v)}" for k, v in keys.items())]
    for region in regions(patient):
        lines += ["", "[[region]]", *(f"{k} = {value(v)}" for k, v in region.items())]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write all patients into a folder."""
    parser = argparse.ArgumentParser(description="Draw the six lung patients.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for patient in PATIENTS:
        (folder / f"patient{patient.number}.toml").write_text(text(patient), encoding="utf-8")


if __name__ == "__main__":
    main()
