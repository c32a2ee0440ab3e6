"""Intervals of shares of time have the coverage that they promise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.measure.beam import Beam
from harness.measure.breaths import breath_blocks, breath_starts
from harness.measure.delivery import Delivery, deliver, delivery_intervals
from harness.measure.intervals import MIN_BREATHS, mean_interval, share_interval
from mrsim.motion.courses import Breathing
from tests.harness.synthetic import make_header, make_stream

TR_NS = 20_000_000
GATE = Beam("gate", "", "gating", window_mm=3.0, on_ms=200.0, off_ms=200.0)
LEAVES = Beam("leaves", "", "tracking", delay_ms=200.0)


def test_a_share_has_the_interval_of_the_mean_of_its_flags() -> None:
    rng = np.random.default_rng(2)
    lengths = rng.integers(20, 40, 9)
    blocks = np.repeat(np.arange(9), lengths)
    flags = (rng.random(len(blocks)) < rng.uniform(0.2, 0.8, 9)[blocks]).astype(np.float64)
    part = np.bincount(blocks, flags)
    assert share_interval(part, lengths.astype(float)) == pytest.approx(mean_interval(flags, blocks))
    narrow, wide = (share_interval(part, lengths.astype(float), c) for c in (0.8, 0.95))
    assert narrow is not None
    assert wide is not None
    assert wide[0] < narrow[0] < flags.mean() < narrow[1] < wide[1]


def test_a_share_is_within_its_range() -> None:
    assert share_interval(np.array([0.0, 0, 0, 1]), np.ones(4)) == (0.0, 1.0)
    assert share_interval(np.array([1.0, 1, 1, 0]), np.ones(4)) == (0.0, 1.0)
    assert (share_interval(np.array([1.0, 1, 1, 0]), np.ones(4), highest=9.0) or (0, 0))[1] > 1.5


def test_too_few_breaths_and_shares_of_nothing_have_none() -> None:
    ones = np.ones(MIN_BREATHS)
    assert share_interval(ones[1:], ones[1:]) is None
    assert share_interval(ones, ones) == (1.0, 1.0)
    assert share_interval(0 * ones, 0 * ones) is None


def breathe(beam: Beam, seed: int, seconds: float) -> tuple[Delivery, NDArray[np.int64]]:
    """Return what a beam did to irregular breaths, and the breath of each TR as the judge finds it."""
    lines = round(seconds * 1e9 / TR_NS)
    motion = Breathing(0.015, 4.0, amplitude_sd=0.2, period_sd=0.1, phase=seed * 0.618 % 1)
    y = motion.drive(np.random.SeedSequence(seed)).at(np.arange(lines) * TR_NS)
    true = np.stack([np.zeros(lines), y], axis=1)
    header = make_header(tr_ns=TR_NS)
    truth = make_stream(4, header=header).truth
    assert truth is not None
    starts = breath_starts(dataclasses.replace(truth, centroid=true), header)
    plan = (0.0, 0.0) if beam.kind == "gating" else None
    did = deliver(beam, true, np.zeros(lines, bool), true, TR_NS, plan)
    return did, breath_blocks(np.arange(lines) * TR_NS, starts)


@pytest.mark.parametrize(("beam", "seconds"), [(GATE, 40), (GATE, 180), (LEAVES, 40), (LEAVES, 180)])
def test_nine_in_ten_intervals_hold_the_share_of_endless_breathing(beam: Beam, seconds: float) -> None:
    """Promised are 95 %; so many scans tell 0.91 from 0.95, and a bootstrap of breaths has 0.84."""
    endless = breathe(beam, 10_000, 30_000)[0].to_json()
    held = dict.fromkeys(("duty", "coverage", "stray_share", "missed_share"), 0)
    for seed in range(250):
        did, blocks = breathe(beam, seed, seconds)
        found = delivery_intervals(did, blocks)
        for key in held:
            interval = found[key]
            assert interval is not None
            held[key] += interval[0] - 1e-3 <= endless[key] <= interval[1] + 1e-3
    assert min(held.values()) / 250 > 0.91


def test_each_figure_has_its_own_interval_about_it() -> None:
    did, blocks = breathe(GATE, 3, 60)
    found = delivery_intervals(did, blocks)
    assert set(found) == {"duty", "duty_of_ideal", "coverage", "stray_share", "missed_share"}
    for key, interval in found.items():
        assert interval is not None
        value = did.to_json()[key]
        assert (interval[0] + interval[1]) / 2 == pytest.approx(value, abs=1e-9)
    assert set(delivery_intervals(*breathe(GATE, 3, 8)).values()) == {None}
