"""`mrsim compare`: several candidates side by side on several streams."""

from __future__ import annotations

import argparse
from typing import Any

from harness.cli.arguments import add_isolate, add_json, add_seed, count


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    from harness.candidates.registry import known

    command.add_argument("candidate", nargs="+", metavar="CANDIDATE", help=", ".join(known()))
    command.add_argument(
        "--on",
        nargs="+",
        action="extend",
        required=True,
        metavar="STREAM",
        help="folders of streams with truth",
    )
    command.add_argument("--frames", type=int, help="only so many first frames of each stream")
    command.add_argument(
        "--lockstep",
        action="store_true",
        help="images alone, in virtual time: exact, and the same every time",
    )
    command.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="with --lockstep: on a Dask cluster, such as tcp://127.0.0.1:8786",
    )
    command.add_argument("--repeat", type=count, default=3, help="rounds of replays at TR (%(default)s)")
    command.add_argument(
        "--segment-s", type=float, default=5.0, metavar="S",
        help="candidates take turns after so much of a scan (%(default)s)",
    )  # fmt: skip
    add_isolate(command)
    add_seed(command)
    add_json(command)


def run(**options: Any) -> int:
    """Compare, show the tables and return the exit code."""
    from harness.comparison.result import run as compare

    return compare(argparse.Namespace(**options, json=options["json_file"]))
