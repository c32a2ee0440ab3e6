"""Every figure of a cell has its own interval, and the table writes it from low to high."""

from __future__ import annotations

import numpy as np
import pytest

from harness.comparison.series import Series
from harness.comparison.single_pass import Ground
from harness.experiment.markdown import figure_text
from harness.experiment.measures import COLUMNS, measure_cell
from harness.measure.breaths import breath_blocks, breath_starts
from tests.harness.synthetic import moving_stream

MS = 1_000_000
FRAMES = 150


def test_every_interval_of_a_cell_holds_its_figure() -> None:
    scan = moving_stream(FRAMES)
    truth, header = scan.truth, scan.header
    assert truth is not None
    rng = np.random.default_rng(4)
    frames = np.arange(8, FRAMES)
    t_ns = np.asarray(scan.t_ns)[(frames + 1) * 16 - 1]
    shown_ns = t_ns + rng.integers(5 * MS, 9 * MS, len(frames))
    seen = 0.95 * truth.centroid_at(t_ns - 70 * MS, header) + rng.normal(0, 2e-4, (len(frames), 2))

    def error(mean_m: float) -> np.ndarray:
        return np.abs(rng.normal(mean_m, mean_m / 5, len(frames)))

    series = Series(
        frame=frames,
        t_ns=t_ns,
        shown_ns=shown_ns,
        block=breath_blocks(t_ns, breath_starts(truth, header)),
        **{
            key: rng.uniform(low, low + 0.02, len(frames))
            for key, low in (
                ("nmse", 0.1),
                ("ssim", 0.5),
                ("dice", 0.8),
                ("dice_own", 0.7),
                ("dice_full", 0.6),
            )
        },
        x_m=seen[:, 0],
        y_m=seen[:, 1],
        error_last_m=error(1e-3),
        error_shown_m=error(3e-3),
        own_error_m=error(9e-3),
        response_ns=rng.integers(1 * MS, 50 * MS, len(frames)),
    )
    figures = measure_cell(Ground(scan, 8, FRAMES, seed=0), series).figures
    intervals = {key: interval for key, (_, interval) in figures.items() if interval is not None}
    assert {column.key for column in COLUMNS} == set(figures)
    assert len(intervals) >= 10
    for key, interval in intervals.items():
        value = figures[key][0]
        assert value is not None
        low, high = interval
        assert low < high, key
        assert low <= value <= high, key
    assert figures["lag_ms"][0] == pytest.approx(70, abs=5)
    delay = float(np.mean(shown_ns - t_ns)) / 1e6
    for bound, later in zip(intervals["lag_ms"], intervals["total_lag_ms"], strict=True):
        assert later - bound == pytest.approx(delay)


def test_an_interval_is_written_from_low_to_high() -> None:
    assert figure_text({"value": 2.0, "interval": [1.25, 3.5]}, 2) == "2.00 [1.25, 3.50]"
