"""The exact statistics agree with scipy's independent ones and with the published sample counts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.measure.exact_statistics import (
    binomial_tail,
    clusters,
    lower_bound,
    nearest_rank,
    samples_needed,
    summarise,
    t_quantile,
    upper_bound,
)
from mrsim.errors import InputError


@pytest.mark.parametrize(
    ("quantile", "allowed", "needed"), [(0.99, 1, 662), (0.999, 1, 6636), (0.99, 0, 459), (0.95, 1, 130)]
)
def test_samples_that_a_claim_needs(quantile: float, allowed: int, needed: int) -> None:
    assert samples_needed(quantile, allowed=allowed) == needed
    # It is the smallest: with it the bound holds, with one fewer it does not.
    assert upper_bound(allowed, needed) <= 1 - quantile < upper_bound(allowed, needed - 1)


@given(st.integers(1, 3000), st.data())
def test_tail_agrees_with_scipy(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(-1, n))
    p = data.draw(st.floats(0, 1))
    assert binomial_tail(k, n, p) == pytest.approx(stats.binom.cdf(k, n, p), rel=1e-9, abs=1e-14)


@settings(max_examples=50)
@given(st.integers(1, 20_000), st.data(), st.sampled_from([0.9, 0.95, 0.99]))
def test_bounds_are_those_of_clopper_and_pearson(n: int, data: st.DataObject, confidence: float) -> None:
    k = data.draw(st.integers(0, n))
    low, high = lower_bound(k, n, confidence), upper_bound(k, n, confidence)
    least = 0 if k == 0 else stats.beta.ppf(1 - confidence, k, n - k + 1)
    assert low == pytest.approx(least, rel=1e-7, abs=1e-12)
    assert high == pytest.approx(1 if k == n else stats.beta.ppf(confidence, k + 1, n - k), rel=1e-7)
    assert low <= k / n <= high


def test_bounds_of_nothing_say_nothing() -> None:
    assert (lower_bound(0, 0), upper_bound(0, 0)) == (0.0, 1.0)
    with pytest.raises(InputError):
        lower_bound(3, 2)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 14, 45, 999])
@pytest.mark.parametrize("probability", [0.6, 0.975, 0.99, 0.995])
def test_quantiles_are_students(probability: float, freedom: int) -> None:
    assert t_quantile(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom), rel=1e-9)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=200), st.integers(1, 100))
def test_nearest_rank_is_the_smallest_value_that_covers_the_share(values: list[int], percent: int) -> None:
    array = np.array(values)
    got = nearest_rank(array, percent / 100)
    covered = [v for v in sorted(values) if np.sum(array <= v) * 100 >= percent * len(values)]
    assert got == covered[0]


def test_percentiles_appear_only_where_the_samples_carry_them() -> None:
    times = np.arange(1, 663)
    full, short, few = summarise(times), summarise(times[:-1]), summarise(times[:10])
    assert (full.p50, full.p95, full.p99, full.max) == (331, 629, 656, 662)
    assert short.p99 is None
    assert short.p95 is not None
    assert (few.p50, few.p95, few.p99, few.max, few.count) == (None, None, None, 10, 10)
    assert summarise(times[:0]).max is None


@given(st.lists(st.booleans(), max_size=60))
def test_clusters_rebuild_the_flags(flags: list[bool]) -> None:
    rebuilt = np.zeros(len(flags), bool)
    runs = clusters(np.array(flags, bool))
    for first, length in runs:
        rebuilt[first : first + length] = True
    assert rebuilt.tolist() == flags
    assert all(b[0] > a[0] + a[1] for a, b in itertools.pairwise(runs))


def test_impossible_claims_are_refused() -> None:
    for quantile in (0.0, 1e-300, 0.49, 1.0, float("nan")):
        with pytest.raises(InputError, match="claim"):
            samples_needed(quantile)
    with pytest.raises(InputError, match="more than"):
        samples_needed(1 - 1e-12)
