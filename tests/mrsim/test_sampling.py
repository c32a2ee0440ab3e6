"""The sampler's promises, for any acceleration, size and seed."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mrsim.errors import InputError
from mrsim.sampling import ORDERS, SAMPLERS, Sampler
from mrsim.stream.header import ky_range


@st.composite
def samplers(draw: st.DrawFn, kinds: tuple[str, ...] = SAMPLERS) -> Sampler:
    """Draw the number of lines, then an acceleration that gives it: drawn at once, it would mostly be 1."""
    kind = draw(st.sampled_from(kinds))
    ny = draw(st.integers(1, 200))
    least = {"full": ny, "variable-density": min(2, ny)}.get(kind, 1)
    lines = draw(st.integers(least, ny) | st.integers(least, max(least, ny // 2)))
    fewer = ny / (lines - 1) if lines > 1 else ny / lines  # below it the matrix gives as many lines
    between = draw(st.sampled_from([0.0, 0.3, 0.9]) if 1 < lines < ny else st.just(0.0))
    acceleration = ny / lines + between * (fewer - ny / lines)
    return Sampler(kind, ny, acceleration, draw(st.sampled_from(ORDERS)), draw(st.integers(0, 2**63 - 1)))


RANDOM = ("variable-density",)


@given(samplers() | samplers(RANDOM), st.integers(0, 10**6))
def test_a_frame_has_exactly_its_lines_and_none_twice(sampler: Sampler, first: int) -> None:
    low, high = ky_range(sampler.ny)
    assert sampler.lines == math.ceil(sampler.ny / sampler.acceleration - 1e-9)
    for frame in range(first, first + 6):
        rows = sampler.frame(frame)
        assert rows.dtype == np.int32
        assert len(rows) == len(set(rows.tolist())) == sampler.lines
        assert low <= rows.min()
        assert rows.max() <= high


@given(samplers(("variable-density", "low-resolution", "full")) | samplers(RANDOM), st.integers(0, 10**6))
def test_the_centre_is_always_there(sampler: Sampler, frame: int) -> None:
    rows = set(sampler.frame(frame).tolist())
    low, high = ky_range(sampler.ny)
    centre = sorted(range(low, high + 1), key=lambda k: (abs(k), k))[: sampler.centre]
    assert sampler.centre >= 1
    assert set(centre) <= rows


@settings(max_examples=40)
@given(samplers(("variable-density", "uniform", "full")) | samplers(RANDOM))
def test_no_row_waits_longer_than_the_bound(sampler: Sampler) -> None:
    bound = sampler.longest_wait
    assert bound is not None
    assume(bound <= 60)
    frames = 3 * bound + 2
    low, _ = ky_range(sampler.ny)
    seen = np.zeros((frames + 1, sampler.ny), bool)
    for f in range(frames):
        seen[f + 1, sampler.frame(f) - low] = True
    seen[0] = True  # the wait counts from the start of the scan, too
    for row in seen.T:
        visits = np.flatnonzero(row)
        assert np.diff(np.append(visits, frames + 1)).max() <= bound


def test_the_bound_is_not_idle() -> None:
    # With nothing but the deck (two lines a frame: the centre and one dealt row) the bound is nearly met.
    sampler = Sampler("variable-density", 12, 6.0, "random", 4)
    assert sampler.longest_wait == 21
    # Three hundred decks: some row of some deck waits nearly as long as it may.
    frames = sampler.rows(0, 3300).reshape(-1, 2)
    waits = [np.diff(np.flatnonzero((frames == row).any(axis=1))).max() for row in range(-6, 6)]
    assert 19 <= max(waits) <= 21


@given(samplers(), st.integers(0, 1000), st.integers(0, 5))
def test_a_frame_does_not_depend_on_how_many_are_drawn(sampler: Sampler, first: int, count: int) -> None:
    rows = sampler.rows(first, count)
    again = Sampler(sampler.kind, sampler.ny, sampler.acceleration, sampler.order, sampler.seed)
    assert len(rows) == count * sampler.lines
    for i in reversed(range(count)):
        assert np.array_equal(again.frame(first + i), rows[i * sampler.lines : (i + 1) * sampler.lines])


@given(samplers(), st.integers(0, 1000))
def test_the_order_changes_no_set(sampler: Sampler, frame: int) -> None:
    sets = set()
    for order in ORDERS:
        other = Sampler(sampler.kind, sampler.ny, sampler.acceleration, order, sampler.seed)
        sets.add(tuple(sorted(other.frame(frame).tolist())))
    assert len(sets) == 1


def test_orders_are_what_they_are_called() -> None:
    frame = {o: Sampler("variable-density", 128, 4.0, o, 7).frame(3) for o in ORDERS}
    assert (np.diff(frame["ascending"]) > 0).all()
    assert (np.diff(np.abs(frame["centre-first"])) >= 0).all()
    assert frame["centre-first"][0] == 0
    assert (np.diff(np.abs(frame["centre-last"])) <= 0).all()
    assert frame["centre-last"][-1] == 0
    assert abs(np.corrcoef(np.arange(32), frame["random"])[0, 1]) < 0.5
    assert not np.array_equal(frame["random"], Sampler("variable-density", 128, 4.0, "random", 7).frame(4))


def test_the_lines_of_the_usual_accelerations() -> None:
    lines = [Sampler("variable-density", 128, r).lines for r in (4.0, 5.0, 10.0)]
    assert lines == [32, 26, 13]


def test_rounding_of_the_acceleration_adds_no_line() -> None:
    for n in range(2, 129):
        assert Sampler("variable-density", 128, 128 / n).lines == n


def test_variable_density_is_dense_near_the_centre_and_redrawn_for_every_frame() -> None:
    sampler = Sampler("variable-density", 128, 5.0, seed=3)
    frames = [set(sampler.frame(f).tolist()) for f in range(600)]
    counts = np.array([sum(k in f for f in frames) for k in range(-64, 64)])
    near, far = counts[64 + 6 : 64 + 16].mean(), counts[64 + 48 : 64 + 63].mean()
    assert near > 1.6 * far
    assert counts.min() > 0
    common = [len(a & b) for a, b in pairwise(frames)]
    assert np.mean(common) < sampler.centre + 0.35 * (sampler.lines - sampler.centre)


def test_seeds_give_different_patterns() -> None:
    a, b = (Sampler("variable-density", 128, 4.0, seed=s).rows(0, 10) for s in (1, 2))
    assert not np.array_equal(np.sort(a[:32]), np.sort(b[:32]))


def test_uniform_rows_are_evenly_apart_and_move() -> None:
    sampler = Sampler("uniform", 128, 4.0, "ascending")
    assert set(np.diff(sampler.frame(0))) == {4}
    assert [int(sampler.frame(f)[0]) for f in range(5)] == [-64, -63, -62, -61, -64]


def test_low_resolution_is_the_middle_and_never_changes() -> None:
    sampler = Sampler("low-resolution", 128, 4.0, "ascending")
    assert np.array_equal(sampler.frame(0), np.arange(-16, 16))
    assert np.array_equal(sampler.frame(9), sampler.frame(0))
    assert sampler.longest_wait is None


@pytest.mark.parametrize(
    ("kind", "ny", "acceleration", "limit"),
    [
        ("variable-density", 128, 128.0, "1 to 127"),
        ("variable-density", 128, 0.5, "1 to 127"),
        ("variable-density", 128, math.nan, "1 to 127"),
        ("variable-density", 128, math.inf, "1 to 127"),
        ("uniform", 128, 129.0, "1 to 128"),
        ("low-resolution", 64, 65.0, "1 to 64"),
        ("full", 128, 4.0, "1 only"),
    ],
)
def test_an_acceleration_that_the_matrix_cannot_give_is_refused(
    kind: str, ny: int, acceleration: float, limit: str
) -> None:
    with pytest.raises(InputError, match=rf"acceleration = .*{kind}.*{ny} rows gives {limit}"):
        Sampler(kind, ny, acceleration)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "spiral"}, "sampler = 'spiral': expected one of variable-density"),
        ({"order": "backwards"}, "order = 'backwards': expected one of random"),
        ({"ny": 0}, "0 rows"),
        ({"ny": 10**6}, "1000000 rows"),
        ({"seed": -1}, "seed = -1"),
    ],
)
def test_refuses_what_is_unknown(values: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Sampler(**({"kind": "uniform", "ny": 16, "acceleration": 2.0} | values))
