"""`mrsim guard`: options in, the ratio printed and written, exit code out."""

from __future__ import annotations

import argparse

import numpy as np

from harness.comparison.guard import Guarded
from harness.console import print_table, progress
from harness.measure.exact_statistics import nearest_rank
from harness.session.guard import guard
from mrsim.files.targets import check_target
from mrsim.files.writing import write_json


def run(args: argparse.Namespace) -> int:
    """Run base and new in turns, print what was found and return the exit code.

    Raises
    ------
    InputError
        If a candidate, the stream or an option is wrong.
    """
    check_target(args.json)
    with progress(f"{args.base} and {args.new} in turns") as report:
        found = guard(
            args.base,
            args.new,
            args.stream,
            factor=args.factor,
            images=args.images,
            isolate=args.isolate,
            limit_s=args.limit_s,
            seed=args.seed,
            progress=report,
        )
    if args.json:
        write_json(args.json, found.to_json())
    _show(found)
    print(f"{found.verdict.outcome.name}: {found.verdict.reason}")
    return int(found.verdict.outcome.value)


def _show(found: Guarded) -> None:
    if not len(found.base_ns):
        return
    rows = [
        [name, f"{nearest_rank(taken, 0.25) / 1e6:.3f}", f"{np.median(taken) / 1e6:.3f}",
         f"{nearest_rank(taken, 0.75) / 1e6:.3f}"]
        for name, taken in ((f"base {found.base}", found.base_ns), (f"new {found.new}", found.new_ns))
    ]  # fmt: skip
    print_table(f"{len(found.base_ns)} pairs of images, in turns", ["ms", "p25", "p50", "p75"], rows)
