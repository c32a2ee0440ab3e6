"""One table of all benchmarks: what, at which size, its percentiles, its deadline, and what was late.

An entry is put into the `extra_info` of pytest-benchmark's own record, so that its JSON, its comparisons and
its autosave hold it as well. What was entered is shown in one table in milliseconds in place of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from harness.console import plain_table
from harness.measure.exact_statistics import summarise

KEY = "mrsim"
GROUPS = {
    "reconstructors": "reconstructors: from an image's last line to the image",
    "scanner": "lines of the scanner",
    "training": "training",
    "datasets": "data: scans, datasets and files",
    "wire": "wire: MRD over a socket",
    "overhead": "the bench itself",
}
"""What a user asks for: `-k reconstructors` selects a group."""
HEADS = ("ms", "matrix, coils", "p50", "p95", "p99", "deadline", "missed", "bench")


def enter(
    benchmark: Any,
    group: str,
    what: str,
    *,
    size: str = "",
    deadline_ns: float | None = None,
    times_ns: ArrayLike | None = None,
    per: int = 1,
    misses: tuple[int, int] | None = None,
    bench_ns: float | None = None,
) -> dict[str, Any]:
    """Enter a benchmark into the table.

    Parameters
    ----------
    benchmark
        The fixture of pytest-benchmark, after it has run.
    group
        One of `GROUPS`.
    what
        What was timed, in words.
    size
        Matrix and coils, such as "128 x 128, 8".
    deadline_ns
        Time that it may take, nanoseconds; None where there is none.
    times_ns
        What it took, nanoseconds; None for the rounds of the benchmark.
    per
        Number of like pieces in each round, such as lines.
    misses
        How many were late, and of how many; None to count those beyond the deadline.
    bench_ns
        What the bench itself takes of each, nanoseconds (p99); None where it is not in the way.

    Returns
    -------
    entry
        As it is in `extra_info`. A percentile that the times do not carry is None; p50 is their median.

    Raises
    ------
    KeyError
        If there is no such group.
    """
    given = times_ns
    if given is None:
        # Where benchmarks are disabled, nothing was timed.
        given = [] if benchmark.stats is None else np.array(benchmark.stats.stats.data) * 1e9
    times = np.asarray(given, np.float64) / per
    summary = summarise(times.astype(np.int64)) if len(times) else None
    if misses is None and deadline_ns is not None and len(times):
        misses = int((times > deadline_ns).sum()), len(times)
    entry = {
        "group": GROUPS[group],
        "what": what,
        "size": size,
        "p50_ms": float(np.median(times)) / 1e6 if len(times) else None,
        "p95_ms": _ms(None if summary is None else summary.p95),
        "p99_ms": _ms(None if summary is None else summary.p99),
        "rounds": len(times),
        "deadline_ms": _ms(deadline_ns),
        "misses": None if misses is None else misses[0],
        "of": None if misses is None else misses[1],
        "bench_ms": _ms(bench_ns),
    }
    benchmark.extra_info[KEY] = entry
    return entry


def table(entries: Iterable[dict[str, Any]]) -> str:
    """Return the table as text; empty without an entry.

    Parameters
    ----------
    entries
        As `enter` returns them.
    """
    found = list(entries)
    rows: list[Sequence[str]] = []
    for group in GROUPS.values():
        members = [entry for entry in found if entry["group"] == group]
        rows += [[group, *[""] * (len(HEADS) - 1)]] if members else []
        rows += [_row(entry) for entry in members]
    if not rows:
        return ""
    title = (
        "mrsim: times in ms; a dash where the rounds do not carry a percentile; missed: beyond the deadline, "
        "or never; bench: what the bench itself takes, p99"
    )
    return plain_table(title, HEADS, rows)


def _row(entry: dict[str, Any]) -> list[str]:
    missed = "-" if entry["misses"] is None else f"{entry['misses']} of {entry['of']}"
    times = (shown(entry[f"{key}_ms"]) for key in ("p50", "p95", "p99", "deadline"))
    return [f"  {entry['what']}", entry["size"], *times, missed, shown(entry["bench_ms"])]


def shown(ms: float | None) -> str:
    """Return milliseconds to three digits; a dash for None.

    Parameters
    ----------
    ms
        The time, milliseconds.
    """
    if ms is None:
        return "-"
    if ms >= 100:
        return f"{ms:,.0f}"
    return f"{ms:.{2 if ms >= 1 else 3 if ms >= 0.1 else 4}f}" if ms < 10 else f"{ms:.1f}"


def _ms(ns: float | None) -> float | None:
    return None if ns is None else float(ns) / 1e6
