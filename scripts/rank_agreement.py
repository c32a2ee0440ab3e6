"""Compare how three kinds of anatomy rank the same candidates: python scripts/rank_agreement.py -o FOLDER

Kendall's tau between the first six patients, the harder six on day two, and cines that are scanned as
patients: 1 where two kinds put the candidates in the same order, 0 where one order says nothing of the other.
Every kind is a table (`mrsim table`) in the folder; a call that was killed is gone on with by the next.

    python scripts/rank_agreement.py -o ranks --cines CINE-A CINE-B      folders made by `mrsim patient`
    python scripts/rank_agreement.py -o ranks --patients 1 2 --seconds 6 --candidates view-sharing keyhole
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import kendalltau

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from harness.experiment.plan import Entry, ExperimentPlan, read_patients  # noqa: E402
from harness.experiment.scans import TimeLine  # noqa: E402
from harness.experiment.table import make_table, write_table  # noqa: E402

CANDIDATES = ("zero-filled", "view-sharing", "sliding-window", "keyhole", "nearest-frame", "cg-sense")
MEASURES = {"m95_mm": "M95 on display, mm", "nmse": "NMSE", "lag_ms": "lag, ms"}
FIELDS_T = (("patient1", 0.5), ("patient4", 0.35), ("patient2", 1.5), ("patient5", 1.5))
"""Of the harder patients; the others, and the first six, are scanned at the usual field."""

Values = dict[str, Any]


def main() -> int:
    """Make the tables, and print values and agreement."""
    parser = argparse.ArgumentParser(description="Compare how three kinds of anatomy rank candidates.")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--cines", nargs="*", default=[], metavar="FOLDER")
    parser.add_argument("--patients", nargs="+", type=int, default=list(range(1, 7)), metavar="N")
    parser.add_argument("--candidates", nargs="+", default=list(CANDIDATES))
    parser.add_argument("--train-seconds", type=float, default=40.0)
    parser.add_argument("--lead-seconds", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=20.0, help="judged of each scan (%(default)s)")
    parser.add_argument("--coils", type=int, default=8)
    parser.add_argument("--matrix", type=int, nargs=2, default=(128, 128))
    args = parser.parse_args()
    kinds: dict[str, tuple[list[str], dict[str, Any]]] = {
        "v1": ([f"patient{n}" for n in args.patients], {}),
        "v2": (
            [f"v2/patient{n}-day2" for n in args.patients],
            {"train_on": "day1", "fields_t": FIELDS_T},
        ),
    }
    if args.cines:
        kinds["cines"] = (args.cines, {})
    line = TimeLine(args.train_seconds, args.lead_seconds, args.seconds)
    args.output.mkdir(parents=True, exist_ok=True)
    told: dict[str, Values] = {}
    for kind, (names, more) in kinds.items():
        plan = ExperimentPlan(
            read_patients(names, [5.0]), tuple(map(Entry.parse, args.candidates)), stages=("fine",),
            time_line=line, scan_s=args.train_seconds + args.seconds, seed=1, matrix=tuple(args.matrix),
            service_ms=0.0, coils=args.coils, **more,
        )  # fmt: skip
        table = make_table(plan, args.output / kind, progress=_report)
        write_table(table, args.output / kind, "scripts/rank_agreement.py")
        told[kind] = json.loads((args.output / kind / "table.json").read_text())
    for measure, heading in MEASURES.items():
        print(f"\n{heading}\n\n" + "\n".join(page({kind: means(told[kind], measure) for kind in kinds})))
    return 0


def _report(done: int, total: int, now: str = "") -> None:
    print(f"{done} of {total}: {now}", file=sys.stderr, flush=True)


def means(table: Values, measure: str) -> dict[str, float]:
    """Return each candidate's mean over the patients; infinite where one cannot be told.

    Parameters
    ----------
    table
        The values of a `table.json`.
    measure
        Key of a figure that is better the smaller it is.
    """
    found: dict[str, list[float]] = {}
    for row in table["rows"]:
        if not row["reference"]:
            value = row["figures"][measure]["value"]
            found.setdefault(row["candidate"], []).append(math.inf if value is None else value)
    return {name: sum(values) / len(values) for name, values in found.items()}


def agreement(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Return Kendall's tau-b of the order of the candidates that both have; NaN for fewer than two.

    Parameters
    ----------
    one, other
        Value of each candidate.
    """
    both = [name for name in one if name in other]
    # Ranks in place of values: what cannot be told is last, and level with what else cannot.
    sides = [[sorted(side[n] for n in both).index(side[name]) for name in both] for side in (one, other)]
    return float(kendalltau(*sides).statistic) if len(both) > 1 else math.nan


def page(kinds: Mapping[str, Mapping[str, float]]) -> Sequence[str]:
    """Return the values of every candidate as a table, and tau between each two kinds."""
    names = list(dict.fromkeys(name for values in kinds.values() for name in values))
    lines = ["| candidate | " + " | ".join(kinds) + " |", "|---" * (len(kinds) + 1) + "|"]
    for name in names:
        cells = [f"{kinds[kind].get(name, math.nan):.3g}" for kind in kinds]
        lines.append(f"| {name} | " + " | ".join("-" if c in ("inf", "nan") else c for c in cells) + " |")
    pairs = itertools.combinations(kinds, 2)
    told = [f"{one} and {other} {agreement(kinds[one], kinds[other]):.2f}" for one, other in pairs]
    return [*lines, "", f"Kendall's tau: {', '.join(told)}"]


if __name__ == "__main__":
    sys.exit(main())
