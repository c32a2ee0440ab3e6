"""The time that a push takes on a core of its own: real time, less that for which others had the core.

Linux counts for every thread how long it was ready to run and had no core (the second figure of `schedstat`).
A push is charged its real time less that of the thread that pushes, and of a thread in another process for
which it waits (`note_elsewhere`). So sleeping, or waiting for a GPU, a socket or other threads, counts;
standing in line behind a busy neighbour does not. The charge is never less than the processor time of both
processes, up to the real time: a thread may stand in line behind another one that works for it. Where the
system does not count, all of the real time is charged.
"""

from __future__ import annotations

import os
import threading
import time
import weakref

Mark = tuple[int, int, int]
"""Real time, processor time of the process, and time in line for a core, nanoseconds."""


class LineCounter:
    """Read how long a thread has stood in line for a core; opened once and read in place.

    Parameters
    ----------
    process
        Process of which the first thread is read; None for the thread that calls.
    """

    def __init__(self, process: int | None = None) -> None:
        where = "thread-self" if process is None else f"{process}/task/{process}"
        try:
            self._number = os.open(f"/proc/{where}/schedstat", os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError:
            self._number = -1
        else:
            weakref.finalize(self, os.close, self._number)

    def read_ns(self) -> int:
        """Return the time, nanoseconds; 0 where the system does not count, or the thread has ended."""
        if self._number < 0:
            return 0
        try:
            return int(os.pread(self._number, 128, 0).split()[1])
        except (OSError, LookupError, ValueError):
            return 0


class OtherProcess:
    """Read what another process, for which a thread of this one waits, does meanwhile.

    Parameters
    ----------
    process
        Its number.
    """

    def __init__(self, process: int) -> None:
        self._clock = (~process << 3) | 2  # the system's number for the clock of its processor time
        self._line = LineCounter(process)
        self._waited_ns, self._ran_ns = self._line.read_ns(), self._processor_ns()

    def note(self) -> None:
        """Say to what times this thread what was done there since the last note."""
        waited_ns, ran_ns = self._line.read_ns(), self._processor_ns()
        note_elsewhere(waited_ns - self._waited_ns, ran_ns - self._ran_ns)
        self._waited_ns, self._ran_ns = waited_ns, ran_ns

    def _processor_ns(self) -> int:
        try:
            return time.clock_gettime_ns(self._clock)
        except (OSError, AttributeError):  # it has ended, or there is no such clock
            return 0


class _Elsewhere(threading.local):
    waited_ns = ran_ns = 0


_elsewhere = _Elsewhere()


def note_elsewhere(waited_ns: int, ran_ns: int) -> None:
    """Say to what times this thread what another process did, for which it waits.

    Parameters
    ----------
    waited_ns, ran_ns
        How long its thread stood in line for a core, and its processor time, nanoseconds.
    """
    _elsewhere.waited_ns += max(0, waited_ns)
    _elsewhere.ran_ns += max(0, ran_ns)


class RunningTime:
    """Time what one thread does, without what it spends in line for a core."""

    def __init__(self) -> None:
        self._thread: int | None = None
        self._line = LineCounter()

    def mark(self) -> Mark:
        """Return a mark to time from, in the thread that is timed."""
        thread = threading.get_ident()
        if thread != self._thread:
            self._thread, self._line = thread, LineCounter()
        # The real time is read last here and first in `since`: reading the others is not charged.
        waited_ns = self._line.read_ns() + _elsewhere.waited_ns
        processor_ns = time.process_time_ns() + _elsewhere.ran_ns
        return time.perf_counter_ns(), processor_ns, waited_ns

    def since(self, mark: Mark) -> int:
        """Return the time since a mark, nanoseconds; any thread may ask.

        Parameters
        ----------
        mark
            What `mark` returned in the thread that is timed.
        """
        real_ns = time.perf_counter_ns() - mark[0]
        processor_ns = time.process_time_ns() + _elsewhere.ran_ns - mark[1]
        waited_ns = max(0, self._line.read_ns() + _elsewhere.waited_ns - mark[2])
        return max(real_ns - waited_ns, min(real_ns, processor_ns))
