"""What the plugin adds to pytest-benchmark: an image is a round, and percentiles, misses and lag are told.

A row of its table is then the distribution of response times over the images of one real-time replay. What
its columns do not hold stands in `extra_info` of its JSON, and in a table below its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.judge.result import Result
    from mrsim.stream import Stream

COLUMNS = ("response_p50_ms", "response_p95_ms", "response_p99_ms", "response_max_ms", "misses", "lag_ms")
REPORTS: pytest.StashKey[list[tuple[str, dict[str, Any]]]] = pytest.StashKey()


@pytest.fixture
def latency_benchmark(benchmark: Any, request: pytest.FixtureRequest) -> Callable[..., Result]:
    """Benchmark a candidate at the scanner's own pace: `latency_benchmark("python:mynet:build", stream)`."""
    from harness.testing.kit import Given, figures, replay_in_real_time

    def play(given: Given, stream: Stream | None = None, **options: Any) -> Result:
        scan = request.getfixturevalue("phantom_stream") if stream is None else stream
        result: Result = benchmark.pedantic(
            replay_in_real_time, args=(given, scan), kwargs=options, rounds=1, iterations=1
        )
        told = figures(result)
        benchmark.extra_info.update(told)
        request.config.stash.setdefault(REPORTS, []).append((request.node.name, told))
        if benchmark.stats is not None:  # it is None where benchmarks are disabled
            _one_round_an_image(benchmark.stats.stats, result)
        return result

    return play


def _one_round_an_image(stats: Any, result: Result) -> None:
    """Put the response of every steady image in the place of the one round that was the replay."""
    timing = result.timing
    shown = timing.response_ns[timing.warmup :][timing.shown[timing.warmup :]]
    if len(shown):
        stats.data.clear()
        for response_ns in shown.tolist():
            stats.update(response_ns / 1e9)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print what the benchmark's own columns do not hold."""
    reports = config.stash.get(REPORTS, [])
    if not reports:
        return
    from harness.console import figure, plain_table

    rows = []
    for name, told in reports:
        cells = [figure(told[key], 2) for key in COLUMNS[:4]]
        rows.append([name, *cells, f"{told['misses']}/{told['images']}", figure(told["lag_ms"], 0)])
    heads = ["", "p50", "p95", "p99", "max", "missed", "lag"]
    terminalreporter.write_line("")
    terminalreporter.write_line(plain_table("response and lag, ms (mrsim)", heads, rows))
