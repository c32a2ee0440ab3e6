"""Bars: one figure against one limit, with what its interval allows to be said."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from harness.judge.outcome import WORST_FIRST, Answer, Outcome


@dataclass(frozen=True, slots=True)
class Bar:
    """Hold a figure, what whole breaths say about it, and its limit.

    Parameters
    ----------
    name
        What is limited, in words.
    value
        The figure; None if it cannot be told.
    limit
        The limit.
    most
        Whether the limit is the greatest allowed value, not the least.
    unit
        Unit of both, after a number.
    interval
        Bounds between which the figure lies; None if the figure is counted, not estimated.
    told
        What is said of the bounds; empty for "low to high".
    unsure
        Why the figure has no interval although it needs one; empty if it has or needs none.
    """

    name: str
    value: float | None
    limit: float
    most: bool
    unit: str = ""
    interval: tuple[float, float] | None = None
    unsure: str = ""
    told: str = ""

    @property
    def outcome(self) -> Outcome:
        """Return PASS if the whole interval keeps the limit, FAIL if none of it does, else INSUFFICIENT."""
        if self.value is None:
            return Outcome.INSUFFICIENT if self.unsure else Outcome.FAIL
        if self.unsure:
            # What is lost for good needs no interval.
            return Outcome.INSUFFICIENT if math.isfinite(self.value) else Outcome.FAIL
        low, high = (self.value, self.value) if self.interval is None else self.interval
        best, worst = (low, high) if self.most else (high, low)
        if self._keeps(worst):
            return Outcome.PASS
        return Outcome.INSUFFICIENT if self._keeps(best) else Outcome.FAIL

    def _keeps(self, value: float) -> bool:
        return value <= self.limit if self.most else value >= self.limit

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.name} cannot be told{f': {self.unsure}' if self.unsure else ''}"
        text = f"{self.name} {figure(self.value, self.unit)}"
        if self.interval is not None:
            low, high = self.interval
            text += f" ({self.told or f'{figure(low)} to {figure(high)}'})"
        text += f", {'at most' if self.most else 'at least'} {figure(self.limit, self.unit)}"
        return f"{text}: {self.unsure}" if self.unsure and math.isfinite(self.value) else text


def figure(value: float, unit: str = "") -> str:
    """Return a figure to three digits with its unit; an infinite one in words."""
    return f"{value:.3g}{unit}" if math.isfinite(value) else "infinite"


def answer_of(question: str, bars: Iterable[Bar]) -> Answer:
    """Return the answer to a question from its bars: the worst decides, and its bars give the reason.

    Parameters
    ----------
    question
        The question.
    bars
        At least one.
    """
    judged = list(bars)
    worst = next(o for o in WORST_FIRST if any(bar.outcome is o for bar in judged))
    return Answer(question, worst, "; ".join(str(bar) for bar in judged if bar.outcome is worst))
