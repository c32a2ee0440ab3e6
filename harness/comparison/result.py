"""A comparison as JSON and on the terminal: every figure with its rank, every pair with its interval."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.comparison.compare import Comparison, Plan, compare, errors_mm, pooled_lag
from harness.comparison.order import BY_NAME, Difference, told_order
from harness.console import figure, print_table, progress, significant
from harness.judge.result import quality_json
from harness.measure.exact_statistics import binomial_interval, nearest_rank, samples_needed, summarise
from harness.realtime import environment
from mrsim.errors import InputError
from mrsim.files.targets import check_target
from mrsim.files.writing import write_json

SCHEMA = "mrsim-compare/1"
SHOWN_IN_FULL = 3  # candidates; of more, the terminal shows pairs with the first only
HEADINGS = {
    "response_ms": "response p50 ms",
    "missed": "missed",
    "nmse": "NMSE",
    "dice": "Dice",
    "lag_ms": "lag ms",
    "centroid_mm": "centroid p95 mm",
}


def run(args: argparse.Namespace) -> int:
    """Compare as the options say, print the tables and return the exit code.

    Raises
    ------
    InputError
        If an option, a stream or a candidate is wrong.
    """
    check_target(args.json)
    plan = Plan(
        tuple(args.candidate),
        tuple(args.on),
        args.frames,
        args.lockstep,
        args.repeat,
        args.segment_s,
        args.seed,
        args.isolate,
        args.limit_s,
    )
    if args.cluster is None:
        with progress("comparing") as report:
            comparison = compare(plan, progress=report)
    else:
        comparison = _on_cluster(plan, args.cluster)
    if args.json:
        write_json(args.json, to_json(comparison))
    show(comparison)
    verdict = comparison.verdict
    print(f"{verdict.outcome.name}: {verdict.reason}")
    return int(verdict.outcome.value)


def _on_cluster(plan: Plan, address: str) -> Comparison:
    """Compare images on a cluster's workers; times cannot be compared there."""
    from harness.workers.executors import engine
    from harness.workers.remote import UNTIMED, check_shared_file, mapper

    if not plan.lockstep:
        raise InputError(f"--cluster: add --lockstep: {UNTIMED}")
    if plan.isolate:
        raise InputError("--cluster and --isolate: a worker starts no processes; give one of the two")
    with progress("comparing") as report, engine(cluster=address) as workers:
        for path in plan.streams:
            check_shared_file(workers, Path(path) / "header.json")
        comparison = compare(plan, mapper(workers), report)
    print(f"on {workers.workers} workers of {address}: {UNTIMED}")
    return comparison


def figures(comparison: Comparison, candidate: int) -> dict[str, float | None]:
    """Return a candidate's figure in each measure, over all streams; None where the samples carry none."""
    found: dict[str, float | None] = {}
    times = comparison.times
    rows = [q for q in comparison.quality[candidate] if q is not None]
    if times is not None:
        missed = _missed(comparison, candidate)
        found["response_ms"] = _response(comparison, candidate)["p50"]
        found["missed"] = float(missed.mean()) if len(missed) else None
    for name in ("nmse", "dice"):
        values = np.concatenate([getattr(q, name) for q in rows]) if rows else np.empty(0)
        found[name] = float(values.mean()) if len(values) else None
    found["lag_ms"] = pooled_lag(comparison.quality[candidate])[0]
    found["centroid_mm"] = _p95_mm(comparison, candidate)
    return found


def _p95_mm(comparison: Comparison, candidate: int) -> float | None:
    errors = [
        errors_mm(stream, quality, np.arange(len(quality.frames)))
        for stream, quality in zip(comparison.streams, comparison.quality[candidate], strict=True)
        if quality is not None
    ]
    values = np.concatenate(errors) if errors else np.empty(0)
    if len(values) < samples_needed(0.95):
        return None
    value = float(nearest_rank(values, 0.95))
    return value if np.isfinite(value) else None


def _missed(comparison: Comparison, candidate: int) -> NDArray[np.bool_]:
    assert comparison.times is not None
    nothing = np.empty(0, np.bool_)
    return np.concatenate([nothing, *(block.missed[candidate] for block in comparison.times.blocks)])


