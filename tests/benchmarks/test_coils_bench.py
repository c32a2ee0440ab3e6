"""What a line of eight coils costs: 15 deforming ellipses on the finer grid, then the filters."""

from __future__ import annotations

import numpy as np
import pytest

from harness.measure.exact_statistics import samples_needed, summarise
from harness.testing.benchmark_table import enter
from mrsim.anatomy.shapes import Ellipse
from mrsim.reception.coil_fit import fit_coils
from mrsim.reception.coils import CoilArray
from mrsim.scanner.render import Renderer

SHAPES = [Ellipse((0.01 * i - 0.07, 0.02), (0.02 + 0.005 * i, 0.03), 0.1 * i) for i in range(15)]
MATRIX = (128, 128)


@pytest.mark.benchmark(group="scanner")
@pytest.mark.parametrize("count", [1, 8, 32])
def test_line_of_deforming_ellipses(count: int, benchmark) -> None:
    fitted = fit_coils(CoilArray.ring(count), (0.4, 0.4))
    every = np.ones(15, bool)
    contrast = np.full(15, fitted.gain(MATRIX), np.complex128)
    renderer = Renderer(fitted.fine_grid(MATRIX), SHAPES, contrast, every, every)
    rows = fitted.fine_rows(7)
    centers = np.tile(np.array([s.center for s in SHAPES]), (len(rows), 1, 1))
    axes = np.tile(np.array([s.axes for s in SHAPES]), (len(rows), 1, 1, 1))
    out = np.empty((count, 128), np.complex128)

    def line() -> None:
        fitted.filter_line(renderer.render(rows, centers, axes), out)

    benchmark.pedantic(line, rounds=max(2000, samples_needed(0.99)), iterations=1, warmup_rounds=20)
    enter(
        benchmark, "scanner", "a line of 15 deforming ellipses", size=f"128 x 128, {count}", deadline_ns=2.2e6
    )
    summary = summarise((np.array(benchmark.stats.stats.data) * 1e9).astype(np.int64))
    benchmark.extra_info |= {
        "p50_ms": summary.p50 and summary.p50 / 1e6,
        "p99_ms": summary.p99 and summary.p99 / 1e6,
    }
    benchmark.extra_info |= {
        "aim_ms": 0.6,
        "fit_error_rms": fitted.error_rms,
        "fit_error_max": fitted.error_max,
    }
    assert np.isfinite(out).all()
