"""The charts over time: what was on display at each TR, how far off it was, and what nobody can follow."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from harness.judge.result import RunResult
from harness.measure.displayed import Displayed
from harness.report.course import course, states, worst_stretch
from tests.harness.report.reading import boxes, drawing, points
from tests.harness.report.shown import played, written
from tests.harness.synthetic import draw_target, moving_stream


def test_the_course_shows_what_was_on_display_at_each_tr(late_run: RunResult) -> None:
    displayed = late_run.displayed
    assert displayed is not None
    part = worst_stretch(displayed)
    where, apart, _ = course(late_run)
    t_s = displayed.t_ns[part] / 1e9
    shown = 1e3 * displayed.centre_m[part, 1]

    line = points(where.html(), "shown")
    x = where.x.low + line[:, 0] * (where.x.high - where.x.low)
    y = where.y.low + line[:, 1] * (where.y.high - where.y.low)
    changes = np.flatnonzero(np.diff(shown)) + 1
    for at in (*changes[:40], *(changes[:40] + 3)):
        near = np.searchsorted(x, t_s[at] + 1e-3, side="right") - 1
        assert y[near] == pytest.approx(shown[at], abs=0.05)

    line = points(where.html(), "true")
    y = where.y.low + line[:, 1] * (where.y.high - where.y.low)
    x = where.x.low + line[:, 0] * (where.x.high - where.x.low)
    assert np.abs(np.interp(t_s, x, y) - 1e3 * displayed.true_m[part, 1]).max() < 0.1

    line = points(apart.html(), "shown")
    x = apart.x.low + line[:, 0] * (apart.x.high - apart.x.low)
    y = apart.y.high * line[:, 1]
    error = 1e3 * displayed.error_m[part]
    for at in (*changes[:40], *(changes[:40] - 1)):
        (near,) = np.flatnonzero(np.abs(x - t_s[at]) < 1.9e-3)[:1]
        assert y[near] == pytest.approx(error[at], abs=0.05)


def test_three_millimetres_are_marked(late_run: RunResult) -> None:
    where, apart, _ = course(late_run)
    (path,) = re.findall(r'class="bars near" d="M0.0 1000.0H1000.0V([\d.]+)H0.0z"', apart.html())
    assert apart.y.high * (1 - float(path) / 1000) == pytest.approx(3, abs=0.01)
    (path,) = re.findall(r'class="bars near" d="M([^"]*)z"', drawing(where.html()))
    y = np.array([float(p.split()[1]) for p in path.split("L")])
    half = len(y) // 2
    height = (y[:half] - y[half:][::-1]) / 1000 * (where.y.high - where.y.low)
    assert height == pytest.approx(np.full(half, 6.0), abs=0.02)


def test_time_that_nobody_can_follow_is_shaded_as_what_it_is(late_run: RunResult) -> None:
    displayed = late_run.displayed
    assert displayed is not None
    count = len(displayed.t_ns)
    held, gone = np.zeros(count, bool), np.zeros(count, bool)
    held[100:400], gone[300:500] = True, True
    centred = displayed.centre_m.copy()
    centred[450:700] = np.nan
    short = dataclasses.replace(displayed, held=held, gone=gone, centre_m=centred)
    found = states(short)
    assert {kind: flags[:800].nonzero()[0][[0, -1]].tolist() for kind, flags in found.items()} == {
        "held": [100, 299], "gone": [300, 499], "lost": [500, 699],
    }  # fmt: skip
    assert np.stack(list(found.values())).sum(axis=0).max() == 1
    charts = course(dataclasses.replace(late_run, displayed=short))
    whole = charts[-1]
    seconds = whole.x.high - whole.x.low
    first = displayed.t_ns[0] / 1e9
    for kind, (begin, end) in (("held", (100, 300)), ("gone", (300, 500)), ("lost", (500, 700))):
        (a, b) = boxes(whole.html(), kind)[0]
        assert first + a * seconds == pytest.approx(displayed.t_ns[begin] / 1e9, abs=0.01)
        assert first + b * seconds == pytest.approx(displayed.t_ns[end] / 1e9, abs=0.01)


def displayed_with(late_run: RunResult, wrong: slice, metres: float) -> Displayed:
    assert late_run.displayed is not None
    centre_m = late_run.displayed.true_m + 1e-3
    centre_m[wrong] += metres
    return dataclasses.replace(
        late_run.displayed,
        centre_m=centre_m,
        held=np.zeros(len(centre_m), bool),
        gone=np.zeros(len(centre_m), bool),
    )


@pytest.mark.parametrize("metres", [0.01, np.nan])
def test_the_stretch_is_the_one_with_the_greatest_errors(late_run: RunResult, metres: float) -> None:
    assert late_run.displayed is not None
    count, second = len(late_run.displayed.t_ns), 250  # TR 4 ms
    assert count > 6500
    last = slice(count - 40, count - 30)
    part = worst_stretch(displayed_with(late_run, last, metres))
    assert part.stop - part.start == 20 * second
    assert part.stop == count  # else it begins at a whole second
    assert part.start <= last.start
    assert part.stop >= last.start
    assert worst_stretch(displayed_with(late_run, slice(40, 50), metres)).start == 0
    assert worst_stretch(displayed_with(late_run, slice(second + 10, count), metres)).start == 2 * second


def test_a_short_scan_is_shown_whole(late_run: RunResult) -> None:
    found = played(moving_stream(150), lambda frame: draw_target(late_run.stream.header, np.zeros(2)))
    assert [chart.name for chart in course(found)] == ["trace", "error"]
    html = written(found)
    assert "the greatest mean distance" not in html
    assert "the greatest mean distance" in written(late_run)
