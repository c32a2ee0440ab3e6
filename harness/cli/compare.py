"""`mrsim compare`: options in, figures, ranks and pairs printed, exit code out."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.cli.arguments import add_allow_seen, add_isolate, add_json, add_seed, count, tell_seen
from harness.console import figure, print_table, progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.comparison.order import Difference
    from harness.comparison.result import Comparison

RULER = "(the judge on the truth)"
SHOWN_IN_FULL = 3  # candidates; of more, the terminal shows pairs with the first only


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    from harness.candidates.registry import known

    command.add_argument("candidates", nargs="+", metavar="CANDIDATE", help=", ".join(known()))
    command.add_argument(
        "--on",
        nargs="+",
        action="extend",
        required=True,
        metavar="STREAM",
        help="folders of streams with truth",
    )
    command.add_argument("--frames", type=int, help="only so many first frames of each stream")
    command.add_argument(
        "--lockstep",
        action="store_true",
        help="images alone, in virtual time, where computing takes none: exact, and the same every time",
    )
    command.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="with --lockstep: on a Dask cluster, such as tcp://127.0.0.1:8786",
    )
    command.add_argument("--repeat", type=count, default=3, help="rounds of replays at TR (%(default)s)")
    command.add_argument(
        "--segment-s", type=float, default=5.0, metavar="S",
        help="candidates take turns after so much of a scan (%(default)s)",
    )  # fmt: skip
    add_isolate(command)
    add_allow_seen(command)
    add_seed(command)
    add_json(command)


def run(
    *,
    candidates: list[str],
    on: list[str],
    frames: int | None,
    lockstep: bool,
    cluster: str | None,
    repeat: int,
    segment_s: float,
    isolate: bool,
    limit_s: float | None,
    seed: int,
    allow_seen: bool,
    json_file: str | None,
) -> int:
    """Compare as the options say, print the tables and return the exit code.

    Raises
    ------
    InputError
        If an option, a stream or a candidate is wrong.
    """
    from harness.candidates.isolation import probe, told
    from harness.comparison.compare import compare
    from harness.workers.remote import UNTIMED
    from mrsim.files.targets import check_target
    from mrsim.files.writing import write_json

    check_target(json_file, ".json")
    if isolate and cluster is None:
        print(told(probe()))
    with progress("comparing") as report:
        comparison = compare(
            candidates,
            on,
            frames=frames,
            lockstep=lockstep,
            repeat=repeat,
            segment_s=segment_s,
            seed=seed,
            isolate=isolate,
            limit_s=limit_s,
            allow_seen=allow_seen,
            cluster=cluster,
            progress=report,
        )
    if comparison.workers is not None:
        print(f"on {comparison.workers} workers of {cluster}: {UNTIMED}")
    if json_file is not None:
        write_json(json_file, comparison.to_json())
    tell_seen(comparison.overlaps)
    show(comparison)
    verdict = comparison.verdict
    print(f"{verdict.outcome.name}: {verdict.reason}")
    return int(verdict.outcome.value)


def show(comparison: Comparison) -> None:
    """Print the figures with their ranks, the pairs with their intervals, and the order in each measure."""
    from harness.comparison import on_display
    from harness.comparison.order import BY_NAME, HEADINGS, TIMED, shown
    from mrsim.summary import counted

    plan, times = comparison.plan, comparison.times
    what = "in lockstep" if times is None else f"{len(times.blocks)} blocks of replays at TR, in turns"
    again = f", {times.again} played again" if times is not None and times.again else ""
    streams = f"{len(plan.streams)} stream{'s' if len(plan.streams) > 1 else ''}"
    measures = [name for name in plan.measures if times is not None or name not in TIMED]
    ranks = {name: comparison.rank(name) for name in measures}
    rows = [
        [name, *(f"{shown(m, comparison.figures(index)[m])} ({_place(ranks[m], index)})" for m in measures)]
        for index, name in enumerate(plan.names)
    ]
    count = len(rows)
    if ruler := comparison.ruler:
        rows.append([RULER, *(shown(m, ruler[m]) if m in ruler else "-" for m in measures)])
    full = comparison.nmse_full
    for how, value in full.items():
        name = f"fully sampled in an instant{f', {how}' if len(full) > 1 else ''}"
        rows.append([name, *(shown(m, value) if m == "nmse" else "-" for m in measures)])
    print_table(
        f"{count} candidates on {streams}, {what}{again} (seed {plan.seed}); in brackets the rank",
        ["candidate", *(HEADINGS[name] for name in measures)],
        rows,
    )
    few = count <= SHOWN_IN_FULL
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
    for name, passes in zip(plan.names, comparison.passes, strict=True):
        came, due = sum(len(one.scores) for one in passes), sum(one.expected for one in passes)
        if came < due:
            print(f"{name}: {came} of {counted(due, 'image')} came; its figures are of those alone")
    print(on_display.LOCKSTEP if times is None else on_display.TIMED)
    for name, row in zip(plan.names, comparison.displays or (), strict=False):
        kept = [one.open for one in row if one is not None]
        share = min((float(one.mean()) for one in kept), default=1.0)
        if share < 1:
            print(
                f"{name}: its target can be followed for {share:.1%} of the time; the rest counts for nobody"
            )
    for measure in measures:
        order, why_not = comparison.order(measure), comparison.unordered(measure)
        print(f"{HEADINGS[measure]}: {order or f'not ordered: {why_not}'}")
    if told := undecided(comparison, measures):
        print(told)


def undecided(comparison: Comparison, measures: Sequence[str]) -> str:
    """Return in words what "undecided" stands for here, and what to do; empty where all is decided.

    Parameters
    ----------
    comparison
        What was found.
    measures
        Those that are shown.
    """
    from harness.comparison.order import TIMED
    from harness.measure.intervals import MIN_BREATHS

    open_ = [
        name
        for found in comparison.differences.values()
        for name in measures
        if found[name].standing == "undecided"
    ]
    if not open_:
        return ""
    told = (
        "Undecided is no tie: the scans hold too little to say who is ahead. An interval takes "
        f"{MIN_BREATHS} breaths of images, or {MIN_BREATHS} blocks of times."
    )
    times = comparison.times
    if times is not None and len(times.blocks) < MIN_BREATHS:
        a_round = max(1, times.planned // comparison.plan.repeat)
        told += (
            f" A block is a stretch of {comparison.plan.segment_s:g} s that all played in turns. These "
            f"streams have {a_round} of them, so take --repeat {-(-MIN_BREATHS // a_round)} or more."
        )
    if set(open_) - set(TIMED):
        told += " For breaths take longer streams, or more of them with --on."
    return told


def _place(ranks: list[int] | None, index: int) -> str:
    """Return a rank, with = where it is shared; ? where it is undecided."""
    if ranks is None:
        return "?"
    return f"{ranks[index]}{'=' if ranks.count(ranks[index]) > 1 else ''}"


def _interval(measure: str, difference: Difference) -> str:
    from harness.comparison.order import BY_NAME

    if difference.interval is None:
        return "-"
    digits = BY_NAME[measure].digits
    return " to ".join(f"{bound:.{digits}f}" for bound in difference.interval)
