"""A first try: the sentence says what the JSON says, and the difference is that of the same instants."""

from __future__ import annotations

import base64
import dataclasses
import io
import re

import numpy as np
import pytest
from PIL import Image

from harness.comparison.order import Difference
from harness.judge.repetitions import Repetitions
from harness.report.beside import beside
from harness.report.text import DASH, Figures
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
        assert re.search(r"view sharing costs \S+ mm less", later.sentence)
        assert re.search(r"view sharing costs \S+ mm more", sooner.sentence)


def test_a_tie_and_too_few_breaths_are_called_so():
    found = trial(2, 2)
    assert "level with view sharing" in found.sentence
    few = dataclasses.replace(found, difference=Difference(0.3, None, "undecided"))
    assert "in too few breaths to tell them apart" in few.sentence
    lost = dataclasses.replace(found, difference=Difference(None, None, "behind"))
    assert lost.sentence.endswith(f"view sharing costs {found.opponent.margin.m95_mm:.1f} mm")


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


def test_both_stand_side_by_side_with_their_own_figures():
    found = trial(4, 1)
    rows = found.to_json()["try"]["beside"]
    assert [row["candidate"] for row in rows] == ["mine", "view-sharing"]
    for row, one in zip(rows, (found.result.to_json(), found.opponent.to_json()), strict=True):
        assert row["m95_mm"] == one["margin"]["m95_mm"]
        assert row["lag_ms"] == one["quality"]["total_lag_ms"]
        assert row["response_p50_ms"] == one["latency_ms"]["response"]["p50"]
        assert (row["dice"], row["nmse"]) == (one["quality"]["dice"], one["quality"]["nmse"])
    assert rows[0]["m95_mm"] > rows[1]["m95_mm"]


def test_the_page_holds_the_moving_picture_and_a_still_of_it(tmp_path):
    gif = tmp_path / "a.gif"
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "blue")]
    frames[0].save(gif, save_all=True, append_images=frames[1:], duration=100)
    found = trial(4, 1)
    found.report(tmp_path / "a.html", "mrsim try mine", gif)
    page = (tmp_path / "a.html").read_text("utf-8")
    (moving,) = re.findall(r'data-moving="data:image/gif;base64,([^"]*)"', page)
    assert base64.b64decode(moving) == gif.read_bytes()
    (still,) = re.findall(r'id="moving" src="data:image/png;base64,([^"]*)"', page)
    with Image.open(io.BytesIO(base64.b64decode(still))) as first:
        assert first.size == (20, 10)
        red, green, blue = first.convert("RGB").getpixel((5, 5))
        assert red > 200 > 50 > max(green, blue)
    found.report(tmp_path / "b.html", "mrsim try mine")
    assert "data-moving=" not in (tmp_path / "b.html").read_text("utf-8")


@pytest.mark.parametrize(("available", "said"), [(0.9, "infinite"), (None, DASH)])
def test_a_margin_that_was_not_measured_is_not_called_infinite(available, said):
    row = {"candidate": "it", "m95_mm": None, "availability": available, "lag_ms": None}
    row |= dict.fromkeys(("response_p50_ms", "dice", "nmse"))
    told = {"try": {"beside": [row, row], "difference_mm": {"value": None, "interval": None}, "next": "x"}}
    html = beside(Figures(told), None)
    cells = re.findall(r'data-figure="try/beside/0/m95_mm"[^>]*>([^<]*)<', html)
    assert cells == [said]


def test_isolated_a_candidate_that_ends_its_process_ends_its_own_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import os\n"
        "class Ends:\n"
        "    def open(self, header, emit): self.count = 0\n"
        "    def push(self, line):\n"
        "        self.count += 1\n"
        "        if self.count == 200: os._exit(0)\n"
        "    def close(self): pass\n"
    )
    found = try_out(scanned(), "python:mine.py:Ends", isolate=True, limit_s=60.0)
    assert found.result.failure is not None
    assert "its process died in push" in found.result.verdict.reason
    assert found.next_step.startswith("mend what it raised")
