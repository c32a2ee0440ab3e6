"""The table as values: one set of JSON values, and from it alone the CSV, so that they agree."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

from harness.experiment.cells import Row
from harness.experiment.claims import Claim, Comparison
from harness.experiment.measures import COLUMNS

SCHEMA = "mrsim-table/1"
NAMES = (
    "part",
    "patient",
    "acceleration",
    "timing",
    "snr",
    "variant",
    "ahead_ms",
    "trained",
    "candidate",
    "stage",
)
"""What names a row."""
COUNTS = ("images", "breaths", "not_found", "amplitude_mm", "cadence_ms")

Values = dict[str, Any]


def to_json(
    rows: Sequence[Row],
    compared: Sequence[Comparison],
    claims: Sequence[Claim],
    config: Values,
    config_hash: str,
) -> Values:
    """Return everything as strict JSON values; what the samples do not carry is null."""
    return {
        "schema": SCHEMA,
        "config_hash": config_hash,
        "config": config,
        "rows": [_row(row) for row in rows],
        "comparisons": [_comparison(c) for c in compared],
        "claims": [{"claim": c.claim, "where": c.where, "found": c.found, "holds": c.holds} for c in claims],
    }


def _row(row: Row) -> Values:
    cell, measures = row.cell, row.measures
    scan = cell.scan
    named: Values = {
        "part": cell.part,
        "patient": scan.name,
        "acceleration": scan.acceleration,
        "timing": scan.timing,
        "snr": scan.snr if math.isfinite(scan.snr) else None,
        "variant": cell.variant,
        "ahead_ms": cell.ahead_ms,
        "trained": cell.trained,
        "candidate": cell.label,
        "stage": cell.stage,
        "string": cell.candidate,
        "reference": cell.reference,
        "causal": row.causal,
        "reason": row.reason,
        "lag_reason": "" if measures is None else measures.lag_reason,
    }
    named |= {key: None if measures is None else getattr(measures, key) for key in COUNTS}
    figures = {}
    for column in COLUMNS:
        value, interval = (None, None) if measures is None else measures.figures[column.key]
        figures[column.key] = {"value": value, "interval": None if interval is None else list(interval)}
    return named | {"figures": figures}


def _comparison(compared: Comparison) -> Values:
    cell, other, found = compared.subject.cell, compared.opponent.cell, compared.compared
    named = {key: value for key, value in _row(compared.subject).items() if key in NAMES}
    return named | {
        "candidate": cell.label,
        "opponent": other.label,
        "opponent_stage": other.stage,
        "images": found.images,
        "outcome": found.outcome,
        "difference": {key: difference.value for key, difference in found.differences.items()},
        "interval": {
            k: None if d.interval is None else list(d.interval) for k, d in found.differences.items()
        },
    }


def to_csv(values: Values) -> str:
    """Return one line a row: names, counts, and each figure with the bounds of its interval."""
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
