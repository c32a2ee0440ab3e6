"""The question of time: what a number of missed deadlines says about a claim."""

from __future__ import annotations

from harness.judge.outcome import Outcome, Verdict
from harness.measure.exact_statistics import CONFIDENCE, lower_bound, samples_needed, upper_bound


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
