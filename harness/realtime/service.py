"""Service times: how long a push takes on the virtual clock, by measurement or by a model.

On the real clock a push takes its real time. The virtual clock stands still, and one of these models says how
much time passes. So a queue can be tested exactly, and measured times can be played again on a host that is
too busy for a deadline.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.realtime.clock import Clock
from mrsim.errors import InputError


class ServiceModel(Protocol):
    """Model the virtual time that a push takes."""

    def cost_ns(self, line: int, wall_ns: int) -> int:
        """Return the virtual time since a push began, nanoseconds.

        Parameters
        ----------
        line
            Line that was pushed.
        wall_ns
            Real time since the push began, nanoseconds.
        """


class MeasuredService:
    """Let each push take its real time.

    Attributes
    ----------
    timer
        Clock that times a push, nanoseconds.
    """

    timer: Callable[[], int] = staticmethod(time.perf_counter_ns)

    def cost_ns(self, line: int, wall_ns: int) -> int:
        """Return the real time of the push, nanoseconds.

        Parameters
        ----------
        line
            Line that was pushed.
        wall_ns
            Real time since the push began, nanoseconds.
        """
        return wall_ns


class ConstantService:
    """Let every push take the same time; 0 is lockstep, in which nothing is ever late.

    Parameters
    ----------
    service_ns
        Time of a push, nanoseconds.

    Raises
    ------
    InputError
        If it is negative.
    """

    def __init__(self, service_ns: int) -> None:
        if service_ns < 0:
            raise InputError(f"service_ns = {service_ns}: expected 0 or more")
        self._service_ns = service_ns

    def cost_ns(self, line: int, wall_ns: int) -> int:
        """Return the constant, nanoseconds.

        Parameters
        ----------
        line
            Line that was pushed.
        wall_ns
            Real time since the push began, nanoseconds.
        """
        return self._service_ns


class TableService:
    """Let each line's push take its own time.

    Parameters
    ----------
    service_ns
        Time of each push, shape (lines,), int64, nanoseconds.

    Raises
    ------
    InputError
        If it is not a column of times of 0 or more.
    """

    def __init__(self, service_ns: NDArray[np.int64]) -> None:
        table = np.asarray(service_ns, dtype=np.int64)
        if table.ndim != 1 or not len(table) or int(table.min()) < 0:
            raise InputError(
                f"service_ns: shape {table.shape}: expected a time of 0 ns or more for each line"
            )
        self._table = table

    def cost_ns(self, line: int, wall_ns: int) -> int:
        """Return the line's time, nanoseconds.

        Parameters
        ----------
        line
            Line that was pushed.
        wall_ns
            Real time since the push began, nanoseconds; not used.

        Raises
        ------
        InputError
            If the table ends before the line.
        """
        if line >= len(self._table):
            raise InputError(
                f"service_ns: it has {len(self._table)} lines, the stream asks for k-space line {line}"
            )
        return int(self._table[line])


class PushTimer:
    """Stamp the start and the end of a push, and every image that is emitted during it, from any thread.

    Parameters
    ----------
    clock
        The gate's clock.
    model
        Model of the service time; None if the clock runs during a push.
    """

    def __init__(self, clock: Clock, model: ServiceModel | None) -> None:
        self._clock, self._model = clock, model
        # Only a model that uses the real time pays for reading it.
        self._wall_ns = model.timer if isinstance(model, MeasuredService) else _no_time
        self._pushing: tuple[int, int, int] | None = None  # line, started, real start

    def begin(self, line: int) -> int:
        """Stamp the start of a push.

        Parameters
        ----------
        line
            Line that is pushed.

        Returns
        -------
        started_ns
            Time now, nanoseconds.
        """
        started_ns = self._clock.now_ns()
        if self._model is not None:
            self._pushing = (line, started_ns, self._wall_ns())
        return started_ns

    def stamp_ns(self) -> int:
        """Return the time now, nanoseconds; during a push it includes the push's time so far."""
        pushing = self._pushing  # read once: another thread may end the push
        if pushing is None or self._model is None:
            return self._clock.now_ns()
        line, started_ns, wall_ns = pushing
        return started_ns + self._model.cost_ns(line, self._wall_ns() - wall_ns)

    def end(self) -> int:
        """Let the push's time pass and return the stamp of its end, nanoseconds."""
        if self._model is not None:
            self._clock.sleep_until_ns(self.stamp_ns())
            self._pushing = None
        return self._clock.now_ns()


def _no_time() -> int:
    return 0
