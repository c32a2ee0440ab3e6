"""The question of time: does an image come in time? FAIL, INVALID, INSUFFICIENT or PASS, and the reason.

The claim is that at least a given share of images meets the deadline, tested at one-sided 99 % confidence.
The candidate is judged only if the bench itself was in time.
"""

from __future__ import annotations

from harness.judge.misses import judge_misses
from harness.judge.outcome import Answer, Outcome, Verdict
from harness.judge.profiles import Criterion
from harness.judge.validity import why_invalid
from harness.measure.image_quality import Quality
from harness.measure.timing import Timing, measure
from harness.realtime.run import Run
from harness.realtime.scenarios import LOCKSTEP
from mrsim.stream import Header

QUESTION = "time"


def answer_time(
    run: Run,
    timing: Timing,
    quality: Quality | None,
    criterion: Criterion,
    claim: float,
    header: Header,
    scenario: str,
    unmeasured: str = "",
) -> tuple[Timing, Answer]:
    """Answer whether images come in time, by a profile.

    Parameters
    ----------
    run, timing, quality
        The run, its times and the measures of its images; None if they were not measured.
    criterion
        The profile.
    claim
        Share of images that must meet the deadline.
    header
        The scan's protocol.
    scenario
        How it was played; in "lockstep" nothing is ever late.
    unmeasured
        Why `quality` is None although images may have come; empty if they were compared with the truth.

    Returns
    -------
    timing, answer
        The times, measured against the profile's deadline, and the answer.
    """
    if scenario == LOCKSTEP:
        return timing, _of(judge_conduct(run) or _came(timing))
    if unmeasured and criterion.profile.measure == "total":
        reason = f"{criterion.profile.name}: no lag can be told: {unmeasured}"
        allowed: int | Verdict = Verdict(Outcome.INSUFFICIENT, reason)
    else:
        lag = None if quality is None else quality.lag
        allowed = criterion.deadline_ns(header, run.schedule.deadline_ns, lag)
    if isinstance(allowed, Verdict):
        verdict = judge(run, timing, claim)
        if judge_conduct(run) is None and verdict.outcome is not Outcome.INVALID:
            verdict = allowed
        return timing, _of(verdict)
    if allowed != timing.deadline_ns:
        timing = measure(run, timing.warmup, allowed)
    return timing, _of(judge(run, timing, claim))


def _of(verdict: Verdict) -> Answer:
    return Answer(QUESTION, verdict.outcome, verdict.reason)


def _came(timing: Timing) -> Verdict:
    never = int((~timing.shown[timing.warmup :]).sum())
    if never:
        return Verdict(Outcome.FAIL, f"{never} of {timing.images} images never came")
    return Verdict(Outcome.PASS, f"all {timing.images} images came; lockstep has no deadline")


def judge(run: Run, timing: Timing, claim: float = 0.99) -> Verdict:
    """Judge a run.

    Parameters
    ----------
    run
        The run.
    timing
        Its times.
    claim
        Share of images that must meet the deadline.

    Returns
    -------
    verdict
        The first that applies: FAIL if the candidate broke the contract, raised an exception or emitted
        pixels that are not finite; INVALID if the bench was late or the host stalled; else what the misses
        show.
    """
    broken = judge_conduct(run)
    if broken is not None:
        return broken
    reason = why_invalid(run, timing)
    if reason is not None:
        return Verdict(Outcome.INVALID, reason)
    verdict = judge_misses([timing.steady_missed], timing.deadline_ns, claim)
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
        where = run.named(run.violation.line)
        return Verdict(Outcome.FAIL, f"{run.violation.kind}: {where}: {run.violation.message}")
    if run.failure is not None:
        return Verdict(Outcome.FAIL, f"the candidate {run.failure}")
    if run.images.first_nonfinite is not None:
        frame, line = run.images.first_nonfinite
        what = f"{run.images.nonfinite} images or positions that are not finite numbers"
        return Verdict(Outcome.FAIL, f"{what}, first of frame {frame} at {run.named(line)}")
    return None
