"""`mrsim table`: options in, a folder with the table out.

What makes it is loaded when it is made: a command line is read before anything is loaded.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from harness.cli.arguments import add_seed
from harness.console import progress
from harness.experiment.choices import CANDIDATES, HORIZON, PATIENTS, SLOW, STAGES
from mrsim.errors import InputError
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
        "--coils",
        type=int,
        default=ScanProtocol.coils,
        metavar="N",
        help="loops around the body (%(default)s)",
    )
    add(
        "--field-t", nargs="+", default=[], metavar="[NAME=]T",
        help=f"static field, or that of the patients whose names begin so ({ScanProtocol.field_t:g})",
    )  # fmt: skip
    add(
        "--train-on", default="", metavar="DAY",
        help="day, such as day1, whose first part may be known of patients NAME-dayN: all of another day but "
        "its lead-in is judged (the scan's own)",
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
    command.set_defaults(argv=())


def run(
    *,
    output: str,
    patients: list[str],
    accelerations: list[float],
    candidates: list[str],
    stages: list[str],
    timing: list[str],
    snr: list[float],
    what: list[str],
    seconds: float | None,
    slow_seconds: float,
    slow: list[str],
    train_seconds: float,
    lead_seconds: float,
    scan_seconds: float,
    matrix: Sequence[int],
    coils: int,
    field_t: list[str],
    train_on: str,
    horizon_weights: str,
    service_ms: float | None,
    cluster: str | None,
    share: str | None,
    seed: int,
    argv: Sequence[str],
) -> int:
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
    from harness.experiment.plan import Entry, ExperimentPlan, cells_of, read_patients
    from harness.experiment.scans import TimeLine
    from harness.experiment.table import make_table, write_table
    from harness.workers.remote import UNTIMED

    plan = ExperimentPlan(
        patients=read_patients(patients, accelerations),
        entries=tuple(Entry.parse(text) for text in candidates),
        stages=tuple(stages),
        timings=tuple(timing),
        snrs=tuple(snr),
        parts=tuple(what),
        time_line=TimeLine(train_seconds, lead_seconds, seconds),
        scan_s=scan_seconds,
        slow_s=slow_seconds,
        slow=tuple(slow),
        horizon_weights=horizon_weights,
        seed=seed,
        matrix=(matrix[0], matrix[1]),
        service_ms=service_ms,
        coils=coils,
        fields_t=tuple(map(_field, field_t)),
        train_on=train_on,
    )
    part = None if share is None else _share(share)
    with progress("the table") as report:
        table = make_table(plan, output, share=part, cluster=cluster, progress=report)
    if part is not None:
        count, every = len(table.rows), len(cells_of(plan))
        print(f"share {share}: {count} of {every} cells done; call without --share for the table")
        return 0
    write_table(table, output, f"mrsim {shlex.join(argv)}")
    missing = sum(bool(row.reason) for row in table.rows)
    short = sum(claim.holds is False for claim in table.claims)
    files = f"{Path(output)}/table.md, table.csv, table.json"
    print(
        f"{files}: {len(table.rows)} cells, {missing} could not be judged; "
        f"{short} of {len(table.claims)} claims fall short"
    )
    if table.untimed:
        print(UNTIMED)
    return 0


def _field(text: str) -> tuple[str, float]:
    """Read `T` or `NAME=T`."""
    name, _, value = text.rpartition("=")
    try:
        return name, float(value)
    except ValueError:
        raise InputError(f"--field-t {text!r}: expected T or NAME=T, such as patient1=0.5") from None


def _share(text: str) -> tuple[int, int]:
    """Read `K/N`."""
    read = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
    if read is None or not 1 <= int(read[1]) <= int(read[2]) <= 64:
        raise InputError(f"--share {text!r}: expected K/N, such as 1/2, with N up to 64")
    return int(read[1]), int(read[2])
