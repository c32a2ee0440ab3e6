"""Scenarios: how a scan is played.

`constant-stream` is the standard one: an open loop, in which a line is due every TR. `burst` hands out the
next line as soon as the last push returns, so it measures throughput and has no deadline. `lockstep` measures
accuracy: it runs in virtual time, and nothing is ever late. `find-peak` searches for the shortest TR or
stride at which the candidate keeps up (`harness.judge.search`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from harness.realtime.clock import Clock, RealClock, VirtualClock
from harness.realtime.run import Run
from harness.realtime.schedule import Schedule
from harness.realtime.service import ConstantService, MeasuredService, ServiceModel
from mrsim.errors import Option, OptionError
from mrsim.stream import Stream

LOCKSTEP = "lockstep"
"""The scenario in which nothing is ever late: one image after the other, without a deadline."""
SCENARIOS = ("constant-stream", "burst", "find-peak", LOCKSTEP)


@dataclass(frozen=True, slots=True)
class Pace:
    """State the clock on which a scan is played and the time that a push takes on it.

    Parameters
    ----------
    clock
        Real or virtual.
    service
        Model of the time of a push on a virtual clock; None if the clock runs during the push.
    """

    clock: Clock
    service: ServiceModel | None

    @classmethod
    def of(cls, scenario: str, clock: Clock | None, service: ServiceModel | None = None) -> Pace:
        """Return the pace of a scenario.

        Parameters
        ----------
        scenario
            One of `SCENARIOS`.
        clock
            Clock to play on; None for the real clock. `lockstep` always takes a virtual one.
        service
            Model of the time of a push on a virtual clock; None for its measured time.

        Raises
        ------
        InputError
            If the scenario is unknown, or needs another clock or service.
        """
        check_scenario(scenario)
        if scenario == LOCKSTEP:
            if service is not None:
                raise OptionError(
                    "{} takes no service time: leave out {}", Option("scenario", scenario), Option("service")
                )
            return cls(VirtualClock(), ConstantService(0))
        clock = clock or RealClock()
        if clock.name == "real" and service is not None:
            raise OptionError(
                "service times can be played on the virtual clock only: {}", Option("clock", "virtual")
            )
        return cls(clock, service or (MeasuredService() if clock.name == "virtual" else None))


def check_scenario(scenario: str) -> None:
    """Raise an error if a scenario is unknown.

    Parameters
    ----------
    scenario
        Its name.

    Raises
    ------
    InputError
        If it is unknown.
    """
    if scenario not in SCENARIOS:
        raise OptionError("{}: expected one of {}", Option("scenario", scenario), ", ".join(SCENARIOS))


def burst_schedule(stream: Stream) -> Schedule:
    """Return a schedule in which every line is available from the start.

    Parameters
    ----------
    stream
        The scan.
    """
    schedule = Schedule.of(stream)
    return dataclasses.replace(schedule, offset_ns=np.zeros_like(schedule.offset_ns))


def after_burst(run: Run) -> Run:
    """Return a run with every line due when it was handed out, since nothing can be late in a closed loop.

    Parameters
    ----------
    run
        Run of a `burst_schedule`.
    """
    offset_ns = np.where(run.delivered_ns >= 0, run.delivered_ns - run.t0_ns, 0)
    last = int(run.finished_ns.max()) - run.t0_ns if len(offset_ns) else 0
    offset_ns = np.where(run.delivered_ns >= 0, offset_ns, last)
    schedule = dataclasses.replace(run.schedule, offset_ns=offset_ns)
    return dataclasses.replace(run, schedule=schedule, arrived_ns=run.t0_ns + offset_ns)


def lines_per_second(run: Run) -> float | None:
    """Return the number of lines that a run took in a second, from the first line to the last.

    Parameters
    ----------
    run
        The run.

    Returns
    -------
    rate
        None if fewer than two lines were handed out.
    """
    handed = run.delivered_ns >= 0
    if handed.sum() < 2:
        return None
    span = int(run.finished_ns.max()) - int(run.delivered_ns[handed].min())
    return float(handed.sum()) / span * 1e9 if span else None
