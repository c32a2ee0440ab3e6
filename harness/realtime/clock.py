"""Clocks: the real one sleeps and then spins, the virtual one jumps. The gate runs on either.

Times are integer nanoseconds. Their origin has no meaning: only differences count.
"""

from __future__ import annotations

import time
from typing import Protocol

from mrsim.errors import InputError

# A sleep ends some 0.1 ms late (Linux, median); spinning the last stretch brings that to about 1 us.
SPIN_NS = 400_000
# A process that was away for longer than this while it waited was stalled by the host, not just woken late.
STALL_NS = 1_000_000
MAX_STALLS = 256


class Clock(Protocol):
    """Return the time, and wait until a given time."""

    @property
    def name(self) -> str:
        """Return "real" or "virtual", for the report."""

    def now_ns(self) -> int:
        """Return the time, nanoseconds; it never goes back."""

    def sleep_until_ns(self, t_ns: int) -> None:
        """Return at a time or as soon as possible after it, never before; at once if it has passed.

        Parameters
        ----------
        t_ns
            Time to wait for, nanoseconds.
        """


class WakeLog:
    """Record how late a clock's sleeps end.

    The log is written only while the clock waits, so it takes no time from the reconstructor.

    Attributes
    ----------
    count
        Number of sleeps.
    longest_ns
        Longest time for which the process was away beyond what it asked for, asleep or spinning, nanoseconds.
    stalls
        End and length of the first `MAX_STALLS` stalls of more than `STALL_NS`, nanoseconds.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Clear the log."""
        self.count = self.longest_ns = 0
        self.stalls: list[tuple[int, int]] = []

    def note(self, now_ns: int, late_ns: int) -> None:
        """Record a time for which the process was away.

        Parameters
        ----------
        now_ns
            Time at which the process was back, nanoseconds.
        late_ns
            How long it was away, nanoseconds.
        """
        self.longest_ns = max(self.longest_ns, late_ns)
        if late_ns > STALL_NS and len(self.stalls) < MAX_STALLS:
            self.stalls.append((now_ns, late_ns))


class RealClock:
    """Keep the computer's own time (`time.perf_counter_ns`).

    Parameters
    ----------
    spin_ns
        How long before a deadline the clock stops sleeping and spins, nanoseconds.

    Attributes
    ----------
    wakes
        Log of how late its sleeps ended.

    Raises
    ------
    InputError
        If `spin_ns` is negative.
    """

    name = "real"

    def __init__(self, spin_ns: int = SPIN_NS) -> None:
        if spin_ns < 0:
            raise InputError(f"spin_ns = {spin_ns}: expected 0 or more")
        self._spin_ns = spin_ns
        self.wakes = WakeLog()

    def now_ns(self) -> int:
        """Return the time, nanoseconds."""
        return time.perf_counter_ns()

    def sleep_until_ns(self, t_ns: int) -> None:
        """Sleep until shortly before a time, then spin.

        Parameters
        ----------
        t_ns
            Time to wait for, nanoseconds.
        """
        # Each sleep is computed anew from the absolute deadline: relative sleeps drift.
        wake, now, wakes = t_ns - self._spin_ns, time.perf_counter_ns(), self.wakes
        while now < wake:
            time.sleep((wake - now) * 1e-9)
            now = time.perf_counter_ns()
            wakes.count += 1
            wakes.note(now, now - wake)
        while now < t_ns:
            before, now = now, time.perf_counter_ns()
            if now - before > wakes.longest_ns:
                wakes.note(now, now - before)


class VirtualClock:
    """Keep a time that changes only on request.

    Parameters
    ----------
    start_ns
        Time at which it starts, nanoseconds.
    """

    name = "virtual"

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """Return the time, nanoseconds."""
        return self._now_ns

    def sleep_until_ns(self, t_ns: int) -> None:
        """Jump to a time; do nothing if it has passed.

        Parameters
        ----------
        t_ns
            Time to jump to, nanoseconds.
        """
        if t_ns > self._now_ns:
            self._now_ns = t_ns

    def advance(self, ns: int) -> None:
        """Advance the time.

        Parameters
        ----------
        ns
            Time that passes, nanoseconds.

        Raises
        ------
        InputError
            If `ns` is negative.
        """
        if ns < 0:
            raise InputError(f"ns = {ns}: a clock cannot go back")
        self._now_ns += ns
