"""The fit recovers the delay, gain and offset that were put in, and claims nothing that it cannot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.measure.breaths import breath_blocks, breath_starts
from harness.measure.lag import Lag, apparent_lag
from mrsim.stream import Header, Truth
from tests.harness.synthetic import breathing, make_header

HEADER = make_header(lines_per_frame=16, tr_ns=4_000_000, matrix=(16, 16))
LINES = 16 * 300
T_NS = np.arange(LINES) * HEADER.tr_ns + HEADER.te_ns
FRAME_NS = T_NS[15::16]


def truth_of(path: np.ndarray) -> Truth:
    blank = np.zeros((0, 16, 16))
    return Truth(("t",), "t", path[:, None], path, blank.astype(np.complex64), blank.astype(bool))


TRUTH = truth_of(breathing(T_NS / 1e9))


def fit(measured: np.ndarray, truth: Truth = TRUTH, header: Header = HEADER) -> Lag:
    blocks = breath_blocks(FRAME_NS, breath_starts(truth, header))
    return apparent_lag(FRAME_NS, measured, truth, header, blocks)


@settings(max_examples=25)
@given(st.floats(-150, 750), st.floats(0.85, 1.15), st.floats(-5, 5))
def test_delay_gain_and_offset_are_recovered(delay_ms: float, gain: float, offset_mm: float) -> None:
    measured = gain * TRUTH.centroid_at(FRAME_NS - round(delay_ms * 1e6), HEADER) + offset_mm * 1e-3
    lag = fit(measured)
    assert lag.reason == ""
    assert lag.claimed_ns is not None
    assert lag.claimed_ns / 1e6 == pytest.approx(delay_ms, abs=0.05)
    assert lag.gain == pytest.approx(gain, abs=1e-4)
    assert lag.residual_m is not None
    assert lag.residual_m < 1e-5 * max(1.0, gain)  # what is left of a grid over delays grows with the motion


def test_the_interval_covers_the_delay() -> None:
    covered = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        measured = TRUTH.centroid_at(FRAME_NS - 120_000_000, HEADER)
        lag = fit(measured + rng.normal(0, 3e-4, measured.shape))
        assert lag.interval_ns is not None
        low, high = lag.interval_ns
        covered += low <= 120e6 <= high
        assert 0 < high - low < 20e6
    assert covered >= 9  # 95 % nominal: fewer than 9 of 12 has probability 0.0002


def test_frames_without_a_target_are_left_out() -> None:
    measured = TRUTH.centroid_at(FRAME_NS - 60_000_000, HEADER)
    measured[40:80] = np.nan
    lag = fit(measured)
    assert lag.claimed_ns == pytest.approx(60e6, abs=5e4)


@pytest.mark.parametrize(
    ("measured", "reason"),
    [
        (0.3 * TRUTH.centroid[15::16], "gain 0.30"),
        (TRUTH.centroid[15::16] * [1, -1], "gain"),
        (np.full((300, 2), np.nan), "0 centroids"),
        (
            TRUTH.centroid[15::16] + np.random.default_rng(0).normal(0, 3e-3, (300, 2)),
            "residual",
        ),
    ],
)
def test_no_lag_is_claimed_of_a_fit_that_means_nothing(measured: np.ndarray, reason: str) -> None:
    lag = fit(measured)
    assert lag.claimed_ns is None
    assert reason in lag.reason


def test_a_target_at_rest_has_no_lag() -> None:
    still = truth_of(np.full((LINES, 2), 0.01))
    lag = fit(still.centroid[15::16] + np.random.default_rng(0).normal(0, 1e-4, (300, 2)), still)
    assert lag.claimed_ns is None
    assert "moves" in lag.reason


def test_breaths_are_counted_once_each() -> None:
    starts = breath_starts(TRUTH, HEADER)
    seconds = LINES * HEADER.tr_ns / 1e9
    assert len(starts) == pytest.approx(seconds / 1.5, abs=1)
    assert np.diff(starts) / 1e9 == pytest.approx(1.5, abs=0.1)
    # A jitter about the middle makes no breaths of its own.
    shaken = TRUTH.centroid + np.random.default_rng(0).normal(0, 2e-4, TRUTH.centroid.shape)
    assert len(breath_starts(truth_of(shaken), HEADER)) == len(starts)
    # A target at rest is given one every 5 s.
    resting = breath_starts(truth_of(np.zeros((LINES, 2))), HEADER)
    assert resting.tolist() == list(range(5_000_000_000, LINES * HEADER.tr_ns, 5_000_000_000))


def test_blocks_are_whole_breaths() -> None:
    starts = np.array([10, 20, 30, 40])
    blocks = breath_blocks(np.arange(2, 45), starts)
    assert blocks.tolist() == [0] * 8 + [1] * 10 + [2] * 10 + [3] * 15
    # With 4 instants after the last start, less than half a breath, these join the breath before.
    assert breath_blocks(np.arange(2, 44), starts).tolist() == [0] * 8 + [1] * 10 + [2] * 10 + [3] * 14
    assert breath_blocks(np.arange(6, 44), starts).tolist() == [0] * 14 + [1] * 10 + [2] * 14


def test_each_interval_is_of_its_own_quantity_and_holds_it() -> None:
    """Delay, gain and residual are of different sizes: an interval under another's name does not hold it."""
    measured = 0.9 * TRUTH.centroid_at(FRAME_NS - 120_000_000, HEADER)
    lag = fit(measured + np.random.default_rng(1).normal(0, 3e-4, measured.shape))
    assert lag.tau_ns is not None
    for value, interval, truth in (
        (lag.tau_ns, lag.interval_ns, 120e6),
        (lag.gain, lag.gain_interval, 0.9),
        (lag.residual_m, lag.residual_interval_m, 3e-4 * 2**0.5),  # of two axes
    ):
        assert value is not None
        assert interval is not None
        low, high = interval
        assert low < value < high
        assert value == pytest.approx(truth, rel=0.1)
        assert high - low < 0.3 * truth


@pytest.mark.parametrize("delay_ms", [-200.4, 800.4])
def test_no_lag_is_claimed_at_the_edge_of_what_is_searched(delay_ms: float) -> None:
    lag = fit(TRUTH.centroid_at(FRAME_NS - round(delay_ms * 1e6), HEADER))
    assert lag.claimed_ns is None
    assert lag.reason == "the best delay is at the edge of -200 to 800 ms"


@pytest.mark.parametrize("delay_ms", [-198.0, 798.0])
def test_a_lag_just_within_what_is_searched_is_claimed(delay_ms: float) -> None:
    lag = fit(TRUTH.centroid_at(FRAME_NS - round(delay_ms * 1e6), HEADER))
    assert lag.reason == ""
