"""What a line of the scanner costs: 15 ellipses at 128 x 128, one coil, one core."""

from __future__ import annotations

import numpy as np
import pytest

from harness.measure.exact_statistics import samples_needed, summarise
from harness.testing.benchmark_table import enter
from mrsim.anatomy.phantom import load_phantom
from mrsim.anatomy.shapes import Ellipse
from mrsim.kernels.grid import Grid
from mrsim.scanner.acquisition import scan
from mrsim.scanner.protocol import ScanProtocol
from mrsim.scanner.render import render_lines

pytestmark = pytest.mark.benchmark(group="scanner")

GRID = Grid((128, 128), (0.4, 0.4))
ELLIPSES = 15
ROUNDS = max(2000, samples_needed(0.99))
DEADLINE_NS = ScanProtocol().tr_ns  # a scanner makes one line a TR


def record(benchmark, what: str, budget_us: float) -> None:
    """Add p50, p99 (null where the rounds do not carry it), and the shares over the budget and over a TR."""
    enter(benchmark, "scanner", what, size="128 x 128, 1", deadline_ns=DEADLINE_NS)
    nanoseconds = (np.array(benchmark.stats.stats.data) * 1e9).astype(np.int64)
    summary = summarise(nanoseconds)
    benchmark.extra_info |= {
        "p50_us": summary.p50 and summary.p50 / 1e3,
        "p99_us": summary.p99 and summary.p99 / 1e3,
        "p99_carried": summary.p99 is not None,
        "budget_us": budget_us,
        "share_over_budget": float(np.mean(nanoseconds > budget_us * 1e3)),
        "deadline_ms": DEADLINE_NS / 1e6,
        "share_over_deadline": float(np.mean(nanoseconds > DEADLINE_NS)),
        "ellipses": ELLIPSES,
    }


def bodies() -> list[Ellipse]:
    rng = np.random.default_rng(15)
    return [
        Ellipse(tuple(rng.uniform(-0.1, 0.1, 2)), tuple(rng.uniform(0.01, 0.08, 2)), rng.uniform(0, np.pi))
        for _ in range(ELLIPSES)
    ]


@pytest.mark.parametrize(("kind", "budget_us"), [("deforming", 50.0), ("shifting", 10.0), ("still", 10.0)])
def test_a_line_of_fifteen_ellipses(benchmark, kind: str, budget_us: float) -> None:
    # The kernel is timed, which is what a line costs within a scan; what a call sets up costs once a chunk.
    shapes, kx, ky = bodies(), *GRID.k()
    ones, none = np.ones(ELLIPSES, np.complex128), np.zeros(0, np.complex128)
    still = np.zeros(GRID.matrix, np.complex128)
    tables, centers = np.empty((0, *GRID.matrix)), np.array([[s.center for s in shapes]])
    axes = np.array([[s.axes for s in shapes]])
    shift, deform = (none, centers[:, :0]), (none, centers[:, :0])
    if kind == "shifting":
        tables = np.array([s.form_factor(kx, ky) for s in shapes])
        shift = (ones, centers)
    elif kind == "deforming":
        deform = (ones, centers)
    else:
        still = np.array(sum(s.transform(kx, ky) for s in shapes))
    out = np.empty((1, GRID.matrix[1]), np.complex128)
    rows = iter(np.arange(ROUNDS + 100) % 128 - 64)

    def line() -> tuple:
        row = np.array([next(rows)], np.int32)
        return (row, still, tables, *shift, *deform, axes[:, : deform[0].size], *GRID.step, out), {}

    benchmark.pedantic(render_lines, setup=line, rounds=ROUNDS, warmup_rounds=50)
    last = (ROUNDS + 49) % 128  # what was timed is the sum of the transforms
    expected = np.array(sum(s.transform(kx, ky) for s in shapes))[last]
    assert np.abs(out[0] - expected).max() < 1e-12 * np.abs(expected).max()
    record(benchmark, f"a line of {ELLIPSES} ellipses, {kind}", budget_us)


def test_a_line_within_a_scan_with_noise_and_truth(benchmark) -> None:
    phantom, protocol, frames = load_phantom("quasar"), ScanProtocol(), 20
    benchmark.pedantic(
        lambda: scan(phantom, protocol, seed=1, frames=frames), rounds=20, warmup_rounds=2, iterations=1
    )
    lines = frames * protocol.header().lines_per_frame
    what = "a line of the motion phantom within a scan, with noise and truth"
    enter(benchmark, "scanner", what, size="128 x 128, 1", deadline_ns=DEADLINE_NS, per=lines)
    seconds = np.array(benchmark.stats.stats.data) / lines
    benchmark.extra_info |= {
        "us_per_line": float(np.median(seconds) * 1e6),
        "p99_carried": False,
        "times_real_time": float(protocol.tr_ns * 1e-9 / np.median(seconds)),
    }
