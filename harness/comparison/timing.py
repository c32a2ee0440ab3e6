"""How fast some candidates answer, in turns: whatever the host does strikes all alike.

The scans are cut into segments of a few seconds. Of each segment every candidate is played a fresh replay at
TR, one after the other in an order that is drawn anew, and reversed in every second round so that nobody
profits from his place. Such a block of replays is what is compared. One in which the host spoiled a replay is
played again as a whole, and left out as a whole if that does not help.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.comparison.plan import ComparisonPlan
from harness.comparison.scans import Segment, part_of, segments
from harness.console import Report
from harness.judge.evaluate import refuse_broken
from harness.judge.validity import why_invalid
from harness.judge.verdict import judge_conduct
from harness.measure.image_quality import nmse
from harness.measure.timing import measure
from harness.realtime.clock import Clock, RealClock
from harness.realtime.replay import replay
from mrsim.seeds import child
from mrsim.stream import Stream
from recon.protocol import Builder

TRIES = 3  # of a block that the host spoiled
MAX_SPOILED_SHARE = 0.25  # of the blocks; with more left out, what is left is no fair sample of the host
# Images of one scan that differ by no more than this (NMSE) are the same: only their rounding differs.
SAME_NMSE = 1e-6


@dataclass(frozen=True)
class Block:
    """Hold the replays of one segment, one for each candidate; arrays are of steady images.

    Parameters
    ----------
    segment
        What was played.
    order
        Candidates in the order in which they were played.
    response_ns, service_ns
        Shape (candidates, images), int64; -1 where no image came.
    missed
        Which came late or never, shape (candidates, images), bool.
    reason
        Why the block says nothing; empty where it does.
    """

    segment: Segment
    order: tuple[int, ...]
    response_ns: NDArray[np.int64]
    service_ns: NDArray[np.int64]
    missed: NDArray[np.bool_]
    reason: str


@dataclass(frozen=True)
class Times:
    """Hold all blocks.

    Parameters
    ----------
    blocks
        Those that count, in the order in which they were played.
    again
        How often a block was played again, for the host had spoiled it.
    spoiled
        Why each block that does not count was void.
    planned
        Number of blocks that were to be played.
    broken
        What ended a candidate, by its number.
    other_images
        Candidates that show other images at TR than in lockstep, and of which frame of which stream.
    """

    blocks: tuple[Block, ...]
    again: int
    spoiled: tuple[str, ...]
    planned: int
    broken: dict[int, str]
    other_images: dict[int, str]

    @property
    def reason(self) -> str:
        """Return why these times say nothing; empty where they do."""
        if len(self.spoiled) <= MAX_SPOILED_SHARE * self.planned:
            return ""
        return (
            f"{len(self.spoiled)} of {len(self.spoiled) + len(self.blocks)} blocks were spoiled, "
            f"{TRIES} times each: {self.spoiled[0]}"
        )

    def services(self, candidate: int, stream: int, frames: int) -> NDArray[np.float64]:
        """Return how long a candidate took for every image of a stream, each time that it was played.

        What no replay tells (its first images, a block that the host spoiled) is the median of all that they
        tell.

        Parameters
        ----------
        candidate, stream
            Their numbers.
        frames
            Number of frames of the stream.

        Returns
        -------
        service_ns
            Shape (rounds, frames), float64, nanoseconds; infinite for an image that never came.
        """
        mine = [block for block in self.blocks if block.segment.stream == stream]
        seen: dict[int, int] = {}
        rounds: list[int] = []
        for block in mine:
            rounds.append(seen.get(block.segment.first, 0))
            seen[block.segment.first] = rounds[-1] + 1
        told = np.full((max(seen.values(), default=1), frames), math.nan)
        for number, block in zip(rounds, mine, strict=True):
            service = block.service_ns[candidate].astype(np.float64)
            stop = block.segment.first + block.segment.frames
            told[number, stop - len(service) : stop] = np.where(service < 0, math.inf, service)
        return np.where(np.isnan(told), self._usual(candidate), told)

    def _usual(self, candidate: int) -> float:
        """Return the median of a candidate's times of all images that came; infinite if none did."""
        all_ns = np.concatenate(
            [np.empty(0, np.int64), *(block.service_ns[candidate] for block in self.blocks)]
        )
        came = all_ns[all_ns >= 0]
        return float(np.median(came)) if len(came) else math.inf


