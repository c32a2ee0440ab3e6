"""Every figure of the page's head stands under its own name, and a path that leads nowhere is an error."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness.report
from harness.judge.evaluate import evaluate
from harness.judge.profiles import Criterion, Profile
from harness.judge.repetitions import Repetitions
from harness.judge.result import RunResult
from harness.measure.exact_statistics import binomial_interval
from harness.realtime.clock import VirtualClock
from harness.realtime.host import HostLog
from harness.realtime.service import TableService
from harness.report.report import render
from harness.report.text import OPTIONAL, Figures
from tests.harness.report.reading import Page
from tests.harness.synthetic import Drawn, draw_target, moving_stream

MS = 1_000_000
EXTRAS: dict[str, Any] = {
    "audit": {"audits": [{"audit": "causality", "kept": True, "evidence": "none"}]},
    "broken": [{"promise": "order", "line": 3, "message": "late"}],
    "command": "mrsim report",
    "faults": "drop:p=0.1",
    "touched": {"drop": 7},
}


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
    host = HostLog(10**9, 4, 0.5, MS, MS, MS, MS, 7, 2 * MS, 1, 0.25, ((10**8, 2 * MS),))
    return dataclasses.replace(found, run=dataclasses.replace(found.run, host=host))


@pytest.fixture(scope="module")
def page(result: RunResult) -> Page:
    return Page.of(render({**Repetitions((result, result), True).to_json(), **EXTRAS}, result))


def tiles(page_html: str) -> dict[str, tuple[str, str]]:
    """Return the value and the further figures under each name, as they are read."""
    found = re.findall(
        r'<li><span class="name">(.*?)</span><span class="value">(.*?)</span>'
        r'<span class="more">(.*?)</span></li>',
        page_html,
    )
    return {name: (plain(value), plain(more)) for name, value, more in found}


def plain(html: str) -> str:
    return re.sub(r"<[^>]*>", "", html)


def test_each_tile_shows_the_figures_of_its_name(result: RunResult) -> None:
    """From the run itself, not from its JSON: a path to another figure is found."""
    shown = tiles(render(Repetitions((result,), True).to_json(), result))
    response, timing, quality = result.timing.summary("response"), result.timing, result.quality
    assert quality is not None
    lag, where = quality.lag, quality.when_shown
    low, high = (100 * bound for bound in binomial_interval(timing.misses, timing.images))
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
        "centroid error when shown, p95": (
            f"{where.p95 * 1e3:.2f} mm",
            f"rms {where.rms * 1e3:.2f}, max {where.max * 1e3:.2f} mm",
        ),
        "Dice": (
            f"{quality.dice.mean():.3f}",
            f"NMSE {quality.nmse.mean():.6f}, SSIM {quality.ssim.mean():.3f}",
        ),
    }


def test_the_header_names_verdict_candidate_scan_and_profile(result: RunResult, page: Page) -> None:
    head = result.stream.header
    for told in (
        result.verdict.outcome.name,
        Repetitions((result, result), True).verdict.reason,
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
                (first, *_) = node.args
                if name in ("at", "get") and isinstance(first, ast.Constant) and isinstance(first.value, str):
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
        "gating",
        "audit",
        "broken",
        "touched",
    }
