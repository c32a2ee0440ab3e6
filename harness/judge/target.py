"""The question of the target: is it where it is shown, at each instant?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.judge.bars import Bar, answer_of, figure
from harness.judge.outcome import Answer, Outcome
from harness.judge.profiles import Profile
from harness.measure.delivery import Delivery
from harness.measure.exact_statistics import CONFIDENCE, binomial_tail
from harness.measure.intervals import MIN_BREATHS, Interval
from harness.measure.margin import Margin
from harness.measure.ruler import LOST_M
from mrsim.summary import Summarised

QUESTION = "target"
MOST_UNSEEN = 0.05
"""Share of the time that the judge may not see; M95 leaves out as much."""
HALF_BEYOND = 0.05 / 0.5
"""Most breaths, of all, in which half of the time can lie beyond a margin that holds for 95 % (Markov)."""


@dataclass(frozen=True, repr=False)
class Beamed(Summarised):
    """Hold what a beam would have done, and what dose the target would have got.

    Parameters
    ----------
    delivery
        What the beam would have done.
    d98
        D98 of the target as a share of that without error; None if the beam was never on.
    d98_ideal
        The same of a gate without delay or error, which is what its window costs; None for other beams.
    intervals
        Intervals of its shares over whole breaths, by name; None where there are too few.
    """

    delivery: Delivery
    d98: float | None
    d98_ideal: float | None
    intervals: dict[str, Interval | None]

    @property
    def sentence(self) -> str:
        """Return what the beam would have done, in one line."""
        delivery = self.delivery
        told = [f"on for {delivery.duty:.1%} of the time"]
        if delivery.duty_of_ideal is not None:
            told[0] += f" ({delivery.ideal_duty:.1%} without delay or error)"
        for name, share in (("target covered", delivery.coverage), ("astray", delivery.stray_share)):
            if share is not None:
                told.append(f"{name} for {share:.1%}")
        if self.d98 is not None:
            told.append(f"relative D98 {self.d98:.3f}")
        return ", ".join(told)

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        return f"Beam {self.delivery.beam.name}: {self.sentence}", []

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        intervals = {key: None if at is None else list(at) for key, at in self.intervals.items()}
        dose = {"relative_d98": self.d98, "relative_d98_ideal": self.d98_ideal}
        return {**self.delivery.to_json(), **dose, "intervals": intervals}


def judge_target(profile: Profile, margin: Margin, beams: Sequence[Beamed]) -> Answer:
    """Answer whether the target is where it is shown.

    Parameters
    ----------
    profile
        The bars.
    margin
        What was on display at each instant.
    beams
        What each beam would have done, that of the profile first.
    """
    if margin.unseen_share > MOST_UNSEEN:
        return _hardly_seen(profile, margin)
    bars = _margin_bars(profile, margin)
    if profile.beam_bars:
        bars += _beam_bars(profile, beams[0])
    return answer_of(QUESTION, bars) if bars else Answer(QUESTION, None, f"profile {profile.name} has no bar")


def _hardly_seen(profile: Profile, margin: Margin) -> Answer:
    """Return the answer where the judge's own eyes fail: what fails by what they did see has failed."""
    bars = [bar for bar in _margin_bars(profile, margin) if bar.value is not None]
    failed = [bar for bar in bars if bar.outcome is Outcome.FAIL]
    if failed:
        return answer_of(QUESTION, failed)
    return Answer(
        QUESTION,
        Outcome.INVALID,
        f"the judge itself loses the target: for {margin.unseen_share:.0%} of the time it is not found, or "
        f"not within {LOST_M * 1e3:g} mm, in the noise-free truth of the image on display; play a scan whose "
        "first breaths show where the target moves, or a tracker that emits positions",
    )


def _margin_bars(profile: Profile, margin: Margin) -> list[Bar]:
    bars = []
    if math.isfinite(profile.m95_mm):
        bars.append(_m95(profile.m95_mm, margin))
    if profile.availability > 0:
        share = margin.availability
        bars.append(Bar("availability", share * 100, profile.availability * 100, most=False, unit=" %"))
    if profile.silent < 1:
        kinds = margin.silent.told
        name = f"silent failures{f' ({kinds})' if kinds else ''}"
        bars.append(Bar(name, margin.silent.share * 100, profile.silent * 100, most=True, unit=" %"))
    return bars


def _m95(limit_mm: float, margin: Margin) -> Bar:
    bar = Bar("M95 on display", margin.m95_mm, limit_mm, most=True, unit=" mm")
    bounds = margin.bounds
    if margin.m95_m is None:
        return bar
    if bounds is None:
        beyond = sum(metres * 1e3 > limit_mm for metres in margin.medians_m)
        if binomial_tail(beyond - 1, len(margin.medians_m), HALF_BEYOND) < CONFIDENCE:
            return dataclasses.replace(bar, unsure=margin.unsure)
        told = f"beyond it for half of the time in {beyond} of {len(margin.medians_m)} breaths"
        return dataclasses.replace(bar, name=f"{bar.name} ({told})")
    # A PASS takes the bound of 99 %; a FAIL takes the lower end of the interval.
    low, high, upper = (1e3 * metres for metres in (bounds.low_m, bounds.high_m, bounds.upper_m))
    return dataclasses.replace(bar, interval=(low, upper), told=_interval(low, high, upper))


def _interval(low: float, high: float, upper: float) -> str:
    """Return an interval and its 99 % bound in words, where the last or all of them may be infinite."""
    if math.isinf(low):
        return "without a target for too long in nearly all breaths to give an interval"
    if math.isinf(high):
        return f"{figure(low)} or more: without a target for too long in some breaths"
    bound = "no finite 99 % bound" if math.isinf(upper) else f"99 % bound {figure(upper)}"
    return f"{figure(low)} to {figure(high)}, {bound}"


def _beam_bars(profile: Profile, beam: Beamed) -> list[Bar]:
    delivery = beam.delivery
    found = {
        "duty_of_ideal": ("duty as a share of the ideal one", delivery.duty_of_ideal, False, ""),
        "coverage": ("coverage", delivery.coverage, False, " %"),
        "stray_share": ("share of the beam's time astray", delivery.stray_share, True, " %"),
        "stray_longest_ms": ("longest stray", delivery.stray_longest_ns / 1e6, True, " ms"),
        "d98": ("relative D98", beam.d98, False, ""),
    }
    bars = []
    for key, limit in profile.beam_bars.items():
        name, value, most, unit = found[key]
        # A beam that never was on needs no interval.
        never = value is None or not (value or most)
        few = key in beam.intervals and beam.intervals[key] is None and not never
        unsure = f"too few breaths for an interval, which takes {MIN_BREATHS}" if few else ""
        bar = Bar(name, value, limit, most, unit, _finite(beam.intervals.get(key)), unsure)
        bars.append(_in_percent(bar) if unit == " %" else bar)
    return bars


def _in_percent(bar: Bar) -> Bar:
    interval = None if bar.interval is None else (bar.interval[0] * 100, bar.interval[1] * 100)
    value = None if bar.value is None else bar.value * 100
    return dataclasses.replace(bar, value=value, limit=bar.limit * 100, interval=interval)


def _finite(interval: Interval | None) -> Interval | None:
    return None if interval is None or not all(map(math.isfinite, interval)) else interval