def in_memory(stream: Stream, segment: Segment) -> Stream:
    """Return a segment as a scan of its own, without its truth.

    It is copied, so that the first who plays it is not the one who waits for the disk.
    """
    part = part_of(
        dataclasses.replace(stream, truth=None, provenance=None),
        segment.first,
        segment.first + segment.frames,
    )
    columns: dict[str, Any] = {name: np.array(getattr(part, name)) for name in Stream.COLUMNS}
    return dataclasses.replace(part, path=stream.path, **columns)


def turn_order(candidates: int, round_: int, number: int, seed: int) -> tuple[int, ...]:
    """Return who plays when in one block: drawn, and reversed in the round after."""
    rng = np.random.default_rng(child(seed, "compare", "order", round_ // 2, number))
    order = tuple(int(i) for i in rng.permutation(candidates))
    return order if round_ % 2 == 0 else order[::-1]


Images = dict[tuple[int, int], NDArray[np.complex64]]
"""Some images of a candidate, by stream and frame."""


def interleave(
    plan: ComparisonPlan,
    streams: Sequence[Stream],
    builders: Sequence[Builder],
    images: Sequence[Images],
    progress: Report | None = None,
    make_clock: Callable[[], Clock] = RealClock,
) -> Times:
    """Play every segment of every stream to every candidate, at TR, in turns.

    Parameters
    ----------
    plan
        Names of the candidates, how many rounds, and how long a segment is.
    streams
        The scans, all finite.
    builders
        Make each candidate anew.
    images
        Some images that each candidate shows in lockstep, to which those at TR are held in first segments.
    progress
        Told how many blocks are done.
    make_clock
        Gives each replay its clock.

    Raises
    ------
    InputError
        If a stream is too short, a candidate refuses it, or an image is not one.
    """
    parts = segments(streams, plan.segment_s)
    good: list[Block] = []
    spoiled: list[str] = []
    broken: dict[int, str] = {}
    other: dict[int, str] = {}
    again, planned = 0, plan.repeat * len(parts)
    for round_ in range(plan.repeat):
        for number, segment in enumerate(parts):
            part = in_memory(streams[segment.stream], segment)
            order = turn_order(len(builders), round_, number, plan.seed)
            for attempt in range(TRIES):
                block = _block(plan, part, segment, builders, order, images, broken, other, make_clock)
                if broken or not block.reason:
                    break
                again += attempt < TRIES - 1
            if block.reason:
                spoiled.append(block.reason)
            else:
                good.append(block)
            if progress is not None:
                progress(len(good) + len(spoiled), planned)
            times = Times(tuple(good), again, tuple(spoiled), planned, broken, other)
            if broken or times.reason:
                return times
    return times


def _block(
    plan: ComparisonPlan,
    part: Stream,
    segment: Segment,
    builders: Sequence[Builder],
    order: tuple[int, ...],
    images: Sequence[Images],
    broken: dict[int, str],
    other: dict[int, str],
    make_clock: Callable[[], Clock],
) -> Block:
    response: dict[int, NDArray[np.int64]] = {}
    service: dict[int, NDArray[np.int64]] = {}
    missed: dict[int, NDArray[np.bool_]] = {}
    reason = ""
    limit_ns = None if plan.limit_s is None or plan.isolate else round(plan.limit_s * 1e9)
    for index in order:
        keep = segment.first == 0 and bool(images[index])
        run = replay(part, builders[index](), make_clock(), keep_images=keep, limit_ns=limit_ns)
        refuse_broken(run, plan.candidates[index])
        conduct = judge_conduct(run)
        if conduct is not None:
            broken[index] = conduct.reason
        timing = measure(run)
        response[index] = timing.response_ns[timing.warmup :]
        service[index] = timing.service_ns[timing.warmup :]
        missed[index] = timing.steady_missed
        reason = reason or (why_invalid(run, timing) or "")
        if keep and run.images.pixels is not None:
            for (stream, frame), still in images[index].items():
                if stream == segment.stream and frame < part.frames and run.images.shown[frame]:
                    still_m = np.abs(still)
                    if still_m.any() and nmse(np.abs(run.images.pixels[frame]), still_m) > SAME_NMSE:
                        other.setdefault(index, f"frame {frame} of {part.path}")
    indices = range(len(builders))
    return Block(
        segment,
        order,
        np.stack([response[i] for i in indices]),
        np.stack([service[i] for i in indices]),
        np.stack([missed[i] for i in indices]),
        reason,
    )
