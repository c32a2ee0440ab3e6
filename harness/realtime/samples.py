"""Raw samples on disk: every stamp of a session as `.npz`, and service times read back for another replay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.realtime.run import Run
from harness.realtime.service import TableService
from mrsim.errors import InputError
from mrsim.files.arrays import read_arrays
from mrsim.files.writing import write_arrays

MAX_BYTES = 1 << 30
STAMPS = ("due_ns", "arrived_ns", "delivered_ns", "started_ns", "finished_ns", "service_ns", "fate")


def write_samples(path: str | Path, runs: Sequence[Run]) -> None:
    """Write the stamps of some runs of one stream; the file is written whole or not at all.

    Stamps are counted from the start of each scan and have shape (runs, lines), int64, nanoseconds. Those of
    images (`completing`, the line, and `completed_ns`) have shape (runs, images). -1 stands for what never
    happened.

    Parameters
    ----------
    path
        File to write.
    runs
        Runs of one stream.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    arrays: dict[str, NDArray[np.int64]] = {}
    for name in STAMPS:
        arrays[name] = np.stack([_from_start(run, name) for run in runs])
    completed = [np.where(r.images.completed_ns >= 0, r.images.completed_ns - r.t0_ns, -1) for r in runs]
    arrays["completed_ns"] = np.stack(completed)
    arrays["completing"] = np.stack([run.schedule.completing for run in runs])
    arrays["tr_ns"] = np.array([run.tr_ns for run in runs])
    write_arrays(path, arrays)


def _from_start(run: Run, name: str) -> NDArray[np.int64]:
    column: NDArray[np.int64] = getattr(run, name)
    if name in ("service_ns", "fate"):
        return column
    return np.where(column >= 0, column - run.t0_ns, -1)


def read_service(path: str | Path, lines: int) -> list[TableService]:
    """Read measured service times for the virtual clock, one table for each run.

    A line that was not handed out in the recorded run takes no time.

    Parameters
    ----------
    path
        File that `write_samples` hint.
    lines
        Number of lines that will be played.

    Returns
    -------
    tables
        One for each recorded run.

    Raises
    ------
    InputError
        If it is not such a file, holds too few lines, or is too large.
    """
    hint = "make one with mrsim replay --samples"
    arrays = read_arrays(
        path, MAX_BYTES, "a file of samples", names=("service_ns",), missing=f"there is no such file; {hint}"
    )
    if "service_ns" not in arrays:
        raise InputError(f"{path}: it has no service_ns; {hint}")
    table = arrays["service_ns"]
    if table.dtype != np.int64 or table.ndim != 2 or not len(table) or len(table) > 1000:
        raise InputError(f"{path}: service_ns is {table.dtype} {table.shape}: expected int64 (runs, lines)")
    if table.shape[1] < lines:
        raise InputError(f"{path}: it has the service times of {table.shape[1]} lines, {lines} are played")
    if not (table >= 0).any(axis=1).all():
        raise InputError(f"{path}: a run in it handed out no line at all; record it again")
    return [TableService(np.maximum(row, 0)) for row in table]
