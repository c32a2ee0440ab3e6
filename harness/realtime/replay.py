"""The replay: lines in at the scanner's pace, stamped images out.

The schedule is fixed before the run (an open loop): line i is due at t0 + (i + 1) TR whatever the candidate
does. A stall therefore delays every line behind it, as on a scanner. Each line is handed out as a private
copy at max(now, due), never earlier. The same code runs on the real and the virtual clock.
"""

from __future__ import annotations

import gc
import logging
import time

from harness.realtime import host
from harness.realtime.clock import Clock, RealClock
from harness.realtime.collector import Collector
from harness.realtime.feed import Feed
from harness.realtime.gate import LEAD_NS, Gate
from harness.realtime.recorded import RecordedService
from harness.realtime.run import Failure, Fate, Pauses, Run
from harness.realtime.schedule import Policy, Schedule
from harness.realtime.service import MEASURED, MODELLED, MeasuredService, PushTimer, ServiceModel
from mrsim.errors import InputError
from mrsim.stream import Stream
from recon.protocol import Reconstructor

__all__ = [
    "LEAD_NS",
    "Failure",
    "Fate",
    "Pauses",
    "Policy",
    "Run",
    "Schedule",
    "replay",
]

_LOG = logging.getLogger(__name__)


def replay(
    stream: Stream,
    candidate: Reconstructor,
    clock: Clock,
    service: ServiceModel | None = None,
    schedule: Schedule | None = None,
    keep_images: bool = True,
    *,
    policy: Policy | None = None,
    feed: Feed | None = None,
    limit_ns: int | None = None,
) -> Run:
    """Play a stream to a candidate, each line when it is due.

    Images are collected until `close` returns. A candidate with threads of its own ends them in `close`.

    Parameters
    ----------
    stream
        The scan.
    candidate
        A fresh reconstructor.
    clock
        Real or virtual.
    service
        Model of the time of a push on a virtual clock; None if the clock runs during the push.
    schedule
        When lines are due; None for the scanner's own pace.
    keep_images
        Whether to keep the pixels for judging them.
    policy
        Which frames to drop when the candidate falls behind; None to keep all.
    feed
        What arrives of the stream; None for every line unchanged, when it is due.
    limit_ns
        Real time that the run may take, nanoseconds; a run that passes it has failed.

    Returns
    -------
    run
        All raw stamps and images. `failure` holds an exception of the candidate, `violation` a breach of the
        protocol; either stops the run.

    Raises
    ------
    InputError
        If the stream has no whole frame, the feed is of another stream, or the candidate refuses it.
    """
    schedule = schedule or Schedule.of(stream)
    policy = policy or Policy()
    feed = Feed.of(stream, schedule) if feed is None else feed  # a feed without events is false
    if feed.stream is not stream:
        raise InputError("feed: it is of another stream than the one that is replayed")
    timer = PushTimer(clock, service)
    collector = Collector(stream.header, schedule.completing, timer.stamp_ns, keep_images)
    gate = Gate(feed, candidate, clock, timer, collector, policy, limit_ns)
    # With modelled times a pause does no harm, and collecting garbage first would take longer than the run.
    without = MEASURED if clock.name == "real" else MODELLED
    times = without if service is None else service.times
    timed = times == MEASURED
    # Nothing is said during the run, where every word would be measured.
    _LOG.info("replaying %d lines, clock %s, times %s", len(stream), clock.name, times)
    with _GcWatch(collect=timed) as watch:
        before = host.take_snapshot(clock if isinstance(clock, RealClock) else None) if timed else None
        gate.play()
        log = (
            None
            if before is None
            else host.changes_since(before, clock if isinstance(clock, RealClock) else None)
        )
    if log is not None and isinstance(service, MeasuredService):
        log = host.with_doubt(log, service.doubtful_ns)
    images, open_ns = collector.finish(), gate.open_ns
    if isinstance(service, RecordedService):
        images = service.retimed(images, gate.started_ns, schedule.completing)
        open_ns = service.open_ns
    return Run(
        clock=clock.name,
        t0_ns=gate.t0_ns,
        tr_ns=stream.header.tr_ns,
        te_ns=stream.header.te_ns,
        schedule=schedule,
        policy=policy,
        fate=gate.fate,
        order=gate.order,
        arrived_ns=gate.arrived_ns,
        delivered_ns=gate.delivered_ns,
        started_ns=gate.started_ns,
        finished_ns=gate.finished_ns,
        dropped_ns=gate.dropped_ns,
        rejected=gate.rejected,
        images=images,
        open_ns=open_ns,
        pauses=watch.pauses(),
        host=log,
        violation=collector.violation,
        failure=gate.failure,
        times=times,
    )


class _GcWatch:
    """Time every garbage collection during a run, after a first one before it if asked."""

    def __init__(self, collect: bool) -> None:
        self._collect = collect

    def __enter__(self) -> _GcWatch:
        if self._collect:
            gc.collect()
        self._count = self._total_ns = self._longest_ns = self._began_ns = 0
        gc.callbacks.append(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        gc.callbacks.remove(self._note)

    def _note(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._began_ns = time.perf_counter_ns()
        else:
            pause_ns = time.perf_counter_ns() - self._began_ns
            self._count += 1
            self._total_ns += pause_ns
            self._longest_ns = max(self._longest_ns, pause_ns)

    def pauses(self) -> Pauses:
        return Pauses(self._count, self._total_ns, self._longest_ns)
