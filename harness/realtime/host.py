"""The host during a run: how much others used its cores, how long the gate waited for one, how late it woke.

The system's counters are read once before a run and once after it. During the run only the clock records
anything, and only while the gate waits (`harness.realtime.clock.WakeLog`). A figure that a system does not
provide is None, and nothing is concluded from it.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.realtime.clock import RealClock
from harness.realtime.environment import torch_threads, usable_cores
from harness.realtime.own_processes import descendants_ns

# Number and spacing of wake-ups before a run: enough to recognise a busy host in 30 ms.
PROBES = 30
PROBE_NS = 1_000_000
MAX_THREADS = 1024
BUSY_CORES = 0.25  # the system itself may use a quarter of a core


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Hold the system's counters at one instant; None where it does not provide them.

    Parameters
    ----------
    wall_ns, process_ns
        Time now, and the processor time that this process and those that it started have used, nanoseconds.
    waited_ns
        Time for which this thread was ready to run and had no core, nanoseconds.
    others_waited_ns
        The same of each other thread of this process, by its number, nanoseconds.
    busy_ns, stolen_ns
        Processor time that all processes used, and that the hypervisor took, nanoseconds.
    throttled_ns
        Time for which a limit on this group of processes stopped it, nanoseconds.
    probe_ns
        Greatest lateness of some wake-ups just before, nanoseconds.
    """

    wall_ns: int
    process_ns: int
    waited_ns: int | None
    others_waited_ns: dict[int, int] | None
    busy_ns: int | None
    stolen_ns: int | None
    throttled_ns: int | None
    probe_ns: int | None


@dataclass(frozen=True, slots=True)
class HostLog:
    """Hold what the host did during a run; None where the system does not provide a figure.

    Parameters
    ----------
    wall_ns
        Length of the run, nanoseconds.
    cores
        Cores that this process may use.
    others
        Number of cores that other processes used, on average.
    waited_ns
        Time for which the gate's thread was ready and had no core, nanoseconds.
    stolen_ns, throttled_ns
        Processor time that the hypervisor took, and time for which a limit on this group of processes stopped
        it, nanoseconds.
    probe_ns
        Greatest lateness of the wake-ups before the run, nanoseconds.
    wakes
        Number of wake-ups during the run, in the gate's idle time.
    longest_stall_ns
        Longest time for which the gate was away while it waited, nanoseconds.
    threads
        Number of threads that torch uses; None if it is not loaded.
    load
        Mean number of processes that ran or waited over the last minute.
    stalls
        End (on the gate's clock) and length of the first stalls of more than a millisecond in the gate's idle
        time, nanoseconds.
    helpers_ns
        Time for which other threads of this process, those of the candidate, were ready and had no core, all
        together, nanoseconds.
    """

    wall_ns: int
    cores: int
    others: float | None
    waited_ns: int | None
    stolen_ns: int | None
    throttled_ns: int | None
    probe_ns: int | None
    wakes: int
    longest_stall_ns: int
    threads: int | None
    load: float | None
    stalls: tuple[tuple[int, int], ...] = ()
    helpers_ns: int | None = None

    def causes(self, charged: bool = True) -> list[str]:
        """Return what can have made the run late, in plain words, likeliest first; empty for a quiet host.

        Parameters
        ----------
        charged
            Whether the time for which the gate waited for a core is in the run's times.
        """
        causes = []
        if self.throttled_ns:
            causes.append(
                f"a limit on this group of processes stopped it for {self.throttled_ns / 1e6:.0f} ms"
            )
        if self.stolen_ns is not None and self.stolen_ns > 0.02 * self.wall_ns * self.cores:
            causes.append(f"the machine beneath took {self.stolen_ns / 1e6:.0f} ms of processor time")
        if self.threads is not None and self.threads > self.cores:
            causes.append(
                f"torch computes with {self.threads} threads on {self.cores} cores (oversubscribed)"
            )
        if self.others is not None and self.others > BUSY_CORES:
            causes.append(f"other processes used {self.others:.1f} of {self.cores} cores")
        if self.helpers_ns is not None and self.helpers_ns > 0.01 * self.wall_ns:
            causes.append(f"its other threads waited for a core for {self.helpers_ns / 1e6:.0f} ms")
        if charged and self.waited_ns is not None and self.waited_ns > 0.01 * self.wall_ns:
            share = self.waited_ns / self.wall_ns
            causes.append(f"the gate waited for a core for {self.waited_ns / 1e6:.0f} ms ({share:.0%})")
        return causes


def with_doubt(log: HostLog, doubtful_ns: int) -> HostLog:
    """Return a log in which helpers may have waited for as long as is in doubt, if others used the cores.

    Parameters
    ----------
    log
        The log.
    doubtful_ns
        Time in which the gate's thread waited while others of its process worked, nanoseconds.
    """
    if log.others is None or log.others <= BUSY_CORES:
        return log
    return replace(log, helpers_ns=max(log.helpers_ns or 0, doubtful_ns))


