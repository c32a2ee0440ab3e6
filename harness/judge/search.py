"""The search for the shortest TR, or the fewest lines from image to image, that a candidate can take."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.judge.outcome import Outcome, Verdict
from harness.judge.validity import why_invalid
from harness.judge.verdict import judge_conduct
from harness.measure.timing import Timing, measure
from harness.realtime.replay import replay
from harness.realtime.scenarios import Pace
from harness.realtime.schedule import Policy
from harness.realtime.sliding import slide, warmup_of
from mrsim.stream import Header, Stream
from mrsim.summary import Summarised, counted
from recon.protocol import Builder

PEAK_SCHEMA, STRIDE_SCHEMA = "mrsim-peak/1", "mrsim-stride/1"
MIN_TR_NS, MAX_TR_NS = 1_000, 10**11
RESOLUTION = 0.02  # of the shortest TR
TRIES = 3  # replays of a trial that the host disturbed
MAX_TRIALS = 48


def at_tr(stream: Stream, tr_ns: int) -> Stream:
    """Return the scan as if each line had taken another TR; the result has no truth.

    Parameters
    ----------
    stream
        The scan.
    tr_ns
        The other TR, nanoseconds.
    """
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
        Number of steady images that missed the cadence, and number of steady images.
    holds
        Whether the share of misses is within the claim.
    """

    tr_ns: int
    misses: int
    images: int
    holds: bool


@dataclass(frozen=True, repr=False)
class Peak(Summarised):
    """Hold the result of a search for the shortest TR.

    Parameters
    ----------
    candidate
        Its name.
    own_tr_ns
        TR of the scan, nanoseconds.
    claim
        Share of images that had to meet the cadence in a trial.
    tr_ns
        Shortest TR that held, nanoseconds; None where none did, or the search ended in `stopped`.
    trials
        Every replay, in the order in which it was made.
    stopped
        Verdict that ended the search early; None if it was completed.
    """

    candidate: str
    own_tr_ns: int
    claim: float
    tr_ns: int | None
    trials: tuple[Trial, ...]
    stopped: Verdict | None

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        held = sum(trial.holds for trial in self.trials)
        facts = [
            ("verdict", f"{self.verdict.outcome.name}: {self.verdict.reason}"),
            ("trials", f"{len(self.trials)}, of which {held} held"),
        ]
        return f"Shortest TR of {self.candidate}", facts

    @property
    def verdict(self) -> Verdict:
        """Return PASS if the scan's own TR holds; INSUFFICIENT if one late image would break the claim."""
        if self.stopped is not None:
            return self.stopped
        basis = (
            f"in {self.trials[0].images} images a trial, {len(self.trials)} trials, claim {self.claim:.4g}"
        )
        if self.tr_ns is None:
            return Verdict(Outcome.FAIL, f"no TR up to {self.trials[-1].tr_ns / 1e6:g} ms holds, {basis}")
        own_ns = self.own_tr_ns
        outcome = Outcome.PASS if self.tr_ns <= own_ns else Outcome.FAIL
        found = f"the shortest TR that holds is {self.tr_ns / 1e6:.4g} ms, the scan's is {own_ns / 1e6:g} ms"
        return _observed(outcome, f"{found}; {basis}", self.trials[0].images, self.claim)

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values, every trial included."""
        return {
            "schema": PEAK_SCHEMA,
            "verdict": self.verdict.outcome.name,
            "reason": self.verdict.reason,
            "candidate": self.candidate,
            "tr_ms": None if self.tr_ns is None else self.tr_ns / 1e6,
            "trials": [
                {"tr_ms": t.tr_ns / 1e6, "misses": t.misses, "images": t.images, "holds": t.holds}
                for t in self.trials
            ],
        }


def find_peak(
    stream: Stream,
    build: Builder,
    make_pace: Callable[[], Pace],
    claim: float = 0.99,
    warmup: int | None = None,
    policy: Policy | None = None,
    candidate: str = "candidate",
) -> Peak:
    """Search by bisection for the shortest TR at which the candidate keeps the cadence.

    Parameters
    ----------
    stream
        The scan; its own TR is tried first.
    build
        Makes a fresh reconstructor for every trial.
    make_pace
        Returns the clock and the service times of a trial.
    claim
        Share of images that must meet the cadence in a trial.
    warmup
        Number of first images of a trial that do not count; None for the default.
    policy
        Which frames to drop when the candidate falls behind; None to keep all.
    candidate
        Its name.

    Returns
    -------
    peak
        The TR to within 2 %. A trial that the host disturbs is repeated, at most twice.
    """
    trials: list[Trial] = []

    def found(tr_ns: int | None, stopped: Verdict | None = None) -> Peak:
        return Peak(candidate, stream.header.tr_ns, claim, tr_ns, tuple(trials), stopped)

    def holds(tr_ns: int) -> bool:
        timing = _trial(at_tr(stream, tr_ns), build, make_pace, warmup, policy)
        allowed = (1 - claim) * timing.images
        trials.append(Trial(tr_ns, timing.misses, timing.images, timing.misses <= allowed))
        return trials[-1].holds

    try:
        low, high = _bracket(stream.header.tr_ns, holds)
        if high is None:
            return found(None)
        while high - low > max(1, int(RESOLUTION * high)) and len(trials) < MAX_TRIALS:
            middle = (low + high) // 2
            low, high = (low, middle) if holds(middle) else (middle, high)
    except _Spoiled as spoiled:
        return found(None, spoiled.verdict)
    return found(high)


@dataclass(frozen=True, repr=False)
class ShortestStride(Summarised):
    """Hold the result of a search for the shortest stride.

    Parameters
    ----------
    candidate
        Its name.
    header
        Protocol of the scan.
    claim
        Share of images that had to meet the cadence in a trial.
    stride
        Fewest lines from image to image at which the cadence held; None where it never did, or the search
        ended in `stopped`.
    trials
        Stride, misses and images of every replay, in the order in which it was made.
    stopped
        Verdict that ended the search early; None if it was completed.
    """

    candidate: str
    header: Header
    claim: float
    stride: int | None
    trials: tuple[tuple[int, int, int], ...]
    stopped: Verdict | None

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        facts = [
            ("verdict", f"{self.verdict.outcome.name}: {self.verdict.reason}"),
            ("trials", str(len(self.trials))),
        ]
        return f"Shortest stride of {self.candidate}", facts

    @property
    def verdict(self) -> Verdict:
        """Return PASS if any stride holds; INSUFFICIENT if a single late image would break the claim."""
        if self.stopped is not None:
            return self.stopped
        whole = self.header.lines_per_frame
        if self.stride is None:
            return Verdict(Outcome.FAIL, f"not even an image every {whole} lines, a whole frame, holds")
        every_ms = self.stride * self.header.tr_ns / 1e6
        lines = "every line" if self.stride == 1 else f"every {self.stride} lines"
        reason = f"an image {lines}, {every_ms:.4g} ms, holds; {len(self.trials)} trials"
        images = next(images for stride, _, images in self.trials if stride == self.stride)
        return _observed(Outcome.PASS, reason, images, self.claim)

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values, every trial included."""
        return {
            "schema": STRIDE_SCHEMA,
            "verdict": self.verdict.outcome.name,
            "reason": self.verdict.reason,
            "candidate": self.candidate,
            "stride": self.stride,
            "trials": [
                dict(zip(("stride", "misses", "images"), trial, strict=True)) for trial in self.trials
            ],
        }


