"""A run is void where the host was elsewhere, and the reason names who it was."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time

import pytest

import harness.realtime.host
from harness.candidates.registry import Null
from harness.judge.outcome import Outcome
from harness.judge.validity import why_invalid
from harness.judge.verdict import judge
from harness.measure.timing import measure
from harness.realtime.clock import STALL_NS, RealClock, VirtualClock, WakeLog
from harness.realtime.host import HostLog, Snapshot
from harness.realtime.replay import Pauses, Run, replay
from harness.realtime.service import ConstantService, MeasuredService
from tests.harness.synthetic import Blank, make_header, make_stream

MS = 1_000_000
QUIET = HostLog(
    wall_ns=10_000 * MS,
    cores=2,
    others=0.05,
    waited_ns=MS,
    stolen_ns=0,
    throttled_ns=0,
    probe_ns=1000,
    wakes=100,
    longest_stall_ns=10_000,
    threads=2,
    load=0.3,
)


def slow_run(host: HostLog | None) -> Run:
    """Return a run in which one image is late by a little, on a host that did this."""
    run = replay(make_stream(400), Blank(), VirtualClock(), ConstantService(0))
    completed = run.images.completed_ns.copy()
    completed[50] += 17 * MS  # the frame has 16
    images = dataclasses.replace(run.images, completed_ns=completed)
    return dataclasses.replace(run, host=host, images=images, clock="real")


def reason_of(run: Run) -> str | None:
    return why_invalid(run, measure(run))


def test_a_miss_on_a_quiet_host_is_the_candidates() -> None:
    assert measure(slow_run(QUIET)).misses == 1
    assert reason_of(slow_run(QUIET)) is None
    assert reason_of(slow_run(None)) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"others": 1.9, "waited_ns": 2000 * MS}, "other processes used 1.9 of 2 cores"),
        ({"throttled_ns": 900 * MS}, "a limit on this group of processes stopped it for 900 ms"),
        ({"stolen_ns": 3000 * MS, "waited_ns": 600 * MS}, "the machine beneath took 3000 ms"),
        (
            {"threads": 16, "waited_ns": 700 * MS},
            "torch computes with 16 threads on 2 cores (oversubscribed)",
        ),
        (
            {"longest_stall_ns": 9 * MS},
            "the host stalled the idle gate for 9.0 ms, above half of the deadline",
        ),
    ],
)
def test_the_cause_is_named(change: dict[str, int], told: str) -> None:
    run = slow_run(dataclasses.replace(QUIET, **change))
    reason = reason_of(run)
    assert reason is not None
    assert told in reason
    assert "1 images were late" in reason
    assert judge(run, measure(run), 0.95).outcome is Outcome.INVALID
    # The same host, and nothing late: it held in spite of it.
    held = replay(make_stream(400), Blank(), VirtualClock(), ConstantService(0))
    assert reason_of(dataclasses.replace(held, host=run.host)) is None


def test_an_image_that_never_comes_and_one_later_than_all_that_was_lost_are_the_candidates() -> None:
    busy = dataclasses.replace(QUIET, others=1.9, waited_ns=600 * MS)
    run = slow_run(busy)
    never = run.images.completed_ns.copy()
    never[50] = -1
    assert (
        reason_of(dataclasses.replace(run, images=dataclasses.replace(run.images, completed_ns=never)))
        is None
    )
    much = run.images.completed_ns.copy()
    much[50] += 700 * MS
    assert (
        reason_of(dataclasses.replace(run, images=dataclasses.replace(run.images, completed_ns=much))) is None
    )


def test_on_the_virtual_clock_only_what_its_times_hold_voids_a_run() -> None:
    """A busy host delays the gate, which is not charged; a limit, a machine beneath and helpers are."""

    def virtual(**change: object) -> str | None:
        host = dataclasses.replace(QUIET, others=1.9, **change)  # type: ignore[arg-type]
        return reason_of(dataclasses.replace(slow_run(host), clock="virtual"))

    assert virtual(waited_ns=5000 * MS) is None
    for change, told in (
        ({"throttled_ns": 900 * MS}, "a limit on this group of processes stopped it for 900 ms"),
        ({"stolen_ns": 3000 * MS}, "the machine beneath took 3000 ms"),
        ({"helpers_ns": 800 * MS}, "its other threads waited for a core for 800 ms"),
    ):
        reason = virtual(**change, waited_ns=5000 * MS)
        assert reason is not None
        assert told in reason
        assert "the gate waited" not in reason
    # One that is later than all of that together is the candidate's own.
    assert virtual(waited_ns=5000 * MS, helpers_ns=MS // 2, throttled_ns=MS // 3) is None


def test_pauses_of_the_collector_are_named() -> None:
    class Late(VirtualClock):
        def sleep_until_ns(self, t_ns: int) -> None:
            super().sleep_until_ns(t_ns + 2 * MS)

    run = replay(make_stream(400), Blank(), Late(), ConstantService(0))
    reason = reason_of(dataclasses.replace(run, pauses=Pauses(3, 9 * MS, 4 * MS)))
    assert reason is not None
    assert "the bench itself was late: p99 2.00 ms" in reason
    assert "the garbage collector paused the process 3 times, for 4.0 ms at the longest" in reason
    unknown = reason_of(run)
    assert unknown is not None
    assert "cause not known" in unknown


def test_the_counters_become_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two cores and 10 s: 17 s of processor time in all, 5 of them ours, makes 1.2 cores for others."""
    files = {
        "/proc/thread-self/schedstat": "9 2500000000 4",
        "/proc/stat": "cpu  1000 100 500 9 9 50 50 30 0 0\n",
        "/proc/self/cgroup": "0::/a\n",
        "/sys/fs/cgroup/a/cpu.stat": "usage_usec 3\nthrottled_usec 4000\n",
    }
    monkeypatch.setattr(harness.realtime.host, "_read", lambda path: files.get(path, ""))
    monkeypatch.setattr("os.sysconf", lambda _: 100)
    monkeypatch.setattr(harness.realtime.host, "descendants_ns", lambda: 0)  # of the tests before
    now = time.perf_counter_ns()
    before = Snapshot(
        now - 10**10, time.process_time_ns() - 5 * 10**9, 500 * MS, {}, 0, 100 * MS, MS, None
    )  # fmt: skip
    log = harness.realtime.host.changes_since(before, None)
    assert log.others == pytest.approx(1.2, abs=0.01)
    assert (log.waited_ns, log.stolen_ns, log.throttled_ns) == (2000 * MS, 200 * MS, 3 * MS)
    files.clear()  # a system that tells nothing
    log = harness.realtime.host.changes_since(before, None)
    assert (log.others, log.waited_ns, log.stolen_ns, log.throttled_ns) == (None,) * 4
    assert not [cause for cause in log.causes() if "torch" not in cause]


