"""The plugin's support of pytest-benchmark: each image is a round, and percentiles, misses and lag are
reported.

A row of the benchmark's table is the distribution of response times over the images of one real-time replay.
Figures without a column are in `extra_info` of its JSON, and in a table below its own.
"""

from __future__ import annotations

from typing import Any

from harness.console import figure, plain_table
from harness.judge.result import RunResult
from harness.testing.kit import Given, figures, replay_in_real_time
from mrsim.stream import Stream

COLUMNS = ("response_p50_ms", "response_p95_ms", "response_p99_ms", "response_max_ms", "misses", "lag_ms")


def measure(
    benchmark: Any, given: Given, scan: Stream, options: dict[str, Any]
) -> tuple[RunResult, dict[str, Any]]:
    """Play a scan to a candidate in a benchmark, and enter each image as a round in its statistics.

    Parameters
    ----------
    benchmark
        The fixture of pytest-benchmark.
    given
        The candidate.
    scan
        The scan.
    options
        Further arguments of `harness.testing.kit.replay_in_real_time`.

    Returns
    -------
    result
        Result of the replay.
    record
        Its percentiles, misses and lag, which are also in the benchmark's `extra_info`.
    """
    result: RunResult = benchmark.pedantic(
        replay_in_real_time, args=(given, scan), kwargs=options, rounds=1, iterations=1
    )
    record = figures(result)
    benchmark.extra_info.update(record)
    if benchmark.stats is not None:  # it is None where benchmarks are disabled
        _one_round_an_image(benchmark.stats.stats, result)
    return result, record


def _one_round_an_image(stats: Any, result: RunResult) -> None:
    """Replace the one round of the replay by the response of every steady image."""
    timing = result.timing
    shown = timing.response_ns[timing.warmup :][timing.shown[timing.warmup :]]
    if len(shown):
        stats.data.clear()
        for response_ns in shown.tolist():
            stats.update(response_ns / 1e9)


def table(reports: list[tuple[str, dict[str, Any]]]) -> str:
    """Return a table of the figures that have no column in the benchmark's table.

    Parameters
    ----------
    reports
        Name and figures of each test.
    """
    rows = []
    for name, record in reports:
        cells = [figure(record[key], 2) for key in COLUMNS[:4]]
        rows.append([name, *cells, f"{record['misses']}/{record['images']}", figure(record["lag_ms"], 0)])
    heads = ["", "p50", "p95", "p99", "max", "missed", "lag"]
    return plain_table("response and lag, ms (mrsim)", heads, rows)
