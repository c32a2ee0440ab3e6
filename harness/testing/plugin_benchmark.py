"""What the plugin adds to pytest-benchmark: an image is a round, and percentiles, misses and lag are told.

A row of its table is then the distribution of response times over the images of one real-time replay. What
its columns do not hold stands in `extra_info` of its JSON, and in a table below its own.
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
    """Play a scan to a candidate as the one round of a benchmark, and give its statistics a round an image.

    Parameters
    ----------
    benchmark
        The fixture of pytest-benchmark.
    given
        The candidate.
    scan
        The scan.
    options
        More for `harness.testing.kit.replay_in_real_time`.

    Returns
    -------
    result
        What came of the replay.
    told
        Its percentiles, misses and lag, which the benchmark's `extra_info` holds, too.
    """
    result: RunResult = benchmark.pedantic(
        replay_in_real_time, args=(given, scan), kwargs=options, rounds=1, iterations=1
    )
    told = figures(result)
    benchmark.extra_info.update(told)
    if benchmark.stats is not None:  # it is None where benchmarks are disabled
        _one_round_an_image(benchmark.stats.stats, result)
    return result, told


def _one_round_an_image(stats: Any, result: RunResult) -> None:
    """Put the response of every steady image in the place of the one round that was the replay."""
    timing = result.timing
    shown = timing.response_ns[timing.warmup :][timing.shown[timing.warmup :]]
    if len(shown):
        stats.data.clear()
        for response_ns in shown.tolist():
            stats.update(response_ns / 1e9)


def table(reports: list[tuple[str, dict[str, Any]]]) -> str:
    """Return what the benchmark's own columns do not hold.

    Parameters
    ----------
    reports
        Name of a test, and its figures.
    """
    rows = []
    for name, told in reports:
        cells = [figure(told[key], 2) for key in COLUMNS[:4]]
        rows.append([name, *cells, f"{told['misses']}/{told['images']}", figure(told["lag_ms"], 0)])
    heads = ["", "p50", "p95", "p99", "max", "missed", "lag"]
    return plain_table("response and lag, ms (mrsim)", heads, rows)
