"""Clocks: the real one sleeps and then spins, the virtual one jumps. The gate runs on either.

Time is integer nanoseconds from an origin that has no meaning; only differences count.
"""

from __future__ import annotations

import time
from typing import Protocol

from mrsim.errors import InputError

# A sleep ends some 0.1 ms late (Linux, median); spinning the last stretch brings that to about 1 us.
SPIN_NS = 400_000
# Away for longer than this while it waited, a process was not merely woken late: the host stalled it.
STALL_NS = 1_000_000
MAX_STALLS = 256


class Clock(Protocol):
    """Tell the time and wait for it."""

    @property
    def name(self) -> str:
        """Return "real" or "virtual", for the report."""

    def now_ns(self) -> int:
        """Return the time, nanoseconds; it never goes back."""

    def sleep_until_ns(self, t_ns: int) -> None:
        """Return at `t_ns` or as soon after as can be, never before; at once if it has passed."""


class WakeLog:
    """Note how late a clock's sleeps end; written only while it waits, so that it costs the waiter nothing.

    Attributes
    ----------
    count
        Number of sleeps.
    longest_ns
        Longest time for which the process was away beyond what it asked, asleep or spinning, nanoseconds.
    stalls
        When, and how long, for the first `MAX_STALLS` of more than `STALL_NS`.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.count = self.longest_ns = 0
        self.stalls: list[tuple[int, int]] = []

    def note(self, now_ns: int, late_ns: int) -> None:
        """Take down that the process was away for so long, until now."""
        self.longest_ns = max(self.longest_ns, late_ns)
        if late_ns > STALL_NS and len(self.stalls) < MAX_STALLS:
            self.stalls.append((now_ns, late_ns))


class RealClock:
    """Keep the computer's own time (`time.perf_counter_ns`).

    Parameters
    ----------
    spin_ns
        How long before a deadline sleeping gives way to spinning, nanoseconds.

    Attributes
    ----------
    wakes
        How late its sleeps ended.
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
        """Sleep to shortly before `t_ns`, then spin."""
        # Each sleep is measured anew against the absolute deadline: relative sleeps alone drift.
        asked, now, wakes = t_ns - self._spin_ns, time.perf_counter_ns(), self.wakes
        while now < asked:
            time.sleep((asked - now) * 1e-9)
            now = time.perf_counter_ns()
            wakes.count += 1
            wakes.note(now, now - asked)
        while now < t_ns:
            before, now = now, time.perf_counter_ns()
            if now - before > wakes.longest_ns:
                wakes.note(now, now - before)


class VirtualClock:
    """Keep a time that stands still until someone moves it.

    Parameters
    ----------
    start_ns
        Its first time, nanoseconds.
    """

    name = "virtual"

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """Return the time, nanoseconds."""
        return self._now_ns

    def sleep_until_ns(self, t_ns: int) -> None:
        """Jump to `t_ns`; stay where it has passed."""
        if t_ns > self._now_ns:
            self._now_ns = t_ns

    def advance(self, ns: int) -> None:
        """Let so many nanoseconds pass.

        Raises
        ------
        InputError
            If `ns` is negative.
        """
        if ns < 0:
            raise InputError(f"ns = {ns}: a clock cannot go back")
        self._now_ns += ns
