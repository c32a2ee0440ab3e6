"""Stamps become latencies as defined, and a stall shows in every image that it delayed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.measure.exact_statistics import nearest_rank
from harness.measure.timing import Timing, default_warmup, measure
from harness.realtime.clock import VirtualClock
from harness.realtime.replay import replay
from harness.realtime.service import ConstantService, TableService
from mrsim.stream import Readout
from recon.protocol import Image
from tests.harness.synthetic import Blank, make_header, make_stream

MS = 1_000_000


def stalled(lines: int, at: int, stall_ns: int, service_ns: int, tr_ns: int) -> Timing:
    service = np.full(lines, service_ns)
    service[at] = stall_ns
    stream = make_stream(lines, header=make_header(lines_per_frame=1, tr_ns=tr_ns))
    return measure(replay(stream, Blank(), VirtualClock(), TableService(service), keep_images=False))


def test_coordinated_omission_is_not_committed() -> None:
    """One stall of 400 ms in 2,000 lines, TR 4 ms, service 2 ms: a closed loop would show one miss."""
    timing = stalled(2000, at=1000, stall_ns=400 * MS, service_ns=2 * MS, tr_ns=4 * MS)
    # The queue drains by TR - service = 2 ms a line: responses 400, 398, ... until they are below TR.
    expected = np.full(2000, 2 * MS)
    expected[1000:1200] = (400 - 2 * np.arange(200)) * MS
    expected[1199:] = 2 * MS
    assert np.array_equal(timing.response_ns, expected)
    assert timing.misses == 198
    assert timing.episodes == [(1000, 198)]
    assert timing.longest_run == 198
    assert timing.summary("response").p99 == 362 * MS  # of the 1,992 steady images
    assert nearest_rank(timing.response_ns, 0.99) == 360 * MS  # of all 2,000
    assert timing.summary("response").max == 400 * MS
    assert timing.summary("service").p99 == 2 * MS  # all that a closed loop would report


@settings(max_examples=40)
@given(st.integers(1, 20), st.integers(0, 19), st.integers(0, 400), st.integers(10, 60))
def test_a_stall_shows_in_every_image_it_delayed(tr: int, service: int, stall: int, at: int) -> None:
    timing = stalled(100, at, stall, min(service, tr - 1), tr)
    service = min(service, tr - 1)
    wait = stall
    for image in range(at, 100):
        assert timing.response_ns[image] == wait
        wait = max(0, wait - tr) + service


def test_three_times_are_not_mixed() -> None:
    """Frames of 4 lines, TR 10, service 15: the queue grows by 5 a line."""
    stream = make_stream(40, header=make_header(tr_ns=10))
    timing = measure(replay(stream, Blank(), VirtualClock(), ConstantService(15)), warmup=0)
    last = np.arange(3, 40, 4)
    assert timing.due_ns.tolist() == ((last + 1) * 10).tolist()
    assert timing.started_ns.tolist() == (10 + 15 * last).tolist()
    assert timing.response_ns.tolist() == (15 + 5 * last).tolist()
    assert set(timing.service_ns.tolist()) == {15}
    assert timing.injector_ns.tolist() == [0]  # only the first line found nothing queued
    assert timing.deadline_ns == 40
    # line i is handed over at 10 + 15 i; by then lines up to i // 2 + i are due
    assert timing.depth.tolist() == [min(39, (10 + 15 * i) // 10 - 1) - i for i in last]


def test_the_injector_owns_its_lateness() -> None:
    class LateClock(VirtualClock):
        def sleep_until_ns(self, t_ns: int) -> None:
            super().sleep_until_ns(t_ns + 3)

    stream = make_stream(40, header=make_header(tr_ns=100))
    timing = measure(replay(stream, Blank(), LateClock()))
    assert set(timing.injector_ns.tolist()) == {3}
    assert len(timing.injector_ns) == 40  # every line, not only those that complete an image


def test_an_image_that_never_comes_is_a_miss_and_has_no_response() -> None:
    class Skipping(Blank):
        def push(self, readout: Readout) -> None:
            if readout.index % 4 == 3 and readout.frame not in (5, 6, 9):
                self.emit(Image(np.zeros((8, 8), np.complex64), readout.frame, readout.index))

    timing = measure(replay(make_stream(48), Skipping(), VirtualClock()))
    assert timing.warmup == default_warmup(12) == 3
    assert (timing.images, timing.misses) == (9, 3)
    assert timing.episodes == [(5, 2), (9, 1)]
    assert timing.summary("response").count == 6


def test_misses_before_the_steady_state_are_kept_apart() -> None:
    timing = stalled(2000, at=0, stall_ns=10 * MS, service_ns=0, tr_ns=4 * MS)
    assert timing.missed[:2].all()
    assert timing.misses == 0


def test_a_deadline_that_is_met_to_the_nanosecond_is_met() -> None:
    on_time, late = (
        stalled(100, at=50, stall_ns=ns, service_ns=0, tr_ns=4 * MS) for ns in (4 * MS, 4 * MS + 1)
    )
    assert (on_time.misses, late.misses) == (0, 1)


@pytest.mark.parametrize("service", [0, 7])
def test_age_of_the_image_on_show(service: int) -> None:
    """It rises from response + TR - TE by one cadence, then falls."""
    stream = make_stream(40, header=make_header(tr_ns=10))
    timing = measure(replay(stream, Blank(), VirtualClock(), ConstantService(service)))
    youngest = service + 10 - 5
    assert timing.age_max_ns == youngest + 40
    assert timing.age_mean_ns == youngest + 20


def test_age_does_not_listen_to_claims() -> None:
    """An image that calls itself older or newer is as old as its frame."""

    class Modest(Blank):
        def push(self, readout: Readout) -> None:
            if readout.index % 4 == 3:
                self.emit(Image(np.zeros((8, 8), np.complex64), readout.frame, 0))

    honest, modest = (measure(replay(make_stream(40), kind(), VirtualClock())) for kind in (Blank, Modest))
    assert (modest.age_mean_ns, modest.age_max_ns) == (honest.age_mean_ns, honest.age_max_ns)


def test_a_run_that_was_stopped_counts_the_rest_as_misses() -> None:
    def work(readout: Readout) -> None:
        if readout.index == 22:
            raise RuntimeError("gone")

    timing = measure(replay(make_stream(40), Blank(work), VirtualClock()))
    assert timing.shown.sum() == 5
    assert timing.misses == 5
    assert (timing.delivered_ns[5:] >= 0).tolist() == [False] * 5
