"""Stamps to latency: response, service, injector lateness, misses, queue, age of the image on show.

Three times, never mixed: *response* = completed - due, which the deadline judges; *service* =
completed - started, the candidate's own; *injector lateness* = delivered - due where nothing was
queued, the bench's own fault.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.replay import Run
from harness.statistics import Summary, clusters, summarise

MAX_WARMUP = 8


def default_warmup(images: int) -> int:
    """Return how many first images are reported apart: 8, or a quarter of a short run."""
    return min(MAX_WARMUP, images // 4)


@dataclass(frozen=True)
class Timing:
    """Hold the times of one run; arrays have a row for each expected image, nanoseconds.

    Parameters
    ----------
    deadline_ns
        Time allowed between an image's last line being due and its completion.
    warmup
        Number of first images that are reported apart.
    due_ns, delivered_ns, started_ns, completed_ns
        The four stamps, shape (images,), int64; -1 where that never happened.
    shown
        Which images came, shape (images,), bool.
    missed
        Which images came late or never, shape (images,), bool.
    response_ns, service_ns
        Shape (images,), int64; -1 where no image came.
    injector_ns
        Lateness of every line that found nothing queued, shape (lines,), int64.
    depth
        Lines that waited behind an image's last line when that was handed over, shape (images,), int64.
    age_mean_ns, age_max_ns
        Age of the image on show, echo of its newest line to now: over time, and at its worst; None where
        fewer than two images came.
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
        """Return the percentiles of `response`, `service` (steady images that came) or `injector` (lines)."""
        if name == "injector":
            return summarise(self.injector_ns)
        values: NDArray[np.int64] = getattr(self, f"{name}_ns")
        return summarise(values[self.warmup :][self.shown[self.warmup :]])

    @property
    def images(self) -> int:
        """Return the number of steady images that were expected."""
        return len(self.missed) - self.warmup

    @property
    def misses(self) -> int:
        """Return the number of steady images that came late or never."""
        return int(self.missed[self.warmup :].sum())

    @property
    def episodes(self) -> list[tuple[int, int]]:
        """Return the runs of consecutive steady misses: number of the first image, length."""
        return [(self.warmup + first, length) for first, length in clusters(self.missed[self.warmup :])]

    @property
    def longest_run(self) -> int:
        """Return the length of the longest run of misses."""
        return max((length for _, length in self.episodes), default=0)


def measure(run: Run, warmup: int | None = None) -> Timing:
    """Turn the stamps of a run into times.

    Parameters
    ----------
    run
        The run.
    warmup
        Number of first images to report apart; None for `default_warmup`.
    """
    schedule, images, handed = run.schedule, run.images, run.handed
    completing = schedule.completing
    warmup = default_warmup(len(completing)) if warmup is None else min(warmup, len(completing))
    shown, due = images.shown, run.due_ns
    reached = completing < handed
    stamps = [np.where(reached, column[completing], -1) for column in (run.delivered_ns, run.started_ns)]
    response = np.where(shown, images.completed_ns - due[completing], -1)
    age_mean, age_max = _age(run)
    return Timing(
        deadline_ns=schedule.deadline_ns,
        warmup=warmup,
        due_ns=due[completing],
        delivered_ns=stamps[0],
        started_ns=stamps[1],
        completed_ns=images.completed_ns,
        shown=shown,
        missed=~shown | (response > schedule.deadline_ns),
        response_ns=response,
        service_ns=np.where(shown, images.completed_ns - stamps[1], -1),
        injector_ns=_injector(run, due),
        depth=_depth(run, due)[completing],
        age_mean_ns=age_mean,
        age_max_ns=age_max,
    )


def _injector(run: Run, due: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return delivered - due of the lines whose predecessor had been finished by then."""
    handed = run.handed
    idle = np.ones(handed, np.bool_)
    idle[1:] = run.finished_ns[: max(handed - 1, 0)] <= due[1:handed]
    lateness: NDArray[np.int64] = (run.delivered_ns[:handed] - due[:handed])[idle]
    return lateness


def _depth(run: Run, due: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many later lines were due already when each line was handed over."""
    lines = np.arange(len(due))
    arrived = np.searchsorted(due, run.delivered_ns, side="right")
    return np.where(lines < run.handed, np.maximum(arrived - lines - 1, 0), 0).astype(np.int64)


def _age(run: Run) -> tuple[float | None, int | None]:
    """Return mean and maximum of the age of the image on show, from the first image to the last."""
    shown = run.images.shown
    completed = run.images.completed_ns[shown]
    # By the frame's own last line: what the candidate says of itself cannot make an image younger.
    echo = run.t0_ns + run.schedule.completing[shown] * run.tr_ns + run.te_ns
    order = np.argsort(completed, kind="stable")
    completed, echo = completed[order], np.maximum.accumulate(echo[order])  # the newest stays on show
    if len(completed) < 2 or completed[0] == completed[-1]:
        return None, None
    held = np.diff(completed)
    start, stop = completed[:-1] - echo[:-1], completed[1:] - echo[:-1]
    return float(np.sum(held * (start + stop) / 2) / held.sum()), int(stop.max())
