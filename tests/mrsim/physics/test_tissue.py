"""The tissue table: complete, plausible, and honest about what is assumed."""

from __future__ import annotations

import tomllib
from importlib import resources

import pytest

from mrsim.errors import InputError
from mrsim.physics.tissue import tissue, tissue_names

FIELDS = (0.35, 0.5, 1.5, 3.0)
TABLE = tomllib.loads((resources.files("phantoms") / "tissues.toml").read_text(encoding="utf-8"))
SIGNAL = [name for name in tissue_names() if TABLE[name]["pd"] > 0]

BAZELAIRE, STANISZ = "10.1148/radiol.2303021331", "10.1002/mrm.20605"
PUBLISHED = {
    # T1 and T2 in ms: de Bazelaire 2004, table of means in the abdomen and pelvis.
    ("liver", 1.5): (586, 46, BAZELAIRE),
    ("liver", 3.0): (809, 34, BAZELAIRE),
    ("spleen", 1.5): (1057, 79, BAZELAIRE),
    ("spleen", 3.0): (1328, 61, BAZELAIRE),
    ("muscle", 1.5): (856, 27, BAZELAIRE),
    ("muscle", 3.0): (898, 29, BAZELAIRE),
    ("marrow", 1.5): (549, 49, BAZELAIRE),
    ("marrow", 3.0): (586, 49, BAZELAIRE),
    ("fat", 1.5): (343, 58, BAZELAIRE),
    ("fat", 3.0): (382, 68, BAZELAIRE),
    # Stanisz 2005, table of means in excised tissue at 37 C; the myocardium is its "heart".
    ("myocardium", 1.5): (1030, 40, STANISZ),
    ("myocardium", 3.0): (1471, 47, STANISZ),
    ("blood", 1.5): (1441, 290, STANISZ),
    ("blood", 3.0): (1932, 275, STANISZ),
}
# Mean minus and plus one standard deviation of the same tables, ms.
SPREAD = [
    ("liver", 1.5, "T1", 547, 625),
    ("liver", 1.5, "T2", 40, 52),
    ("liver", 3.0, "T1", 738, 880),
    ("liver", 3.0, "T2", 30, 38),
    ("myocardium", 1.5, "T1", 996, 1064),
    ("myocardium", 1.5, "T2", 34, 46),
    ("myocardium", 3.0, "T1", 1440, 1502),
    ("myocardium", 3.0, "T2", 36, 58),
    ("blood", 1.5, "T1", 1321, 1561),
    ("blood", 3.0, "T1", 1847, 2017),
]
# T1 and T2 in ms at each of FIELDS.
ASSUMED = {
    "water": ((2800, 2000), (2800, 2000), (2800, 2000), (2800, 2000)),
    "phantom-water": ((300, 250), (300, 250), (320, 250), (340, 240)),
    "gel": ((800, 80), (800, 80), (900, 75), (1000, 70)),
    "lung-foam": ((800, 60), (800, 60), (900, 55), (1000, 50)),
    "oil": ((200, 110), (200, 110), (240, 100), (280, 95)),
    "lung": ((739, 60), (830, 60), (1200, 50), (1281, 40)),
    "lung-tumour": ((755, 85), (850, 85), (1200, 80), (1480, 77.5)),
    "lung-tumour-fibrous": ((622, 60), (700, 60), (1000, 55), (1250, 50)),
    "necrosis": ((1154, 200), (1300, 200), (1700, 180), (2000, 160)),
}
PROTON_DENSITY = {
    "air": 0, "acrylic": 0, "water": 1.0, "phantom-water": 1.0, "gel": 0.95, "lung-foam": 0.2, "oil": 0.9,
    "liver": 0.78, "spleen": 0.82, "muscle": 0.79, "myocardium": 0.8, "blood": 0.95, "marrow": 0.6,
    "fat": 0.9, "lung": 0.2, "lung-tumour": 0.85, "lung-tumour-fibrous": 0.75, "necrosis": 0.95,
}  # fmt: skip


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


