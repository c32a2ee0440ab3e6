"""The page of physics and its pictures belong together."""

from __future__ import annotations

import json
import re
from pathlib import Path

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
    for tissue in ("muscle", "blood"):
        transient = figures["transient"]
        assert abs(transient[f"{tissue}: TRs, measured"] / transient[f"{tissue}: TRs, predicted"] - 1) < 5e-4
