"""A clock never ends a wait early and never goes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.realtime.clock import RealClock, VirtualClock
from mrsim.errors import InputError


@pytest.mark.parametrize("spin_ns", [0, 400_000, 10_000_000])
def test_real_clock_never_wakes_early(spin_ns: int) -> None:
    clock = RealClock(spin_ns)
    for wait_ns in (0, 50_000, 1_000_000, 3_000_000):
        deadline = clock.now_ns() + wait_ns
        clock.sleep_until_ns(deadline)
        assert clock.now_ns() >= deadline


def test_real_clock_returns_at_once_from_a_deadline_that_has_passed() -> None:
    clock = RealClock()
    before = clock.now_ns()
    clock.sleep_until_ns(before - 10**12)
    assert clock.now_ns() - before < 10**9


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10**12))))
def test_virtual_clock_moves_only_forward_and_exactly(steps: list[tuple[bool, int]]) -> None:
    clock = VirtualClock(start_ns=5)
    now = 5
    for jump, ns in steps:
        if jump:
            clock.sleep_until_ns(ns)
            now = max(now, ns)
        else:
            clock.advance(ns)
            now += ns
        assert clock.now_ns() == now


def test_clocks_refuse_negative_times() -> None:
    with pytest.raises(InputError, match="cannot go back"):
        VirtualClock().advance(-1)
    with pytest.raises(InputError, match="spin_ns"):
        RealClock(-1)
