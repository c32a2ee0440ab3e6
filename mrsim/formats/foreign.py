"""An HDF5 file of the field as a stream, whatever is in it: read in a child that cannot harm this process."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from mrsim.errors import InputError
from mrsim.files.writing import WholeFolder, scratch_folder
from mrsim.formats.bounded import MEMORY_BYTES, WAITING_S, WORKING_S, Progress, ask
from mrsim.formats.mrd_import import Given, Imported
from mrsim.stream.storage import check_new_stream


def file_to_stream(
    source: str | Path,
    target: str | Path,
    given: Given | None = None,
    progress: Progress | None = None,
    *,
    overwrite: bool = False,
    working_s: int = WORKING_S,
    waiting_s: float = WAITING_S,
    memory: int = MEMORY_BYTES,
) -> Imported:
    """Write the lines of an MRD or fastMRI file as a stream, in bounded time and memory.

    Parameters
    ----------
    source, target, given, progress, overwrite
        As for `mrd_to_stream`.
    working_s, waiting_s, memory
        As for `bounded.ask`.

    Raises
    ------
    FormatError
        As for `mrd_to_stream` and `fastmri_to_stream`; and if the file takes more time or memory.
    MissingExtraError
        If `ismrmrd` and `h5py` are not installed.
    """
    check_new_stream(target, overwrite=overwrite)
    path, goal = Path(source), Path(target)
    with scratch_folder(goal) as scratch:
        made = scratch / "made"
        task: dict[str, Any] = {
            "do": "import",
            "path": str(path.absolute()),
            "target": str(made.absolute()),
            "given": dataclasses.asdict(given or Given()),
        }
        try:
            answer = ask(task, path, progress, working_s=working_s, waiting_s=waiting_s, memory=memory)
        except InputError as error:
            told = str(error).replace(task["target"], str(goal)).replace(task["path"], str(path))
            raise type(error)(told) from None
        check_new_stream(target, overwrite=overwrite)
        folder = WholeFolder(goal, replace=overwrite)
        folder.partial = made
        folder.put()
    return Imported(goal, int(answer["lines"]), tuple(answer["notes"]))
