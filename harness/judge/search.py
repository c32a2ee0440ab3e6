"""What a machine can just carry: the shortest TR, or the fewest lines from image to image, that holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.judge.validity import why_invalid
from harness.judge.verdict import Outcome, Verdict, judge_conduct
from harness.measure.timing import Timing, measure
from harness.realtime.replay import replay
from harness.realtime.scenarios import Pace
from harness.realtime.schedule import Policy
from harness.realtime.sliding import slide, warmup_of
from mrsim.stream import Stream
from recon.protocol import Builder

MIN_TR_NS, MAX_TR_NS = 1_000, 10**11
RESOLUTION = 0.02  # of the shortest TR
TRIES = 3  # of a trial that the host spoiled
MAX_TRIALS = 48


def at_tr(stream: Stream, tr_ns: int) -> Stream:
    """Return the scan as if each line had taken another TR, without its truth."""
    header = stream.header
    te_ns = min(header.te_ns * tr_ns // header.tr_ns, tr_ns - 1)
    header = dataclasses.replace(header, tr_ns=tr_ns, te_ns=te_ns)
    t_ns = np.arange(len(stream), dtype=np.int64) * tr_ns + te_ns
    return dataclasses.replace(stream, header=header, t_ns=t_ns, truth=None, provenance=None)


@dataclass(frozen=True, slots=True)
class Trial:
    """Hold one replay of a search.

    Parameters
    ----------
    tr_ns
        Its TR, nanoseconds.
    misses, images
        Steady images that missed the cadence, of how many.
    holds
        Whether few enough did.
    """

    tr_ns: int
    misses: int
    images: int
    holds: bool


@dataclass(frozen=True)
class Peak:
    """Hold the result of a search.

    Parameters
    ----------
    tr_ns
        Shortest TR that held, nanoseconds; None where none did, or the search ended in `stopped`.
    trials
        Every replay, in the order in which it was made.
    stopped
        Why the search ended before its time; None if it did not.
    """

    tr_ns: int | None
    trials: tuple[Trial, ...]
    stopped: Verdict | None

    def verdict(self, stream: Stream, claim: float) -> Verdict:
        """Return PASS where the scan's own TR holds; what is found is observed, not proved."""
        if self.stopped is not None:
            return self.stopped
        seen = f"in {self.trials[0].images} images a trial, {len(self.trials)} trials, claim {claim:.4g}"
        if self.tr_ns is None:
            return Verdict(Outcome.FAIL, f"no TR up to {self.trials[-1].tr_ns / 1e6:g} ms holds, {seen}")
        own_ns = stream.header.tr_ns
        outcome = Outcome.PASS if self.tr_ns <= own_ns else Outcome.FAIL
        told = f"the shortest TR that holds is {self.tr_ns / 1e6:.4g} ms, the scan's is {own_ns / 1e6:g} ms"
        return Verdict(outcome, f"{told}; {seen}")


def find_peak(
    stream: Stream,
    build: Builder,
    make_pace: Callable[[], Pace],
    claim: float = 0.99,
    warmup: int | None = None,
    policy: Policy | None = None,
) -> Peak:
    """Bisect the TR for the shortest one at which the cadence of images holds.

    Parameters
    ----------
    stream
        The scan; its own TR is tried first.
    build
        Makes a fresh reconstructor for every trial.
    make_pace
        Gives each trial its clock and its service times.
    claim
        Share of images that must meet the cadence in a trial.
    warmup
        First images of a trial that do not count; None for the default.
    policy
        What becomes of frames that pile up.

    Returns
    -------
    peak
        To 2 % of the TR. A trial that the host spoils is repeated twice.
    """
    trials: list[Trial] = []

    def holds(tr_ns: int) -> bool:
        timing = _trial(at_tr(stream, tr_ns), build, make_pace, warmup, policy)
        allowed = (1 - claim) * timing.images
        trials.append(Trial(tr_ns, timing.misses, timing.images, timing.misses <= allowed))
        return trials[-1].holds

    try:
        low, high = _bracket(stream.header.tr_ns, holds)
        if high is None:
            return Peak(None, tuple(trials), None)
        while high - low > max(1, int(RESOLUTION * high)) and len(trials) < MAX_TRIALS:
            middle = (low + high) // 2
            low, high = (low, middle) if holds(middle) else (middle, high)
    except _Spoiled as spoiled:
        return Peak(None, tuple(trials), spoiled.verdict)
    return Peak(high, tuple(trials), None)


