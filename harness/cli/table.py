"""`mrsim table`: the experiment of many cells, in one table."""

from __future__ import annotations

import argparse
from typing import Any

from harness.cli.arguments import add_seed
from harness.experiment.choices import CANDIDATES, HORIZON, PATIENTS, SLOW, STAGES
from mrsim.scanner.protocol import ScanProtocol


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options of the table to its command."""
    add = command.add_argument
    add(
        "-o", "--output", default="table", metavar="DIR", help="folder to write and to go on in (%(default)s)"
    )
    add(
        "--patients", nargs="+", default=[*PATIENTS, "quasar@4"], metavar="NAME",
        help="phantoms, or NAME@X for one that is scanned at X alone (all six patients and quasar@4)",
    )  # fmt: skip
    add(
        "--accelerations",
        nargs="+",
        type=float,
        default=[5.0, 10.0],
        metavar="X",
        help="undersampling (5 10)",
    )
    add(
        "--candidates", nargs="+", default=list(CANDIDATES), metavar="CANDIDATE",
        help="CANDIDATE or LABEL=CANDIDATE; {patient}, {acceleration} and {stage} (-coarse or nothing) are "
        "filled in, and {training} with a stream of what may be known; cascade is the shipped weights, "
        f"nearest-frame the one of the scan's own first part ({' '.join(CANDIDATES)})",
    )  # fmt: skip
    add("--stages", nargs="+", default=list(STAGES), help="of training: coarse and fine (both)")
    add("--timing", nargs="+", default=["prospective"], help="prospective and retrospective (prospective)")
    add("--snr", nargs="+", type=float, default=[20.0], help="of the target (20)")
    add("--what", nargs="+", default=["main"], help="main, generalisation and horizon (main)")
    add(
        "--seconds",
        type=float,
        metavar="S",
        help="test time that is judged (all that follows the first part)",
    )
    add(
        "--slow-seconds", type=float, default=12.0, metavar="S",
        help="test time of slow candidates (%(default)s)",
    )  # fmt: skip
    add(
        "--slow", nargs="*", default=list(SLOW), metavar="CANDIDATE",
        help=f"those that are slow ({' '.join(SLOW)})",
    )  # fmt: skip
    add("--train-seconds", type=float, default=70.0, metavar="S", help="what may be known (%(default)s)")
    add(
        "--lead-seconds",
        type=float,
        default=10.0,
        metavar="S",
        help="seen before the first judged (%(default)s)",
    )
    add("--scan-seconds", type=float, default=183.0, metavar="S", help="length of every scan (%(default)s)")
    add(
        "--matrix", type=int, nargs=2, default=ScanProtocol.matrix, metavar=("NY", "NX"),
        help="rows and columns ({} {})".format(*ScanProtocol.matrix),
    )  # fmt: skip
    add(
        "--horizon-weights", default=HORIZON, metavar="CANDIDATE",
        help="weights that aim {horizon} milliseconds ahead (%(default)s)",
    )  # fmt: skip
    add(
        "--service-ms", type=float, metavar="MS",
        help="let every push take so long, as on another host, and do not measure it; the table is then the "
        "same bytes each time",
    )  # fmt: skip
    add(
        "--cluster", metavar="ADDRESS",
        help="make the cells on a Dask cluster, such as tcp://127.0.0.1:8786; times are not taken there",
    )  # fmt: skip
    add(
        "--share", metavar="K/N",
        help="make every Nth patient's cells alone, so that N calls may run beside one another; a call "
        "without it then writes the table",
    )  # fmt: skip
    add_seed(command)


def run(**options: Any) -> int:
    """Make the table and return the exit code."""
    from harness.experiment.table import run as make

    return make(argparse.Namespace(**options))