def take_snapshot(clock: RealClock | None) -> Snapshot:
    """Read the system's counters.

    Parameters
    ----------
    clock
        Clock of the run; its log is cleared after some wake-ups that test the host. None for a virtual clock.
    """
    probe_ns = None
    if clock is not None:
        probe_ns = int(probe(clock).max())
        clock.wakes.clear()
    busy_ns, stolen_ns = _processors()
    return Snapshot(
        time.perf_counter_ns(),
        time.process_time_ns() + descendants_ns(),
        _waited_ns(),
        _others_waited_ns(),
        busy_ns,
        stolen_ns,
        _throttled_ns(),
        probe_ns,
    )


def changes_since(before: Snapshot, clock: RealClock | None) -> HostLog:
    """Read the counters again and return what happened in between.

    Parameters
    ----------
    before
        Counters at the start.
    clock
        Clock of the run; None for a virtual clock.
    """
    waited_ns, others_ns, throttled_ns = _waited_ns(), _others_waited_ns(), _throttled_ns()
    busy_ns, stolen_ns = _processors()
    wall_ns = max(time.perf_counter_ns() - before.wall_ns, 1)
    own_ns = max(0, time.process_time_ns() + descendants_ns() - before.process_ns)
    all_ns = _since(before.busy_ns, busy_ns)
    # The system counts in ticks of 10 ms: in a shorter run it cannot attribute them.
    long_enough = wall_ns > 200_000_000
    return HostLog(
        wall_ns=wall_ns,
        cores=usable_cores(),
        others=max(0.0, (all_ns - own_ns) / wall_ns) if long_enough and all_ns is not None else None,
        waited_ns=_since(before.waited_ns, waited_ns),
        stolen_ns=_since(before.stolen_ns, stolen_ns),
        throttled_ns=_since(before.throttled_ns, throttled_ns),
        probe_ns=before.probe_ns,
        wakes=0 if clock is None else clock.wakes.count,
        longest_stall_ns=0 if clock is None else clock.wakes.longest_ns,
        threads=torch_threads(),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        stalls=() if clock is None else tuple(clock.wakes.stalls),
        helpers_ns=_helpers_ns(before.others_waited_ns, others_ns),
    )


def probe(clock: RealClock, wakes: int = PROBES) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Measure how late some waits end that are a millisecond apart.

    Parameters
    ----------
    clock
        Clock that waits.
    wakes
        Number of waits.

    Returns
    -------
    late_ns
        Lateness of each, shape (wakes,), int64, nanoseconds.
    """
    late = np.empty(wakes, np.int64)
    deadline = clock.now_ns()
    for wake in range(wakes):
        # A deadline that the last wait overran is moved: else its lateness would count twice.
        deadline = max(deadline, clock.now_ns()) + PROBE_NS
        clock.sleep_until_ns(deadline)
        late[wake] = clock.now_ns() - deadline
    return late


def _since(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(0, after - before)


def _helpers_ns(before: dict[int, int] | None, after: dict[int, int] | None) -> int | None:
    if before is None or after is None:
        return None
    # A thread that was started meanwhile began at 0; what one that has ended waited is not known.
    return sum(max(0, waited_ns - before.get(number, 0)) for number, waited_ns in after.items())


def _waited_ns(thread: str = "thread-self") -> int | None:
    """Return the time on a run queue, nanoseconds: the second figure of schedstat."""
    fields = _read(f"/proc/{thread}/schedstat").split()
    return int(fields[1]) if len(fields) == 3 and fields[1].isdigit() else None


def _others_waited_ns() -> dict[int, int] | None:
    """Return the time on a run queue of every thread of this process but this one, nanoseconds."""
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/task") if name.isdigit()][:MAX_THREADS]
    except OSError:
        return None
    waited = {n: _waited_ns(f"self/task/{n}") for n in numbers if n != threading.get_native_id()}
    return {number: waited_ns for number, waited_ns in waited.items() if waited_ns is not None}


def _processors() -> tuple[int | None, int | None]:
    """Return the processor time that all processes used and the time stolen, of all cores, nanoseconds."""
    fields = _read("/proc/stat").partition("\n")[0].split()
    if len(fields) < 9 or fields[0] != "cpu" or not all(f.isdigit() for f in fields[1:9]):
        return None, None
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    user, nice, system, _, _, irq, softirq, steal = (int(f) * tick_ns for f in fields[1:9])
    return user + nice + system + irq + softirq, steal


def _throttled_ns() -> int | None:
    """Return for how long this process's group was throttled (cgroup v2), nanoseconds."""
    group = _read("/proc/self/cgroup").strip().rpartition("::")[2]
    for line in _read(f"/sys/fs/cgroup{group}/cpu.stat").splitlines():
        key, _, value = line.partition(" ")
        if key == "throttled_usec" and value.isdigit():
            return int(value) * 1000
    return None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
