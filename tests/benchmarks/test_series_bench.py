"""What a line of a cine costs, and a minute of a scan of it."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import mrsim
from harness.testing.benchmark_table import enter
from mrsim.anatomy.series.patient import Patient, patient_of
from mrsim.anatomy.series.series import series_from_arrays
from mrsim.scanner.acquisition import Scanner
from mrsim.scanner.protocol import ScanProtocol
from tests.mrsim.anatomy.series.cines import moved, smooth_image

pytestmark = pytest.mark.benchmark(group="scanner")

ROWS, COLUMNS, FRAMES = 176, 140, 380
PART = 4  # frames of a scan that are timed at once


@pytest.fixture(scope="module")
def patient() -> Patient:
    image = smooth_image(3, (ROWS, COLUMNS))
    images = np.stack([moved(image, 4 * np.sin(n / 6), 0) for n in range(FRAMES)])
    return patient_of(series_from_arrays(images, 0.167 * np.arange(FRAMES), 1.82), 0.0)


@pytest.mark.parametrize(("coils", "most_ms"), [(1, 2.2), (8, 6.0)])
def test_a_line_of_256_columns(
    benchmark: BenchmarkFixture, patient: Patient, coils: int, most_ms: float
) -> None:
    protocol = ScanProtocol(matrix=(256, 256), fov_m=(0.34, 0.34), coils=coils)
    frames = iter(range(0, 4000, PART))
    scanner = Scanner(patient, protocol, 1, 400)
    benchmark.pedantic(
        lambda: scanner.chunk(next(frames), PART, False), rounds=5, iterations=1, warmup_rounds=1
    )
    line_ms = benchmark.stats.stats.median / (PART * protocol.header().lines_per_frame) * 1e3
    benchmark.extra_info["line_ms"] = line_ms
    per = PART * protocol.header().lines_per_frame
    enter(benchmark, "scanner", "a line of a cine", size=f"256 x 256, {coils}", deadline_ns=2.2e6, per=per)
    assert line_ms < most_ms


@pytest.mark.slow
def test_a_minute_of_128_by_128(benchmark: BenchmarkFixture, patient: Patient) -> None:
    scan = benchmark.pedantic(
        mrsim.simulate, args=(patient,), kwargs={"seconds": 60, "seed": 1, "fov_m": (0.34, 0.34)}, rounds=1
    )
    enter(benchmark, "scanner", "a minute of a cine", size="128 x 128, 1", deadline_ns=60e9)
    assert benchmark.stats.stats.max < len(scan) * scan.header.tr_ns * 1e-9
