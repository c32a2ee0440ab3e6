"""What arrives at the gate: the lines of a scan in the order of their arrival, faults and all.

A clean feed is the stream itself. A faulty one is a list of events, each a line of the stream with what it
says of itself (which may be wrong), when it arrives and how much of it (`harness.realtime.faults` makes
them).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.realtime.schedule import Schedule
from mrsim.stream import Header, Readout, Stream
from mrsim.stream.header import ky_range

# Lines whose numbers are turned into Python integers at once: one by one costs several times as much.
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
        What each event says of itself, int64.
    offset_ns
        When it arrives, from the start of the scan, ascending, int64, nanoseconds.
    patch
        Number of the array in `patches` that came instead of the line's own samples, int64; -1 for its own.
    patches
        Samples that were changed on the way.
    counter_bits
        Width of the counter that `index` was sent in; None where it cannot wrap.
    clean
        Whether no event can be other than its line, so that none need be checked.
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
        """Return every line as it is, when it is due."""
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
        """Yield (source, index, frame, ky, t_ns, offset_ns, patch) as integers, a bounded piece at a time."""
        columns = (self.source, self.index, self.frame, self.ky, self.t_ns, self.offset_ns, self.patch)
        for start in range(0, len(self), CHUNK):
            yield from zip(*(c[start : start + CHUNK].tolist() for c in columns), strict=True)

    def ready_ns(self) -> NDArray[np.int64]:
        """Return when each frame has arrived, or a later one has, ascending, shape (frames begun,), int64.

        Once a later frame is whole nothing more is awaited of an earlier one, lost or late as it may be.
        """
        per_frame = self.stream.header.lines_per_frame
        ready = np.full((len(self.stream) + per_frame - 1) // per_frame, -1, np.int64)
        np.maximum.at(ready, self.source // per_frame, self.offset_ns)
        ready[ready < 0] = NEVER_NS
        return np.minimum.accumulate(ready[::-1])[::-1]


class Intake:
    """Let through what keeps to the protocol, so that a candidate is only ever handed whole, true lines.

    Every event carries its own number twice, by counter and by echo time; where they disagree, or the samples
    are not as many as the header says, the event is rejected and its reason counted. Values are not
    judged here: a sample that is not a number is the candidate's to cope with.

    Parameters
    ----------
    header
        The scan's protocol.
    counter_bits
        Width of the counter, where it can wrap.
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
        """Return the line as it is handed out, with its whole number; None where it is rejected."""
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
            self._seen.clear()  # older lines are stale from here on, so that nothing grows
            self._frame = frame
        self._seen.add(index)
        return Readout(index, frame, ky, t_ns, samples)
