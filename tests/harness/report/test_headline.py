"""Every figure of the page's head stands under its own name, and a path that leads nowhere is an error."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness.report
from harness.judge.evaluate import evaluate
from harness.judge.misses import Misses
from harness.judge.profiles import Criterion, Profile
from harness.judge.repetitions import Repetitions
from harness.judge.result import RunResult
from harness.realtime.clock import VirtualClock
from harness.realtime.host import HostLog
from harness.realtime.service import TableService
from harness.report.report import render
from harness.report.text import OPTIONAL, Figures
from tests.harness.report.reading import Page, plain
from tests.harness.synthetic import Drawn, draw_target, moving_stream

MS = 1_000_000
EXTRAS: dict[str, Any] = {
    "audit": {"audits": [{"audit": "causality", "kept": True, "evidence": "none"}]},
    "broken": [{"promise": "order", "line": 3, "message": "late"}],
    "command": "mrsim report",
    "faults": "drop:p=0.1",
    "overlap": {"answer": "none", "told": "from no line of it"},
    "scale": {"gain": 0.031_25, "nmse": 812.5, "ssim": 0.123},
    "symptom": "images are upside down",
    "touched": {"drop": 7},
    "try": {
        "next": "look at the page",
        "difference_mm": {"value": 1.5, "interval": [0.5, 2.5]},
        "beside": [
            {"candidate": name, "m95_mm": 4.5 + n, "availability": 0.9, "lag_ms": 160.0 + n,
             "response_p50_ms": 1.5 + n, "dice": 0.5 + n / 8, "nmse": 0.25 + n / 8}
            for n, name in enumerate(("it", "view-sharing"))
        ],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def result() -> RunResult:
    """Return a run of 700 images of which no two figures of the head are alike, and which has every part."""
    scan = moving_stream(700)
    assert scan.truth is not None
    head, centroid = scan.header, scan.truth.centroid
    rng = np.random.default_rng(2)

    def draw(frame: int) -> np.ndarray:
        noise = rng.normal(0, 0.02, (*head.matrix, 2))
        path = centroid[max(0, 16 * frame + 15 - 15)]  # one frame, less a line, behind
        return 1.02 * draw_target(head, path) + noise[..., 0] + 1j * noise[..., 1]

    service = np.zeros(len(scan), np.int64)
    service[15::16] = rng.integers(1 * MS, 40 * MS, 700)
    service[16 * 20 + 15 :: 16 * 150] = 230 * MS
    criterion = Criterion.of(Profile("mine", "a window", "total", 260.0, window_mm=3.0), 100.0)
    found = evaluate(
        scan,
        "it",
        lambda: Drawn(draw),
        clock=VirtualClock(),
        service=TableService(service),
        criterion=criterion,
    )
    assert found.margin is not None
    found = dataclasses.replace(
        found, margin=dataclasses.replace(found.margin, availability=0.91, held_share=0.02, gone_share=0.07)
    )
    host = HostLog(10**9, 4, 0.5, MS, MS, MS, MS, 7, 2 * MS, 1, 0.25, ((10**8, 2 * MS),))
    return dataclasses.replace(found, run=dataclasses.replace(found.run, host=host))


@pytest.fixture(scope="module")
def page(result: RunResult) -> Page:
    return Page.of(render({**Repetitions((result, result), True).to_json(), **EXTRAS}, result))


def tiles(page_html: str) -> dict[str, tuple[str, str]]:
    """Return the value and the further figures under each name, as they are read."""
    found = re.findall(
        r'<li[^>]*><span class="name">(.*?)</span><span class="value">(.*?)</span>'
        r'<span class="more">(.*?)</span>(?:<span class="tip".*?</span>)?</li>',
        page_html,
    )
    return {name: (plain(value), plain(more)) for name, value, more in found}


def test_each_tile_shows_the_figures_of_its_name(result: RunResult) -> None:
    """From the run itself, not from its JSON: a path to another figure is found."""
    shown = tiles(render(Repetitions((result,), True).to_json(), result))
    response, timing, quality = result.timing.summary("response"), result.timing, result.quality
    assert quality is not None
    lag, margin = quality.lag, result.margin
    assert margin is not None
    assert lag.tau_ns is not None
    assert lag.residual_m is not None
    assert quality.total_lag_ns is not None
    low, high = (100 * bound for bound in Misses.of([timing.steady_missed]).interval)
    values = (response.p50, response.p95, response.p99, response.max, timing.deadline_ns)
    assert None not in values
    assert len({f"{value / MS:.1f}" for value in values if value is not None}) == 5
    ms = {key: f"{getattr(response, key) / MS:.1f}" for key in ("p50", "p99", "max")}
    assert shown == {
        "response, median": (
            f"{ms['p50']} ms",
            f"p99 {ms['p99']}, max {ms['max']} ms; deadline {timing.deadline_ns / MS:.1f} ms",
        ),
        "missed": (
            f"{timing.misses} of {timing.images}",
            f"99 % interval {low:.2f} to {high:.2f} %",
        ),
        "apparent lag": (
            f"{lag.tau_ns / MS:.0f} ms",
            f"gain {lag.gain:.2f}, residual {lag.residual_m * 1e3:.2f} mm; "
            f"{quality.total_lag_ns / MS:.0f} ms with the response",
        ),
        "M95 on display": (
            f"{margin.m95_mm:.1f} mm",
            f"M99 {margin.m99_mm:.1f} mm; beyond 3 mm for {margin.beyond_share * 100:.1f} % of the time",
        ),
        "target available": (
            f"{margin.availability * 100:.1f} %",
            f"held {margin.held_share * 100:.1f} %, out of the slice {margin.gone_share * 100:.1f} %",
        ),
        "silent failures": (
            f"{margin.silent.share * 100:.1f} %",
            f"of the time; {margin.silent.longest_ns / MS:.0f} ms at the longest",
        ),
    }


def test_without_a_display_the_tiles_show_the_images(result: RunResult) -> None:
    """As of a burst, in which nothing is due at an instant."""
    quality = result.quality
    assert quality is not None
    burst = dataclasses.replace(result, displayed=None, margin=None, beams=())
    html = render(Repetitions((burst,), True).to_json(), burst)
    shown = tiles(html)
    assert list(shown) == ["response, median", "missed", "apparent lag", "Dice"]
    assert shown["Dice"] == (
        f"{quality.dice.mean():.3f}",
        f"NMSE {quality.nmse.mean():.6f}, SSIM {quality.ssim.mean():.3f}",
    )
    assert 'id="target"' in html
    assert 'id="beams"' not in html


def test_the_three_answers_stand_on_top_with_their_reasons(result: RunResult, page: Page) -> None:
    verdict = Repetitions((result, result), True).verdict
    html = render(Repetitions((result, result), True).to_json(), result)
    found = re.findall(
        r'<span class="answer (\w+)">(.*?)</span><span class="question">(.*?)</span>'
        r'<span class="why">(.*?)</span></li>',
        html[: html.index("<main>")],
    )
    assert [(kind, plain(told), question, unescape(plain(why))) for kind, told, question, why in found] == [
        (
            "unasked" if answer.outcome is None else answer.outcome.name,
            "not asked" if answer.outcome is None else answer.outcome.name,
            asked,
            answer.reason,
        )
        for answer, asked in zip(
            verdict.answers,
            ("Do images come in time?", "Is the target where it is shown?", "Are the images good?"),
            strict=True,
        )
    ]
    assert {"FAIL", "unasked"} <= {kind for kind, *_ in found}


def test_a_reason_that_no_answer_gives_is_told_above_them(result: RunResult) -> None:
    told = Repetitions((result,), True).to_json()
    assert "reason" not in {place for place, *_ in Page.of(render(told, result)).figures}
    audited = {**told, "verdict": "INVALID", "reason": "audit broken: causality"}
    html = render(audited, result)
    assert "audit broken: causality" in plain(html[: html.index('class="answers"')])
    other = {**told, "reason": told["reason"] + "; and more"}
    assert "reason" in {place for place, *_ in Page.of(render(other, result)).figures}


def test_the_header_names_verdict_candidate_scan_and_profile(result: RunResult, page: Page) -> None:
    head = result.stream.header
    for told in (
        result.verdict.outcome.name,
        "on 700 frames of phantom test, "
        f"{head.acceleration:.1f}x, TR {head.tr_ns / MS:.1f} ms; "
        "constant-stream, virtual clock, profile mine",
    ):
        assert told in page.text


def test_a_path_that_leads_nowhere_is_an_error_and_no_dash() -> None:
    figures = Figures({"latency_ms": {"response": {"p50": 1.5, "p99": None}}, "runs": [{}], "host": None})
    assert figures.get("latency_ms/response/p50") == 1.5
    assert figures.get("latency_ms/response/p99") is None
    assert figures.get("host/load") is None  # not measured
    assert all(figures.get(f"{name}/any/0") is None for name in OPTIONAL)
    for path, there in (
        ("latency_ms/response/p5O", r"latency_ms/response has no 'p5O'; it has p50, p99"),
        ("latency/response", r"the result has no 'latency'; it has latency_ms, runs, host"),
        ("runs/1", r"runs has no '1'; it has 1 items"),
        ("latency_ms/response/p50/x", r"has no 'x'; it has no parts \(float\)"),
    ):
        with pytest.raises(LookupError, match=there):
            figures.at(path)


def paths() -> Iterator[tuple[str, str]]:
    """Yield every path that is written out in the code of the page, and where."""
    for source in sorted(Path(harness.report.__path__[0]).glob("*.py")):
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                first = node.args[min(name == "margin_of", len(node.args) - 1)]
                if (
                    name in ("at", "get", "margin_of")
                    and isinstance(first, ast.Constant)
                    and isinstance(first.value, str)
                ):
                    yield first.value, f"{source.name}:{node.lineno}"


def test_every_path_of_the_page_leads_somewhere_and_nothing_hides_it(result: RunResult, page: Page) -> None:
    """In a result that has every part: nothing that is null hides what a path says below it."""
    told = {**Repetitions((result, result), True).to_json(), **EXTRAS}
    figures, found = Figures(told), list(paths())
    assert len(found) > 60
    for path, where in found:
        parent = path.rpartition("/")[0]
        assert not parent or figures.get(parent) is not None, f"{where}: {path}: its parent is null"
        figures.get(path)
    assert set(OPTIONAL) <= set(told)
    assert {place.split("/")[0] for place, *_ in page.figures} >= {
        "host",
        "margin",
        "answers",
        "beams",
        "audit",
        "broken",
        "touched",
    }