def find_stride(
    stream: Stream,
    build: Builder,
    make_pace: Callable[[], Pace],
    claim: float = 0.99,
    policy: Policy | None = None,
    candidate: str = "candidate",
) -> ShortestStride:
    """Search by bisection for the fewest lines from image to image at which the candidate keeps the cadence.

    The TR is the scan's own.

    Parameters
    ----------
    stream
        The scan.
    build, make_pace, claim, policy, candidate
        As for `find_peak`.

    Returns
    -------
    shortest
        The search starts at an image every line and ends at one every frame.
    """
    trials: list[tuple[int, int, int]] = []

    def found(stride: int | None, stopped: Verdict | None = None) -> ShortestStride:
        return ShortestStride(candidate, stream.header, claim, stride, tuple(trials), stopped)

    def holds(stride: int) -> bool:
        timing = _trial(slide(stream, stride), build, make_pace, warmup_of(stream, stride), policy)
        trials.append((stride, timing.misses, timing.images))
        return timing.misses <= (1 - claim) * timing.images

    try:
        low, high = 0, 1
        while not holds(high):
            if high == stream.header.lines_per_frame:
                return found(None)
            low, high = high, min(2 * high, stream.header.lines_per_frame)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if holds(middle) else (middle, high)
    except _Spoiled as spoiled:
        return found(None, spoiled.verdict)
    return found(high)


def _observed(outcome: Outcome, reason: str, images: int, claim: float) -> Verdict:
    """Return what a search saw; of too few images it tells nothing, even if all came in time."""
    least = math.ceil(1 / (1 - claim) - 1e-9)
    if outcome is Outcome.PASS and images < least:
        few = f"{counted(images, 'image')} a trial, a claim of {claim:.4g} takes {least} or more"
        return Verdict(Outcome.INSUFFICIENT, f"{reason}; {few}")
    return Verdict(outcome, reason)


class _Spoiled(Exception):
    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


def _bracket(tr_ns: int, holds: Callable[[int], bool]) -> tuple[int, int | None]:
    """Return a TR that fails and one that holds: (0, high) if all hold, (low, None) if none does."""
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
        # At a TR that is too short the gate is never idle, so it has no lateness of its own.
        spoiled = why_invalid(run, timing)
        if spoiled is None:
            return timing
        reason = spoiled
    tr_ms = stream.header.tr_ns / 1e6
    raise _Spoiled(Verdict(Outcome.INVALID, f"{TRIES} times at TR {tr_ms:g} ms: {reason}"))
