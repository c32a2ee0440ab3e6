"""The feed: the lines of a scan in the order in which they arrive at the gate.

A clean feed is the stream itself. A faulty one is a list of events (`harness.realtime.faults` makes them).
Each event is a line of the stream with the fields that it carries, which may be wrong, its time of arrival
and the samples that arrived.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.realtime.schedule import Schedule
from mrsim.stream import Header, Readout, Stream
from mrsim.stream.header import ky_range

# Lines that are converted into Python integers at once: one by one takes several times as long.
CHUNK = 4096
NEVER_NS = (1 << 63) - 1

Event = tuple[int, int, int, int, int, int, int]


@dataclass(frozen=True)
class Feed:
    """Hold the events of one run in the order of their arrival; every column has shape (events,).

    Parameters
    ----------
    stream
        The scan that was sent.
    source
        Line of the stream that each event came from, int64.
    index, frame, ky, t_ns
        Fields that each event carries, int64; a fault may have made them wrong.
    offset_ns
        When it arrives, from the start of the scan, ascending, int64, nanoseconds.
    patch
        Number of the array in `patches` that arrived instead of the line's samples, int64; -1 for the line's.
    patches
        Samples that a fault changed, each of shape (coils, samples), complex64.
    counter_bits
        Width of the counter that `index` was sent in; None if it cannot wrap.
    clean
        Whether every event equals its line, so that none needs a check.
    touched
        Lines of the stream that each kind of fault touched.
    """

    stream: Stream
    source: NDArray[np.int64]
    index: NDArray[np.int64]
    frame: NDArray[np.int64]
    ky: NDArray[np.int64]
    t_ns: NDArray[np.int64]
    offset_ns: NDArray[np.int64]
    patch: NDArray[np.int64]
    patches: tuple[NDArray[np.complex64], ...] = ()
    counter_bits: int | None = None
    clean: bool = True
    touched: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    @classmethod
    def of(cls, stream: Stream, schedule: Schedule) -> Feed:
        """Return the feed without faults: every line arrives unchanged when it is due.

        Parameters
        ----------
        stream
            The scan.
        schedule
            When each line is due.
        """
        line = np.arange(len(stream), dtype=np.int64)
        return cls(
            stream,
            source=line,
            index=line,
            frame=np.asarray(stream.frame),
            ky=np.asarray(stream.ky),
            t_ns=np.asarray(stream.t_ns),
            offset_ns=schedule.offset_ns,
            patch=np.broadcast_to(np.int64(-1), len(stream)),
        )

    def __len__(self) -> int:
        return len(self.source)

    def events(self) -> Iterator[Event]:
        """Yield (source, index, frame, ky, t_ns, offset_ns, patch) as integers, one chunk at a time."""
        columns = (self.source, self.index, self.frame, self.ky, self.t_ns, self.offset_ns, self.patch)
        for start in range(0, len(self), CHUNK):
            yield from zip(*(c[start : start + CHUNK].tolist() for c in columns), strict=True)

    def ready_ns(self) -> NDArray[np.int64]:
        """Return when each frame is complete, or when a later frame is, if that is earlier.

        Once a later frame is complete, the gate waits no longer for lines of an earlier one.

        Returns
        -------
        ready_ns
            Time from the start of the scan, ascending, shape (frames begun,), int64, nanoseconds.
        """
        per_frame = self.stream.header.lines_per_frame
        ready = np.full((len(self.stream) + per_frame - 1) // per_frame, -1, np.int64)
        np.maximum.at(ready, self.source // per_frame, self.offset_ns)
        ready[ready < 0] = NEVER_NS
        return np.minimum.accumulate(ready[::-1])[::-1]


class Intake:
    """Reject events that break the protocol, so that a candidate receives only whole lines with right fields.

    Every event carries its number twice: as a counter and as an echo time. If the two disagree, or the number
    of samples differs from the header's, the event is rejected and the reason is counted. Sample values are
    not checked: the candidate has to cope with one that is not a number.

    Parameters
    ----------
    header
        The scan's protocol.
    counter_bits
        Width of the counter; None if it cannot wrap.
    """

    REASONS = ("truncated", "header", "duplicate", "stale")

    def __init__(self, header: Header, counter_bits: int | None) -> None:
        self._header, self._bits = header, counter_bits
        self._low, self._high = ky_range(header.matrix[0])
        self._seen: set[int] = set()
        self._frame = -1
        self.rejected = dict.fromkeys(self.REASONS, 0)

    def check(
        self, index: int, frame: int, ky: int, t_ns: int, samples: NDArray[np.complex64]
    ) -> Readout | None:
        """Return an event as the line that is handed out, with its full number.

        Parameters
        ----------
        index, frame, ky, t_ns
            Fields that the event carries.
        samples
            Samples that arrived, shape (coils, samples), complex64.

        Returns
        -------
        readout
            None if the event is rejected.
        """
        header = self._header
        reason = None
        if self._bits is not None:
            index += ((t_ns // header.tr_ns) - index + (1 << self._bits - 1)) >> self._bits << self._bits
        if samples.shape != (header.coils, header.matrix[1]):
            reason = "truncated"
        elif (
            t_ns != header.echo_ns(index)
            or frame != index // header.lines_per_frame
            or not self._low <= ky <= self._high
        ):
            reason = "header"
        elif frame < self._frame:
            reason = "stale"  # a later frame has begun, and a reconstructor never goes back
        elif index in self._seen:
            reason = "duplicate"
        if reason is not None:
            self.rejected[reason] += 1
            return None
        if frame > self._frame:
            self._seen.clear()  # older lines are stale from now on, so the set stays small
            self._frame = frame
        self._seen.add(index)
        return Readout(index, frame, ky, t_ns, samples)
