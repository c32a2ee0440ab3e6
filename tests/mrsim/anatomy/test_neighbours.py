"""Regions of one parent must not lie in each other: they would add up to what no tissue gives."""

from __future__ import annotations

import pytest

from mrsim.anatomy.phantom import Phantom
from mrsim.errors import InputError
from mrsim.scanner.acquisition import Scanner
from mrsim.scanner.protocol import ScanProtocol
from tests.mrsim.bodies import definition, region

BODY = region("body", "muscle", (0, 0), (100, 90))
SLICE = "[slice]\nthickness_mm = 5\n"


def set_up(*entries: str, solid: bool = False) -> Scanner:
    text = definition(BODY, *entries)
    text = text.replace("\n[motion", f"\n{SLICE}\n[motion", 1) if solid else text
    return Scanner(Phantom.from_text(text), ScanProtocol(matrix=(32, 32), fov_m=(0.3, 0.3)), 1, 200)


def vessel(name: str, x: float, **more: object) -> str:
    return region(name, "blood", (x, 0), (9, 9), parent="body", **more)


def test_two_that_overlap_at_rest_are_refused() -> None:
    with pytest.raises(InputError, match=r"region 'target': at t = 0\.00 s it lies in its neighbour 'other'"):
        set_up(vessel("target", 0), vessel("other", 10))
    set_up(vessel("target", 0), vessel("other", 19))


def test_one_that_lies_wholly_in_its_neighbour_is_refused() -> None:
    with pytest.raises(InputError, match="it lies in its neighbour"):
        set_up(vessel("target", 0), region("other", "lung", (0, 0), (3, 3), parent="body"))


def test_one_that_moves_into_its_neighbour_is_refused_with_the_instant() -> None:
    with pytest.raises(InputError, match=r"at t = [1-9]\.\d\d s it lies in its neighbour"):
        set_up(vessel("target", 0, motion="breathing", direction=[1, 0]), vessel("other", 24))


def test_solids_at_different_heights_do_not_meet() -> None:
    def solid(name: str, z: float) -> str:
        axes = [9, 9, 3]
        return region(name, "blood", (0, 0, z), axes, parent="body", shape="ellipsoid")

    set_up(solid("target", -3.5), solid("other", 3.5), solid=True)
    with pytest.raises(InputError, match=r"neighbour 'other' at .* mm at z = "):
        set_up(solid("target", -2), solid("other", 2), solid=True)
