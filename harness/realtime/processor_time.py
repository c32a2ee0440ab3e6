"""The time that a push takes on a core of its own: real time, less that for which others had the core.

Linux counts for every thread how long it was ready to run and had no core (the second figure of `schedstat`).
A push is charged its real time less that of the thread that pushes, and of a thread in another process for
which it waits (`note_elsewhere`). So sleeping, or waiting for a GPU, a socket or other threads, counts;
standing in line behind a busy neighbour does not. The charge is never less than the processor time of both
processes, up to the real time: a thread may stand in line behind another one that works for it. Where the
system does not count, all of the real time is charged.

While the thread waits for others of its process, these may stand in line. Of a thread that has ended the
system tells no more how long it did. So that time is charged, and kept apart as `doubtful_ns`: on a busy host
a miss that it can have made is nobody's.

Between two pushes the thread does the bench's work. What other threads do then, and processes that this one
has started, is the candidate's: it is `between`, and the push before is taken to have lasted as much longer.
"""

from __future__ import annotations

import os
import threading
import time
import weakref

from harness.realtime.own_processes import descendants_ns

Mark = tuple[int, int, int, int]
"""Real time, processor time of the process, time in line for a core, and that of helpers, nanoseconds."""

IN_LINE = 10
"""How many times its own processor time a helping thread may have stood in line: one of so many."""


READINGS, TOGETHER_NS = 4, 50_000
"""How often two figures are read until both are read within so long, nanoseconds."""


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
        return self.both_ns()[1]

    def both_ns(self) -> tuple[int, int]:
        """Return the thread's processor time and its time in line, nanoseconds; 0 as for `read_ns`."""
        if self._number < 0:
            return 0, 0
        try:
            ran, waited, *_ = os.pread(self._number, 128, 0).split()
            return int(ran), int(waited)
        except (OSError, ValueError):
            return 0, 0


class _Account:
    """Hold what other processes did, for which one thread waits."""

    def __init__(self) -> None:
        self.waited_ns = self.ran_ns = self.first_ns = 0
        self.others: weakref.WeakSet[OtherProcess] = weakref.WeakSet()


class _Accounts(threading.local):
    def __init__(self) -> None:
        self.mine = _Account()


_accounts = _Accounts()


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
        self._first_ns, self._waited_ns = self._line.both_ns()
        self._ran_ns = self._processor_ns()

    @property
    def noted_in_line_ns(self) -> int:
        """Return how long its first thread had stood in line for a core at the last note, nanoseconds."""
        return self._waited_ns

    def note(self, account: _Account | None = None) -> None:
        """Say to what times this thread what was done there since the last note.

        Parameters
        ----------
        account
            Of another thread, which waits for it; None for this one's.
        """
        (first_ns, waited_ns), ran_ns = self._line.both_ns(), self._processor_ns()
        account = _accounts.mine if account is None else account
        account.others.add(self)
        _add(account, waited_ns - self._waited_ns, ran_ns - self._ran_ns)
        account.first_ns += max(0, first_ns - self._first_ns)
        self._waited_ns, self._ran_ns, self._first_ns = waited_ns, ran_ns, first_ns

    def _processor_ns(self) -> int:
        try:
            return time.clock_gettime_ns(self._clock)
        except (OSError, AttributeError):  # it has ended, or there is no such clock
            return 0


def note_elsewhere(waited_ns: int, ran_ns: int) -> None:
    """Say to what times this thread what another process did, for which it waits.

    Parameters
    ----------
    waited_ns, ran_ns
        How long its thread stood in line for a core, and its processor time, nanoseconds.
    """
    _add(_accounts.mine, waited_ns, ran_ns)


def _add(account: _Account, waited_ns: int, ran_ns: int) -> None:
    account.waited_ns += max(0, waited_ns)
    account.ran_ns += max(0, ran_ns)


