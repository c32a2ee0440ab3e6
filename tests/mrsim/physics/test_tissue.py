"""The tissue table: complete, plausible, and honest about what is assumed."""

from __future__ import annotations

import tomllib
from importlib import resources

import pytest

from mrsim.errors import InputError
from mrsim.physics.tissue import tissue, tissue_names

FIELDS = (0.5, 1.5, 3.0)
TABLE = tomllib.loads((resources.files("phantoms") / "tissues.toml").read_text(encoding="utf-8"))
SIGNAL = [name for name in tissue_names() if TABLE[name]["pd"] > 0]


@pytest.mark.parametrize("name", SIGNAL)
def test_every_tissue_is_whole_at_every_field(name: str) -> None:
    for field in FIELDS:
        at = tissue(name, field)
        assert 0 < at.t2_s <= at.t1_s < 10
        assert 0 < at.pd <= 1
        assert at.source
    entries = {e["field_t"]: e for e in TABLE[name]["at"]}
    assert sorted(entries) == list(FIELDS)
    for entry in entries.values():
        for key in ("t1_ms", "t2_ms"):
            low, high = entry[f"range_{key}"]
            assert low <= entry[key] <= high
        # A value is a measurement with its DOI, or it says that it is none.
        assert entry.get("assumed", False) != ("10." in entry["source"])


def test_values_at_half_a_tesla_are_marked_as_assumptions() -> None:
    assert all(tissue(name, 0.5).assumed for name in SIGNAL)


def test_t1_grows_with_the_field() -> None:
    for name in SIGNAL:
        values = [tissue(name, f).t1_s for f in FIELDS]
        assert values == sorted(values)


@pytest.mark.parametrize(
    ("name", "t1_ms", "t2_ms"),
    [("liver", 809, 34), ("muscle", 898, 29), ("marrow", 586, 49), ("fat", 382, 68), ("blood", 1932, 275)],
)
def test_holds_the_published_values_at_three_tesla(name: str, t1_ms: float, t2_ms: float) -> None:
    at = tissue(name, 3.0)
    assert (at.t1_s * 1e3, at.t2_s * 1e3, at.assumed) == (pytest.approx(t1_ms), pytest.approx(t2_ms), False)


def test_fat_precesses_434_hz_below_water_at_three_tesla() -> None:
    assert tissue("fat", 3.0).shift_hz == pytest.approx(-434.29, abs=0.01)
    assert tissue("water", 3.0).shift_hz == 0


def test_names_what_is_unknown_and_what_is_known() -> None:
    with pytest.raises(InputError, match=r"'cheese' is not known; known: .*muscle"):
        tissue("cheese", 3.0)
    with pytest.raises(InputError, match=r"'muscle' has no values at 7 T; it has them at 0.5, 1.5, 3 T"):
        tissue("muscle", 7.0)
