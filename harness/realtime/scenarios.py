"""How a scan is played: at its own pace, as fast as possible, in lockstep, or ever faster until it breaks.

`constant-stream` is the headline: an open loop at TR. `burst` hands out the next line as soon as the last
one is taken, so it measures throughput and no deadline. `lockstep` is for accuracy: virtual time, nothing
ever late. `find-peak` looks for the shortest TR, or stride, at which the cadence holds:
`harness.judge.search`.
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

SCENARIOS = ("constant-stream", "burst", "find-peak", "lockstep")


@dataclass(frozen=True, slots=True)
class Pace:
    """Say on which clock a scan is played and what a push takes there.

    Parameters
    ----------
    clock
        Real or virtual.
    service
        What a push takes on a virtual clock; None where the clock itself runs meanwhile.
    """

    clock: Clock
    service: ServiceModel | None

    @classmethod
    def of(cls, scenario: str, clock: Clock | None, service: ServiceModel | None = None) -> Pace:
        """Return the pace of a scenario.

        Raises
        ------
        InputError
            If the scenario is unknown, or goes with another clock or service.
        """
        check_scenario(scenario)
        if scenario == "lockstep":
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
    """Raise an error if there is no such scenario.

    Raises
    ------
    InputError
        If it is unknown.
    """
    if scenario not in SCENARIOS:
        raise OptionError("{}: expected one of {}", Option("scenario", scenario), ", ".join(SCENARIOS))


def burst_schedule(stream: Stream) -> Schedule:
    """Return a schedule in which every line is there from the start."""
    schedule = Schedule.of(stream)
    return dataclasses.replace(schedule, offset_ns=np.zeros_like(schedule.offset_ns))


def after_burst(run: Run) -> Run:
    """Return the run with every line due when it was handed over: nothing can be late in a closed loop."""
    offset_ns = np.where(run.delivered_ns >= 0, run.delivered_ns - run.t0_ns, 0)
    last = int(run.finished_ns.max()) - run.t0_ns if len(offset_ns) else 0
    offset_ns = np.where(run.delivered_ns >= 0, offset_ns, last)
    schedule = dataclasses.replace(run.schedule, offset_ns=offset_ns)
    return dataclasses.replace(run, schedule=schedule, arrived_ns=run.t0_ns + offset_ns)


def lines_per_second(run: Run) -> float | None:
    """Return how many lines a second a run took, first line to last; None of less than two."""
    given = run.delivered_ns >= 0
    if given.sum() < 2:
        return None
    span = int(run.finished_ns.max()) - int(run.delivered_ns[given].min())
    return float(given.sum()) / span * 1e9 if span else None
