"""The prescan in an MRD file: readouts for calibration alone, before the lines of the scan."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import FormatError
from mrsim.formats.mrd_acquisition import Flag
from mrsim.formats.mrd_file import ReadoutSource
from mrsim.stream import Header
from mrsim.stream.header import MAX_PRESCAN, ky_range


def read_prescan(found: ReadoutSource, header: Header, notes: list[str]) -> NDArray[np.complex64] | None:
    """Read the prescan of a file that mrsim wrote; of others, calibration is no part of a stream.

    Parameters
    ----------
    found
        The file.
    header
        What is known of its protocol.
    notes
        Told that it was kept.

    Returns
    -------
    prescan
        As in `Header`; None where there is none.

    Raises
    ------
    FormatError
        If a row of it is missing, or of another shape.
    """
    heads = found.heads
    both = np.uint64(Flag.CALIBRATION | Flag.CALIBRATION_AND_IMAGING)
    taken = np.flatnonzero((heads["flags"] & both) == np.uint64(Flag.CALIBRATION))
    if not found.encoding.exact or not taken.size:
        return None
    rows, columns = taken.size, int(heads["number_of_samples"][taken[0]])
    steps = heads["idx"]["kspace_encode_step_1"][taken].astype(np.int64)
    ky = steps + ky_range(header.matrix[0])[0]
    whole = (
        rows <= min(MAX_PRESCAN, header.matrix[0])
        and 1 <= columns <= min(MAX_PRESCAN, header.matrix[1])
        and np.array_equal(ky, np.arange(rows) - rows // 2)
        and bool((heads["number_of_samples"][taken] == columns).all())
        and bool((heads["active_channels"][taken] == header.coils).all())
    )
    if not whole:
        raise FormatError(f"{found.path}: its prescan of {rows} readouts is not whole; convert the scan anew")
    notes.append(f"the prescan of {rows} x {columns} was kept")
    return np.ascontiguousarray(found.samples(taken).transpose(1, 0, 2))
