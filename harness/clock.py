"""Clocks: the real one sleeps and then spins, the virtual one jumps. The gate runs on either.

Time is integer nanoseconds from an origin that has no meaning; only differences count.
"""

from __future__ import annotations

import time
from typing import Protocol

from mrsim.errors import InputError

# A sleep ends some 0.1 ms late (Linux, median); spinning the last stretch brings that to about 1 us.
SPIN_NS = 400_000


class Clock(Protocol):
    """Tell the time and wait for it."""

    @property
    def name(self) -> str:
        """Return "real" or "virtual", for the report."""

    def now_ns(self) -> int:
        """Return the time, nanoseconds; it never goes back."""

    def sleep_until_ns(self, t_ns: int) -> None:
        """Return at `t_ns` or as soon after as can be, never before; at once if it has passed."""


class RealClock:
    """Keep the computer's own time (`time.perf_counter_ns`).

    Parameters
    ----------
    spin_ns
        How long before a deadline sleeping gives way to spinning, nanoseconds.
    """

    name = "real"

    def __init__(self, spin_ns: int = SPIN_NS) -> None:
        if spin_ns < 0:
            raise InputError(f"spin_ns = {spin_ns}: expected 0 or more")
        self._spin_ns = spin_ns

    def now_ns(self) -> int:
        """Return the time, nanoseconds."""
        return time.perf_counter_ns()

    def sleep_until_ns(self, t_ns: int) -> None:
        """Sleep to shortly before `t_ns`, then spin."""
        # Each sleep is measured anew against the absolute deadline: relative sleeps alone drift.
        while (left := t_ns - self._spin_ns - time.perf_counter_ns()) > 0:
            time.sleep(left * 1e-9)
        while time.perf_counter_ns() < t_ns:
            pass


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
        self._now_ns = max(self._now_ns, t_ns)

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
