"""`mrsim guard`: options in, the ratio printed and written, exit code out."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.cli.arguments import add_json, add_seed
from harness.cli.seen import add_allow_seen, tell_seen
from harness.console import print_apart, print_table, progress

if TYPE_CHECKING:
    from harness.comparison.guard import Guarded


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    command.add_argument("base", metavar="BASE", help="the candidate that is there")
    command.add_argument("new", metavar="NEW", help="the candidate that is to replace it")
    command.add_argument(
        "stream", nargs="?", metavar="STREAM", help="folder of a stream; default: one is made"
    )
    command.add_argument(
        "--factor", type=float, default=1.15, help="new may take this many times as long (%(default)s)"
    )
    command.add_argument("--images", type=int, default=240, help="pairs of images (%(default)s)")
    command.add_argument("--isolate", action="store_true", help="run each in a process of its own")
    command.add_argument(
        "--limit-s", type=float, default=30.0, metavar="S", help="wait for an image (%(default)s)"
    )
    add_allow_seen(command)
    add_seed(command)
    add_json(command)


def run(
    *,
    base: str,
    new: str,
    stream: str | None,
    factor: float,
    images: int,
    isolate: bool,
    limit_s: float,
    seed: int,
    allow_seen: bool,
    json_file: str | None,
) -> int:
    """Run base and new in turns, print what was found and return the exit code.

    Raises
    ------
    InputError
        If a candidate, the stream or an option is wrong.
    """
    from harness.candidates.isolation import probe, told
    from harness.session.guard import guard
    from mrsim.files.targets import check_target
    from mrsim.files.writing import write_json

    check_target(json_file, ".json")
    if isolate:
        print(told(probe()))
    with progress(f"{base} and {new} in turns") as report:
        found = guard(
            base, new, stream, factor=factor, images=images, seed=seed, isolate=isolate, limit_s=limit_s,
            allow_seen=allow_seen, progress=report,
        )  # fmt: skip
    if json_file is not None:
        write_json(json_file, found.to_json())
    tell_seen(found.overlaps)
    _show(found)
    print_apart([] if found.traceback is None else [found.traceback.text])
    print(f"{found.verdict.outcome.name}: {found.verdict.reason}")
    return int(found.verdict.outcome.value)


def _show(found: Guarded) -> None:
    import numpy as np

    from harness.measure.exact_statistics import nearest_rank

    if not len(found.base_ns):
        return
    rows = [
        [name, f"{nearest_rank(taken, 0.25) / 1e6:.3f}", f"{np.median(taken) / 1e6:.3f}",
         f"{nearest_rank(taken, 0.75) / 1e6:.3f}"]
        for name, taken in ((f"base {found.base}", found.base_ns), (f"new {found.new}", found.new_ns))
    ]  # fmt: skip
    print_table(f"{len(found.base_ns)} pairs of images, in turns", ["ms", "p25", "p50", "p75"], rows)
