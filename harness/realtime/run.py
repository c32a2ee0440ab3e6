"""The record of a replay: every raw stamp, the fate of every line, and what stopped the run."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.realtime.collector import Images, Violation
from harness.realtime.host import HostLog
from harness.realtime.raised import Traceback
from harness.realtime.schedule import Policy, Schedule


class Fate(enum.IntEnum):
    """Name what happened to a line."""

    UNREACHED = 0
    """The run ended before it was handed out."""
    HANDED = 1
    """It was handed to the candidate."""
    DROPPED = 2
    """The queue's policy dropped its frame, which waited too long."""
    REJECTED = 3
    """It arrived, but broke the protocol."""
    LOST = 4
    """It never arrived."""


@dataclass(frozen=True, slots=True)
class Failure:
    """State where a candidate raised an exception.

    Parameters
    ----------
    stage
        "open", "push" or "close".
    line, frame
        Newest line of k-space that had been handed out and its frame; -1 before the first.
    error
        The exception's type and message, one line.
    traceback
        The calls of the candidate's code that led to it; None where none is known.
    """

    stage: str
    line: int
    frame: int
    error: str
    traceback: Traceback | None = None

    @property
    def what(self) -> str:
        """Return what it raised, at which line of its code, and in which call."""
        at = "" if self.traceback is None else f" ({self.traceback.at})"
        return f"raised {self.error}{at} in {self.stage}"

    def __str__(self) -> str:
        when = "after" if self.stage == "close" else "at"
        where = f" {when} k-space line {self.line} (frame {self.frame})" if self.line >= 0 else ""
        return f"{self.what}{where}"


@dataclass(frozen=True, slots=True)
class Pauses:
    """Count the garbage collector's pauses during a run.

    Parameters
    ----------
    count
        Number of collections.
    total_ns, longest_ns
        Their total and longest real time, nanoseconds.
    """

    count: int
    total_ns: int
    longest_ns: int


@dataclass(frozen=True)
class Run:
    """Keep every raw stamp of a replay, on the gate's clock; arrays have a row for each line of the stream.

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
    policy
        Which frames were dropped when the candidate fell behind.
    fate
        `Fate` of each line, shape (lines,), int8.
    order
        Number of lines that were handed out before each, shape (lines,), int64; -1 if it was not handed out.
    arrived_ns
        When each line arrived (when it was due, unless it was late), shape (lines,), int64, nanoseconds; -1
        if it never did.
    delivered_ns, started_ns, finished_ns
        When each line was handed over, its push began and its push returned, shape (lines,), int64,
        nanoseconds; -1 if it was not.
    dropped_ns
        When the policy dropped each line, shape (lines,), int64, nanoseconds; -1 if it did not.
    rejected
        Number of events that were rejected, by reason. A line that came twice counts twice.
    images
        The images that were emitted.
    open_ns
        Real time that `open` took, nanoseconds.
    pauses
        Pauses of the garbage collector.
    host
        What the host did during the run; None if times were modelled.
    violation
        First breach of the protocol, which stopped the run.
    failure
        Exception of the candidate, which stopped the run.
    times
        Where the times of pushes come from: "measured", "modelled", or "played from FILE".
    """

    clock: str
    t0_ns: int
    tr_ns: int
    te_ns: int
    schedule: Schedule
    policy: Policy
    fate: NDArray[np.int8]
    order: NDArray[np.int64]
    arrived_ns: NDArray[np.int64]
    delivered_ns: NDArray[np.int64]
    started_ns: NDArray[np.int64]
    finished_ns: NDArray[np.int64]
    dropped_ns: NDArray[np.int64]
    rejected: dict[str, int]
    images: Images
    open_ns: int
    pauses: Pauses
    host: HostLog | None
    violation: Violation | None
    failure: Failure | None
    times: str = "measured"

    def named(self, line: int) -> str:
        """Return how messages name a line, so that nobody takes it for one of a file.

        Parameters
        ----------
        line
            Number of the line in the scan.
        """
        return f"k-space line {line} (frame {line // (int(self.schedule.completing[0]) + 1)})"

    @property
    def traceback(self) -> Traceback | None:
        """Return the calls of the candidate's code that led to what it raised; None where none is known."""
        return None if self.failure is None else self.failure.traceback

    @property
    def due_ns(self) -> NDArray[np.int64]:
        """Return when each line was due, shape (lines,), int64, nanoseconds."""
        return self.t0_ns + self.schedule.offset_ns

    @property
    def in_order(self) -> NDArray[np.int64]:
        """Return the lines that were handed out, one after the other, shape (handed,), int64."""
        lines = np.flatnonzero(self.order >= 0)
        return lines[np.argsort(self.order[lines])]

    @property
    def handed(self) -> int:
        """Return the number of lines that were handed out."""
        return int(np.count_nonzero(self.fate == Fate.HANDED))

    @property
    def service_ns(self) -> NDArray[np.int64]:
        """Return how long each push took, shape (lines,), int64, nanoseconds; -1 if there was none."""
        handed = self.fate == Fate.HANDED
        return np.where(handed, self.finished_ns - self.started_ns, -1)

    @property
    def dropped_frames(self) -> int:
        """Return the number of expected images that the policy dropped."""
        return int(np.count_nonzero(self.fate[self.schedule.completing] == Fate.DROPPED))
