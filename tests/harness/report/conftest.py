"""A run whose pictures are late, and its page."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.judge.result import RunResult
from harness.measure.intervals import MarginBounds
from mrsim.stream import Stream
from tests.harness.report.shown import centre, played, written
from tests.harness.synthetic import draw_target, moving_stream


@pytest.fixture(scope="package")
def long_scan() -> Stream:
    return moving_stream(420)  # 27 s


@pytest.fixture(scope="package")
def late_run(long_scan: Stream) -> RunResult:
    """Return a run whose pictures are a frame old, and of which some have no target."""
    blank = np.zeros(long_scan.header.matrix)

    def draw(frame: int) -> np.ndarray:
        if frame in (60, 61, 77):
            return blank
        return draw_target(long_scan.header, centre(long_scan, 16 * frame - 17))

    found = played(long_scan, draw)
    assert found.margin is not None
    bounds = MarginBounds(low_m=2.1e-3, high_m=6.4e-3, upper_m=6.9e-3)
    return dataclasses.replace(found, margin=dataclasses.replace(found.margin, bounds=bounds))


@pytest.fixture(scope="package")
def late_page(late_run: RunResult) -> str:
    return written(late_run)
