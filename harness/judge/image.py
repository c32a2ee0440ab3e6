"""The question of the image: is it good enough, by the bars that a profile states?"""

from __future__ import annotations

import math

import numpy as np

from harness.judge.bars import Bar, answer_of
from harness.judge.outcome import Answer
from harness.judge.profiles import Profile
from harness.measure.image_quality import Quality
from harness.measure.intervals import MIN_BREATHS

QUESTION = "image"
OF_A_TARGET = ("dice", "gain")


def judge_image(profile: Profile, quality: Quality | None, why_not: str) -> Answer:
    """Answer whether the images keep the bars.

    Parameters
    ----------
    profile
        The bars.
    quality
        Measures of the images; None if they were not measured.
    why_not
        Why `quality` is None; empty if it is not.
    """
    limits = {key: getattr(profile, key) for key in ("nmse", "ssim", "dice", "gain")}
    stated = {key: limit for key, limit in limits.items() if limit is not None}
    if not stated:
        return Answer(QUESTION, None, f"profile {profile.name} states no bar")
    if quality is None:
        return Answer(QUESTION, None, why_not)
    if np.isnan(quality.nmse).all():
        return Answer(QUESTION, None, "positions came and no image")
    # A target that is lost has a Dice of 0.
    if np.isnan(quality.dice).all() and not np.isfinite(quality.centroid_m).any():
        stated = {key: limit for key, limit in stated.items() if key not in OF_A_TARGET}
        if not stated:
            return Answer(QUESTION, None, "the scan has no target, of which alone there are bars")
    return answer_of(QUESTION, [_bar(key, limit, quality) for key, limit in stated.items()])


def _bar(key: str, limit: float, quality: Quality) -> Bar:
    if key == "gain":
        lag = quality.lag
        return Bar("gain", lag.gain, limit, most=False, interval=lag.gain_interval, unsure=_few(quality))
    value = float(getattr(quality, key).mean())
    shown = None if math.isnan(value) else value
    interval = quality.intervals[key]
    name = {"nmse": "NMSE", "ssim": "SSIM", "dice": "Dice"}[key]
    return Bar(name, shown, limit, most=key == "nmse", interval=interval, unsure=_few(quality))


def _few(quality: Quality) -> str:
    few = quality.breaths < MIN_BREATHS
    return f"{quality.breaths} breaths, an interval takes {MIN_BREATHS}" if few else ""
