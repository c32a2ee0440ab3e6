"""Where a twin is: as recorded, in other breaths, or after a drive; smooth, without overshoot, by seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mrsim.anatomy.series.twin.breaths import breaths_of, upright
from mrsim.anatomy.series.twin.course import MEET_NS, Course
from mrsim.anatomy.series.twin.ride import Ride, ride_of, shipped_traces
from mrsim.errors import PhantomError
from tests.mrsim.anatomy.series.twin.twins import FRAMES, STEP_NS, known_twin, values

DRIVES = ("breaths", "breathing", "irregular")


def course(ride: Ride, seed: int = 1) -> Course:
    return Course(known_twin(), ride, seed, "known")


def test_breaths_are_found_under_ripples_and_either_way_up() -> None:
    t = np.arange(400)
    clean = np.sin(np.pi * t / 40) ** 2 * (1 + 0.3 * (t // 40 % 2))
    rippled = clean + 0.08 * np.sin(2.1 * t)
    found = breaths_of(rippled)
    assert len(found) == 9
    assert (np.abs(np.diff(found[:, 1]) - 40) <= 4).all()
    assert (found[1:, 0] == found[:-1, 2]).all()
    assert (np.abs(found[:, 1] % 40 - 20) <= 4).all()
    assert upright(rippled) == 1.0
    assert upright(-rippled) == -1.0
    assert len(breaths_of(np.zeros(50))) == 0
    assert len(breaths_of(np.linspace(0, 1, 50))) == 0


def test_a_recorded_course_is_met_at_every_frame_and_runs_back_from_its_end() -> None:
    twin, ride = known_twin(), Ride()
    at = course(ride).at(twin.t_ns)
    assert at.values == pytest.approx(values(), abs=1e-12)
    end = int(twin.t_ns[-1])
    for t in (3 * STEP_NS, 3 * STEP_NS + 70_000_000):
        there, back = (course(ride).at(np.array([time])) for time in (end - t, end + t))
        assert back.values == pytest.approx(there.values)
        seen = [np.bincount(s.frames[0], s.shares[0], FRAMES) for s in (there, back)]
        assert seen[0] == pytest.approx(seen[1])
    slow = course(Ride(slow=2.0, shift_s=1.5, scale=1.3)).at(np.array([4 * STEP_NS]))
    assert slow.values[0] == pytest.approx(1.3 * values()[12])
    assert slow.weighed[0] == pytest.approx(values()[12])


def test_between_frames_no_value_leaves_what_its_neighbours_span() -> None:
    """A kink that makes a cubic spline swing over leaves this one within."""
    twin = known_twin()
    steps = np.zeros_like(twin.values)
    steps[40:, 0], steps[60:70, 1] = 1.0, -2.0
    part = np.arange(0, FRAMES - 1, 0.05)
    at = Course(replace(twin, values=steps), Ride(), 1, "x").at((part * STEP_NS).astype(np.int64)).values
    frame = part.astype(int)
    low, high = np.minimum(steps[frame], steps[frame + 1]), np.maximum(steps[frame], steps[frame + 1])
    assert (at >= low - 1e-12).all()
    assert (at <= high + 1e-12).all()


@pytest.mark.parametrize("drive", DRIVES)
def test_a_driven_course_is_smooth_and_within_what_was_recorded(drive: str) -> None:
    ride = ride_of({"drive": drive}, "x")
    t_ns = np.arange(0, 120_000_000_000, 20_000_000, dtype=np.int64)
    at = course(ride).at(t_ns)
    assert at.shares.min() >= 0
    assert at.shares.sum(axis=1) == pytest.approx(np.ones(len(t_ns)))
    # The second mode and the states are those of recorded places: no overshoot.
    assert at.values[:, 1].min() >= values()[:, 1].min() - 1e-9
    assert at.values[:, 1].max() <= values()[:, 1].max() + 1e-9
    recorded = np.abs(np.diff(values(), axis=0)).max(axis=0) / STEP_NS
    step = np.abs(np.diff(at.values, axis=0)).max(axis=0) / 20_000_000
    # Where breaths meet, the second mode goes from one place to another within half a second.
    assert step[0] < 4 * recorded[0]
    assert step[1] < 4 * recorded[1] + 2 * np.ptp(values()[:, 1]) / MEET_NS
    mixture = np.zeros((len(t_ns), FRAMES))
    for k in range(at.frames.shape[1]):
        np.add.at(mixture, (np.arange(len(t_ns)), at.frames[:, k]), at.shares[:, k])
    assert np.abs(np.diff(mixture, axis=0)).sum(axis=1).max() < 1.2


@pytest.mark.parametrize("drive", DRIVES)
def test_a_seed_draws_the_breaths_and_nothing_else_does(drive: str) -> None:
    ride = ride_of({"drive": drive}, "x")
    t_ns = np.arange(0, 60_000_000_000, 170_000_000, dtype=np.int64)
    one, again, other = (course(ride, seed).at(t_ns) for seed in (1, 1, 2))
    assert (one.values == again.values).all()
    assert not np.allclose(one.values[:, 1], other.values[:, 1])
    alone = course(ride).at(t_ns[200:201])
    assert (alone.values[0] == one.values[200]).all()
    assert (alone.shares[0] == one.shares[200]).all()


def test_a_drive_moves_the_first_mode_itself_and_the_second_has_a_course_of_its_own() -> None:
    t_ns = np.arange(0, 90_000_000_000, 50_000_000, dtype=np.int64)
    made = course(ride_of({"drive": "breathing"}, "x"))
    at = made.at(t_ns).values
    assert at[:, 0] == pytest.approx(made._drive_px(t_ns))
    # Depth as recorded: the median of both.
    depth = values()[:, 0][breaths_of(values()[:, 0])]
    driven = at[:, 0][breaths_of(at[:, 0])]
    assert np.median(np.ptp(driven, axis=1)) == pytest.approx(np.median(np.ptp(depth, axis=1)), rel=0.15)
    # No function of the first mode gives the second: at one value it has many.
    middle = np.abs(at[:, 0] - np.median(at[:, 0])) < 0.05
    assert middle.sum() > 20
    assert np.ptp(at[middle, 1]) > 0.3 * np.ptp(values()[:, 1])
    # By value and direction: on the way in it is at a recorded way in.
    rising = np.gradient(values()[:, 0]) > 0
    state = made.at(t_ns)
    inwards = (np.gradient(at[:, 0]) > 1e-3) & (state.shares.max(axis=1) > 0.5)
    inwards &= (at[:, 0] > 0.5) & (at[:, 0] < 1.5)
    where = state.frames[np.arange(len(t_ns)), state.shares.argmax(axis=1)]
    assert rising[where[inwards]].mean() > 0.9


def test_a_trace_is_turned_so_that_it_rests_low_and_goes_on() -> None:
    t = np.arange(0, 60, 0.1)
    trace = -8.0 * (1 + 0.2 * np.sin(t)) * np.sin(np.pi * t / 4) ** 4
    ride = Ride("mine.csv", t_s=tuple(t), value_mm=tuple(trace))
    t_ns = np.arange(0, 200_000_000_000, 50_000_000, dtype=np.int64)
    at = course(ride).at(t_ns).values[:, 0]
    assert np.median(at) < (at.min() + at.max()) / 2
    assert np.ptp(at[2400:]) == pytest.approx(np.ptp(at[:1100]), rel=0.1)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"drive": "nonsense"}, "drive = 'nonsense': expected recorded, breaths, breathing"),
        ({"drive": "none.csv"}, "none.csv"),
        ({"drive": 3}, "drive = '3': expected a word"),
        ({"scale": 3.1}, "scale = 3.1: expected 0 to 3"),
        ({"scale": float("nan")}, "scale = nan"),
        ({"slow": 0}, "slow = 0: expected 0.2 to 5"),
        ({"shift_s": -1.0}, "shift_s = -1.0: expected 0 to"),
        ({"weight": "both"}, "weight = 'both': expected tissue or intensity"),
        ({"drive": "x", "t_s": [0.0, "a"], "value_mm": [1.0, 2.0]}, "t_s: expected numbers"),
        ({"drive": "x", "t_s": [0.0, 1.0], "value_mm": [1.0, 2.0]}, "expected 4 to"),
    ],
)  # fmt: skip
def test_what_cannot_drive_is_named(changes: dict[str, object], told: str) -> None:
    with pytest.raises(PhantomError) as raised:
        ride_of(changes, "mine")
    assert str(raised.value).startswith("mine: ")
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_without_breaths_only_the_recorded_course_is_there() -> None:
    still = replace(known_twin(), values=np.zeros_like(values()))
    Course(still, Ride(), 1, "x").check(10**10)
    for drive in ("breaths", "breathing"):
        with pytest.raises(PhantomError, match=r"0 whole breaths were recorded, and two are needed"):
            Course(still, Ride(drive), 1, "x")
    flat = Ride("flat.csv", t_s=tuple(np.arange(0.0, 9.0)), value_mm=(1.0,) * 9)
    with pytest.raises(PhantomError, match=r"it has no two breaths in an hour"):
        course(flat)


def test_shipped_traces_drive() -> None:
    assert "irregular" in shipped_traces()
    for name in shipped_traces():
        at = course(ride_of({"drive": name}, "x")).at(np.arange(0, 10**11, 10**9)).values
        assert np.isfinite(at).all()
        assert np.ptp(at[:, 0]) > 0.5
