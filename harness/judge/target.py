"""The question of the target: is it where it is shown, at each instant?"""

from __future__ import annotations

import dataclasses
import math

from harness.judge.bars import Bar, answer_of
from harness.judge.outcome import Answer, Outcome
from harness.judge.profiles import Profile
from harness.measure.delivery import Delivery
from harness.measure.margin import Margin

QUESTION = "target"


def judge_target(
    profile: Profile, margin: Margin | None, delivery: Delivery | None, d98: float | None, why_not: str
) -> Answer:
    """Answer whether the target is where it is shown.

    Parameters
    ----------
    profile
        The bars.
    margin
        What was on display at each instant; None if it cannot be told.
    delivery
        What the profile's beam would have done; None if it has none.
    d98
        Relative D98 of that beam.
    why_not
        Why `margin` is None; empty if it is not.
    """
    if margin is None:
        return Answer(QUESTION, None, why_not)
    bars = _margin_bars(profile, margin)
    if delivery is not None:
        bars += _beam_bars(profile, delivery, d98)
    return answer_of(QUESTION, bars) if bars else Answer(QUESTION, None, f"profile {profile.name} has no bar")


def _margin_bars(profile: Profile, margin: Margin) -> list[Bar]:
    bars = []
    if math.isfinite(profile.m95_mm):
        bars.append(_m95(profile.m95_mm, margin))
    if profile.availability > 0:
        share = margin.availability
        bars.append(Bar("availability", share * 100, profile.availability * 100, most=False, unit=" %"))
    if profile.silent < 1:
        kinds = ", ".join(f"{kind} {share:.0%}" for kind, share in margin.silent.kinds.items())
        name = f"silent failures{f' ({kinds})' if kinds else ''} for"
        bars.append(
            Bar(name, margin.silent.share * 100, profile.silent * 100, most=True, unit=" % of the time")
        )
    return bars


def _m95(limit_mm: float, margin: Margin) -> Bar:
    bar = Bar("M95 on display", margin.m95_mm, limit_mm, most=True, unit=" mm")
    bounds = margin.bounds
    if bounds is None or margin.m95_m is None:
        return dataclasses.replace(bar, unsure=margin.unsure)
    # A PASS takes the bound of 99 %; a FAIL takes the lower end of the interval.
    return dataclasses.replace(bar, interval=(bounds.low_m * 1e3, bounds.upper_m * 1e3))


def _beam_bars(profile: Profile, delivery: Delivery, d98: float | None) -> list[Bar]:
    found = {
        "duty_of_ideal": ("duty as a share of the ideal one", delivery.duty_of_ideal, False, ""),
        "coverage": ("coverage", delivery.coverage, False, ""),
        "stray": ("share of the beam's time astray", delivery.stray_share, True, ""),
        "stray_longest_ms": ("longest stray", delivery.stray_longest_ns / 1e6, True, " ms"),
        "d98": ("relative D98", d98, False, ""),
    }
    bars = []
    for key, limit in profile.beam_bars.items():
        name, value, most, unit = found[key]
        bars.append(Bar(name, value, limit, most, unit))
    return bars
