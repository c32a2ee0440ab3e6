"""Anatomy: where regions are, and the refusal of a body that does not fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrsim.anatomy.anatomy import Anatomy
from mrsim.anatomy.containment import check_containment
from mrsim.anatomy.phantom import Phantom, load_phantom
from mrsim.errors import InputError
from mrsim.seeds import MAX_SEED
from tests.mrsim.bodies import chest, definition, disc, lujan_m, region

SECOND = 10**9


@given(st.lists(st.integers(0, 600 * SECOND), min_size=1, max_size=20))
def test_every_region_is_where_its_direction_takes_it(instants: list[int]) -> None:
    phantom, t_ns = chest(), np.array(instants)
    moved = Anatomy(phantom, 1).displacement(t_ns)
    value = np.array([lujan_m(t) for t in instants])
    for i, entry in enumerate(phantom.regions):
        expected = value[:, None] * (np.array(entry.direction) if entry.moves else np.zeros(2))
        assert np.abs(moved[:, i] - expected).max() < 1e-12, entry.name


def test_centres_and_centroids_are_rest_plus_displacement() -> None:
    phantom = chest()
    anatomy, t_ns = Anatomy(phantom, 1), np.array([0, SECOND, 2 * SECOND])
    rest = np.array([r.shape.center for r in phantom.regions])
    assert np.array_equal(anatomy.centers(t_ns), rest + anatomy.displacement(t_ns))
    assert np.array_equal(anatomy.centroid("target", t_ns), anatomy.centers(t_ns)[:, 2])
    assert anatomy.centroid("target", SECOND).shape == (2,)
    assert np.array_equal(anatomy.centroid("target", SECOND), anatomy.centers(t_ns)[1, 2])


def test_the_axes_of_what_deforms_are_those_of_the_stretched_ellipse() -> None:
    phantom = chest()
    t = 1_300_000_000
    heart = phantom.regions[4]
    value = lujan_m(t)
    got = Anatomy(phantom, 1).axes(np.array([t]))
    assert got.shape == (1, 1, 2, 2)
    expected = heart.shape.stretched(1 + 15 * value, 1 - 10 * value)
    # The same set of points: L L^T does not depend on where on the circle a point comes from.
    assert got[0, 0] @ got[0, 0].T == pytest.approx(expected.axes @ expected.axes.T, rel=1e-9)


@pytest.mark.parametrize(("matrix", "fov_m"), [((64, 64), (0.4, 0.4)), ((63, 90), (0.35, 0.4))])
def test_a_mask_moves_with_its_region(matrix, fov_m) -> None:
    anatomy = Anatomy(chest(), 1)
    pixel = (fov_m[0] / matrix[0]) * (fov_m[1] / matrix[1])
    y = (np.arange(matrix[0]) - matrix[0] // 2) * fov_m[0] / matrix[0]
    for t in (0, SECOND, 1_500_000_000):
        mask = anatomy.mask("target", t, matrix, fov_m)
        assert mask.shape == matrix
        assert mask.sum() * pixel == pytest.approx(np.pi * 0.014 * 0.011, rel=0.15)
        middle = (mask.sum(axis=1) @ y) / mask.sum()
        assert middle == pytest.approx(anatomy.centroid("target", t)[1], abs=0.0015)


@pytest.mark.parametrize("direction", [(1, 0), (-1, 0), (0, 1), (0, -1), (0.6, -0.8)])
def test_a_mask_is_where_its_centroid_is_whichever_way_it_moves(direction) -> None:
    anatomy = Anatomy(disc(5, -8, 20, motion="breathing", direction=list(direction)), 1)
    t, matrix, fov_m = (
        1_500_000_000,
        (80, 90),
        (0.2, 0.18),
    )  # end-inhale: 12 mm from rest; 2.5 and 2 mm pixels
    mask = anatomy.mask("target", t, matrix, fov_m)
    rows, columns = np.nonzero(mask)
    middle = [(columns.mean() - 45) * 0.002, (rows.mean() - 40) * 0.0025]
    assert middle == pytest.approx([0.005 + 0.012 * direction[0], -0.008 + 0.012 * direction[1]], abs=3e-4)
    assert middle == pytest.approx(anatomy.centroid("target", t), abs=3e-4)


def test_seeds_are_checked_and_fix_the_course() -> None:
    phantom, t_ns = load_phantom("quasar"), np.arange(0, 20 * SECOND, SECOND // 10)
    courses = [Anatomy(phantom, s).displacement(t_ns) for s in (1, 1, 2, MAX_SEED)]
    assert np.array_equal(courses[0], courses[1])
    assert not np.array_equal(courses[0], courses[2])
    with pytest.raises(InputError, match="seed = -3"):
        Anatomy(phantom, -3)


def test_each_motion_draws_from_its_own_child_of_the_seed() -> None:
    motion = """
[motion.{0}]
amplitude_mm = 10
period_s = 3
amplitude_sd = 0.3
"""
    one = definition(
        region("target", "muscle", (0, 0), (9, 9), motion="b", direction=[0, 1]), motion=motion.format("b")
    )
    two = one.replace("[motion.b]", motion.format("a") + "[motion.b]")
    t_ns = np.arange(0, 20 * SECOND, SECOND // 10)
    courses = [Anatomy(Phantom.from_text(text), 4).displacement(t_ns) for text in (one, two)]
    assert np.array_equal(*courses)


def test_a_body_that_leaves_the_field_of_view_is_refused_with_place_and_size() -> None:
    with pytest.raises(InputError, match=r"disc: region 'target': .* reaches 130.0 mm .* along x.* 120.0 mm"):
        check_containment(Anatomy(disc(x_mm=100), 1), (0.4, 0.24), SECOND, "disc")
    with pytest.raises(InputError, match="along y"):
        check_containment(Anatomy(disc(y_mm=-100), 1), (0.24, 0.4), SECOND, "disc")
    check_containment(Anatomy(disc(x_mm=100), 1), (0.4, 0.26), SECOND, "disc")


def test_drift_counts_for_as_long_as_the_scan_lasts() -> None:
    phantom = load_phantom("quasar", {"motion.breathing.drift_mm_per_min": 60.0})
    anatomy = Anatomy(phantom, 1)
    check_containment(anatomy, (0.4, 0.4), 60 * SECOND, "quasar")
    with pytest.raises(InputError, match="region 'target'"):
        check_containment(anatomy, (0.4, 0.4), 300 * SECOND, "quasar")


def test_a_region_that_is_stretched_to_nothing_is_refused() -> None:
    text = definition(
        region("target", "muscle", (0, 0), (9, 9), motion="breathing", stretch_percent_per_mm=[0, -9])
    )
    with pytest.raises(InputError, match=r"region 'target': stretch_percent_per_mm: at 12.0 mm .* along y"):
        check_containment(Anatomy(Phantom.from_text(text), 1), (0.4, 0.4), SECOND, "body")
