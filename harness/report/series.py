"""The charts of a run's times: how long images took, and when."""

from __future__ import annotations

import numpy as np

from harness.judge.result import RunResult
from harness.realtime.scenarios import LOCKSTEP
from harness.report.charts import Axis, Chart, round_up

BINS = 56


def distribution(result: RunResult) -> Chart | None:
    """Return the histogram of responses with its percentiles and the deadline.

    Parameters
    ----------
    result
        The run.

    Returns
    -------
    chart
        None if no steady image came.
    """
    timing = result.timing
    steady = timing.response_ns[timing.warmup :][timing.shown[timing.warmup :]] / 1e6
    if not len(steady):
        return None
    values = np.maximum(steady, 1e-3)
    deadline = _deadline_ms(result)
    limits = [*values.tolist(), *([] if deadline is None else [deadline])]
    low, high = min(limits) / 1.6, max(limits) * 1.6
    edges = np.geomspace(low, high, BINS + 1)
    counts = np.histogram(values, edges)[0].astype(np.float64)
    summary = timing.summary("response")
    marks = {"p50": summary.p50, "p95": summary.p95, "p99": summary.p99}
    listed = ", ".join(f"{name} {ns / 1e6:.2f} ms" for name, ns in marks.items() if ns is not None)
    chart = Chart(
        "distribution",
        "How long images took",
        f"Histogram of {len(steady)} responses: {listed}{_said(deadline)}.",
        Axis(
            low, high, "response, ms (logarithmic): completed minus the time its last line was due", log=True
        ),
        Axis(0, 1.45 * float(counts.max()), "images"),  # space for the labels above
    )
    if deadline is None:
        chart.bars(edges, counts, "fast", "images")
    else:
        on_time = np.where(edges[1:] <= deadline, counts, 0)
        chart.bars(edges, on_time, "fast", "on time")
        chart.bars(edges, counts - on_time, "late", "late" if (steady > deadline).any() else "")
    for name, ns in marks.items():
        if ns is not None:
            chart.mark(ns / 1e6, "percentile", f"{name} {ns / 1e6:.2f} ms")
    if deadline is not None:
        chart.mark(deadline, "deadline", f"deadline {deadline:.1f} ms")
    return chart


def _deadline_ms(result: RunResult) -> float | None:
    """Return the deadline, milliseconds; None where nothing can be late."""
    return None if result.scenario == LOCKSTEP else result.timing.deadline_ns / 1e6


def _said(deadline_ms: float | None) -> str:
    return "" if deadline_ms is None else f"; the deadline is {deadline_ms:.1f} ms"


def time_line(result: RunResult) -> Chart:
    """Return the response of each image over the scan, with the deadline, the misses and the host's stalls.

    Parameters
    ----------
    result
        The run.
    """
    timing, run = result.timing, result.run
    seconds = (timing.due_ns - run.t0_ns) / 1e9
    response = np.where(timing.shown, timing.response_ns / 1e6, np.nan)
    deadline = _deadline_ms(result)
    warm = np.arange(len(response)) < timing.warmup
    late = timing.missed & timing.shown & ~warm & (deadline is not None)
    never = ~timing.shown & ~warm
    finite = response[np.isfinite(response)]
    chart = Chart(
        "time-line",
        "When",
        f"Response of each of {len(response)} images over {seconds[-1]:.1f} s of scan: "
        f"{'' if deadline is None else f'{int(late.sum())} were late, '}{int(never.sum())} never came"
        f"{_said(deadline)}.",
        Axis(0.0, float(seconds[-1]), "time since the start of the scan, s"),
        Axis(0.0, round_up([*([] if deadline is None else [deadline]), *finite.tolist()]), "response, ms"),
    )
    stalls = () if run.host is None else run.host.stalls
    at = np.array([(end - run.t0_ns) / 1e9 for end, _ in stalls])
    if len(at):
        chart.marks(
            at[(at >= 0) & (at <= seconds[-1])], "stall", "the host stalled the idle bench, over 1 ms"
        )
    if deadline is not None:
        chart.level(deadline, "deadline", f"deadline, {deadline:.1f} ms")
    chart.dots(seconds[warm], response[warm], "warm", "warming up, not judged")
    chart.dots(
        seconds[~warm & ~late], response[~warm & ~late], "fast", "images" if deadline is None else "on time"
    )
    if late.any():
        chart.dots(seconds[late], response[late], "late", "late")
    if never.any():
        chart.dots(seconds[never], np.full(int(never.sum()), chart.y.high), "never", "no image came")
    return chart
