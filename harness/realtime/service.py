"""Service times: how long a push takes on the virtual clock, by measurement or by a model.

On the real clock a push takes its real time. The virtual clock stands still, and one of these models says how
much time passes. So a queue can be tested exactly, and measured times can be played again on a host that is
too busy for a deadline.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.realtime.clock import Clock
from harness.realtime.processor_time import Mark, RunningTime
from mrsim.errors import InputError

MEASURED, MODELLED = "measured", "modelled"
ANY_TIME = -1


class ServiceModel(Protocol):
    """Model the virtual time that a push takes."""

    @property
    def times(self) -> str:
        """Return where its times come from: "measured", "modelled", or "played from FILE"."""

    def mark(self) -> Any:
        """Return what `cost_ns` needs to know of the start of a push; called when it starts."""

    def cost_ns(self, line: int, mark: Any) -> int:
        """Return the virtual time since a push began, nanoseconds.

        Parameters
        ----------
        line
            Line that was pushed.
        mark
            What `mark` returned when the push began.
        """

    def pause(self) -> None:
        """Take the end of a push."""

    def between_ns(self) -> int:
        """Return the virtual time from the end of a push to the next, or to now, nanoseconds."""


class Unpaused:
    """Take no time between two pushes."""

    def pause(self) -> None:
        """Take the end of a push: nothing is measured after it."""

    def between_ns(self) -> int:
        """Return 0: nothing was measured since a push ended."""
        return 0


class MeasuredService:
    """Let each push take its real time, less what its thread spent in line for a core (`processor_time`)."""

    times = MEASURED

    def __init__(self) -> None:
        self._running = RunningTime()

    @property
    def doubtful_ns(self) -> int:
        """Return how much of the times a busy host may have made, while threads waited for others."""
        return self._running.doubtful_ns

    def mark(self) -> Mark:
        """Return a mark to time from."""
        return self._running.mark()

    def cost_ns(self, line: int, mark: Mark) -> int:
        """Return the time of the push so far, nanoseconds.

        Parameters
        ----------
        line
            Line that was pushed.
        mark
            What `mark` returned when the push began.
        """
        return self._running.since(mark)

    def pause(self) -> None:
        """Take the end of a push."""
        self._running.pause()

    def between_ns(self) -> int:
        """Return what the candidate computed from the end of a push to the next, or to now, nanoseconds."""
        return self._running.between()


class ConstantService(Unpaused):
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

    times = MODELLED

    def __init__(self, service_ns: int) -> None:
        if service_ns < 0:
            raise InputError(f"service_ns = {service_ns}: expected 0 or more")
        self._service_ns = service_ns

    def mark(self) -> None:
        """Return nothing: the start does not matter."""

    def cost_ns(self, line: int, mark: object = None) -> int:
        """Return the constant, nanoseconds.

        Parameters
        ----------
        line
            Line that was pushed.
        mark
            Not used.
        """
        return self._service_ns


class TableService(Unpaused):
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

    times = MODELLED

    def __init__(self, service_ns: NDArray[np.int64]) -> None:
        table = np.asarray(service_ns, dtype=np.int64)
        if table.ndim != 1 or not len(table) or int(table.min()) < 0:
            raise InputError(
                f"service_ns: shape {table.shape}: expected a time of 0 ns or more for each line"
            )
        self._table = table

    def mark(self) -> None:
        """Return nothing: the start does not matter."""

    def cost_ns(self, line: int, mark: object = None) -> int:
        """Return the line's time, nanoseconds.

        Parameters
        ----------
        line
            Line that was pushed.
        mark
            Not used.

        Raises
        ------
        InputError
            If the table ends before the line.
        """
        if line >= len(self._table):
            raise InputError(f"service_ns: it has {len(self._table)} lines, k-space line {line} is played")
        return int(self._table[line])

    def delivered_ns(self, line: int) -> int:
        """Return when a line is handed over at the earliest, from the start of the scan: any time.

        Parameters
        ----------
        line
            Line that is handed over.
        """
        return ANY_TIME

    def started_ns(self, line: int) -> int:
        """Return when its push begins at the earliest, from the start of the scan: any time.

        Parameters
        ----------
        line
            Line that is pushed.
        """
        return ANY_TIME


class PushTimer:
    """Stamp the delivery of a line, the start and the end of its push, and images that are emitted.

    Parameters
    ----------
    clock
        The gate's clock.
    model
        Model of the service time; None if the clock runs during a push.
    """

    def __init__(self, clock: Clock, model: ServiceModel | None) -> None:
        self._clock, self._model = clock, model
        self._table = model if isinstance(model, TableService) else None
        self._t0_ns = self._ended_ns = 0
        self._pushing: tuple[int, int, Any] | None = None  # line, started, what the model marked

    def start(self, t0_ns: int) -> None:
        """Take the start of the scan, from which recorded stamps count.

        Parameters
        ----------
        t0_ns
            Start of the scan, nanoseconds.
        """
        self._t0_ns = t0_ns

    def deliver(self, line: int) -> int:
        """Stamp the delivery of a line.

        Parameters
        ----------
        line
            Line that is handed over.

        Returns
        -------
        delivered_ns
            Time now, nanoseconds.
        """
        if self._table is not None:
            self._clock.sleep_until_ns(self._t0_ns + self._table.delivered_ns(line))
        return self._clock.now_ns()

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
        if self._table is not None:
            self._clock.sleep_until_ns(self._t0_ns + self._table.started_ns(line))
        if self._model is None:
            return self._clock.now_ns()
        mark = self._model.mark()
        # What it did since the last push, it did before this one: in idle time it delays nothing.
        self._clock.sleep_until_ns(self._ended_ns + self._model.between_ns())
        started_ns = self._clock.now_ns()
        self._pushing = (line, started_ns, mark)
        return started_ns

    def stamp_ns(self) -> int:
        """Return the time now, nanoseconds; during a push it includes the push's time so far."""
        pushing = self._pushing  # read once: another thread may end the push
        if self._model is None:
            return self._clock.now_ns()
        if pushing is None:
            return max(self._clock.now_ns(), self._ended_ns + self._model.between_ns())
        line, started_ns, mark = pushing
        return started_ns + self._model.cost_ns(line, mark)

    def end(self) -> int:
        """Let the push's time pass and return the stamp of its end, nanoseconds."""
        if self._model is not None:
            self._clock.sleep_until_ns(self.stamp_ns())
            self._ended_ns, self._pushing = self._clock.now_ns(), None
            self._model.pause()
        return self._clock.now_ns()
