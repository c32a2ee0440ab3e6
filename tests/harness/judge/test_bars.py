"""Bars and answers: what a figure, its interval and a limit allow to be said."""

from __future__ import annotations

import math

import pytest

from harness.judge.bars import Bar, answer_of
from harness.judge.outcome import Answer, Outcome, Verdict
from harness.judge.target import _interval


@pytest.mark.parametrize(
    ("value", "interval", "limit", "most", "outcome"),
    [
        (2.0, (1.5, 2.5), 3.0, True, Outcome.PASS),
        (2.0, (1.5, 3.0), 3.0, True, Outcome.PASS),
        (2.0, (1.5, 3.1), 3.0, True, Outcome.INSUFFICIENT),
        (3.5, (2.9, 4.0), 3.0, True, Outcome.INSUFFICIENT),
        (3.5, (3.1, 4.0), 3.0, True, Outcome.FAIL),
        (3.5, (3.1, math.inf), 3.0, True, Outcome.FAIL),
        (0.9, (0.85, 0.95), 0.8, False, Outcome.PASS),
        (0.9, (0.75, 0.95), 0.8, False, Outcome.INSUFFICIENT),
        (0.7, (0.65, 0.75), 0.8, False, Outcome.FAIL),
        (3.0, None, 3.0, True, Outcome.PASS),
        (3.01, None, 3.0, True, Outcome.FAIL),
        (0.79, None, 0.8, False, Outcome.FAIL),
        (math.inf, None, 3.0, True, Outcome.FAIL),
        (None, None, 3.0, True, Outcome.FAIL),
    ],
)
def test_a_bar_is_kept_if_its_whole_interval_keeps_it(
    value: float | None, interval: tuple[float, float] | None, limit: float, most: bool, outcome: Outcome
) -> None:
    assert Bar("it", value, limit, most, interval=interval).outcome is outcome


def test_a_figure_without_the_interval_that_it_needs_is_insufficient_unless_it_is_infinite() -> None:
    assert Bar("it", 1.0, 3.0, most=True, unsure="2 breaths").outcome is Outcome.INSUFFICIENT
    assert Bar("it", math.inf, 3.0, most=True, unsure="2 breaths").outcome is Outcome.FAIL
    untold = Bar("it", None, 3.0, most=True, unsure="2 breaths")
    assert (untold.outcome, str(untold)) == (Outcome.INSUFFICIENT, "it cannot be told: 2 breaths")


def test_the_worst_bar_gives_the_answer_and_the_reason() -> None:
    good, bad = Bar("first", 1.0, 3.0, True, " mm"), Bar("second", 4.0, 3.0, True, " mm")
    answer = answer_of("target", [good, bad])
    assert answer == Answer("target", Outcome.FAIL, "second 4 mm, at most 3 mm")
    assert answer_of("target", [good]).reason == "first 1 mm, at most 3 mm"


@pytest.mark.parametrize(
    ("outcomes", "worst"),
    [
        ((Outcome.PASS, Outcome.PASS, None), Outcome.PASS),
        ((Outcome.PASS, Outcome.INSUFFICIENT, None), Outcome.INSUFFICIENT),
        ((Outcome.INVALID, Outcome.INSUFFICIENT, Outcome.PASS), Outcome.INVALID),
        ((Outcome.INVALID, Outcome.FAIL, Outcome.PASS), Outcome.FAIL),
        ((None, Outcome.PASS, None), Outcome.PASS),
    ],
)
def test_the_verdict_is_the_worst_answer(outcomes: tuple[Outcome | None, ...], worst: Outcome) -> None:
    names = ("time", "target", "image")
    answers = [Answer(n, o, f"why {n}") for n, o in zip(names, outcomes, strict=True)]
    verdict = Verdict.of(answers)
    assert verdict.outcome is worst
    first = names[outcomes.index(worst)]
    assert verdict.reason.startswith(f"{first}: why {first}")
    assert verdict.answers == tuple(answers)
    assert verdict.answer("image") is answers[2]


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ((1.0, 2.0, 3.0), "1 to 2, 99 % bound 3"),
        ((1.0, 2.0, math.inf), "1 to 2, no finite 99 % bound"),
        ((1.0, math.inf, math.inf), "1 or more: without a target for too long in some breaths"),
        ((math.inf, math.inf, math.inf), "without a target for too long in nearly all breaths"),
    ],
)
def test_an_interval_without_an_end_is_told_in_words(bounds: tuple[float, ...], said: str) -> None:
    told = _interval(*bounds)
    assert told.startswith(said)
    assert "infinite" not in told