def test_values_below_one_tesla_are_marked_as_assumptions() -> None:
    assert all(tissue(name, field).assumed for name in SIGNAL for field in (0.35, 0.5))


def test_t1_grows_with_the_field() -> None:
    for name in SIGNAL:
        values = [tissue(name, f).t1_s for f in FIELDS]
        assert values == sorted(values)


def entries(*, assumed: bool) -> list[tuple[str, float]]:
    return [
        (name, at["field_t"])
        for name in SIGNAL
        for at in TABLE[name]["at"]
        if at.get("assumed", False) is assumed
    ]


def test_every_measurement_is_the_one_that_was_published() -> None:
    for name, field in entries(assumed=False):
        at = tissue(name, field)
        t1_ms, t2_ms, doi = PUBLISHED[name, field]
        assert (at.t1_s * 1e3, at.t2_s * 1e3) == (pytest.approx(t1_ms), pytest.approx(t2_ms)), (name, field)
        assert at.source.endswith(doi), (name, field)
    assert set(PUBLISHED) == set(entries(assumed=False))


def test_what_is_scaled_from_a_measurement_follows_its_rule() -> None:
    """T1 grows as the cube root of the field (Bottomley 1984, 10.1118/1.595535), T2 stays."""
    scaled = [(n, f) for n, f in entries(assumed=True) if "scaled from 1.5 T" in tissue(n, f).source]
    assert len(scaled) == 16
    for name, field in scaled:
        at, measured = tissue(name, field), tissue(name, 1.5)
        assert at.t1_s == pytest.approx(measured.t1_s * (field / 1.5) ** (1 / 3), rel=3e-3), name
        if "T2 is an assumption" not in at.source:
            assert at.t2_s == measured.t2_s, name


def test_an_assumption_changes_on_purpose_alone() -> None:
    """No source gives these values, so they are written down twice: whoever changes one means it."""
    free = {
        (n, f) for n, f in entries(assumed=True) if not tissue(n, f).source.startswith("scaled from 1.5 T")
    }
    assert free == {(name, field) for name in ASSUMED for field in FIELDS}
    for name, rows in ASSUMED.items():
        for field, (t1_ms, t2_ms) in zip(FIELDS, rows, strict=True):
            at = tissue(name, field)
            found = (at.t1_s * 1e3, at.t2_s * 1e3)
            assert found == (pytest.approx(t1_ms), pytest.approx(t2_ms)), (name, field)


def test_proton_densities_and_shifts_are_written_down_twice_too() -> None:
    assert {name: TABLE[name]["pd"] for name in tissue_names()} == PROTON_DENSITY
    shifts = {n: TABLE[n]["shift_ppm"] for n in tissue_names() if "shift_ppm" in TABLE[n]}
    assert shifts == {"oil": -3.4, "fat": -3.4}


def test_ranges_of_measurements_reach_as_far_as_the_spread_that_was_published() -> None:
    for name, field, key, low, high in SPREAD:
        (at,) = [e for e in TABLE[name]["at"] if e["field_t"] == field]
        rounding_ms = 2 if key == "T1" else 0
        assert at[f"range_{key.lower()}_ms"][0] <= low + rounding_ms, (name, field, key)
        assert at[f"range_{key.lower()}_ms"][1] >= high - rounding_ms, (name, field, key)


def test_fat_precesses_434_hz_below_water_at_three_tesla() -> None:
    assert tissue("fat", 3.0).shift_hz == pytest.approx(-434.29, abs=0.01)
    assert tissue("water", 3.0).shift_hz == 0


def test_names_what_is_unknown_and_what_is_known() -> None:
    with pytest.raises(InputError, match=r"'cheese' is not known; known: .*muscle"):
        tissue("cheese", 3.0)
    with pytest.raises(
        InputError, match=r"'muscle' has no values at 7 T; it has them at 0.35, 0.5, 1.5, 3 T"
    ):
        tissue("muscle", 7.0)
