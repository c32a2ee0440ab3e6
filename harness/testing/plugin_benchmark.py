"""Support of pytest-benchmark: each image of a real-time replay is a round.

Percentiles, misses and lag are in `extra_info` of its JSON as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.audits.conformance import Candidate, NotConforming
from harness.judge.result import RunResult
from harness.judge.verdict import judge_conduct
from harness.measure.exact_statistics import summarise
from harness.testing.benchmark_table import enter
from harness.testing.kit import Given, figures, phantom_stream, replay_in_real_time
from mrsim.stream import Stream

FRAMES = 680
"""Images of the scan that is made: as many as a p99 takes, and those to warm up."""


def latency_of(candidate: Candidate, stream: Stream | None) -> Callable[[Any], None]:
    """Return the test that times a candidate at the scanner's pace.

    Parameters
    ----------
    candidate
        The candidate.
    stream
        The scan; None for one of the motion phantom, 128 x 128 at 4x.
    """

    def latency(benchmark: Any) -> None:
        scan = phantom_stream(FRAMES, matrix=(128, 128)) if stream is None else stream
        result = measure(benchmark, candidate, scan, {})
        broken = judge_conduct(result.run)
        if broken is not None:
            raise NotConforming(f"{candidate.name}: {broken.reason}")

    return latency


def measure(benchmark: Any, given: Given, scan: Stream, options: dict[str, Any]) -> RunResult:
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
    """
    result: RunResult = benchmark.pedantic(
        replay_in_real_time, args=(given, scan), kwargs=options, rounds=1, iterations=1
    )
    record = figures(result)
    benchmark.extra_info.update(record)
    if benchmark.stats is not None:  # it is None where benchmarks are disabled
        _one_round_an_image(benchmark.stats.stats, result)
    (ny, nx), coils, lag = scan.header.matrix, scan.header.coils, record["lag_ms"]
    injector = result.timing.injector_ns
    enter(
        benchmark,
        "reconstructors",
        f"{result.candidate} at the scanner's pace{'' if lag is None else f', lag {lag:.0f} ms'}",
        size=f"{ny} x {nx}, {coils}",
        deadline_ns=result.timing.deadline_ns,
        misses=(result.timing.misses, result.timing.images),
        bench_ns=summarise(injector).p99 if len(injector) else None,
    )
    return result


def _one_round_an_image(stats: Any, result: RunResult) -> None:
    """Replace the one round of the replay by the response of every steady image."""
    timing = result.timing
    shown = timing.response_ns[timing.warmup :][timing.shown[timing.warmup :]]
    if len(shown):
        stats.data.clear()
        for response_ns in shown.tolist():
            stats.update(response_ns / 1e9)