@dataclass(frozen=True)
class ShortestStride:
    """Hold the result of a search for the shortest stride.

    Parameters
    ----------
    stride
        Fewest lines from image to image at which the cadence held; None where it never did, or the search
        ended in `stopped`.
    trials
        Stride, misses and images of every replay, in the order in which it was made.
    stopped
        Why the search ended before its time; None if it did not.
    """

    stride: int | None
    trials: tuple[tuple[int, int, int], ...]
    stopped: Verdict | None

    def verdict(self, stream: Stream) -> Verdict:
        """Return PASS where any stride up to a whole frame holds; what is found is observed, not proved."""
        if self.stopped is not None:
            return self.stopped
        whole = stream.header.lines_per_frame
        if self.stride is None:
            return Verdict(Outcome.FAIL, f"not even an image every {whole} lines, a whole frame, holds")
        every_ms = self.stride * stream.header.tr_ns / 1e6
        lines = "every line" if self.stride == 1 else f"every {self.stride} lines"
        told = f"an image {lines}, {every_ms:.4g} ms, holds; {len(self.trials)} trials"
        return Verdict(Outcome.PASS, told)


def find_stride(
    stream: Stream,
    build: Builder,
    make_pace: Callable[[], Pace],
    claim: float = 0.99,
    policy: Policy | None = None,
) -> ShortestStride:
    """Bisect the lines from image to image for the fewest at which their cadence holds, at the scan's own TR.

    Parameters
    ----------
    stream
        The scan.
    build, make_pace, claim, policy
        As for `find_peak`.

    Returns
    -------
    shortest
        Every line is tried first, then up to a whole frame.
    """
    trials: list[tuple[int, int, int]] = []

    def holds(stride: int) -> bool:
        timing = _trial(slide(stream, stride), build, make_pace, warmup_of(stream, stride), policy)
        trials.append((stride, timing.misses, timing.images))
        return timing.misses <= (1 - claim) * timing.images

    try:
        low, high = 0, 1
        while not holds(high):
            if high == stream.header.lines_per_frame:
                return ShortestStride(None, tuple(trials), None)
            low, high = high, min(2 * high, stream.header.lines_per_frame)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if holds(middle) else (middle, high)
    except _Spoiled as spoiled:
        return ShortestStride(None, tuple(trials), spoiled.verdict)
    return ShortestStride(high, tuple(trials), None)


class _Spoiled(Exception):
    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


def _bracket(tr_ns: int, holds: Callable[[int], bool]) -> tuple[int, int | None]:
    """Return a TR that breaks and one that holds: (0, high) if all hold, (low, None) if none does."""
    low, high = tr_ns, tr_ns
    if holds(tr_ns):
        while low > MIN_TR_NS:
            low //= 2
            if not holds(low):
                return low, high
            high = low
        return high - 1, high
    while high < MAX_TR_NS // 2:
        low, high = high, 2 * high
        if holds(high):
            return low, high
    return low, None


def _trial(
    stream: Stream,
    build: Builder,
    make_pace: Callable[[], Pace],
    warmup: int | None,
    policy: Policy | None,
) -> Timing:
    reason = ""
    for _ in range(TRIES):
        pace = make_pace()
        run = replay(stream, build(), pace.clock, pace.service, keep_images=False, policy=policy)
        broken = judge_conduct(run)
        if broken is not None:
            raise _Spoiled(broken)
        timing = measure(run, warmup)
        # At a TR that is too short the gate is never idle: then there is nothing of its own to be late.
        spoiled = why_invalid(run, timing)
        if spoiled is None:
            return timing
        reason = spoiled
    tr_ms = stream.header.tr_ns / 1e6
    raise _Spoiled(Verdict(Outcome.INVALID, f"{TRIES} times at TR {tr_ms:g} ms: {reason}"))
