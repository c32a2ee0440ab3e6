"""The report of a run: a page with figures from its JSON, and charts and frames from its raw stamps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.judge.result import RunResult
from harness.report.beside import Moving
from harness.report.charts import Chart
from harness.report.course import course
from harness.report.frames import pictures
from harness.report.page import page
from harness.report.series import distribution, time_line
from harness.report.text import Figures
from harness.report.waterfall import waterfall
from mrsim.files.writing import write_text
from mrsim.printable import visible


def render(values: dict[str, Any], result: RunResult, moving: Moving | None = None) -> str:
    """Return the page of a run.

    Parameters
    ----------
    values
        Its JSON values, with further ones under "audit", "faults" and "command".
    result
        The run itself.
    moving
        A moving picture of it, and of who is set beside it; None for none.
    """
    values = json.loads(json.dumps(values, allow_nan=False))  # tuples become lists, as in the JSON file
    spread = distribution(result)
    parts = waterfall(Figures(values))
    charts: dict[str, list[Chart]] = {
        "margin": [] if parts is None else [parts],
        "latency": [*([] if spread is None else [spread]), time_line(result)],
        "target": list(course(result)),
    }
    frames = [] if result.quality is None else pictures(result, result.quality)
    return page(values, charts, frames, moving)


def write_page(
    path: str | Path, values: dict[str, Any], result: RunResult, moving: Moving | None = None
) -> None:
    """Write the page of a run; the file is written whole or not at all.

    Parameters
    ----------
    path
        HTML file.
    values, result, moving
        As for `render`.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    write_text(path, visible(render(values, result, moving)))
