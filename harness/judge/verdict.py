"""The verdict on a run: PASS, FAIL, INVALID or INSUFFICIENT, and the reason.

The claim is that at least a given share of images meets the deadline. It is tested at one-sided 99 %
confidence with the exact binomial bound, which assumes independent images. Misses can cluster, so the number
of episodes is reported too. The candidate is judged only if the bench itself was in time.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from harness.judge.validity import why_invalid
from harness.measure.exact_statistics import CONFIDENCE, lower_bound, samples_needed, upper_bound
from harness.measure.timing import Timing
from harness.realtime.run import Run
from mrsim.summary import Summarised


class Outcome(enum.Enum):
    """Name the outcome of a verdict; its value is the exit code of the command line."""

    PASS = 0
    FAIL = 1
    INVALID = 3
    INSUFFICIENT = 4


@dataclass(frozen=True, slots=True, repr=False)
class Verdict(Summarised):
    """Hold the outcome and why.

    Parameters
    ----------
    outcome
        One of the four outcomes.
    reason
        Why, in one sentence.
    """

    outcome: Outcome
    reason: str

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        return f"Verdict: {self.outcome.name}", [("reason", self.reason)]


def judge(run: Run, timing: Timing, claim: float = 0.99) -> Verdict:
    """Judge a run.

    Parameters
    ----------
    run
        The run. The caller must refuse an image that broke the contract; a breach of causality is judged
        here.
    timing
        Its times.
    claim
        Share of images that must meet the deadline.

    Returns
    -------
    verdict
        The first that applies: INVALID if an image claims a line that had not been handed out; FAIL if the
        candidate raised an exception or emitted pixels that are not finite; INVALID if the bench was late or
        the host stalled; else what the misses show.
    """
    broken = judge_conduct(run)
    if broken is not None:
        return broken
    reason = why_invalid(run, timing)
    if reason is not None:
        return Verdict(Outcome.INVALID, reason)
    verdict = judge_misses(timing.misses, timing.images, len(timing.episodes), timing.deadline_ns, claim)
    if not run.dropped_frames:
        return verdict
    dropped = f"{run.dropped_frames} frames were dropped by the queue ({run.policy})"
    return Verdict(verdict.outcome, f"{verdict.reason}; {dropped}")


def judge_conduct(run: Run) -> Verdict | None:
    """Judge what a candidate must not do at any speed.

    Parameters
    ----------
    run
        The run.

    Returns
    -------
    verdict
        None if the candidate did nothing of the kind.
    """
    if run.violation is not None:
        return Verdict(Outcome.INVALID, f"{run.violation.kind}: {run.violation.message}")
    if run.failure is not None:
        where = f"in {run.failure.stage}"
        if run.failure.line >= 0:
            where += f" at line {run.failure.line} (frame {run.failure.frame})"
        return Verdict(Outcome.FAIL, f"the candidate raised {run.failure.error} {where}")
    if run.images.first_nonfinite is not None:
        frame, line = run.images.first_nonfinite
        count = run.images.nonfinite
        return Verdict(
            Outcome.FAIL,
            f"{count} images with pixels that are not finite, the first of frame {frame} at line {line}",
        )
    return None


def judge_misses(misses: int, images: int, episodes: int, deadline_ns: int, claim: float) -> Verdict:
    """Judge a number of misses.

    Parameters
    ----------
    misses, images
        Number of images that came late or never, and number of images.
    episodes
        Number of clusters of consecutive misses.
    deadline_ns
        The deadline, nanoseconds.
    claim
        Share of images that must meet the deadline.
    """
    needed = samples_needed(claim, allowed=max(misses, 1))
    result = f"{misses} of {images} images missed {deadline_ns / 1e6:.1f} ms"
    if misses:
        result += f" in {episodes} episode{'s' if episodes > 1 else ''}"
    confidence = f"{CONFIDENCE:.0%} confidence, images taken for independent"
    if images and upper_bound(misses, images) <= 1 - claim:
        return Verdict(Outcome.PASS, f"{result}; at least {claim:.4g} meet it ({confidence})")
    if images and lower_bound(misses, images) > 1 - claim:
        return Verdict(Outcome.FAIL, f"{result}; fewer than {claim:.4g} meet it ({confidence})")
    allowed = "with no other miss" if misses else "of which one may miss"
    more = f"a claim of {claim:.4g} needs {needed - images} more images, {allowed}"
    return Verdict(Outcome.INSUFFICIENT, f"{result}; {more} ({confidence})")
