"""What a push takes on the virtual clock is what its model says, and emits inside it are stamped so."""

from __future__ import annotations

import time

import numpy as np
import pytest

from harness.realtime.clock import VirtualClock
from harness.realtime.service import ConstantService, MeasuredService, PushTimer, TableService
from mrsim.errors import InputError


def test_constant_and_table_are_exact() -> None:
    for model, expected in ((ConstantService(7), [7, 7]), (TableService(np.array([3, 9])), [3, 9])):
        clock = VirtualClock(100)
        timer = PushTimer(clock, model)
        now = 100
        for line, service in enumerate(expected):
            assert timer.stamp_ns() == now
            assert timer.begin(line) == now
            assert timer.stamp_ns() == now + service  # an emit inside the push
            assert timer.end() == now + service
            now += service
            assert clock.now_ns() == now


def test_measured_service_is_the_time_of_the_push_and_no_more() -> None:
    clock = VirtualClock()
    timer = PushTimer(clock, MeasuredService())
    before = time.perf_counter_ns()
    timer.begin(0)
    time.sleep(0.003)
    inside = timer.stamp_ns()
    finished = timer.end()
    assert 3_000_000 <= inside <= finished <= time.perf_counter_ns() - before


def test_models_refuse_what_they_cannot_give() -> None:
    with pytest.raises(InputError, match="service_ns"):
        ConstantService(-1)
    with pytest.raises(InputError, match="service_ns"):
        TableService(np.array([1, -1]))
    with pytest.raises(InputError, match="line 2"):
        TableService(np.array([1, 1])).cost_ns(2, 0)
