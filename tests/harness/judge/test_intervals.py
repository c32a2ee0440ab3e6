"""Every interval that is stored or printed is of the figure beside it, and its lower bound comes first."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy import stats

from harness.cli.replay import _show as show
from harness.judge.evaluate import evaluate
from harness.judge.repetitions import Repetitions
from harness.judge.result import RunResult
from harness.realtime.clock import VirtualClock
from harness.realtime.service import TableService
from tests.harness.synthetic import Drawn, draw_target, moving_stream

MS = 1_000_000
FRAMES = 300
# Of 28 single misses and one run of ten 3.4 images count as one, and for the upper bound ten.
MISSES, IMAGES = 28, 292
MISS_SHARE = (stats.beta.ppf(0.005, 8, 87 - 8 + 1), stats.beta.ppf(0.995, 3 + 1, 29 - 3))


@pytest.fixture(scope="module")
def result() -> RunResult:
    """Return a run with noise in its images, each of another strength, and every tenth of them late."""
    scan = moving_stream(FRAMES)
    assert scan.truth is not None
    centroid = scan.truth.centroid[15::16]
    rng = np.random.default_rng(2)

    def draw(frame: int) -> np.ndarray:
        noise = rng.normal(0, 0.01 + 0.02 * (frame % 7) / 7, (*scan.header.matrix, 2))
        return draw_target(scan.header, centroid[frame]) + noise[..., 0] + 1j * noise[..., 1]

    service = np.zeros(len(scan), np.int64)
    service[16 * 20 + 15 :: 160] = 96 * MS
    return evaluate(
        scan, "it", lambda: Drawn(draw), clock=VirtualClock(), service=TableService(service), claim=0.5
    )


def holds(interval: list[float], value: float) -> bool:
    low, high = interval
    return low < high and low <= value <= high


def test_every_interval_in_the_json_holds_its_figure(result: RunResult) -> None:
    told = Repetitions((result,), True).to_json()
    quality, deadline, runs = told["quality"], told["deadline"], told["repetitions"]
    assert set(quality["intervals"]) == {"nmse", "ssim", "dice", "lag_ms"}
    for name, interval in quality["intervals"].items():
        assert holds(interval, quality[name]), name
    figures = [quality[name] for name in ("nmse", "ssim", "dice")]
    for name in ("nmse", "ssim", "dice"):  # and none of another figure
        assert sum(holds(quality["intervals"][name], figure) for figure in figures) == 1, name
    for name in ("centroid_mm", "centroid_last_line_mm"):
        assert holds(quality[name]["p95_interval"], quality[name]["p95"]), name
    # An image that comes late is wrong when it is shown, and not at its last line.
    assert not holds(quality["centroid_last_line_mm"]["p95_interval"], quality["centroid_mm"]["p95"])
    for counted in (deadline, runs):
        share = counted["misses"] / counted["images"]
        assert holds(counted["miss_share_interval"], share)
        assert (counted["misses"], counted["images"]) == (MISSES, IMAGES)
        assert counted["miss_share_interval"] == pytest.approx(MISS_SHARE)


def test_the_interval_of_missed_images_is_printed_from_low_to_high(
    result: RunResult, capsys: pytest.CaptureFixture[str]
) -> None:
    show(result)
    found = re.search(r"\(99 % interval ([\d.]+)% to ([\d.]+)%\)", capsys.readouterr().out)
    assert found is not None
    low, high = MISS_SHARE
    assert found.groups() == (f"{low * 100:.2f}", f"{high * 100:.2f}")
