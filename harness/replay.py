"""The gate: lines in at the scanner's pace, stamped images out.

The schedule is fixed before the run, an open loop: line i is due at t0 + (i + 1) TR whatever the
candidate does, so a stall delays everything behind it, as on a scanner. A line is handed out as a
private copy at max(now, due), never earlier. The same code runs on the real and the virtual clock.
"""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.clock import Clock
from harness.collector import Collector, Images, Violation
from harness.service import MeasuredService, PushTimer, ServiceModel
from mrsim.errors import InputError, MrsimError
from mrsim.stream import Header, Readout, Stream
from recon.protocol import Reconstructor

# Between the end of `open` and the scan's start, so that the first line is not late by our own doing.
LEAD_NS = 5_000_000


@dataclass(frozen=True)
class Schedule:
    """Fix before the run when each line is due and which lines complete an image.

    Parameters
    ----------
    offset_ns
        When each line is due, from the start of the scan, shape (lines,), int64, nanoseconds.
    completing
        Line that completes each expected image, shape (images,), int64.
    deadline_ns
        Time that an image may take from when its last line is due: the cadence of the images, nanoseconds.
    """

    offset_ns: NDArray[np.int64]
    completing: NDArray[np.int64]
    deadline_ns: int

    @classmethod
    def of(cls, stream: Stream) -> Schedule:
        """Return the scanner's own pace: a line each TR, an image for each whole frame.

        Raises
        ------
        InputError
            If the stream has no whole frame.
        """
        header = stream.header
        if not stream.frames:
            raise InputError(
                f"{stream.path or 'stream'}: {len(stream)} lines, a frame has {header.lines_per_frame}"
            )
        offset_ns = np.arange(1, len(stream) + 1, dtype=np.int64) * header.tr_ns
        completing = np.arange(1, stream.frames + 1, dtype=np.int64) * header.lines_per_frame - 1
        return cls(offset_ns, completing, header.frame_ns)


@dataclass(frozen=True, slots=True)
class Failure:
    """Say where a candidate raised an exception.

    Parameters
    ----------
    stage
        "open", "push" or "close".
    line, frame
        Newest line that had been handed out and its frame; -1 before the first.
    error
        The exception's type and message, one line.
    """

    stage: str
    line: int
    frame: int
    error: str


@dataclass(frozen=True, slots=True)
class Pauses:
    """Count the garbage collector's pauses during a run.

    Parameters
    ----------
    count
        Number of collections.
    total_ns, longest_ns
        Their real time, nanoseconds.
    """

    count: int
    total_ns: int
    longest_ns: int


@dataclass(frozen=True)
class Run:
    """Keep every raw stamp of a replay, on the gate's clock.

    Parameters
    ----------
    clock
        "real" or "virtual".
    t0_ns
        Start of the scan, nanoseconds.
    tr_ns, te_ns
        Repetition and echo time, nanoseconds.
    schedule
        When each line was due, and which lines complete an image.
    handed
        Number of lines that were handed out; fewer than all where the run was stopped.
    delivered_ns, started_ns, finished_ns
        When each line was handed over, its push began and its push returned, shape (lines,), int64,
        nanoseconds; only the first `handed` mean anything.
    images
        What was emitted.
    open_ns
        Real time that `open` took, nanoseconds.
    pauses
        Pauses of the garbage collector.
    violation
        First breach of the protocol, which stopped the run.
    failure
        Exception of the candidate, which stopped the run.
    """

    clock: str
    t0_ns: int
    tr_ns: int
    te_ns: int
    schedule: Schedule
    handed: int
    delivered_ns: NDArray[np.int64]
    started_ns: NDArray[np.int64]
    finished_ns: NDArray[np.int64]
    images: Images
    open_ns: int
    pauses: Pauses
    violation: Violation | None
    failure: Failure | None

    @property
    def due_ns(self) -> NDArray[np.int64]:
        """Return when each line was due, shape (lines,), int64, nanoseconds."""
        return self.t0_ns + self.schedule.offset_ns

    @property
    def service_ns(self) -> NDArray[np.int64]:
        """Return how long each push took, shape (handed,), int64, nanoseconds."""
        return self.finished_ns[: self.handed] - self.started_ns[: self.handed]


