"""Validity: whether a run may be judged, or the bench itself or the host was too late.

A candidate that kept its deadline on a bad host kept it. A miss on a bad host cannot be attributed, so the
run is invalid; the cause is named if the system states it. On the virtual clock a busy host alone voids
nothing: what the pushing thread waited for a core is not in its times.
"""

from __future__ import annotations

from harness.measure.exact_statistics import nearest_rank
from harness.measure.timing import Timing
from harness.realtime.host import HostLog
from harness.realtime.run import Run

# Above this share of the deadline, the bench's own lateness could decide the verdict.
MAX_INJECTOR_SHARE = 0.05
# A stall above this share of the deadline can have made an image late.
MAX_STALL_SHARE = 0.5
# If the host took more than this share of a run, its misses cannot be attributed to the candidate.
MAX_LOST_SHARE = 0.05


def why_invalid(run: Run, timing: Timing) -> str | None:
    """Return why a run is no measurement of its candidate, with the cause if it is known.

    Parameters
    ----------
    run
        The run.
    timing
        Its times.

    Returns
    -------
    reason
        None if the run is valid.
    """
    reason = _late(timing) or _stalled(run, timing)
    if reason is None:
        return None
    causes = _causes(run, timing)
    why = "; ".join(causes) if causes else "cause not known"
    return f"{reason}; {why}; free the host and repeat, or charge processor time alone (--clock virtual)"


def _late(timing: Timing) -> str | None:
    if not len(timing.injector_ns):
        return None
    late_ns = int(nearest_rank(timing.injector_ns, 0.99))
    limit_ns = MAX_INJECTOR_SHARE * timing.deadline_ns
    if late_ns <= limit_ns:
        return None
    return (
        f"the bench itself was late: p99 {late_ns / 1e6:.2f} ms over {len(timing.injector_ns)} idle lines, "
        f"above {MAX_INJECTOR_SHARE:.0%} of the deadline ({limit_ns / 1e6:.2f} ms)"
    )


def _stalled(run: Run, timing: Timing) -> str | None:
    """Return how the host can have made images late; an image that never came is the candidate's miss."""
    host = run.host
    late = timing.shown & timing.missed
    late[: timing.warmup] = False
    count = int(late.sum()) + run.dropped_frames
    if host is None or not count:
        return None
    limit_ns = MAX_STALL_SHARE * timing.deadline_ns
    if host.longest_stall_ns > limit_ns:
        return (
            f"{count} images were late, and the host stalled the idle gate for "
            f"{host.longest_stall_ns / 1e6:.1f} ms, above half of the deadline"
        )
    lost_ns = _lost_ns(host, run.clock == "virtual")
    # An image that is later than all the time that the host took is the candidate's miss.
    excess_ns = timing.response_ns[late] - timing.deadline_ns
    if len(excess_ns) and int(excess_ns.min()) > lost_ns:
        return None
    if lost_ns > MAX_LOST_SHARE * host.wall_ns and host.causes(charged=run.clock != "virtual"):
        return (
            f"{count} images were late, and the host kept the bench from running for {lost_ns / 1e6:.0f} ms "
            f"of {host.wall_ns / 1e9:.1f} s"
        )
    return None


def _lost_ns(host: HostLog, virtual: bool) -> int:
    """Return the time that the host may have put into the response of images, nanoseconds.

    A virtual clock does not charge what the gate's thread waited for a core. It does charge what the thread
    waited for other threads, while these waited for one.
    """
    throttled_ns = host.throttled_ns or 0
    if virtual:
        return throttled_ns + (host.stolen_ns or 0) + (host.helpers_ns or 0)
    return throttled_ns + (host.waited_ns or 0)


def _causes(run: Run, timing: Timing) -> list[str]:
    causes = [] if run.host is None else run.host.causes(charged=run.clock != "virtual")
    if run.pauses.longest_ns > MAX_INJECTOR_SHARE * timing.deadline_ns:
        causes.append(
            f"the garbage collector paused the process {run.pauses.count} times, "
            f"for {run.pauses.longest_ns / 1e6:.1f} ms at the longest"
        )
    return causes
