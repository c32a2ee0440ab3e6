"""What the images of some candidates on some streams are worth, in lockstep: exact, and the same every time.

Each task is one candidate on one stream, told by names alone, and needs nothing of the others: so they can be
mapped one after the other, or by an executor over processes or hosts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.candidates.build import candidate_builder
from harness.judge.evaluate import refuse_broken
from harness.judge.verdict import judge_conduct
from harness.measure.image_quality import FrameJudge, FrameScore
from harness.measure.timing import measure
from harness.realtime.clock import VirtualClock
from harness.realtime.replay import replay
from harness.realtime.scenarios import Pace
from mrsim.errors import InputError
from mrsim.stream import Stream, load


@dataclass(frozen=True, slots=True)
class Task:
    """Name one candidate on one stream; it can be pickled.

    Parameters
    ----------
    candidate, stream
        Name of the candidate, and folder of the stream.
    frames
        Only so many first frames; None for all.
    kept
        Frames whose pixels are handed back, too.
    isolate, limit_s, seed
        Whether it runs in a process of its own, its limit for one line there, seconds, and its seed.
    """

    candidate: str
    stream: str
    frames: int | None = None
    kept: tuple[int, ...] = ()
    isolate: bool = False
    limit_s: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class Accuracy:
    """Hold what one candidate's images of one stream are worth.

    Parameters
    ----------
    frames
        Steady frames of which an image came, ascending, shape (n,), int64.
    scores
        Score of each.
    expected
        Number of steady frames.
    kept
        Pixels of the frames that were asked for, as far as they came, by frame.
    broken
        What the candidate did that ended it; empty where nothing did.
    """

    frames: NDArray[np.int64]
    scores: tuple[FrameScore, ...]
    expected: int
    kept: dict[int, NDArray[np.complex64]]
    broken: str


Mapper = Callable[[Callable[[Task], Accuracy], Iterable[Task]], Iterable[Accuracy]]
"""`map`, or what an executor has in its place: results in the order of the tasks."""


def accuracies(tasks: list[Task], mapper: Mapper = map) -> Iterator[Accuracy]:
    """Yield the accuracy of each task, in their order.

    Parameters
    ----------
    tasks
        Candidates on streams.
    mapper
        Does the work; `concurrent.futures.Executor.map` fits.
    """
    yield from mapper(lockstep, tasks)


def load_scan(path: str, frames: int | None) -> Stream:
    """Return a stream, or its first frames.

    Raises
    ------
    InputError
        If it is not one, has no truth, or holds a sample that is not a number.
    """
    stream = load(path)
    stream = stream if frames is None else stream.first_frames(frames)
    if stream.truth is None:
        raise InputError(f"{path}: it has no truth to compare images with; scan it with mrsim simulate")
    stream.check_finite()
    return stream


def lockstep(task: Task) -> Accuracy:
    """Play a stream to a fresh candidate in virtual time, nothing ever late, and score its images.

    Raises
    ------
    InputError
        If the stream or the candidate is not usable, or an image is not one.
    MissingExtraError
        If scikit-image is not installed.
    """
    stream = load_scan(task.stream, task.frames)
    assert stream.truth is not None
    judge = FrameJudge(stream.truth, stream.header)
    candidate = candidate_builder(task.candidate, task.isolate, task.limit_s, (), task.seed)()
    pace = Pace.of("lockstep", VirtualClock())
    run = replay(stream, candidate, pace.clock, pace.service)
    refuse_broken(run, task.candidate)
    timing, pixels = measure(run), run.images.pixels
    assert pixels is not None
    frames = np.flatnonzero(timing.shown[timing.warmup :]) + timing.warmup
    broken = judge_conduct(run)
    return Accuracy(
        frames,
        tuple(judge.score(int(f), pixels[f]) for f in frames),
        timing.images,
        {f: pixels[f].copy() for f in task.kept if f < len(pixels) and timing.shown[f]},
        "" if broken is None else broken.reason,
    )
