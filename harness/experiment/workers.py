"""The cells of a table on other machines: first the scans, then every cell as a piece of work of its own.

What the cells are worth is what they are worth here, bit for bit; only time is not taken there.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from pathlib import Path

from harness.console import Report
from harness.experiment.cells import Cells, Row
from harness.experiment.plan import NEAREST, Cell, ExperimentPlan
from harness.experiment.scans import Scan
from harness.workers.executors import Engine
from harness.workers.remote import check_shared_file, send
from mrsim.errors import InputError, MissingExtraError

SEEN = ".seen-{}"
"""Name of the file that workers look for."""


_Call = tuple[str, ExperimentPlan, str]
"""Folder, plan, and a name of this call: what a worker keeps from one piece to the next ends with it."""


def make_on(
    engine: Engine, folder: Path, plan: ExperimentPlan, cells: Sequence[Cell], report: Report
) -> list[Row]:
    """Return cells that are judged by workers, in their order.

    Parameters
    ----------
    engine
        Who works; it sees the folder.
    folder, plan
        Of the table.
    cells
        Those that are to be made.
    report
        Told how many pieces are done, of how many.

    Raises
    ------
    InputError
        If a worker does not see the folder, has other versions, or dies over one piece time and again.
    MissingExtraError
        If a worker has not installed what a cell needs.
    """
    run = uuid.uuid4().hex
    seen = folder / SEEN.format(run[:8])
    seen.touch()
    try:
        check_shared_file(engine, seen)
    finally:
        seen.unlink(missing_ok=True)
    call, scans = (str(folder), plan, run), _needed(cells)
    total = len(scans) + len(cells)
    for done, _ in enumerate(send(engine, partial(_scan, call), list(scans.items())), 1):
        report(done, total, f"scan {done} of {len(scans)}")
    rows: list[Row] = []
    for row in send(engine, partial(_judge, call), cells):
        rows.append(row)
        report(len(scans) + len(rows), total, f"cell {len(rows)} of {len(cells)}")
    return rows


def _needed(cells: Iterable[Cell]) -> dict[Scan, bool]:
    """Return the scans that cells need, and of which the known part is wanted as a stream."""
    needed: dict[Scan, bool] = {}
    for cell in cells:
        training = "{training}" in cell.candidate
        needed |= {scan: needed.get(scan, False) for scan in (cell.scan.keeper, cell.scan)}
        if training or cell.candidate == NEAREST:
            needed[cell.knowable] = training or needed.get(cell.knowable, False)
    return needed


def _scan(call: _Call, needed: tuple[Scan, bool]) -> None:
    """Make a scan, and what may be known of it as a stream; cells say what cannot be scanned."""
    try:
        _cells(*call).provide(*needed)
    except MissingExtraError:
        raise
    except InputError:
        return


def _judge(call: _Call, cell: Cell) -> Row:
    return _cells(*call).make(cell)


@lru_cache(maxsize=1)
def _cells(folder: str, plan: ExperimentPlan, run: str) -> Cells:
    """Return what makes cells; it keeps the last scan, as cells of one scan follow each other."""
    return Cells(Path(folder), plan)
