"""`mrsim hardness`: how hard an anatomy is for whoever knows its past."""

from __future__ import annotations

import argparse

from harness.cli.arguments import add_changes, add_json, add_seed, settings
from harness.console import progress


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    command.add_argument(
        "name",
        metavar="NAME|FOLDER|STREAM",
        help="a phantom, a patient's folder, or a scan with truth",
    )
    command.add_argument(
        "--frame-ms", type=float, metavar="MS",
        help="from image to image (the frames of a cine or a stream; 170 for a phantom)",
    )  # fmt: skip
    command.add_argument(
        "--seconds", type=float, metavar="S", help="looked at (all of a cine or a stream; 80 of a phantom)"
    )
    add_changes(command)
    add_seed(command)
    add_json(command)


def run(
    *,
    name: str,
    frame_ms: float | None,
    seconds: float | None,
    changes: list[str],
    seed: int,
    json_file: str | None,
) -> int:
    """Print the rank and the memory score of an anatomy.

    Raises
    ------
    InputError
        If there is no such thing, or it is too short.
    """
    import dataclasses
    import math

    from harness.hardness.subject import hardness_at
    from mrsim.errors import InputError
    from mrsim.files.targets import check_target
    from mrsim.files.writing import write_json

    if json_file is not None:
        check_target(json_file, ".json")
    if frame_ms is not None and not 0 < frame_ms <= 60_000:
        raise InputError(f"--frame-ms {frame_ms}: expected above 0, at most 60000")
    with progress(f"images of {name}") as report:
        found = hardness_at(
            name,
            frame_s=None if frame_ms is None else frame_ms * 1e-3,
            seconds=seconds,
            seed=seed,
            changes=settings(changes),
            progress=report,
        )
    print(found)
    if json_file is not None:
        values = dataclasses.asdict(found)
        if math.isnan(found.memory_score):
            values["memory_score"] = None
        write_json(json_file, {"schema": "mrsim-hardness/1", "name": name, **values})
    return 0
