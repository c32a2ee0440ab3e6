"""`mrsim compare`: options in, figures, ranks and pairs printed, exit code out."""

from __future__ import annotations

import argparse

from harness.comparison.compare import compare
from harness.comparison.order import BY_NAME, TIMED, Difference
from harness.comparison.result import Comparison
from harness.console import figure, print_table, progress, significant
from harness.workers.remote import UNTIMED
from mrsim.files.targets import check_target
from mrsim.files.writing import write_json

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
    with progress("comparing") as report:
        comparison = compare(
            args.candidate,
            args.on,
            frames=args.frames,
            lockstep=args.lockstep,
            repeat=args.repeat,
            segment_s=args.segment_s,
            seed=args.seed,
            isolate=args.isolate,
            limit_s=args.limit_s,
            cluster=args.cluster,
            progress=report,
        )
    if comparison.workers is not None:
        print(f"on {comparison.workers} workers of {args.cluster}: {UNTIMED}")
    if args.json:
        write_json(args.json, comparison.to_json())
    show(comparison)
    verdict = comparison.verdict
    print(f"{verdict.outcome.name}: {verdict.reason}")
    return int(verdict.outcome.value)


def show(comparison: Comparison) -> None:
    """Print the figures with their ranks, the pairs with their intervals, and the order in each measure."""
    plan, times = comparison.plan, comparison.times
    what = "in lockstep" if times is None else f"{len(times.blocks)} blocks of replays at TR, in turns"
    again = f", {times.again} played again" if times is not None and times.again else ""
    streams = f"{len(plan.streams)} stream{'s' if len(plan.streams) > 1 else ''}"
    measures = [name for name in plan.measures if times is not None or name not in TIMED]
    ranks = {name: comparison.rank(name) for name in measures}
    rows = [
        [name, *(_cell(m, comparison.figures(index)[m], _place(ranks[m], index)) for m in measures)]
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
        print(f"{HEADINGS[measure]}: {comparison.order(measure) or 'undecided'}")


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
