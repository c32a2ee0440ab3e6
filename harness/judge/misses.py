"""The question of time: what a number of missed deadlines says about a claim.

Misses come in runs: a stall costs several images in a row. So images count as fewer independent ones, one for
each run. That run is the one in which the average miss lies, since long runs are what makes a share vary. Few
misses do not show how they cluster. So a PASS takes runs of at least `RUN` images for granted, and a FAIL
takes one such run for seen, beside those that were. `docs/intervals.md` says how often the bounds are wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from harness.judge.outcome import Outcome, Verdict
from harness.measure.exact_statistics import CONFIDENCE, clusters, lower_bound, samples_needed, upper_bound

RUN = 10
"""Images in a row that are taken to miss together as long as nothing else is known."""


@dataclass(frozen=True, slots=True)
class Misses:
    """Hold how many images missed their deadline, and what they count as.

    Parameters
    ----------
    images, misses, episodes
        Number of images, of those that came late or never, and of clusters of consecutive misses.
    cautious, shown
        How many images count as one: where it is to be shown that few miss, and that many do.
    """

    images: int
    misses: int
    episodes: int
    cautious: Fraction
    shown: Fraction

    @classmethod
    def of(cls, missed: Sequence[NDArray[np.bool_]]) -> Misses:
        """Count the misses of some runs.

        Parameters
        ----------
        missed
            Which steady images came late or never, for each run, shape (images,), bool.
        """
        late, in_time = (
            [length for run in missed for _, length in clusters(run == flag)] for flag in (True, False)
        )
        # Where nearly all miss, it is the images in time that come in few runs.
        cautious = min(max(Fraction(RUN), _run_of_average(lengths)) for lengths in (late, in_time))
        shown = min(_run_of_average([RUN, *lengths]) for lengths in (late, in_time))
        return cls(sum(map(len, missed)), sum(late), len(late), cautious, shown)

    def at_most(self, confidence: float = CONFIDENCE) -> float:
        """Return the one-sided upper bound of the share of images that miss."""
        images = math.floor(self.images / self.cautious)
        return upper_bound(min(math.ceil(self.misses / self.cautious), images), images, confidence)

    def at_least(self, confidence: float = CONFIDENCE) -> float:
        """Return the one-sided lower bound of the share of images that miss."""
        return lower_bound(
            math.floor(self.misses / self.shown), math.ceil(self.images / self.shown), confidence
        )

    @property
    def interval(self) -> tuple[float, float]:
        """Return the two-sided 99 % interval of the share of images that miss."""
        return self.at_least((1 + CONFIDENCE) / 2), self.at_most((1 + CONFIDENCE) / 2)

    def more_needed(self, claim: float) -> int:
        """Return how many more images would show that a share of them meets the deadline, if none misses."""
        allowed = math.ceil(self.misses / self.cautious)
        return math.ceil(samples_needed(claim, allowed=allowed) * self.cautious) - self.images


def _run_of_average(lengths: Sequence[int]) -> Fraction:
    """Return the length of the run in which the average image of some runs lies; 0 of none."""
    return Fraction(sum(length**2 for length in lengths), max(sum(lengths), 1))


def judge_misses(missed: Sequence[NDArray[np.bool_]], deadline_ns: int, claim: float) -> Verdict:
    """Judge the misses of some runs.

    Parameters
    ----------
    missed
        Which steady images came late or never, for each run, shape (images,), bool.
    deadline_ns
        The deadline, nanoseconds.
    claim
        Share of images that must meet the deadline.
    """
    found = Misses.of(missed)
    result = f"{found.misses} of {found.images} images missed {deadline_ns / 1e6:.1f} ms"
    if found.misses:
        result += f" in {found.episodes} episode{'s' if found.episodes > 1 else ''}"

    def told(says: str, run: Fraction) -> str:
        each = f"{float(run):.3g} images count as one, since misses come in runs"
        return f"{result}; {says} ({CONFIDENCE:.0%} confidence, {each})"

    if found.at_most() <= 1 - claim:
        return Verdict(Outcome.PASS, told(f"at least {claim:.4g} meet it", found.cautious))
    if found.at_least() > 1 - claim:
        return Verdict(Outcome.FAIL, told(f"fewer than {claim:.4g} meet it", found.shown))
    more = f"a claim of {claim:.4g} needs {found.more_needed(claim)} more images, if none of them misses"
    return Verdict(Outcome.INSUFFICIENT, told(more, found.cautious))
