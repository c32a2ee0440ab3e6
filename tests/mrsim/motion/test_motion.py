"""Breathing: Lujan's formula, cycles that differ within bounds, and the same course however it is asked."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrsim.errors import InputError
from mrsim.motion.courses import MAX_TIME_NS, Breathing, Static
from tests.mrsim.bodies import lujan_m

SECOND = 10**9


def drive(seed: int = 5, **keys):
    return Breathing(**{"amplitude_m": 0.012, "period_s": 3.0} | keys).drive(np.random.SeedSequence(seed))


breaths = st.fixed_dictionaries(
    {
        "amplitude_m": st.floats(0, 0.1),
        "period_s": st.floats(0.5, 10),
        "exponent": st.integers(1, 16),
        "amplitude_sd": st.floats(0, 0.5),
        "period_sd": st.floats(0, 0.5),
        "baseline_m": st.floats(-0.1, 0.1),
        "drift_m_per_s": st.floats(-1e-3, 1e-3),
        "phase": st.floats(0, 1),
    }
)


@pytest.mark.parametrize("exponent", [1, 2, 3])
def test_regular_breathing_is_lujans_formula(exponent):
    t_ns = np.random.default_rng(0).integers(0, 400 * SECOND, 500)
    expected = [lujan_m(int(t), exponent=exponent) for t in t_ns]
    np.testing.assert_allclose(drive(exponent=exponent).at(t_ns), expected, rtol=0, atol=1e-12)


def test_it_starts_at_end_exhale_and_the_phase_says_otherwise():
    start = np.array([0])
    assert drive().at(start)[0] == 0
    assert drive(phase=0.5).at(start)[0] == pytest.approx(0.012)
    assert drive(phase=0.25).at(np.array([0]))[0] == pytest.approx(0.003)


def test_baseline_and_drift_add_to_it():
    t_ns = np.arange(0, 60 * SECOND, SECOND // 7)
    plain = drive().at(t_ns)
    moved = drive(baseline_m=0.004, drift_m_per_s=1e-5).at(t_ns)
    np.testing.assert_allclose(moved - plain, 0.004 + 1e-5 * t_ns / SECOND, rtol=0, atol=1e-12)


@given(breaths, st.integers(0, 2**32), st.lists(st.integers(0, 600 * SECOND), min_size=1, max_size=60))
@settings(max_examples=60)
def test_the_course_is_the_same_bits_however_and_in_whatever_order_it_is_asked(keys, seed, instants):
    t_ns = np.array(instants, np.int64)
    together = drive(seed, **keys).at(t_ns)
    other = drive(seed, **keys)
    other.at(np.array([700 * SECOND]))  # the table of cycles is longer now
    alone = np.array([other.at(t_ns[i : i + 1])[0] for i in range(len(t_ns))])
    assert together.tobytes() == alone.tobytes()


@given(breaths, st.integers(0, 2**32))
@settings(max_examples=60)
def test_it_keeps_its_bounds_and_they_are_tight(keys, seed):
    stop = 120 * SECOND
    course = drive(seed, **keys)
    values = course.at(np.linspace(0, stop, 20_000).astype(np.int64))
    low, high = course.bounds(stop)
    assert low - 1e-12 <= values.min()
    assert values.max() <= high + 1e-12
    slack = abs(keys["drift_m_per_s"]) * 120 + 1e-9
    assert high - low <= keys["amplitude_m"] * (1 + 2 * keys["amplitude_sd"]) + slack


@given(breaths, st.integers(0, 2**32))
@settings(max_examples=40)
def test_it_never_jumps_nor_outruns_its_fastest_breath(keys, seed):
    """Speed is bounded by A 2 n pi / T of the largest and shortest cycle, at the joints of cycles too."""
    t_ns = np.arange(0, 60 * SECOND, 5_000_000)
    speed = np.abs(np.diff(drive(seed, **keys).at(t_ns))) / 5e-3
    amplitude = keys["amplitude_m"] * (1 + 2 * keys["amplitude_sd"])
    period = keys["period_s"] * max(1 - 2 * keys["period_sd"], 0.2)
    fastest = amplitude * math.pi / period * 2 * keys["exponent"] + abs(keys["drift_m_per_s"])
    assert speed.max() <= fastest * (1 + 1e-9) + 1e-12


def test_cycles_vary_as_stated():
    """Peaks over four hours: mean and spread of a normal variable cut at two standard deviations."""
    t_ns = np.arange(0, 4 * 3600 * SECOND, 20_000_000)
    value = drive(amplitude_sd=0.1, period_sd=0.1).at(t_ns)
    inner = value[1:-1]
    peak = np.flatnonzero((inner >= value[:-2]) & (inner > value[2:]) & (inner > 0.004)) + 1
    cut_sd = 0.954  # of a unit normal variable that is clipped (not redrawn) at two
    relative = value[peak] / 0.012
    assert len(peak) == pytest.approx(4800, rel=0.01)
    assert relative.mean() == pytest.approx(1, abs=5 * 0.1 / math.sqrt(len(peak)))
    assert relative.std() == pytest.approx(0.1 * cut_sd, rel=0.06)
    assert 0.79 < relative.min() < 0.81
    assert 1.19 < relative.max() < 1.21
    interval = np.diff(t_ns[peak]) / 3e9
    # Half of one cycle and half of the next.
    assert interval.std() == pytest.approx(0.1 * cut_sd / math.sqrt(2), rel=0.06)


def test_another_seed_breathes_otherwise():
    t_ns = np.arange(0, 60 * SECOND, SECOND // 10)
    one, two = (drive(seed, amplitude_sd=0.1, period_sd=0.1).at(t_ns) for seed in (1, 2))
    assert np.abs(one - two).max() > 1e-3


def test_nothing_moves_in_static():
    still = Static().drive(np.random.SeedSequence(1))
    assert not still.at(np.arange(5)).any()
    assert still.bounds(10**9) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("amplitude_m", -0.001),
        ("amplitude_m", math.nan),
        ("period_s", 0.0),
        ("period_s", math.inf),
        ("exponent", 0),
        ("exponent", 2.5),
        ("amplitude_sd", 0.6),
        ("period_sd", -0.1),
        ("baseline_m", 1.0),
        ("drift_m_per_s", 1.0),
        ("phase", 1.5),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(key, value):
    with pytest.raises(InputError, match=f"{key} = {value}"):
        drive(**{key: value})


def test_a_course_ends_after_a_day():
    assert np.isfinite(drive(period_s=60).at(np.array([MAX_TIME_NS]))).all()
    with pytest.raises(InputError, match="24 h"):
        drive().at(np.array([MAX_TIME_NS + 1]))
