"""The page of physics and its pictures belong together."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from mrsim.physics import tissue
from mrsim.physics.slices import Slice
from mrsim.physics.steady_state import bssfp_on_resonance

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "physics.md").read_text(encoding="utf-8")
FOLDER = ROOT / "docs" / "physics"


def test_every_picture_is_shown_and_every_picture_shown_is_there():
    shown = set(re.findall(r"\]\(physics/([a-z-]+)\.png\)", PAGE))
    assert shown == {path.stem for path in FOLDER.glob("*.png")}


def test_every_picture_has_its_figures_and_they_hold_what_the_page_says():
    figures = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))
    assert set(figures) == {path.stem for path in FOLDER.glob("*.png")}
    assert figures["transforms"]["largest error"] < 1e-10
    assert figures["profile"]["formula against recursion"] < 1e-9
    assert figures["engines"]["at 256 x 256, moving"] < 0.01
    for name in ("muscle", "blood"):
        transient = figures["transient"]
        assert abs(transient[f"{name}: TRs, measured"] / transient[f"{name}: TRs, predicted"] - 1) < 5e-4


@pytest.mark.parametrize("name", ["muscle", "lung-tumour", "blood"])
def test_the_page_says_what_comes_from_outside_the_slice(name):
    """By the midpoint rule over 6,000 heights, on resonance, each at its own flip angle."""
    at, slice_ = tissue.tissue(name, 3.0), Slice(0.02, "sinc")
    low, high = slice_.limits
    z = low + (np.arange(6000) + 0.5) / 6000 * (high - low)

    def signal(flip: float) -> float:
        return at.pd * bssfp_on_resonance(at.t1_s, at.t2_s, flip, 2.2e-3, 1.1e-3)

    given = np.array([signal(math.radians(20) * share) for share in slice_.flip_share(z)])
    section = np.maximum(1 - (z / 0.015) ** 2, 0)
    beyond = np.abs(z) > 0.01
    slab = given.sum() * (z[1] - z[0]) / 0.02 / signal(math.radians(20))
    outside = [(given * a)[beyond].sum() / (given * a).sum() for a in (1 + 0 * z, section)]
    says = re.search(rf"^\| {name} \| ([\d.]+) \| (\d+) % \| (\d+) % \|$", PAGE, re.MULTILINE)
    assert says is not None
    assert [f"{slab:.2f}", *(f"{share:.0%}"[:-1] for share in outside)] == list(says.groups())
    figures = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))["slices"]
    assert math.isclose(figures[f"slab over its signal at 20 degrees, {name}"], slab, rel_tol=1e-4)