class RunningTime:
    """Time what one thread does, without what it spends in line for a core, and what others do for it."""

    def __init__(self) -> None:
        self._thread: int | None = None
        self._line = LineCounter()
        self._account = _accounts.mine
        self._read = (0, 0)  # real time, and processor time of the others, when they were read last
        self._paused: tuple[int, int, int] | None = None  # real time, of the others, of its own processes
        self._between_ns = self._asleep_ns = 0
        self.doubtful_ns = 0
        """Charged time in which the thread waited while others of its process worked, nanoseconds."""

    def mark(self) -> Mark:
        """Return a mark to time from, in the thread that is timed."""
        thread = threading.get_ident()
        if thread != self._thread:
            self._thread, self._line, self._account = thread, LineCounter(), _accounts.mine
        for other in list(self._account.others):
            other.note(self._account)
        paused, started_ns = self._paused, self._started_ns()
        # Whatever is called lets other threads run, and reading a file most of all. So what they do is read
        # last, and one reading ends the time between two pushes and begins the push: nothing falls between.
        for _ in range(READINGS):
            began_ns = time.perf_counter_ns()
            waited_ns = self._line.read_ns() + self._account.waited_ns
            ran_ns = time.process_time_ns() + self._account.ran_ns
            others_ns = ran_ns - self._own_ns()
            now_ns = time.perf_counter_ns()
            if now_ns - began_ns < TOGETHER_NS:  # else this thread stood in line just now, or another one ran
                break
        self._between_ns = 0 if paused is None else _between(paused, now_ns, others_ns, started_ns)
        self._paused = None
        return now_ns, ran_ns, waited_ns, others_ns - self._account.first_ns

    def since(self, mark: Mark) -> int:
        """Return the time since a mark, nanoseconds; any thread may ask.

        Parameters
        ----------
        mark
            What `mark` returned in the thread that is timed.
        """
        now_ns = time.perf_counter_ns()
        ran_ns = time.process_time_ns() + self._account.ran_ns
        others_ns = ran_ns - self._own_ns()
        if (then_ns := time.perf_counter_ns()) - now_ns >= TOGETHER_NS:  # what another one did is of the push
            now_ns = then_ns
        self._read = now_ns, others_ns
        real_ns, processor_ns = now_ns - mark[0], ran_ns - mark[1]
        waited_ns = max(0, self._line.read_ns() + self._account.waited_ns - mark[2])
        charged_ns = max(real_ns - waited_ns, min(real_ns, processor_ns))
        helped_ns = max(0, others_ns - self._account.first_ns - mark[3])
        self._asleep_ns = min(charged_ns - min(real_ns, processor_ns), IN_LINE * helped_ns)
        return charged_ns

    def pause(self) -> None:
        """Say that the thread turns to what is not timed, since it was last asked for the time."""
        self._paused = (*self._read, self._started_ns())
        self.doubtful_ns += self._asleep_ns
        self._asleep_ns = 0

    def between(self) -> int:
        """Return the processor time from the pause to the mark, or to now, that is not this thread's own.

        It is of other threads and of processes for which this thread waits, at most the real time; and that
        of the processes that this one has started; nanoseconds. Any thread may ask.
        """
        paused = self._paused  # read once: another thread may begin the next push
        if paused is None:
            return self._between_ns
        for other in list(self._account.others):
            other.note(self._account)
        started_ns = self._started_ns()
        others_ns = time.process_time_ns() + self._account.ran_ns - self._own_ns()
        return _between(paused, time.perf_counter_ns(), others_ns, started_ns)

    def _started_ns(self) -> int:
        # One that a thread waits for is among the others. It can start none, and nothing is looked for.
        return 0 if self._account.others else descendants_ns()

    def _own_ns(self) -> int:
        if self._thread is None or not hasattr(time, "pthread_getcpuclockid"):
            return time.process_time_ns() + self._account.ran_ns  # then the others' time is not known
        return time.clock_gettime_ns(time.pthread_getcpuclockid(self._thread))


def _between(paused: tuple[int, int, int], now_ns: int, others_ns: int, started_ns: int) -> int:
    others_ns -= paused[1]
    real_ns, started_ns = now_ns - paused[0], started_ns - paused[2]
    charged_ns = others_ns if others_ns < real_ns else real_ns
    return (charged_ns if charged_ns > 0 else 0) + (started_ns if started_ns > 0 else 0)
