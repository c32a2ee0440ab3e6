"""The seed's experiment in one command: every patient, acceleration and stage against every opponent.

What is made is kept, so that a call that was killed is picked up by the next one, and a second call with the
same options only writes the pages again.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.console import Report, progress
from harness.experiment.cells import Cells, Row
from harness.experiment.claims import claims, comparisons
from harness.experiment.format import Values, to_csv, to_json
from harness.experiment.markdown import to_markdown
from harness.experiment.plan import Cell, Entry, Options, plan, read_patients
from harness.experiment.scans import TimeLine, fingerprint
from harness.measure.segmentation import eval_library
from harness.workers.remote import UNTIMED
from mrsim.errors import InputError
from mrsim.files.writing import write_json, write_text

SHARE = 1000
"""Steps of the progress bar that one cell takes."""


def run(args: argparse.Namespace) -> int:
    """Make the table that the options ask for.

    Returns
    -------
    code
        0: it shows what falls short, and has no verdict of its own.

    Raises
    ------
    InputError
        If an option is wrong, or weights were trained on the time that is judged.
    """
    if args.cluster is not None and args.share is not None:
        raise InputError("--cluster and --share: a cluster shares the cells out itself; give one of the two")
    options = read_options(args)
    folder = Path(args.output)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: it is not a folder; choose another with -o")
    eval_library("skimage", "measuring the quality of images")
    cells = plan(options)
    folder.mkdir(parents=True, exist_ok=True)
    kept = Cells(folder, options)
    for cell in cells:
        kept.refuse_overlap(cell)
    mine = cells if args.share is None else _share(cells, args.share)
    rows = make(kept, mine) if args.cluster is None else _make_on(args.cluster, folder, kept, options, cells)
    if args.share is not None:
        print(
            f"share {args.share}: {len(mine)} of {len(cells)} cells done; call without --share for the table"
        )
        return 0
    values = write(folder, rows, options, kept, f"mrsim {shlex.join(sys.argv[1:])}")
    missing = sum(bool(row["reason"]) for row in values["rows"])
    short = sum(claim["holds"] is False for claim in values["claims"])
    print(
        f"{folder}/table.md, table.csv, table.json: {len(rows)} cells, {missing} could not be judged; "
        f"{short} of {len(values['claims'])} claims fall short"
    )
    if "untimed" in values["config"]:
        print(values["config"]["untimed"])
    return 0


def read_options(args: argparse.Namespace) -> Options:
    """Read the options of the command.

    Raises
    ------
    InputError
        If one is wrong.
    """
    return Options(
        patients=read_patients(args.patients, args.accelerations),
        entries=tuple(Entry.parse(text) for text in args.candidates),
        stages=tuple(args.stages),
        timings=tuple(args.timing),
        snrs=tuple(args.snr),
        parts=tuple(args.what),
        line=TimeLine(args.train_seconds, args.lead_seconds, args.seconds),
        scan_s=args.scan_seconds,
        slow_s=args.slow_seconds,
        slow=tuple(args.slow),
        horizon=args.horizon_weights,
        seed=args.seed,
        matrix=tuple(args.matrix),
        service_ms=args.service_ms,
        timed=args.cluster is None,
    )


def make(kept: Cells, cells: Sequence[Cell]) -> list[Row]:
    """Return every cell, judged now or by an earlier call."""
    rows = []
    with progress("the table") as report:
        for number, cell in enumerate(cells):
            told = (
                f"cell {number + 1} of {len(cells)}, {len(cells) - number - 1} left: "
                f"{cell.scan.name} {cell.scan.acceleration:g}x {cell.label} {cell.stage}".rstrip()
            )
            step = _step(report, number, len(cells), told)
            rows.append(kept.find(cell) or kept.make(cell, step))
        report(len(cells) * SHARE, len(cells) * SHARE, "the table")
    return rows


def _make_on(address: str, folder: Path, kept: Cells, options: Options, cells: Sequence[Cell]) -> list[Row]:
    """Return every cell, judged now by a cluster's workers or by an earlier call."""
    from harness.experiment.workers import make_on
    from harness.workers.executors import engine

    rows = {cell: kept.find(cell) for cell in cells}
    missing = [cell for cell, row in rows.items() if row is None]
    if missing:
        with progress("the table") as report, engine(cluster=address) as workers:
            rows |= dict(zip(missing, make_on(workers, folder, options, missing, report), strict=True))
    return [row for row in rows.values() if row is not None]


def _step(report: Report, number: int, cells: int, told: str) -> Report:
    def step(done: int, total: int, now: str = "") -> None:
        report(number * SHARE + SHARE * done // max(total, 1), cells * SHARE, f"{told} {now}".rstrip())

    step(0, 1)
    return step


def write(folder: Path, rows: Sequence[Row], options: Options, kept: Cells, command: str) -> Values:
    """Write the table and its figures, each whole or not at all.

    Returns
    -------
    values
        What `table.json` holds.
    """
    compared = comparisons(rows, options.seed)
    config: dict[str, Any] = {
        **options.settings,
        "seed": options.seed,
        "scan_s": options.scan_s,
        "command": command,
    }
    if "timed" in config:
        config["untimed"] = UNTIMED
    described = [kept.describe(row.cell) for row in rows]
    values = to_json(rows, compared, claims(rows, compared), config, fingerprint({"cells": described}))
    names = _draw(folder, rows)
    write_json(folder / "table.json", values)
    write_text(folder / "table.csv", to_csv(values))
    write_text(folder / "table.md", to_markdown(values, names))
    return values


def _draw(folder: Path, rows: Sequence[Row]) -> list[str]:
    from harness.experiment.figures import draw_all

    return draw_all(folder, rows)


def _share(cells: Sequence[Cell], text: str) -> list[Cell]:
    """Return the cells of one share of several; those of one scan stay together."""
    number, slash, count = text.partition("/")
    if not (slash and number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count) <= 64):
        raise InputError(f"--share {text!r}: expected K/N, such as 1/2, with N up to 64")
    names = list(dict.fromkeys(cell.scan.name for cell in cells))
    return [cell for cell in cells if names.index(cell.scan.name) % int(count) == int(number) - 1]
