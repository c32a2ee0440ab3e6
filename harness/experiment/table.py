"""The experiment of the 2019 abstract (Dietz et al., ISMRM 4784): patients against every opponent.

What is made is kept, so that a call that was killed is picked up by the next one, and a second call with the
same plan only writes the pages again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from harness.console import Report
from harness.experiment.cells import Cells, Row
from harness.experiment.claims import claims, compare_cells
from harness.experiment.figures import draw_all
from harness.experiment.markdown import to_markdown
from harness.experiment.plan import Cell, ExperimentPlan, cells_of
from harness.experiment.result import Table, to_csv
from harness.experiment.scans import fingerprint
from harness.experiment.workers import make_on
from harness.measure.finding.plan import eval_library
from harness.workers import executors
from mrsim.errors import InputError, Option, OptionError
from mrsim.files.targets import check_target
from mrsim.files.writing import write_json, write_text
from mrsim.plotting import plotting

STEPS = 1000
"""Steps of the progress that one cell takes."""


def make_table(
    plan: ExperimentPlan,
    folder: str | Path,
    *,
    share: tuple[int, int] | None = None,
    cluster: str | None = None,
    progress: Report | None = None,
) -> Table:
    """Judge every cell of a plan, or find it where an earlier call left it.

    Parameters
    ----------
    plan
        What is judged.
    folder
        Where scans and cells are kept; it is made.
    share
        Number of a share, from 1, and how many there are: its patients' cells alone are made, so that calls
        may run beside one another. None for all.
    cluster
        Address of a Dask scheduler, such as tcp://127.0.0.1:8786, whose workers make the cells; None for this
        process. Times are not taken there.
    progress
        Told how much is done.

    Raises
    ------
    InputError
        If the folder is none, the cluster cannot do it, or weights were trained on the time that is judged.
    MissingExtraError
        If scikit-image or matplotlib is not installed.
    """
    folder = Path(folder)
    if cluster is not None and share is not None:
        both = Option("cluster"), Option("share")
        raise OptionError("{} and {}: a cluster shares the cells out itself; give one of the two", *both)
    if cluster is not None:
        plan = dataclasses.replace(plan, timed=False)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: it is not a folder; choose another with -o")
    eval_library("skimage", "measuring the quality of images")
    plotting()
    cells = cells_of(plan)
    folder.mkdir(parents=True, exist_ok=True)
    check_target(folder / "table.json")
    kept = Cells(folder, plan)
    if share is None and cluster is None:  # else another machine may be writing
        kept.discard_stale()
    for cell in cells:
        kept.refuse_overlap(cell)
    if share is not None:  # those of one scan stay together
        names = list(dict.fromkeys(cell.scan.name for cell in cells))
        cells = [cell for cell in cells if names.index(cell.scan.name) % share[1] == share[0] - 1]
    report = progress or (lambda done, total, now="": None)
    if cluster is None:
        rows = [_made(kept, cells, number, report) for number in range(len(cells))]
        report(len(cells) * STEPS, len(cells) * STEPS, "the table")
    else:
        rows = _made_on(cluster, folder, kept, plan, cells, report)
    compared = compare_cells(rows)
    described = [kept.describe(row.cell) for row in rows]
    found = tuple(rows), tuple(compared), tuple(claims(rows, compared))
    return Table(plan, *found, fingerprint({"cells": described}))


def _made(kept: Cells, cells: Sequence[Cell], number: int, report: Report) -> Row:
    cell = cells[number]
    left = f"cell {number + 1} of {len(cells)}, {len(cells) - number - 1} left"
    what = f"{left}: {cell.scan.name} {cell.scan.acceleration:g}x {cell.label} {cell.stage}".rstrip()

    def step(done: int, total: int, now: str = "") -> None:
        report(number * STEPS + STEPS * done // max(total, 1), len(cells) * STEPS, f"{what} {now}".rstrip())

    step(0, 1)
    return kept.find(cell) or kept.make(cell, step)


def _made_on(
    address: str, folder: Path, kept: Cells, plan: ExperimentPlan, cells: Sequence[Cell], report: Report
) -> list[Row]:
    """Return every cell, judged now by a cluster's workers or by an earlier call."""
    rows = {cell: kept.find(cell) for cell in cells}
    missing = [cell for cell, row in rows.items() if row is None]
    if missing:
        with executors.engine(cluster=address) as workers:
            rows |= dict(zip(missing, make_on(workers, folder, plan, missing, report), strict=True))
    return [row for row in rows.values() if row is not None]


def write_table(table: Table, folder: str | Path, command: str = "") -> None:
    """Write a table as `table.json`, `.csv` and `.md`, and its figures, each whole or not at all.

    Parameters
    ----------
    table
        What was found.
    folder
        Where.
    command
        What made it, for the record.

    Raises
    ------
    InputError
        If a file cannot be written.
    MissingExtraError
        If matplotlib is not installed.
    """
    folder, values = Path(folder), table.to_json(command)
    names = draw_all(folder, table.rows)
    write_json(folder / "table.json", values)
    write_text(folder / "table.csv", to_csv(values))
    write_text(folder / "table.md", to_markdown(values, names))
