"""What a TR of the Bloch engine costs with 256 x 256 spins: the scanner's own TR is 2.2 ms."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from harness.measure.exact_statistics import samples_needed, summarise
from harness.testing.benchmark_table import enter
from mrsim.kernels.grid import Grid
from mrsim.spins.isochromats import BlochSequence, Isochromats, Spins

SIDE, REGIONS, TR_NS = 256, 15, 2_200_000


def square() -> Spins:
    """Fill the whole field of view, 15 discs of other regions among it."""
    at = ((np.arange(SIDE) + 0.5) / SIDE - 0.5) * 0.4
    x, y = (v.ravel() for v in np.meshgrid(at, at))
    region = np.zeros(len(x), np.int64)
    for r in range(1, REGIONS):
        region[np.hypot(x - 0.09 * np.cos(1.7 * r), y - 0.09 * np.sin(1.7 * r)) < 0.03] = r
    ones = np.ones(len(x))
    rng = np.random.default_rng(0)
    centers = np.zeros((REGIONS, 2))
    return Spins(x, y, region, ones / len(x), 0.9 * ones, 0.05 * ones, rng.normal(0, 20, len(x)), centers)


@pytest.mark.slow
@pytest.mark.benchmark(group="scanner")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("path", "field", "lines"), [("y", False, 1), ("y", False, 32), ("xy", True, 1), ("xy", True, 32)]
)
def test_line_of_65536_spins(threads: int, path: str, field: bool, lines: int, benchmark) -> None:
    if threads > numba.config.NUMBA_NUM_THREADS:
        pytest.skip("not so many threads")
    engine = Isochromats(square(), BlochSequence(TR_NS, TR_NS // 2, 0.35), Grid((128, 128), (0.4, 0.4)))
    rng = np.random.default_rng(1)
    shift = rng.normal(0, 0.01, (lines, REGIONS, 2)) * [path == "xy", 1]
    place = rng.normal(0, 10, (lines, 6)) if field else None
    rows = rng.integers(-64, 64, lines)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(threads)
        rounds = samples_needed(0.99) if lines == 1 else 60
        benchmark.pedantic(engine.lines, args=(rows, shift, None, place), rounds=rounds, warmup_rounds=3)
    finally:
        numba.set_num_threads(before)
    what = f"a line of 65,536 spins, {'field and ' if field else ''}motion along {path}, {threads} threads"
    what += f", {lines} at once" if lines > 1 else ""
    enter(benchmark, "scanner", what, size="128 x 128, 1", deadline_ns=TR_NS, per=lines)
    per_line = np.array(benchmark.stats.stats.data) / lines
    summary = summarise((per_line * 1e9).astype(np.int64))
    benchmark.extra_info |= {
        "p50_ms": float(np.median(per_line)) * 1e3,
        "p99_ms": summary.p99 and summary.p99 / 1e6,
        "least_ms": float(per_line.min()) * 1e3,
        "tr_ms": TR_NS / 1e6,
        "share_over_tr": float(np.mean(per_line > TR_NS * 1e-9)),
    }
    assert np.isfinite(engine.magnetization).all()
