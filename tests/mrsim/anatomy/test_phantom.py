"""Phantoms: what a definition means, what is refused, and what the shipped one promises."""

from __future__ import annotations

import numpy as np
import pytest

import mrsim
from mrsim.anatomy.anatomy import Anatomy
from mrsim.anatomy.containment import check_containment
from mrsim.anatomy.phantom import MAX_REGIONS, Phantom, load_phantom
from mrsim.anatomy.phantom_file import phantom_names
from mrsim.errors import InputError
from mrsim.motion.courses import Breathing
from tests.mrsim.bodies import CHEST, REGULAR, chest, definition, disc, region


def test_a_region_holds_what_its_table_says_in_metres() -> None:
    heart = chest().regions[4]
    assert (heart.name, heart.tissue, heart.parent, heart.motion) == ("heart", "blood", "body", "breathing")
    assert heart.shape.center == pytest.approx((0.04, 0.01))
    assert heart.shape.semi_axes == pytest.approx((0.03, 0.022))
    assert heart.shape.angle == pytest.approx(np.pi / 6)
    assert heart.direction == (0.3, 0.5)
    # 1.5 % for each mm of the motion is 15 for each metre.
    assert heart.stretch_per_m == pytest.approx((15.0, -10.0))


def test_motion_keys_are_read_in_their_units() -> None:
    keys = {
        "amplitude_mm": 9.0,
        "period_s": 4.5,
        "exponent": 3,
        "amplitude_sd": 0.1,
        "period_sd": 0.2,
        "baseline_mm": -2.0,
        "drift_mm_per_min": 3.0,
        "phase": 0.25,
    }
    phantom = load_phantom("quasar", {f"motion.breathing.{k}": v for k, v in keys.items()})
    expected = Breathing(0.009, 4.5, 3, 0.1, 0.2, -0.002, 5e-5, 0.25)
    got = phantom.motions["breathing"]
    assert isinstance(got, Breathing)
    for key in expected.__dataclass_fields__:
        assert getattr(got, key) == pytest.approx(getattr(expected, key), rel=1e-12), key


def test_a_child_follows_its_parent_unless_it_says_otherwise() -> None:
    by_name = {r.name: r for r in chest().regions}
    assert (by_name["seed"].motion, by_name["seed"].direction) == ("breathing", (0.0, 1.0))
    assert by_name["seed"].moves
    assert not by_name["lung"].moves
    still = Phantom.from_text(
        CHEST + region("bead", "water", (-52, -12), (1, 1), parent="target", motion="static")
    )
    assert not still.regions[-1].moves


def test_the_text_gives_the_same_phantom_again() -> None:
    phantom = load_phantom("quasar", {"motion.breathing.amplitude_mm": 1 / 3, "target": "fiducial"})
    again = Phantom.from_text(phantom.text)
    assert again == phantom
    assert phantom.target == "fiducial"
    assert phantom.motions["breathing"].amplitude_m == (1 / 3) / 1e3


def test_regions_may_come_in_any_order() -> None:
    body = region("body", "gel", (0, 0), (100, 90))
    target = region("target", "muscle", (0, 0), (10, 10), parent="body")
    assert Phantom.from_text(definition(target, body)).region_names == ("target", "body")


def test_a_region_is_found_by_name() -> None:
    assert chest().index("heart") == 4
    with pytest.raises(InputError, match="region 'liver' is not known; known: body, lung"):
        chest().index("liver")


