"""Timing: from stamps to response, service, lateness of the bench, misses, queue and age of the shown image.

Three times are kept apart. *Response* = completed - due, which the deadline judges. *Service* = completed -
started, the candidate's own time. *Injector lateness* = delivered - due when nothing was queued, the bench's
own error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.measure.exact_statistics import Summary, clusters, summarise
from harness.realtime.run import Fate, Run
from harness.realtime.schedule import MAX_WARMUP


def default_warmup(images: int) -> int:
    """Return how many first images are reported separately: 8, or a quarter of a short run.

    Parameters
    ----------
    images
        Number of images of the run.
    """
    return min(MAX_WARMUP, images // 4)


@dataclass(frozen=True)
class Timing:
    """Hold the times of one run; arrays have a row for each expected image, nanoseconds.

    Parameters
    ----------
    deadline_ns
        Time allowed between an image's last line being due and its completion, nanoseconds.
    warmup
        Number of first images that are reported separately.
    due_ns, delivered_ns, started_ns, completed_ns
        The four stamps, shape (images,), int64, nanoseconds; -1 for what never happened.
    shown
        Which images came, shape (images,), bool.
    missed
        Which images came late or never, shape (images,), bool.
    response_ns, service_ns
        Response and service, shape (images,), int64, nanoseconds; -1 if no image came.
    injector_ns
        Lateness of every line that arrived at an empty queue, shape (lines,), int64, nanoseconds.
    depth
        Number of lines that waited behind an image's last line when it was handed out, shape (images,),
        int64.
    age_mean_ns, age_max_ns
        Mean over time and maximum of the age of the shown image, from the echo of its newest line,
        nanoseconds; None if fewer than two images came.
    """

    deadline_ns: int
    warmup: int
    due_ns: NDArray[np.int64]
    delivered_ns: NDArray[np.int64]
    started_ns: NDArray[np.int64]
    completed_ns: NDArray[np.int64]
    shown: NDArray[np.bool_]
    missed: NDArray[np.bool_]
    response_ns: NDArray[np.int64]
    service_ns: NDArray[np.int64]
    injector_ns: NDArray[np.int64]
    depth: NDArray[np.int64]
    age_mean_ns: float | None
    age_max_ns: int | None

    def summary(self, name: str) -> Summary:
        """Return the percentiles of one of the times.

        Parameters
        ----------
        name
            "response" or "service" (of the steady images that came), or "injector" (of lines).
        """
        if name == "injector":
            return summarise(self.injector_ns)
        values: NDArray[np.int64] = getattr(self, f"{name}_ns")
        return summarise(values[self.warmup :][self.shown[self.warmup :]])

    @property
    def images(self) -> int:
        """Return the number of steady images that were expected."""
        return len(self.missed) - self.warmup

    @property
    def steady_missed(self) -> NDArray[np.bool_]:
        """Return which steady images came late or never, shape (images,), bool."""
        return self.missed[self.warmup :]

    @property
    def misses(self) -> int:
        """Return the number of steady images that came late or never."""
        return int(self.steady_missed.sum())

    @property
    def episodes(self) -> list[tuple[int, int]]:
        """Return the runs of consecutive misses of steady images: number of the first image, and length."""
        return [(self.warmup + first, length) for first, length in clusters(self.steady_missed)]

    @property
    def longest_run(self) -> int:
        """Return the length of the longest run of misses."""
        return max((length for _, length in self.episodes), default=0)


@dataclass(frozen=True, slots=True)
class Latency:
    """Hold the response of a candidate's steady images: completion minus the time the last line was due.

    Parameters
    ----------
    p50_ms, p95_ms, p99_ms
        Percentiles over the images that came, milliseconds; None for too few images.
    max_ms
        The longest response, milliseconds; None if no image came.
    misses, images
        Number of images that came after the deadline or never, and number of images that were due.
    """

    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    misses: int
    images: int

    @classmethod
    def of(cls, timings: Sequence[Timing]) -> Latency:
        """Return the latency of one run, or of several runs together.

        Parameters
        ----------
        timings
            Times of each run.
        """
        steady = [t.response_ns[t.warmup :][t.shown[t.warmup :]] for t in timings]
        found = summarise(np.concatenate(steady))
        p50, p95, p99, longest = (
            None if ns is None else ns / 1e6 for ns in (found.p50, found.p95, found.p99, found.max)
        )
        misses, images = sum(t.misses for t in timings), sum(t.images for t in timings)
        return cls(p50, p95, p99, longest, misses, images)

    def __str__(self) -> str:
        percentiles = {"p50": self.p50_ms, "p95": self.p95_ms, "p99": self.p99_ms, "max": self.max_ms}
        figures = ", ".join(
            f"{name} {'-' if ms is None else f'{ms:.2f}'}" for name, ms in percentiles.items()
        )
        return f"{figures} ms; {self.misses} of {self.images} images missed"


def measure(run: Run, warmup: int | None = None, deadline_ns: int | None = None) -> Timing:
    """Compute the times of a run from its stamps.

    Parameters
    ----------
    run
        The run.
    warmup
        Number of first images to report separately; None for `default_warmup`.
    deadline_ns
        Time that an image may take from its last line being due, nanoseconds; None for the cadence.
    """
    schedule, images = run.schedule, run.images
    completing = schedule.completing
    deadline_ns = schedule.deadline_ns if deadline_ns is None else deadline_ns
    warmup = default_warmup(len(completing)) if warmup is None else min(warmup, len(completing))
    shown, due = images.shown, run.due_ns
    delivered, started = run.delivered_ns[completing], run.started_ns[completing]
    response = np.where(shown, images.completed_ns - due[completing], -1)
    age_mean, age_max = _age(run)
    return Timing(
        deadline_ns=deadline_ns,
        warmup=warmup,
        due_ns=due[completing],
        delivered_ns=delivered,
        started_ns=started,
        completed_ns=images.completed_ns,
        shown=shown,
        missed=~shown | (response > deadline_ns),
        response_ns=response,
        service_ns=np.where(shown & (started >= 0), images.completed_ns - started, -1),
        injector_ns=_injector(run),
        depth=queue_depth(run)[completing],
        age_mean_ns=age_mean,
        age_max_ns=age_max,
    )


def _injector(run: Run) -> NDArray[np.int64]:
    """Return delivered - arrived of the lines whose predecessor was finished when they arrived."""
    lines = run.in_order  # a line may have overtaken another
    idle = np.ones(len(lines), np.bool_)
    idle[1:] = run.finished_ns[lines[:-1]] <= run.arrived_ns[lines[1:]]
    lateness: NDArray[np.int64] = (run.delivered_ns[lines] - run.arrived_ns[lines])[idle]
    return lateness


def queue_depth(run: Run) -> NDArray[np.int64]:
    """Return how many lines waited behind each line when it was handed out.

    Rejected lines do not wait, and neither do lines that had been dropped by then.

    Parameters
    ----------
    run
        The run.

    Returns
    -------
    depth
        Shape (lines,), int64.
    """
    handed = run.fate == Fate.HANDED
    queued = handed | (run.fate == Fate.DROPPED) | ((run.fate == Fate.UNREACHED) & (run.arrived_ns >= 0))
    arrivals = np.sort(run.arrived_ns[queued])
    gone = np.sort(np.concatenate((run.delivered_ns[handed], run.dropped_ns[run.dropped_ns >= 0])))
    at = run.delivered_ns
    waiting = np.searchsorted(arrivals, at, side="right") - np.searchsorted(gone, at, side="right")
    # Of lines with one stamp the later ones were still waiting.
    order = run.in_order
    after = np.searchsorted(at[order], at[order], side="right") - np.arange(len(order)) - 1
    waiting[order] += after
    return np.where(handed, waiting, 0).astype(np.int64)


def _age(run: Run) -> tuple[float | None, int | None]:
    """Return mean and maximum of the age of the shown image, from the first image to the last."""
    shown = run.images.shown
    completed = run.images.completed_ns[shown]
    # From the frame's own last line, so that a candidate's claim cannot make an image younger.
    echo = run.t0_ns + run.schedule.completing[shown] * run.tr_ns + run.te_ns
    order = np.argsort(completed, kind="stable")
    completed, echo = completed[order], np.maximum.accumulate(echo[order])  # the newest stays on show
    if len(completed) < 2 or completed[0] == completed[-1]:
        return None, None
    held = np.diff(completed)
    start, stop = completed[:-1] - echo[:-1], completed[1:] - echo[:-1]
    return float(np.sum(held * (start + stop) / 2) / held.sum()), int(stop.max())
