"""The verdict on a run: PASS, FAIL, INVALID or INSUFFICIENT, and the reason.

The claim is that at least a given share of images meets the deadline. It is tested at one-sided 99 %
confidence with the exact binomial bound, which assumes independent images. Misses can cluster, so the number
of episodes is reported too. The candidate is judged only if the bench itself was in time.
"""

from __future__ import annotations

from harness.judge.misses import judge_misses
from harness.judge.outcome import Outcome, Verdict
from harness.judge.validity import why_invalid
from harness.measure.timing import Timing
from harness.realtime.run import Run


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
