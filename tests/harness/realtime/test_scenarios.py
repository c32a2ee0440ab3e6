"""Policies are the finite queues of the textbook, bursts measure throughput, and the peak is found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.judge.outcome import Outcome
from harness.judge.search import find_peak
from harness.measure.timing import measure, queue_depth
from harness.realtime.clock import Clock, RealClock, VirtualClock
from harness.realtime.replay import Fate, replay
from harness.realtime.scenarios import Pace, after_burst, burst_schedule, lines_per_second
from harness.realtime.schedule import Policy
from harness.realtime.service import ConstantService, MeasuredService, TableService
from mrsim.errors import InputError
from mrsim.stream import Readout
from tests.harness.synthetic import Blank, make_header, make_stream

MS = 1_000_000


def textbook(tr: int, service: list[int], waiting: int) -> tuple[list[int], list[int]]:
    """Play a queue event by event: arrivals at (i + 1) tr, `waiting` places, the oldest falls out."""
    queue: list[int] = []
    served, dropped, free = [], [], 0
    for i in range(len(service)):
        now = (i + 1) * tr
        while queue and free <= now:  # whoever waited is served as the server becomes free
            first = queue.pop(0)
            free = max(free, (first + 1) * tr) + service[first]
            served.append(first)
        if free <= now and not queue:
            free = now + service[i]
            served.append(i)
            continue
        queue.append(i)
        if len(queue) > waiting:
            dropped.append(queue.pop(0))
    return sorted(served + queue), dropped


@settings(max_examples=150)
@given(st.integers(2, 9), st.lists(st.integers(1, 60), min_size=1, max_size=60), st.sampled_from([1, 2, 5]))
def test_a_bounded_queue_is_the_textbooks(tr: int, service: list[int], waiting: int) -> None:
    # Off the grid of arrivals whatever is added up: at a tie a server may be free just before or just after.
    tr, table = 100 * tr, np.array(service) * 100 + 1
    stream = make_stream(len(service), header=make_header(lines_per_frame=1, tr_ns=tr))
    run = replay(stream, Blank(), VirtualClock(), TableService(table), policy=Policy(waiting))
    served, dropped = textbook(tr, table.tolist(), waiting)
    assert np.flatnonzero(run.fate == Fate.HANDED).tolist() == served
    assert np.flatnonzero(run.fate == Fate.DROPPED).tolist() == dropped
    assert queue_depth(run).max() <= waiting + 1
    assert run.dropped_frames == len(dropped)


def test_a_dropped_frame_is_a_miss_and_is_lost_whole() -> None:
    """Frames of 4 lines, TR 10, each push 25: latest-only shows what it can, and the lag does not grow."""
    stream = make_stream(160, header=make_header(tr_ns=10))
    kept, latest = (
        replay(stream, Blank(), VirtualClock(), ConstantService(25), policy=policy)
        for policy in (Policy(), Policy.parse("latest"))
    )
    assert measure(kept).response_ns[-1] > 2000  # the queue grew to the end
    fate = latest.fate.reshape(-1, 4)
    assert (fate == fate[:, :1]).all()  # whole frames
    dropped = fate[:, 0] == Fate.DROPPED
    assert 20 < dropped.sum() < 28  # it can do 40 of 100 ns
    assert (latest.images.shown == ~dropped).all()
    timing = measure(latest, warmup=0)
    assert timing.missed[dropped].all()
    assert timing.response_ns.max() <= 100 + 100 + 40  # in hand, its own, and one that waited
    assert queue_depth(latest).max() <= 12


def test_policies_are_read_and_told() -> None:
    for text in ("keep-all", "latest", "bounded:3"):
        assert str(Policy.parse(text)) == text
    assert Policy.parse("bounded:1") == Policy.parse("latest")
    for bad in ("", "latest:1", "bounded", "bounded:0", "bounded:-1", "bounded:1e3", "bounded:999999999"):
        with pytest.raises(InputError, match="expected keep-all, latest or bounded:N"):
            Policy.parse(bad)


def test_a_burst_waits_for_nothing_and_is_never_late() -> None:
    stream = make_stream(400)  # 1.6 s at its pace
    run = after_burst(replay(stream, Blank(), RealClock(), schedule=burst_schedule(stream)))
    assert run.finished_ns.max() - run.t0_ns < 400 * MS
    timing = measure(run)
    assert timing.misses == 0
    assert (timing.injector_ns == 0).all()
    assert (timing.response_ns >= timing.service_ns).all()
    assert (timing.depth == 0).all()  # in a closed loop nothing waits
    rate = lines_per_second(run)
    assert rate is not None
    assert rate > 1000


@pytest.mark.parametrize("service_ns", [70_000, 1_300_000, 6 * MS])
def test_the_peak_of_a_constant_service_is_the_service(service_ns: int) -> None:
    """D/D/1 holds its cadence as long as TR is no shorter than the service."""
    stream = make_stream(440)
    peak = find_peak(stream, Blank, lambda: Pace(VirtualClock(), ConstantService(service_ns)))
    assert peak.tr_ns is not None
    assert service_ns * 0.99 <= peak.tr_ns <= service_ns * 1.03
    verdict = peak.verdict
    assert verdict.outcome is (Outcome.PASS if service_ns < 4 * MS else Outcome.FAIL)
    assert all(t.holds == (t.tr_ns >= peak.tr_ns) for t in peak.trials)


def test_a_search_that_cannot_see_one_late_image_tells_nothing() -> None:
    for lines, outcome in ((428, Outcome.INSUFFICIENT), (432, Outcome.PASS)):
        peak = find_peak(make_stream(lines), Blank, lambda: Pace(VirtualClock(), ConstantService(1)))
        assert (peak.trials[0].images, peak.verdict.outcome) == (lines // 4 - 8, outcome)


def test_a_search_ends_with_a_candidate_that_breaks_or_a_host_that_spoils() -> None:
    def work(readout: Readout) -> None:
        raise RuntimeError("gone")

    peak = find_peak(make_stream(80), lambda: Blank(work), lambda: Pace(VirtualClock(), ConstantService(1)))
    assert peak.verdict.outcome is Outcome.FAIL

    class Late(VirtualClock):
        def sleep_until_ns(self, t_ns: int) -> None:
            super().sleep_until_ns(t_ns + 10 * MS)

    peak = find_peak(make_stream(80), Blank, lambda: Pace(Late(), ConstantService(1)))
    verdict = peak.verdict
    assert verdict.outcome is Outcome.INVALID
    assert "3 times at TR 4 ms: the bench itself was late" in verdict.reason


@pytest.mark.parametrize(
    ("scenario", "clock", "service", "message"),
    [
        ("bursts", None, None, "expected one of"),
        ("lockstep", None, ConstantService(1), "takes no service time"),
        ("constant-stream", RealClock(), ConstantService(1), "clock = 'virtual'"),
    ],
)
def test_what_does_not_go_together(
    scenario: str, clock: Clock | None, service: ConstantService | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Pace.of(scenario, clock, service)


def test_each_scenario_has_its_pace() -> None:
    assert Pace.of("constant-stream", None).clock.name == "real"
    assert isinstance(Pace.of("burst", VirtualClock()).service, MeasuredService)
    assert isinstance(Pace.of("lockstep", RealClock()).service, ConstantService)