def replay(
    stream: Stream,
    candidate: Reconstructor,
    clock: Clock,
    service: ServiceModel | None = None,
    schedule: Schedule | None = None,
    keep_images: bool = True,
) -> Run:
    """Play a stream to a candidate, each line when it is due.

    Images are taken until `close` returns; a candidate with threads of its own ends them there.

    Parameters
    ----------
    stream
        The scan.
    candidate
        A fresh reconstructor.
    clock
        Real or virtual.
    service
        What a push takes on a virtual clock; None where the clock itself runs meanwhile.
    schedule
        When lines are due; None for the scanner's own pace.
    keep_images
        Whether to keep the pixels for judging them.

    Returns
    -------
    run
        All raw stamps and images. An exception of the candidate is in `failure`, a breach of the
        protocol in `violation`; either stops the run.

    Raises
    ------
    InputError
        If the stream has no whole frame, or the candidate refuses it.
    """
    schedule = schedule or Schedule.of(stream)
    timer = PushTimer(clock, service)
    collector = Collector(stream.header, schedule.completing, timer.stamp_ns, keep_images)
    gate = _Gate(stream, candidate, clock, timer, schedule, collector)
    # Where time is modelled a pause does no harm, and collecting first would cost more than the run.
    timed = clock.name == "real" or isinstance(service, MeasuredService)
    with _GcWatch(collect=timed) as watch:
        gate.play()
    return Run(
        clock.name,
        gate.t0_ns,
        stream.header.tr_ns,
        stream.header.te_ns,
        schedule,
        gate.handed,
        gate.delivered_ns,
        gate.started_ns,
        gate.finished_ns,
        collector.finish(),
        gate.open_ns,
        watch.pauses(),
        collector.violation,
        gate.failure,
    )


class _Gate:
    """Hand the lines of one run to its candidate."""

    def __init__(
        self,
        stream: Stream,
        candidate: Reconstructor,
        clock: Clock,
        timer: PushTimer,
        schedule: Schedule,
        collector: Collector,
    ) -> None:
        self._stream, self._candidate, self._clock = stream, candidate, clock
        self._timer, self._schedule, self._collector = timer, schedule, collector
        # Reserved and touched before the run: nothing grows while it lasts.
        self.delivered_ns, self.started_ns, self.finished_ns = (
            np.full(len(stream), -1, np.int64) for _ in range(3)
        )
        self.handed = 0
        self.open_ns = 0
        self.t0_ns = clock.now_ns()
        self.failure: Failure | None = None

    def play(self) -> None:
        """Open, push every line, close; stop at the first failure or violation."""
        try:
            began = time.perf_counter_ns()
            opened = self._guarded("open")
            self.open_ns = time.perf_counter_ns() - began
            if opened:
                self._push_all()
        except BaseException:
            # A refusal or Ctrl-C: the candidate still lets go of what it holds, and the first error wins.
            self._guarded("close", quiet=True)
            raise
        self._guarded("close")

    def _guarded(self, stage: str, quiet: bool = False) -> bool:
        try:
            if stage == "open":
                # A copy, so that nothing the candidate holds is held by the stream too.
                header = Header.from_dict(self._stream.header.to_dict())
                self._candidate.open(header, self._collector.emit)
            else:
                self._candidate.close()
        except (Exception, SystemExit) as error:
            if not quiet:
                self._fail(stage, error)
            return False
        return True

    def _fail(self, stage: str, error: BaseException) -> None:
        if isinstance(error, MrsimError):
            raise error  # the candidate refuses this scan and says why: that is the user's to mend
        line = self._collector.newest
        frame = int(self._stream.frame[line]) if line >= 0 else -1
        if self.failure is None:
            self.failure = Failure(stage, line, frame, one_line(error))

    def _push_all(self) -> None:
        stream, clock, timer, collector = self._stream, self._clock, self._timer, self._collector
        # Plain arrays: indexing a mapped one costs several times as much.
        ky, frame, t_ns, samples = (np.asarray(getattr(stream, name)) for name in Stream.COLUMNS)
        push, offset_ns = self._candidate.push, self._schedule.offset_ns
        t0_ns = self.t0_ns = clock.now_ns() + (LEAD_NS if clock.name == "real" else 0)
        try:
            for line in range(len(stream)):
                # Copied before it is due, so that a page read from disk does not make it late.
                readout = Readout(
                    line, int(frame[line]), int(ky[line]), int(t_ns[line]), np.array(samples[line])
                )
                clock.sleep_until_ns(t0_ns + int(offset_ns[line]))
                collector.newest = line
                self.handed = line + 1
                self.delivered_ns[line] = clock.now_ns()
                self.started_ns[line] = timer.begin(line)
                try:
                    push(readout)
                finally:
                    self.finished_ns[line] = timer.end()
                if collector.violation is not None:
                    return
        except (Exception, SystemExit) as error:
            self._fail("push", error)


class _GcWatch:
    """Time every collection of garbage during a run, after one before it if asked."""

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


def one_line(error: BaseException) -> str:
    """Return an exception's type and message without line breaks, cut to 300 characters."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}"[:300] if message else type(error).__name__
