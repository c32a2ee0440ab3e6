"""A run as a page to look at and to show: figures from its JSON, charts and frames from its raw stamps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.judge.result import RunResult
from harness.report.charts import Chart
from harness.report.frames import pictures
from harness.report.page import page
from harness.report.series import distribution, time_line, traces
from mrsim.files.writing import write_text


def render(told: dict[str, Any], result: RunResult) -> str:
    """Return the page of a run.

    Parameters
    ----------
    told
        Its JSON values, with what else is known: "audit", "faults", "command".
    result
        The run itself.
    """
    told = json.loads(json.dumps(told, allow_nan=False))  # tuples as the lists that a reader of the JSON gets
    spread = distribution(result)
    charts: dict[str, list[Chart]] = {
        "latency": [*([] if spread is None else [spread]), time_line(result)],
        "trace": [] if result.quality is None else traces(result, result.quality),
    }
    frames = [] if result.quality is None else pictures(result, result.quality)
    return page(told, charts, frames)


def write_page(path: str | Path, told: dict[str, Any], result: RunResult) -> None:
    """Write the page of a run, whole or not at all.

    Parameters
    ----------
    path
        HTML file.
    told, result
        As for `render`.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    write_text(path, render(told, result))
