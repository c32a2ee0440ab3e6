"""The cells of a table on other machines: first the scans, then every cell as a piece of work of its own.

What the cells are worth is what they are worth here, bit for bit; only time is not taken there.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from harness.console import Report
from harness.experiment.cells import Cells, Row
from harness.experiment.plan import NEAREST, Cell, Options
from harness.experiment.scans import Scan
from harness.workers.executors import Engine
from harness.workers.remote import check_shared_file, send
from mrsim.errors import InputError, MissingExtraError

SEEN = ".seen-{}"
"""Name of the file that workers look for."""


@dataclass(frozen=True)
class _Work:
    """Carry one piece: a scan that is to be made, or a cell that is to be judged.

    Parameters
    ----------
    folder, options
        Of the table.
    run
        Name of this call: what a worker keeps from one piece to the next ends with it.
    scan, training
        Scan, and whether a stream of what may be known of it is wanted, too.
    cell
        Cell.
    """

    folder: str
    options: Options
    run: str
    scan: Scan | None = None
    training: bool = False
    cell: Cell | None = None


def make_on(
    engine: Engine, folder: Path, options: Options, cells: Sequence[Cell], report: Report
) -> list[Row]:
    """Return cells that are judged by workers, in their order.

    Parameters
    ----------
    engine
        Who works; it sees the folder.
    folder, options
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
    scans = _needed(cells)
    total = len(scans) + len(cells)
    todo = [_Work(str(folder), options, run, scan, training) for scan, training in scans.items()]
    for done, _ in enumerate(send(engine, _scanned, todo), 1):
        report(done, total, f"scan {done} of {len(scans)}")
    rows = []
    for row in send(engine, _judged, [_Work(str(folder), options, run, cell=cell) for cell in cells]):
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


def _scanned(work: _Work) -> None:
    """Make a scan; what cannot be scanned is told by the cells that need it."""
    assert work.scan is not None
    try:
        _cells(work.folder, work.options, work.run).provide(work.scan, work.training)
    except MissingExtraError:
        raise
    except InputError:
        return


def _judged(work: _Work) -> Row:
    assert work.cell is not None
    return _cells(work.folder, work.options, work.run).make(work.cell)


@lru_cache(maxsize=1)
def _cells(folder: str, options: Options, run: str) -> Cells:
    """Return what makes cells; it keeps the last scan, as cells of one scan follow each other."""
    return Cells(Path(folder), options)
