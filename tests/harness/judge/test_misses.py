"""What misses say: images in runs count as fewer, and the bounds hold on hosts whose misses come in runs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from harness.judge.misses import RUN, Misses, judge_misses
from harness.judge.outcome import Outcome
from scripts.simulate_intervals import HOSTS, Host, play

MS = 1_000_000


def flags(text: str) -> NDArray[np.bool_]:
    """Return a run of images, of which those with an x miss."""
    return np.array([letter == "x" for letter in text], np.bool_)


def outcome(claim: float, *runs: str) -> Outcome:
    return judge_misses([flags(run) for run in runs], 100 * MS, claim).outcome


@pytest.mark.parametrize(("claim", "independent"), [(0.5, 7), (0.9, 44), (0.95, 90), (0.99, 459)])
def test_a_claim_passes_with_ten_times_as_many_images_as_independent_ones_would_take(
    claim: float, independent: int
) -> None:
    needed = RUN * independent
    assert 1 - stats.beta.ppf(0.99, 1, independent) >= claim > 1 - stats.beta.ppf(0.99, 1, independent - 1)
    assert outcome(claim, "." * needed) is Outcome.PASS
    assert outcome(claim, "." * (needed - 1)) is Outcome.INSUFFICIENT
    assert (
        outcome(claim, "." * (needed // 2), "." * (needed - needed // 2)) is Outcome.PASS
    )  # of several runs


def test_ten_misses_in_a_row_count_as_one_and_eleven_as_a_longer_run() -> None:
    for misses in ("x", "x.x.x", "x" * 10):
        assert outcome(0.95, misses + "." * (1300 - len(misses))) is Outcome.PASS
        assert outcome(0.95, misses + "." * (1299 - len(misses))) is Outcome.INSUFFICIENT
    assert outcome(0.95, "x" * 11 + "." * (1430 - 11)) is Outcome.PASS
    assert outcome(0.95, "x" * 11 + "." * (1429 - 11)) is Outcome.INSUFFICIENT
    # Two rows of five in two runs are no row of ten.
    pooled = Misses.of([flags("." * 50 + "x" * 5), flags("x" * 5 + "." * 50)])
    assert (pooled.images, pooled.misses, pooled.episodes) == (110, 10, 2)


def test_who_misses_everything_fails_soon() -> None:
    for claim in (0.9, 0.95, 0.99):
        assert outcome(claim, "x" * 20) is Outcome.FAIL
        assert outcome(claim, "x" * 200) is Outcome.FAIL
        assert outcome(claim, "x" * 9) is Outcome.INSUFFICIENT
    assert outcome(0.95, ".x" * 20) is Outcome.FAIL
    # A seventh, one at a time: as quick as the misses show that they come alone.
    assert outcome(0.95, "......x" * 122) is Outcome.FAIL
    # As many in one row may be one event.
    assert outcome(0.95, "." * 732 + "x" * 122) is Outcome.INSUFFICIENT


def test_an_insufficient_run_says_how_many_more_and_they_are_enough() -> None:
    for run in ("." * 100, "." * 400 + "xx.x" + "." * 88, "x" * 30 + "." * 100):
        verdict = judge_misses([flags(run)], 100 * MS, 0.95)
        assert verdict.outcome is Outcome.INSUFFICIENT
        more = Misses.of([flags(run)]).more_needed(0.95)
        assert f"a claim of 0.95 needs {more} more images, if none of them misses" in verdict.reason
        assert outcome(0.95, run + "." * more) is Outcome.PASS
        assert outcome(0.95, run + "." * (more - 1)) is Outcome.INSUFFICIENT


def test_the_reason_tells_what_images_count_as() -> None:
    told = judge_misses([flags("." * 100 + "xx.x" + "." * 50)], 70_400_000, 0.95).reason
    assert told.startswith("3 of 154 images missed 70.4 ms in 2 episodes; ")
    assert told.endswith("(99% confidence, 10 images count as one, since misses come in runs)")
    assert "1 episode;" in judge_misses([flags(".x.")], 100 * MS, 0.95).reason
    assert judge_misses([flags("...")], 100 * MS, 0.95).reason.startswith("0 of 3 images missed 100.0 ms; ")
    long = judge_misses([flags("." * 100 + "x" * 25 + "." * 50)], 100 * MS, 0.95).reason
    assert "25 images count as one" in long


@given(st.lists(st.text(alphabet=".x", max_size=40), max_size=4))
def test_bounds_hold_the_share_and_follow_from_what_images_count_as(texts: list[str]) -> None:
    found = Misses.of([flags(text) for text in texts])
    joined = "".join(texts)
    assert (found.images, found.misses) == (len(joined), joined.count("x"))
    runs = [len(part) for text in texts for part in text.replace(".", " ").split()]
    assert found.episodes == len(runs)
    rests = [len(part) for text in texts for part in text.replace("x", " ").split()]

    def average(lengths: list[int]) -> Fraction:
        return Fraction(sum(n * n for n in lengths), sum(lengths)) if lengths else Fraction(0)

    assert found.cautious == min(max(10, average(runs)), max(10, average(rests)))
    assert found.shown == min(average([10, *runs]), average([10, *rests]))
    low, high = found.interval
    assert 0 <= low <= found.at_least() <= found.at_most() <= high <= 1
    if joined:
        assert found.at_least() <= joined.count("x") / len(joined) <= found.at_most()
    else:
        assert (low, high) == (0, 1)


def test_bounds_are_the_exact_ones_of_fewer_images() -> None:
    found = Misses.of([flags("." * 975 + "x" * 25)])
    assert (found.cautious, found.shown) == (Fraction(25), Fraction(625 + 100, 35))
    assert found.at_most() == pytest.approx(stats.beta.ppf(0.99, 2, 39))  # 1 of 40
    assert found.at_least() == pytest.approx(stats.beta.ppf(0.01, 1, 49))  # 1 of 49
    assert found.interval[1] == pytest.approx(stats.beta.ppf(0.995, 2, 39))


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
def test_the_bounds_are_seldom_wrong_whatever_way_misses_come(host: Host) -> None:
    """Of 400 hosts a bound of 99 % that holds in 0.98 is wrong in 8; 17 or more have probability 0.004."""
    for share, images in ((0.0501, 900), (0.0501, 3000), (0.2, 2000)):
        rng = np.random.default_rng([host.run, host.fixed, images])
        played = [play(host, share, images, rng) for _ in range(400)]
        assert np.mean(played) == pytest.approx(share, rel=0.15)
        found = [Misses.of([one]) for one in played]
        assert sum(one.at_most() < share for one in found) <= 16
        assert sum(one.at_least() > share for one in found) <= 16
