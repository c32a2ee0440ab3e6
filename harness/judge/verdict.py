"""The verdict on a run: PASS, FAIL, INVALID or INSUFFICIENT, and the reason.

The claim is that at least a given share of images meets the deadline, at one-sided 99 % confidence
by the exact binomial bound, which takes images for independent; misses that cluster are therefore
reported as episodes too. The candidate is judged only where the bench itself was in time.
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
    """Name a verdict; the value is the command line's exit code."""

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
        Which of the four.
    reason
        One sentence.
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
        The run; a breach of the contract (as opposed to causality) is the caller's to refuse.
    timing
        Its times.
    claim
        Share of images that must meet the deadline.

    Returns
    -------
    verdict
        In this order: INVALID where an image claims a line that had not been handed out, FAIL where the
        candidate raised or emitted what is not a number, INVALID where the bench was late itself or the
        host stalled, and then what the misses show.
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
    told = f"{run.dropped_frames} frames were dropped by the queue ({run.policy})"
    return Verdict(verdict.outcome, f"{verdict.reason}; {told}")


def judge_conduct(run: Run) -> Verdict | None:
    """Judge what a candidate must not do at any speed; None where it did nothing of the kind."""
    if run.violation is not None:
        return Verdict(Outcome.INVALID, f"{run.violation.kind}: {run.violation.message}")
    if run.failure is not None:
        at = f"in {run.failure.stage}"
        if run.failure.line >= 0:
            at += f" at line {run.failure.line} (frame {run.failure.frame})"
        return Verdict(Outcome.FAIL, f"the candidate raised {run.failure.error} {at}")
    if run.images.first_nonfinite is not None:
        frame, line = run.images.first_nonfinite
        count = run.images.nonfinite
        return Verdict(
            Outcome.FAIL,
            f"{count} images with pixels that are not finite, the first of frame {frame} at line {line}",
        )
    return None


def judge_misses(misses: int, images: int, episodes: int, deadline_ns: int, claim: float) -> Verdict:
    """Judge so many misses among so many images.

    Parameters
    ----------
    misses, images
        Images that came late or never, of how many.
    episodes
        Clusters that the misses form.
    deadline_ns
        What was missed, nanoseconds.
    claim
        Share of images that must meet it.
    """
    needed = samples_needed(claim, allowed=max(misses, 1))
    told = f"{misses} of {images} images missed {deadline_ns / 1e6:.1f} ms"
    if misses:
        told += f" in {episodes} episode{'s' if episodes > 1 else ''}"
    sure = f"{CONFIDENCE:.0%} confidence, images taken for independent"
    if images and upper_bound(misses, images) <= 1 - claim:
        return Verdict(Outcome.PASS, f"{told}; at least {claim:.4g} meet it ({sure})")
    if images and lower_bound(misses, images) > 1 - claim:
        return Verdict(Outcome.FAIL, f"{told}; fewer than {claim:.4g} meet it ({sure})")
    allowed = "with no other miss" if misses else "of which one may miss"
    more = f"a claim of {claim:.4g} needs {needed - images} more images, {allowed}"
    return Verdict(Outcome.INSUFFICIENT, f"{told}; {more} ({sure})")