def _response(comparison: Comparison, candidate: int) -> dict[str, Any]:
    assert comparison.times is not None
    nothing = np.empty(0, np.int64)
    all_ns = np.concatenate([nothing, *(block.response_ns[candidate] for block in comparison.times.blocks)])
    summary = summarise(all_ns[all_ns >= 0])
    told = {key: getattr(summary, key) for key in ("p50", "p95", "p99", "max")}
    return {**{k: None if v is None else v / 1e6 for k, v in told.items()}, "count": summary.count}


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as JSON values."""
    plan, times, verdict = comparison.plan, comparison.times, comparison.verdict
    names = plan.names
    return {
        "schema": SCHEMA,
        "verdict": verdict.outcome.name,
        "reason": verdict.reason,
        "plan": dataclasses.asdict(plan),
        "candidates": [_candidate(comparison, i) for i in range(len(names))],
        "order": {name: _order(comparison, name) for name in plan.measures},
        "measures": {
            name: {"about": BY_NAME[name].about, "level_within": list(BY_NAME[name].bounds)}
            for name in plan.measures
        },
        "pairs": [
            {"first": names[a], "second": names[b], "measures": {n: _told(d) for n, d in found.items()}}
            for (a, b), found in comparison.differences.items()
        ],
        "blocks": None
        if times is None
        else {
            "planned": times.planned,
            "count": len(times.blocks),
            "spoiled": list(times.spoiled),
            "played_again": times.again,
            "order": [[names[i] for i in block.order] for block in times.blocks],
        },
        "streams": [
            {"path": path, "frames": stream.frames, "header": stream.header.to_dict()}
            for path, stream in zip(plan.streams, comparison.streams, strict=True)
        ],
        # In lockstep nothing depends on the host, so it is not told: the same gives the same, byte for byte.
        "environment": None if times is None else environment.describe(),
    }  # fmt: skip


def _order(comparison: Comparison, measure: str) -> str | None:
    rank = comparison.rank(measure)
    return None if rank is None else told_order(comparison.plan.names, rank)


def _rank(ranks: list[int] | None, index: int) -> int | None:
    return None if ranks is None else ranks[index]


def _told(difference: Difference) -> dict[str, Any]:
    interval = None if difference.interval is None else list(difference.interval)
    return {
        "value": difference.value,
        "interval": interval,
        "standing": difference.standing,
        "note": difference.note,
    }


def _candidate(comparison: Comparison, index: int) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": comparison.plan.names[index],
        "candidate": comparison.plan.candidates[index],
        "figures": figures(comparison, index),
        "ranks": {name: _rank(comparison.rank(name), index) for name in comparison.plan.measures},
        "streams": [
            {
                "path": path,
                "images": len(one.frames),
                "expected": one.expected,
                "quality": None if quality is None else quality_json(quality),
            }
            for path, one, quality in zip(
                comparison.plan.streams,
                comparison.accuracy[index],
                comparison.quality[index],
                strict=True,
            )
        ],
    }
    if comparison.times is not None:
        missed = _missed(comparison, index)
        count, total = int(missed.sum()), len(missed)
        told["response_ms"] = _response(comparison, index)
        told["deadline"] = {
            "images": total,
            "misses": count,
            "miss_share_interval": list(binomial_interval(count, total)),
        }
    return told


def show(comparison: Comparison) -> None:
    """Print the figures with their ranks, the pairs with their intervals, and the order in each measure."""
    plan, times = comparison.plan, comparison.times
    what = "in lockstep" if times is None else f"{len(times.blocks)} blocks of replays at TR, in turns"
    again = f", {times.again} played again" if times is not None and times.again else ""
    streams = f"{len(plan.streams)} stream{'s' if len(plan.streams) > 1 else ''}"
    measures = [name for name in plan.measures if times is not None or name not in ("response_ms", "missed")]
    ranks = {name: comparison.rank(name) for name in measures}
    rows = [
        [name, *(_cell(m, figures(comparison, index)[m], _place(ranks[m], index)) for m in measures)]
        for index, name in enumerate(plan.names)
    ]
    print_table(
        f"{len(rows)} candidates on {streams}, {what}{again} (seed {plan.seed}); in brackets the rank",
        ["candidate", *(HEADINGS[name] for name in measures)],
        rows,
    )
    few = len(rows) <= SHOWN_IN_FULL
    print_table(
        f"{'in pairs' if few else 'each against the first'}, with 95 % intervals"
        f"{'' if few else '; --json FILE has all pairs'}",
        ["measure", "first", "second", "value", "interval", "the first is"],
        [
            [
                f"{HEADINGS[m]}, {'ratio' if BY_NAME[m].neutral else 'difference'}",
                plan.names[a],
                plan.names[b],
                figure(found[m].value, BY_NAME[m].digits),
                _interval(m, found[m]),
                f"{found[m].standing}{f': {found[m].note}' if found[m].note else ''}",
            ]
            for m in measures
            for (a, b), found in comparison.differences.items()
            if few or a == 0
        ],
    )
    for measure in measures:
        print(f"{HEADINGS[measure]}: {_order(comparison, measure) or 'undecided'}")


def _place(ranks: list[int] | None, index: int) -> str:
    """Return a rank, with = where it is shared; ? where it is undecided."""
    if ranks is None:
        return "?"
    return f"{ranks[index]}{'=' if ranks.count(ranks[index]) > 1 else ''}"


def _cell(measure: str, value: float | None, place: str) -> str:
    if measure == "missed" and value is not None:
        return f"{value:.2%} ({place})"
    if measure == "nmse":
        return f"{significant(value)} ({place})"
    return f"{figure(value, {'dice': 3, 'lag_ms': 0}.get(measure, 2))} ({place})"


def _interval(measure: str, difference: Difference) -> str:
    if difference.interval is None:
        return "-"
    digits = BY_NAME[measure].digits
    return " to ".join(f"{bound:.{digits}f}" for bound in difference.interval)
