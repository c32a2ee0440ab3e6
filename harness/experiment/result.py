"""A table as values: one set of JSON values, and from it alone the CSV, so that they agree."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from typing import Any

from harness.experiment.cells import Row
from harness.experiment.claims import Claim, PairedComparison
from harness.experiment.measures import COLUMNS, figure_json
from harness.experiment.plan import ExperimentPlan
from harness.workers.remote import UNTIMED

SCHEMA = "mrsim-table/3"
NAMES = (
    "part", "patient", "acceleration", "timing", "snr", "variant", "ahead_ms", "trained", "candidate",
    "stage",
)  # fmt: skip
"""What names a row."""
COUNTS = ("images", "breaths", "not_found", "amplitude_mm", "cadence_ms")

Values = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """Hold what an experiment found.

    Parameters
    ----------
    plan
        Of the experiment.
    rows
        One for each cell.
    comparisons
        Every network against all that was judged on the same scan.
    claims
        What the networks are to reach, and whether they do.
    config_hash
        Twelve digits that name all that decides the figures.
    """

    plan: ExperimentPlan
    rows: tuple[Row, ...]
    comparisons: tuple[PairedComparison, ...]
    claims: tuple[Claim, ...]
    config_hash: str

    def __repr__(self) -> str:
        short = sum(claim.holds is False for claim in self.claims)
        return f"<Table of {len(self.rows)} cells: {short} of {len(self.claims)} claims fall short>"

    @property
    def untimed(self) -> bool:
        """Return whether no time was taken, nor modelled."""
        return "timed" in self.plan.settings

    def to_json(self, command: str = "") -> Values:
        """Return everything as strict JSON values; what the samples do not carry is null.

        Parameters
        ----------
        command
            What made it, for the record.
        """
        plan = self.plan
        untimed = {"untimed": UNTIMED} if self.untimed else {}
        config = {**plan.settings, "seed": plan.seed, "scan_s": plan.scan_s, "command": command}
        return {
            "schema": SCHEMA,
            "config_hash": self.config_hash,
            "config": config | untimed,
            "rows": [_row(row) for row in self.rows],
            "comparisons": [_comparison(c) for c in self.comparisons],
            "claims": [{key: getattr(c, key) for key in Claim.__slots__} for c in self.claims],
        }


def _names(row: Row) -> Values:
    cell, scan = row.cell, row.cell.scan
    snr = scan.snr if math.isfinite(scan.snr) else None
    values = (
        cell.part, scan.name, scan.acceleration, scan.timing, snr, cell.variant, cell.ahead_ms, cell.trained,
        cell.label, cell.stage,
    )  # fmt: skip
    return dict(zip(NAMES, values, strict=True))


def _row(row: Row) -> Values:
    measures = row.measures
    return {
        **_names(row),
        "string": row.cell.candidate,
        "reference": row.cell.reference,
        "causal": row.causal,
        "reason": row.reason,
        "lag_reason": "" if measures is None else measures.lag_reason,
        **{key: None if measures is None else getattr(measures, key) for key in COUNTS},
        "figures": {
            column.key: figure_json((None, None) if measures is None else measures.figures[column.key])
            for column in COLUMNS
        },
    }


def _comparison(compared: PairedComparison) -> Values:
    opponent, found = compared.opponent.cell, compared.differences
    return _names(compared.subject) | {
        "opponent": opponent.label,
        "opponent_stage": opponent.stage,
        "images": compared.images,
        "measures": {name: difference.to_json() for name, difference in found.items()},
    }


def to_csv(values: Values) -> str:
    """Return one line a row: names, counts, and each figure with the bounds of its interval.

    Parameters
    ----------
    values
        What `Table.to_json` returned.
    """
    held = io.StringIO()
    writer = csv.writer(held, lineterminator="\n")
    bounds = [f"{c.key}{end}" for c in COLUMNS for end in ("", "_low", "_high")]
    writer.writerow([*NAMES, "reference", "causal", *COUNTS, *bounds, "lag_reason", "reason"])
    for row in values["rows"]:
        cells: list[Any] = [row[name] for name in (*NAMES, "reference", "causal", *COUNTS)]
        for column in COLUMNS:
            figure = row["figures"][column.key]
            cells += [figure["value"], *(figure["interval"] or (None, None))]
        writer.writerow(["" if c is None else c for c in [*cells, row["lag_reason"], row["reason"]]])
    return held.getvalue()
