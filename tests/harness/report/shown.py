"""Runs for a page, and the page of a run whose figures are those of its JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np

from harness.judge.evaluate import evaluate
from harness.judge.repetitions import Repetitions
from harness.judge.result import RunResult
from harness.realtime.clock import VirtualClock
from harness.realtime.service import TableService
from harness.report.report import render
from mrsim.stream import Stream
from tests.harness.report.reading import Page
from tests.harness.synthetic import Drawn

MS = 1_000_000


def centre(scan: Stream, line: int) -> np.ndarray:
    """Return where the target is at a line, or at the first."""
    assert scan.truth is not None
    place: np.ndarray = scan.truth.centroid[max(line, 0)]
    return place


def played(scan: Stream, draw: Callable[[int], np.ndarray], took_ns: int = 20 * MS) -> RunResult:
    """Return a run that shows pictures, each some time after its last line."""
    service = np.zeros(len(scan), np.int64)
    service[15::16] = took_ns
    return evaluate(
        scan, "it", lambda: Drawn(draw), clock=VirtualClock(), service=TableService(service), claim=0.5
    )


def written(run: RunResult) -> str:
    """Return the page of a run, having held its figures against the JSON."""
    told = Repetitions((run,), True).to_json()
    page = render(told, run)
    found = Page.of(page)
    assert found.unclosed == []
    assert found.wrong(json.loads(json.dumps(told))) == []
    return page
