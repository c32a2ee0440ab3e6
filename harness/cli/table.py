"""`mrsim table`: options in, a folder with the table out.

What makes it is loaded when it is made: a command line is read before anything is loaded.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.console import progress
from harness.experiment.choices import CANDIDATES, HORIZON, PATIENTS, SLOW, STAGES
from mrsim.errors import InputError
from mrsim.scanner.protocol import ScanProtocol

if TYPE_CHECKING:
    from harness.experiment.plan import ExperimentPlan


def run(args: argparse.Namespace) -> int:
    """Make the table that the options ask for.

    Returns
    -------
    code
        0: it shows what falls short, and has no verdict of its own.

    Raises
    ------
    InputError
        If an option is wrong, or weights were trained on the time that is judged.
    """
    from harness.experiment.plan import cells_of
    from harness.experiment.table import make_table, write_table
    from harness.workers.remote import UNTIMED

    plan, share = _plan(args), None if args.share is None else _share(args.share)
    with progress("the table") as report:
        table = make_table(plan, args.output, share=share, cluster=args.cluster, progress=report)
    if share is not None:
        count, every = len(table.rows), len(cells_of(plan))
        print(f"share {args.share}: {count} of {every} cells done; call without --share for the table")
        return 0
    write_table(table, args.output, f"mrsim {shlex.join(sys.argv[1:])}")
    missing = sum(bool(row.reason) for row in table.rows)
    short = sum(claim.holds is False for claim in table.claims)
    files = f"{Path(args.output)}/table.md, table.csv, table.json"
    print(
        f"{files}: {len(table.rows)} cells, {missing} could not be judged; "
        f"{short} of {len(table.claims)} claims fall short"
    )
    if table.untimed:
        print(UNTIMED)
    return 0


def _plan(args: argparse.Namespace) -> ExperimentPlan:
    from harness.experiment.plan import Entry, ExperimentPlan, read_patients
    from harness.experiment.scans import TimeLine

    return ExperimentPlan(
        patients=read_patients(args.patients, args.accelerations),
        entries=tuple(Entry.parse(text) for text in args.candidates),
        stages=tuple(args.stages),
        timings=tuple(args.timing),
        snrs=tuple(args.snr),
        parts=tuple(args.what),
        time_line=TimeLine(args.train_seconds, args.lead_seconds, args.seconds),
        scan_s=args.scan_seconds,
        slow_s=args.slow_seconds,
        slow=tuple(args.slow),
        horizon_weights=args.horizon_weights,
        seed=args.seed,
        matrix=tuple(args.matrix),
        service_ms=args.service_ms,
    )


def _share(text: str) -> tuple[int, int]:
    """Read `K/N`."""
    read = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
    if read is None or not 1 <= int(read[1]) <= int(read[2]) <= 64:
        raise InputError(f"--share {text!r}: expected K/N, such as 1/2, with N up to 64")
    return int(read[1]), int(read[2])


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
