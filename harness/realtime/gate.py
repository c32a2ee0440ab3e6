"""The gate: it waits for each line, hands it to the candidate and stamps it.

The loop has a module of its own because every microsecond in it is an error of the measurement.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from harness.realtime.clock import Clock
from harness.realtime.collector import Collector
from harness.realtime.copies import OneProcess
from harness.realtime.feed import Feed, Intake
from harness.realtime.raised import is_strangers, is_the_users, one_line, traceback_of
from harness.realtime.run import Failure, Fate
from harness.realtime.schedule import Policy
from harness.realtime.service import PushTimer
from mrsim.errors import MrsimError
from mrsim.stream import Readout
from recon.protocol import Reconstructor

# Time between the end of `open` and the scan's start, so that the bench does not make the first line late.
LEAD_NS = 5_000_000


class Gate:
    """Hand the lines of one run to its candidate.

    Parameters
    ----------
    feed
        What arrives.
    candidate
        A fresh reconstructor.
    clock
        Real or virtual.
    timer
        Stamps the pushes.
    collector
        Takes the images.
    policy
        Which frames to drop when the candidate falls behind.
    limit_ns
        Real time that the run may take, nanoseconds, checked after every push; None for no limit.
    """

    def __init__(
        self,
        feed: Feed,
        candidate: Reconstructor,
        clock: Clock,
        timer: PushTimer,
        collector: Collector,
        policy: Policy,
        limit_ns: int | None = None,
    ) -> None:
        self._feed, self._candidate, self._clock = feed, candidate, clock
        self._timer, self._collector, self._policy = timer, collector, policy
        self._limit_ns = limit_ns
        lines = len(feed.stream)
        # Allocated and touched before the run, so that no memory grows during it.
        self.delivered_ns, self.started_ns, self.finished_ns, self.dropped_ns = (
            np.full(lines, -1, np.int64) for _ in range(4)
        )
        self.order = np.full(lines, -1, np.int64)
        self.fate = np.zeros(lines, np.int8)
        if not feed.clean:
            self.fate[:] = Fate.LOST
            self.fate[feed.source] = Fate.UNREACHED
        self._intake = None if feed.clean else Intake(feed.stream.header, feed.counter_bits)
        self.open_ns = 0
        self.t0_ns = clock.now_ns()
        self.failure: Failure | None = None

    @property
    def rejected(self) -> dict[str, int]:
        """Return the number of events that were rejected, by reason."""
        return dict.fromkeys(Intake.REASONS, 0) if self._intake is None else dict(self._intake.rejected)

    @property
    def arrived_ns(self) -> NDArray[np.int64]:
        """Return when each line first arrived, shape (lines,), int64, nanoseconds; -1 if it never did."""
        feed = self._feed
        if feed.clean:
            return self.t0_ns + feed.offset_ns
        arrived = np.full(len(feed.stream), -1, np.int64)
        # In reverse, so that a line's first event is assigned last.
        arrived[feed.source[::-1]] = self.t0_ns + feed.offset_ns[::-1]
        return arrived

    def play(self) -> None:
        """Open, push every line, close; stop at the first failure or violation."""
        try:
            began = time.perf_counter_ns()
            opened = self._guarded("open")
            self.open_ns = time.perf_counter_ns() - began
            if opened:
                self._push_all()
        except BaseException:
            # After a refusal or Ctrl-C the candidate still frees its resources; the first error is reported.
            self._guarded("close")
            raise
        self._guarded("close")

    def _guarded(self, stage: str) -> bool:
        # A copy, so that the candidate shares no object with the stream.
        header = self._feed.stream.header.private()
        try:
            with OneProcess():
                if stage == "open":
                    self._candidate.open(header, self._collector.emit)
                else:
                    self._candidate.close()
        except BaseException as error:  # a candidate may raise anything
            if is_the_users(error):
                raise
            if stage == "open" and issubclass(type(error), MrsimError):
                raise  # it refuses this scan and says why: the user has to correct it
            self._fail(stage, error)
            return False
        return True

    def _fail(self, stage: str, error: BaseException) -> None:
        line = self._collector.newest
        frame = line // self._feed.stream.header.lines_per_frame if line >= 0 else -1
        if self.failure is None:
            self.failure = Failure(stage, line, frame, one_line(error), traceback_of(error))

    def _push_all(self) -> None:
        feed, clock, timer, collector = self._feed, self._clock, self._timer, self._collector
        # A plain array: indexing a memory-mapped one takes several times as long.
        samples = np.asarray(feed.stream.samples)
        sleep_until_ns, now_ns = clock.sleep_until_ns, clock.now_ns
        deliver, begin, end = timer.deliver, timer.begin, timer.end
        delivered_ns, started_ns, finished_ns = self.delivered_ns, self.started_ns, self.finished_ns
        fate, order, intake, patches = self.fate, self.order, self._intake, feed.patches
        count, newest, ours = 0, -1, OneProcess()
        overload = None if self._policy.waiting is None else _Overload(feed, self._policy.waiting)
        t0_ns = self.t0_ns = now_ns() + (LEAD_NS if clock.name == "real" else 0)
        timer.start(t0_ns)
        stop_ns = None if self._limit_ns is None else time.perf_counter_ns() + self._limit_ns
        handed, rejected = int(Fate.HANDED), int(Fate.REJECTED)
        try:
            push = self._candidate.push  # a property of a stranger's may raise, too
            for line, index, frame, ky, t_ns, offset_ns, patch in feed.events():
                if overload is not None and overload.drops(line, max(now_ns() - t0_ns, offset_ns)):
                    if fate[line] == Fate.UNREACHED:
                        fate[line] = Fate.DROPPED
                        self.dropped_ns[line] = t0_ns + overload.dropped_ns
                    continue
                # Copied before the line is due, so that reading a page from disk does not make it late.
                samples_copy = np.array(samples[line] if patch < 0 else patches[patch])
                readout = (
                    Readout(index, frame, ky, t_ns, samples_copy)
                    if intake is None
                    else intake.check(index, frame, ky, t_ns, samples_copy)
                )
                if readout is None:
                    if fate[line] == Fate.UNREACHED:
                        fate[line] = rejected
                    continue
                sleep_until_ns(t0_ns + offset_ns)
                if line > newest:
                    collector.newest = newest = line
                fate[line] = handed
                order[line] = count
                count += 1
                delivered_ns[line] = deliver(line)
                raised: BaseException | None = None
                started_ns[line] = begin(line)
                try:
                    push(readout)
                except BaseException as error:
                    raised = error
                finally:
                    ours.check()
                    del readout, samples_copy  # what was to be done when they go is of the push
                    finished_ns[line] = end()
                if raised is not None:
                    if is_the_users(raised):
                        raise raised
                    self._fail("push", raised)
                    raised = None  # it holds this very frame
                    return
                if collector.violation is not None:
                    return
                if stop_ns is not None and time.perf_counter_ns() > stop_ns:
                    self._fail("push", TimeoutError("the run passed its limit (limit_s)"))
                    return
        except BaseException as error:
            # Between two pushes, too, a handler of the candidate's may raise: of an alarm that it set.
            if is_the_users(error) or (not is_strangers(error) and not isinstance(error, MemoryError)):
                raise
            self._fail("push", error)


class _Overload:
    """Decide at the first event of each frame whether to drop the frame.

    This gives the same result as dropping the oldest frame at the moment when one too many is complete:
    nothing reads a dropped frame in between.
    """

    def __init__(self, feed: Feed, waiting: int) -> None:
        self._ready = feed.ready_ns()
        self._per_frame, self._waiting = feed.stream.header.lines_per_frame, waiting
        self._frame, self._dropping, self._last = -1, False, -1
        self.dropped_ns = 0
        """Time at which the current frame was dropped, from the start of the scan, nanoseconds."""

    def drops(self, line: int, now_ns: int) -> bool:
        frame = line // self._per_frame
        if frame > self._frame:
            self._frame = frame
            over = frame + self._waiting  # when this frame is complete, the current one is one too many
            self._dropping = over < len(self._ready) and int(self._ready[over]) <= now_ns
            if self._dropping:
                self.dropped_ns, self._last = int(self._ready[over]), frame
        # A late line of a dropped frame, or of one before it, is dropped too.
        return self._dropping or frame <= self._last