def test_wakes_are_noted_while_the_gate_waits() -> None:
    clock = RealClock()
    run = replay(make_stream(40), Null(), clock)
    assert run.host is not None
    assert run.host.wakes >= 10  # but for those that a busy host had it sleep through
    assert run.host.longest_stall_ns > 0
    assert run.host.probe_ns is not None
    log = WakeLog()
    for late in (3, STALL_NS + 1, 7):
        log.note(100, late)
    assert (log.longest_ns, log.stalls) == (STALL_NS + 1, [(100, STALL_NS + 1)])
    assert replay(make_stream(40), Null(), VirtualClock(), ConstantService(0)).host is None
    assert replay(make_stream(40), Null(), VirtualClock(), MeasuredService()).host is not None


BURN = "import time\nend = time.time() + 30\nwhile time.time() < end: pass"
# What this process starts is its own. So another one starts them, and is gone.
START = """
import subprocess, sys
burn = [sys.executable, "-c", sys.argv[1]]
print(*(subprocess.Popen(burn, stdout=subprocess.DEVNULL).pid for _ in range(int(sys.argv[2]))))
"""


@pytest.mark.slow
def test_a_host_that_burns_is_found_out() -> None:
    """Beside two busy processes a core the bench cannot keep lines of 1 ms: INVALID, and it says why."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    start = [sys.executable, "-c", START, BURN, str(2 * cores)]
    burning = subprocess.run(start, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    try:
        time.sleep(1.0)
        stream = make_stream(2000, header=make_header(tr_ns=MS))
        run = replay(stream, Null(), RealClock(), keep_images=False)
    finally:
        for process in burning:
            os.kill(int(process), signal.SIGKILL)
    verdict = judge(run, measure(run))
    assert verdict.outcome is Outcome.INVALID, verdict
    if sys.platform == "linux":
        assert "other processes used" in verdict.reason, verdict
