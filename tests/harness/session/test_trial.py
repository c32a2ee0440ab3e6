"""A first try: the sentence says what the JSON says, and the difference is that of the same instants."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from harness.comparison.order import Difference
from harness.judge.repetitions import Repetitions
from harness.session.result import Result
from harness.session.trial import Trial, _difference, try_out
from mrsim.errors import InputError
from tests.harness.picture.late import late, scanned


def result_of(frames: int) -> Result:
    return Result(Repetitions((late(frames),), exact=True), "again")


def trial(one: int, other: int) -> Trial:
    return Trial("mine", result_of(one), result_of(other), _difference(late(one), late(other)))


def test_the_sentence_has_the_numbers_of_the_json():
    found = trial(4, 1)
    told = found.to_json()
    margin, beside = told["margin"], told["try"]
    numbers = [float(text) for text in re.findall(r"\d+\.\d", found.sentence)]
    expected = [margin["m95_mm"]]
    if margin["m95_interval_mm"] is not None:
        expected += margin["m95_interval_mm"]
    expected.append(beside["lag_mm"])
    expected.append(beside["view_sharing_m95_mm"] if beside["difference_mm"]["interval"] is None else 0)
    if beside["difference_mm"]["interval"] is not None:
        expected[-1] = abs(beside["difference_mm"]["value"])
        expected += sorted(map(abs, beside["difference_mm"]["interval"]))
    assert numbers == [round(value, 1) for value in expected]
    assert beside["sentence"] == found.sentence
    assert found.sentence.startswith("mine costs")


def test_whoever_is_later_costs_more_and_is_told_so():
    later, sooner = trial(4, 1), trial(1, 4)
    assert later.difference.value == pytest.approx(-sooner.difference.value)
    assert later.difference.value > 0
    shown = late(4).displayed, late(1).displayed
    p95 = [np.sort(one.error_m)[int(np.ceil(0.95 * len(one.error_m))) - 1] * 1e3 for one in shown]
    assert later.difference.value == pytest.approx(p95[0] - p95[1], abs=0.02)
    if later.difference.interval is not None:
        assert "more than view sharing" in later.sentence
        assert "less than view sharing" in sooner.sentence


def test_a_tie_and_too_few_breaths_are_called_so():
    found = trial(2, 2)
    assert "level with view sharing" in found.sentence
    few = dataclasses.replace(found, difference=Difference(0.3, None, "undecided"))
    assert "in too few breaths to tell them apart" in few.sentence
    lost = dataclasses.replace(found, difference=Difference(None, None, "behind"))
    assert lost.sentence.endswith(f"view sharing costs {found.opponent.margin.m95_mm:.1f}")


def test_what_to_do_next_follows_what_was_found():
    found = trial(4, 1)
    assert found.next_step != ""
    blank = try_out(scanned(), "null", seed=1)  # it shows nothing that holds the target
    assert "lost" in blank.next_step or "look at" in blank.next_step
    assert blank.result.audit is not None
    assert list(blank.panels) == ["null", "view sharing"]


def test_a_scan_without_truth_is_refused():
    with pytest.raises(InputError, match="a try needs a scan with truth"):
        try_out(dataclasses.replace(scanned(), truth=None), "zero-filled")
