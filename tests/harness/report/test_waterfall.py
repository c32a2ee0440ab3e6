"""The waterfall on the page: its bars add up to M95, with the interval and the limit beside them."""

from __future__ import annotations

import itertools
import json
import re

import numpy as np
import pytest

from harness.judge.profiles import SHIPPED, Criterion
from harness.judge.result import RunResult
from harness.report.text import Figures
from harness.report.waterfall import PARTS, waterfall
from tests.harness.report.reading import bars, millimetres, plain, section

PROFILE = Criterion.of(SHIPPED["keep-up"], None)


def add_up(figure: str, parts: list[float], whole: float) -> None:
    """Check that each bar begins where the last one ends, and that they end at the whole."""
    *drawn, total = bars(figure)
    assert [kind.split()[0] for kind, *_ in [*drawn, total]] == ["time", "time", "time", "image", "whole"]
    assert [end - begin for _, begin, end, _ in drawn] == pytest.approx(parts, abs=0.02)
    assert [begin for _, begin, _, _ in drawn] == pytest.approx([0, *np.cumsum(parts)[:-1]], abs=0.02)
    assert drawn[-1][2] == pytest.approx(whole, abs=0.02)
    assert total[1:3] == pytest.approx((0, whole), abs=0.02)
    assert sum(end - begin for _, begin, end, _ in drawn) == pytest.approx(total[2] - total[1], abs=0.02)
    assert all(a[3] < b[3] for a, b in itertools.pairwise([*drawn, total]))  # downwards
    assert [("less" in kind) for kind, *_ in drawn] == [part < -0.05 for part in parts]


def test_the_bars_of_the_waterfall_add_up_to_m95(late_run: RunResult, late_page: str) -> None:
    margin = late_run.margin
    assert margin is not None
    assert margin.m95_mm is not None
    fall, figure = margin.waterfall, section(late_page, "waterfall")
    assert fall.sharing_m is not None
    parts = [1e3 * part for part in (fall.cadence_m, fall.sharing_m, fall.computing_m, fall.image_m)]
    assert min(parts) > 0.05  # each can be seen
    add_up(figure, parts, margin.m95_mm)
    value = millimetres(figure)
    ((low, high),) = re.findall(r'class="line interval" d="M([\d.]+) [\d.]+H([\d.]+)M', figure)
    assert (value(float(low)), value(float(high))) == pytest.approx((2.1, 6.4), abs=0.02)
    (limit,) = re.findall(r'class="line deadline" d="M([\d.]+) 0V', figure)
    assert value(float(limit)) == pytest.approx(PROFILE.profile.m95_mm, abs=0.02)
    labels = re.findall(r'<span class="label"[^>]*>(.*?</span>[^<]*)</span>', figure)
    assert [plain(one) for one in labels] == [f"{value:.1f} mm" for value in (*parts, margin.m95_mm)]
    places = re.findall(r'<span class="label" style="left:([\d.]+)%', figure)
    beside = [*np.cumsum(parts), 6.4]  # at the ends of the bars, and beyond the interval
    assert [value(10 * float(place)) for place in places] == pytest.approx(beside, abs=0.02)
    text = plain(section(late_page, "margin"))
    assert fall.tenfold_m is not None
    half, ten = fall.half_compute_m * 1e3, fall.tenfold_m * 1e3
    assert f"The same images would cost {half:.1f} mm at half the compute, and {ten:.1f} mm at 10x." in text


@pytest.mark.parametrize("seed", range(5))
def test_parts_that_take_something_off_add_up_too(seed: int, late_run: RunResult) -> None:
    rng = np.random.default_rng(seed)
    parts = [*rng.uniform(0.5, 3, 1), *rng.uniform(-1, 3, 3)]
    told = json.loads(json.dumps(late_run.to_json()))
    told["margin"]["waterfall_mm"] |= {key: value for (key, *_), value in zip(PARTS, parts, strict=True)}
    told["margin"]["m95_mm"] = sum(parts)
    chart = waterfall(Figures(told))
    assert chart is not None
    add_up(chart.html(), parts, sum(parts))
    assert ("takes from it" in chart.html()) == (min(parts) < -0.05)


def test_an_image_without_a_lag_has_no_bar_for_its_lines(late_run: RunResult) -> None:
    told = json.loads(json.dumps(late_run.to_json()))
    told["margin"]["waterfall_mm"] |= {"cadence": 1.0, "age_of_lines": None, "computing": 0.5, "image": 2.5}
    told["margin"]["m95_mm"] = 4.0
    told["profile"]["m95_mm"] = None
    chart = waterfall(Figures(told))
    assert chart is not None
    figure = chart.html()
    assert [(kind, round(end - begin, 1)) for kind, begin, end, _ in bars(figure)] == [
        ("time", 1.0), ("time", 0.5), ("image", 2.5), ("whole", 4.0),
    ]  # fmt: skip
    assert "no lag can be told" in figure
    assert "limit" not in plain(figure)