TARGET = region("target", "muscle", (0, 0), (10, 10))
MOVING = definition(region("target", "muscle", (0, 0), (10, 10), motion="breathing", direction=[0, 1]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            definition(TARGET.replace("muscle", "cheese")),
            "region 'target': tissue = 'cheese' is not known; known: ",
        ),
        (
            definition(TARGET, 'colour = "red"\n'),
            "region 'target': unknown key 'colour'; known: name, tissue",
        ),
        (definition(TARGET, 'parent = "mother"\n'), "region 'target': parent = 'mother': no such region"),
        (definition(TARGET, 'parent = "target"\n'), "region 'target': parent: a circle"),
        (
            definition(
                region("a", "gel", (0, 0), (9, 9), parent="b"),
                region("b", "gel", (0, 0), (9, 9), parent="a"),
                TARGET,
            ),
            "region 'a': parent: a circle: a in b",
        ),
        (definition(TARGET, TARGET), "region 'target': the name is used twice"),
        (definition(TARGET, target="tumour"), "target = 'tumour': no such region; known: target"),
        (
            definition(TARGET, 'motion = "cough"\n'),
            "region 'target': motion = 'cough' is not known; known: static",
        ),
        (definition(TARGET, "direction = [0, 1]\n"), "region 'target': direction or stretch without motion"),
        (definition(TARGET, 'shape = "square"\n'), "region 'target': shape = 'square': expected 'ellipse'"),
        (definition(TARGET.replace("[10, 10]", "[10, 0]")), "region 'target': semi_axes_mm: "),
        (
            definition(TARGET.replace("[10, 10]", "[10]")),
            "region 'target': semi_axes_mm = .*: expected two finite",
        ),
        (
            definition(TARGET.replace("[0, 0]", "[0, nan]")),
            "region 'target': center_mm = .*: expected two finite",
        ),
        (
            definition(TARGET.replace('name = "target"', 'name = "a b"')),
            "region number 1: name = 'a b': expected",
        ),
        (definition(), "region: expected 1 to "),
        (definition(TARGET, motion="[motion.static]\n"), "motion 'static': this name is taken"),
        (MOVING.replace("period_s = 3.0", ""), "motion 'breathing': missing key 'period_s'"),
        (
            MOVING.replace("period_s = 3.0", "period_s = 0.01"),
            "period_s = 0.01: expected a number from 0.5 to 60",
        ),
        (
            MOVING.replace("exponent = 2", "exponent = 1.5"),
            "motion 'breathing': exponent = 1.5: expected a whole",
        ),
        (MOVING.replace('"breathing"\namp', '"gait"\namp'), "motion 'breathing': kind = 'gait': expected"),
        (MOVING.replace("title", "titel"), "missing key 'title'"),
        (
            definition(
                region("body", "gel", (0, 0), (20, 20)),
                TARGET.replace("[0, 0]", "[15, 0]"),
                'parent = "body"\n',
            ),
            r"region 'target': center_mm, semi_axes_mm: at rest it leaves its parent 'body' at \(",
        ),
    ],
)
def test_a_wrong_definition_names_the_region_and_the_key(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^body.toml: .*{message}") as error:
        Phantom.from_text(text, where="body.toml")
    assert "\n" not in str(error.value)


def test_the_number_of_regions_is_bounded() -> None:
    many = [region(f"r{i}", "gel", (0, 0), (9, 9)) for i in range(MAX_REGIONS)]
    with pytest.raises(InputError, match=f"region: expected 1 to {MAX_REGIONS}"):
        Phantom.from_text(definition(TARGET, *many))


def test_every_shipped_phantom_loads_and_fits_the_default_scan() -> None:
    for name in phantom_names():
        phantom = load_phantom(name)
        check_containment(Anatomy(phantom, 1), (0.4, 0.4), 300 * 10**9, name)
        assert len(phantom.title) > 20


@pytest.mark.parametrize("baseline_mm", [-5, 5])
def test_the_target_of_the_motion_phantom_stays_in_its_insert(baseline_mm: float) -> None:
    phantom = load_phantom(
        "quasar",
        {
            "motion.breathing.amplitude_mm": 25,
            "motion.breathing.amplitude_sd": 0.15,
            "motion.breathing.baseline_mm": baseline_mm,
        },
    )
    shapes = {r.name: r.shape for r in phantom.regions}
    rest = shapes["target"].boundary(180)
    t_ns = np.arange(0, 180, 0.05) * 1e9
    anatomy = Anatomy(phantom, 3)
    moved = anatomy.displacement(t_ns.astype(np.int64))[:, phantom.index("target")]
    assert np.ptp(moved[:, 1]) > 0.025
    assert not moved[:, 0].any()
    for step in moved[[np.argmin(moved[:, 1]), np.argmax(moved[:, 1])]]:
        edge = rest + step
        assert shapes["insert"].inside(edge[:, 0], edge[:, 1]).all()
        for other in ("insert-tube", "insert-rod"):  # and meets nothing there
            assert not shapes[other].inside(edge[:, 0], edge[:, 1]).any()
            o = shapes[other].boundary(90)
            assert not shapes["target"].inside(o[:, 0] - step[0], o[:, 1] - step[1]).any()


def test_regions_that_lie_beside_each_other_do_not_overlap() -> None:
    # Contrast counts relative to the parent, so overlapping siblings would add up.
    for name in phantom_names():
        phantom = load_phantom(name)
        for a in phantom.regions:
            for b in phantom.regions:
                if a.name != b.name and a.parent == b.parent and not a.moves and not b.moves:
                    edge = a.shape.boundary(360)
                    assert not b.shape.inside(edge[:, 0], edge[:, 1]).any(), (name, a.name, b.name)


def test_the_lazy_front_door_leads_to_the_same_things() -> None:
    assert mrsim.load_phantom is load_phantom
    assert mrsim.Phantom is Phantom
    assert disc().name == "phantom"
    assert REGULAR in CHEST
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = mrsim.nonsense
