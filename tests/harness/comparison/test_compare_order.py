"""Who is ahead: a ratio that holds is found, noise is a tie, and too little is neither."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from harness.comparison.order import (
    BY_NAME,
    MEASURES,
    Difference,
    of_intervals,
    order_in_words,
    paired,
    ranks,
    standing_of,
)

BLOCKS = np.repeat(np.arange(12), 20)


def found(name: str, first: np.ndarray, second: np.ndarray) -> Difference:
    return paired(BY_NAME[name], np.stack([first, second], 1), BLOCKS)


def drifting(seed: int) -> np.ndarray:
    """Return times on a host whose speed changes threefold from block to block."""
    rng = np.random.default_rng(seed)
    return 10 * np.repeat(rng.uniform(1, 3, 12), 20) * rng.lognormal(0, 0.1, 240)


@pytest.mark.parametrize("seed", range(20))
def test_the_host_drifts_threefold_and_a_fifth_is_still_found(seed: int) -> None:
    base = drifting(seed)
    noise = np.random.default_rng(100 + seed).lognormal(0, 0.1, 240)
    slower = found("response_ms", 1.2 * base * noise, base)
    assert slower.standing == "behind"
    assert slower.value == pytest.approx(1.2, rel=0.03)
    assert slower.interval is not None
    assert slower.interval[0] < slower.value < slower.interval[1]
    assert found("response_ms", base, 1.2 * base * noise).standing == "ahead"


@pytest.mark.parametrize("seed", range(20))
def test_the_same_twice_is_a_tie(seed: int) -> None:
    base = drifting(seed)
    noise = np.random.default_rng(100 + seed).lognormal(0, 0.1, 240)
    assert found("response_ms", base * noise, base).standing == "tie"


@pytest.mark.parametrize("measure", [m for m in MEASURES if m.name != "lag_ms"], ids=lambda m: m.name)
def test_equal_values_are_a_tie_whatever_they_are(measure: object) -> None:
    name = measure.name  # type: ignore[attr-defined]
    values = np.random.default_rng(1).uniform(0.1, 1, 240)
    values[:200] = np.inf if name in ("centroid_mm", "m95_mm") else values[:200]
    same = found(name, values, values)
    assert same.standing == "tie"
    assert same.value == BY_NAME[name].neutral


def test_what_is_better_differs_from_measure_to_measure() -> None:
    """A higher Dice is ahead; a higher NMSE, share of misses or error is behind."""
    low = np.random.default_rng(2).uniform(0.4, 0.5, 240)
    for name in ("nmse", "missed", "centroid_mm", "m95_mm"):
        assert found(name, low, low + 0.3).standing == "ahead", name
    for name in ("dice", "dice_shown"):
        assert found(name, low, low + 0.3).standing == "behind", name


def test_a_difference_that_does_not_matter_is_a_tie() -> None:
    values = np.random.default_rng(3).uniform(0.9, 0.95, 240)
    assert found("dice", values + 0.001, values).standing == "tie"
    assert found("dice", values + 0.004, values).standing == "ahead"
    assert found("nmse", 1.01 * values, values).standing == "tie"
    assert found("nmse", 1.04 * values, values).standing == "behind"


def test_too_few_blocks_decide_nothing() -> None:
    values = np.random.default_rng(4).uniform(0.1, 1, 240)
    pairs, blocks = np.stack([9 * values, values], 1), np.repeat(np.arange(3), 80)
    few = paired(BY_NAME["nmse"], pairs, blocks)
    assert (few.standing, few.interval) == ("undecided", None)
    assert few.note.startswith("3 breaths, an interval takes ")
    timed = paired(BY_NAME["missed"], pairs, blocks, "block")
    assert timed.note.startswith("3 blocks, ")
    assert timed.note.endswith(": take more rounds (repeat)")
    assert few.value == pytest.approx(9)
    none = paired(BY_NAME["nmse"], pairs[:0], blocks[:0])
    assert none.standing == "undecided"


def test_a_ratio_that_might_be_below_nothing_decides_nothing() -> None:
    """Four breaths of which one differs a thousandfold carry no ratio: neither a tie nor ahead."""
    values = np.random.default_rng(6).uniform(0.9, 1, 80)
    blocks = np.repeat(np.arange(4), 20)
    pairs = np.stack([np.where(blocks == 2, 1000 * values, values), values], 1)
    wild = paired(BY_NAME["nmse"], pairs, blocks)
    assert (wild.standing, wild.interval) == ("undecided", None)
    assert "below 0" in wild.note


def test_a_lost_target_is_behind_one_that_is_found() -> None:
    errors = np.random.default_rng(5).uniform(0.5, 1, 240)
    lost = errors.copy()
    lost[::10] = np.inf  # a tenth
    assert found("centroid_mm", lost, errors).standing == "behind"
    assert found("centroid_mm", errors, lost).standing == "ahead"
    assert found("centroid_mm", lost, np.where(np.isinf(lost), lost, errors + 1)).standing == "tie"
    rare = errors.copy()
    rare[:2] = np.inf  # under a twentieth: the 95th percentile is what it was
    assert found("centroid_mm", rare, errors).standing == "tie"


def test_what_is_not_0_is_behind_what_is_0_in_every_image() -> None:
    """A ratio to 0 is infinite, which no JSON can hold: the standing is told, the figure left out."""
    some, none = np.random.default_rng(6).uniform(0.1, 1, 240), np.zeros(240)
    above, below = found("nmse", some, none), found("nmse", none, some)
    assert (above.value, above.interval, above.standing) == (None, None, "behind")
    assert (below.value, below.interval, below.standing) == (0.0, (0.0, 0.0), "ahead")


def test_lags_differ_where_their_intervals_are_apart() -> None:
    lag = BY_NAME["lag_ms"]
    assert of_intervals(lag, 30.0, 120.0, (25.0, 35.0), (110.0, 130.0)).standing == "ahead"
    assert of_intervals(lag, 120.0, 30.0, (110.0, 130.0), (25.0, 35.0)).standing == "behind"
    assert of_intervals(lag, 30.0, 41.0, (25.0, 35.0), (36.0, 46.0)).standing == "tie"  # 1 to 21 ms
    assert of_intervals(lag, 30.0, 30.0, None, None).standing == "tie"
    assert of_intervals(lag, 30.0, 90.0, None, (80.0, 99.0)).standing == "undecided"
    assert of_intervals(lag, None, 90.0, None, (80.0, 99.0)).standing == "behind"
    assert of_intervals(lag, None, None, None, None).standing == "tie"


def test_standing_has_no_gap_and_no_overlap() -> None:
    for measure in MEASURES:
        low, high = measure.bounds
        middle = (low + high) / 2
        assert standing_of(measure, None) == "undecided"
        assert standing_of(measure, (low, high)) == "tie"
        step = high - low
        cases = {(low - 2 * step, low - step), (middle, high + step), (high + step, high + 2 * step)}
        told = {standing_of(measure, case) for case in cases}
        assert told == {"ahead", "behind", "tie"}


def test_ranks_share_a_place_where_level() -> None:
    """Of 1, 1.02, 2 and 2.03 those within a tenth of each other are level."""
    values = [2.03, 1.0, 2.0, 1.02]

    def ahead(one: int, other: int) -> bool:
        return values[one] < values[other] / 1.1

    assert ranks(4, ahead) == [3, 1, 3, 1]
    assert order_in_words("abcd", ranks(4, ahead)) == "b = d, then a = c"
    for order in itertools.permutations(range(4)):
        shuffled = ranks(4, lambda one, other, order=order: ahead(order[one], order[other]))  # type: ignore[misc]
        assert [shuffled[order.index(i)] for i in range(4)] == [3, 1, 3, 1]
