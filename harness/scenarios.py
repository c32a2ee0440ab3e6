"""How a scan is played: at its own pace, as fast as possible, in lockstep, or ever faster until it breaks.

`constant-stream` is the headline: an open loop at TR. `burst` hands out the next line as soon as the last
one is taken, so it measures throughput and no deadline. `lockstep` is for accuracy: virtual time, nothing
ever late. `find-peak` looks for the shortest TR at which the cadence still holds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.candidates import Builder
from harness.clock import Clock, RealClock, VirtualClock
from harness.replay import replay
from harness.run import Run
from harness.schedule import Policy, Schedule
from harness.service import ConstantService, MeasuredService, ServiceModel
from harness.timing import MAX_WARMUP, Timing, measure
from harness.validity import why_invalid
from harness.verdict import Outcome, Verdict, judge_conduct
from mrsim.errors import InputError
from mrsim.stream import Stream

SCENARIOS = ("constant-stream", "burst", "find-peak", "lockstep")

MIN_TR_NS, MAX_TR_NS = 1_000, 10**11
RESOLUTION = 0.02  # of the shortest TR
TRIES = 3  # of a trial that the host spoiled
MAX_TRIALS = 48


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
                raise InputError("--scenario lockstep takes no service time: leave out --service")
            return cls(VirtualClock(), ConstantService(0))
        clock = clock or RealClock()
        if clock.name == "real" and service is not None:
            raise InputError("service times can be played on the virtual clock only: --clock virtual")
        return cls(clock, service or (MeasuredService() if clock.name == "virtual" else None))


def check_scenario(scenario: str) -> None:
    """Raise an error if there is no such scenario.

    Raises
    ------
    InputError
        If it is unknown.
    """
    if scenario not in SCENARIOS:
        raise InputError(f"scenario {scenario!r}: expected one of {', '.join(SCENARIOS)}")


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


def at_tr(stream: Stream, tr_ns: int) -> Stream:
    """Return the scan as if each line had taken another TR, without its truth."""
    header = stream.header
    te_ns = min(header.te_ns * tr_ns // header.tr_ns, tr_ns - 1)
    header = dataclasses.replace(header, tr_ns=tr_ns, te_ns=te_ns)
    t_ns = np.arange(len(stream), dtype=np.int64) * tr_ns + te_ns
    return dataclasses.replace(stream, header=header, t_ns=t_ns, truth=None, provenance=None)


def slide(stream: Stream, stride: int) -> Stream:
    """Return the scan with an image due after every so many lines, each of the lines of a whole frame.

    It has no truth: that is known at the end of the scan's own frames alone.

    Raises
    ------
    InputError
        If the stride is not 1 to the lines of a frame, or the scan has no line for it.
    """
    header = stream.header
    if not 1 <= stride <= header.lines_per_frame:
        raise InputError(f"--stride {stride}: expected 1 to {header.lines_per_frame}, the lines of a frame")
    slid = dataclasses.replace(header, lines_per_frame=stride, window=header.lines_seen)
    frame = (np.arange(len(stream)) // stride).astype(np.int32)
    return dataclasses.replace(stream, header=slid, frame=frame, truth=None, provenance=None)


def warmup_of(stream: Stream, stride: int) -> int:
    """Return how many first images of a sliding frame are reported apart: those with less than a whole frame
    of lines behind them, and eight."""
    return -(-stream.header.lines_seen // stride) + MAX_WARMUP


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
