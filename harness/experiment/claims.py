"""What the shipped networks are to reach, and where they fall short: every claim is told, none left out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.experiment.cells import Row
from harness.experiment.compare import BETTER, UNTOLD, WORSE, Compared, compare

SUBJECT = "cascade"
MEAN_DICE = {5.0: 0.94, 10.0: 0.92}
"""What the full paper reports at each acceleration (Dietz 2019, Phys Med Biol 64:195002)."""
DICE_MARGIN = 0.02
LAG_MARGIN_MS = 15.0
GAIN = (0.9, 1.1)
P95_MM = 1.5
AMPLITUDE_SHARE = 0.25
BEATEN = ("view-sharing", "nearest-frame")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Hold how one cell compares with another one of its scan."""

    subject: Row
    opponent: Row
    compared: Compared


@dataclass(frozen=True, slots=True)
class Claim:
    """Hold one claim, what was found and whether it holds; None where the samples do not tell."""

    claim: str
    where: str
    found: str
    holds: bool | None


def comparisons(rows: Sequence[Row], seed: int) -> list[Comparison]:
    """Compare every network with all that was judged on the same scan, a coarse one with its fine one alone.

    Parameters
    ----------
    rows
        Of the table.
    seed
        Seed of the bootstrap.
    """
    judged = [row for row in rows if row.measures is not None]
    out = []
    for _, group in itertools.groupby(judged, key=lambda row: row.key):
        members = list(group)
        series = {row.file: row.series() for row in members}
        for subject in members:
            if not subject.cell.candidate.startswith("cascade:"):
                continue
            out += [
                Comparison(subject, other, compare(series[subject.file], series[other.file], seed))
                for other in members
                if other is not subject
                and (subject.cell.stage != "coarse" or other.cell.label == subject.cell.label)
            ]
    return out


def claims(rows: Sequence[Row], compared: Sequence[Comparison]) -> list[Claim]:
    """Return every claim about the fine networks on prospective scans, as told in the table."""
    subjects = [
        row
        for row in rows
        if row.cell.part == "main"
        and (row.cell.label, row.cell.scan.timing) == (SUBJECT, "prospective")
        and row.cell.stage != "coarse"
    ]
    out = list(_mean_dice(subjects))
    for row in subjects:
        out += _of_cell(row)
        out += _opponents(row, [c for c in compared if c.subject is row])
    return out + [
        claim for row in rows if row.cell.part == "generalisation" for claim in _general(row, compared)
    ]


def _where(row: Row) -> str:
    scan = row.cell.scan
    variant = f", {row.cell.variant}" if row.cell.variant else ""
    return f"{scan.name}, {scan.acceleration:g}x, SNR {scan.snr:g}{variant}"


def _mean_dice(subjects: Sequence[Row]) -> Iterable[Claim]:
    for (acceleration, snr), bound in {
        (row.cell.scan.acceleration, row.cell.scan.snr): MEAN_DICE.get(row.cell.scan.acceleration)
        for row in subjects
    }.items():
        mine = [r for r in subjects if (r.cell.scan.acceleration, r.cell.scan.snr) == (acceleration, snr)]
        values = [row.measures.figures["dice"][0] for row in mine if row.measures is not None]
        told = [v for v in values if v is not None]
        if bound is None:
            continue
        where = f"mean of {len(told)} of {len(mine)}, {acceleration:g}x, SNR {snr:g}"
        mean = sum(told) / len(told) if told else None
        holds = None if mean is None or len(told) < len(mine) else mean >= bound
        yield Claim(f"Dice at least {bound:g}", where, "-" if mean is None else f"{mean:.3f}", holds)


def _of_cell(row: Row) -> Iterable[Claim]:
    where = _where(row)
    if row.measures is None:
        yield Claim("the cell can be judged", where, row.reason, False)
        return
    measures = row.measures
    value = {key: figure[0] for key, figure in measures.figures.items()}
    dice, own = value["dice"], value["dice_own"]
    near = None if dice is None or own is None else dice >= own - DICE_MARGIN
    yield Claim(
        f"Dice within {DICE_MARGIN:g} of the fully sampled image's",
        where,
        f"{_text(dice, 3)}, {_text(own, 3)}",
        near,
    )
    total, bound = value["total_lag_ms"], measures.cadence_ms + LAG_MARGIN_MS
    yield Claim(
        f"total lag at most a cadence and {LAG_MARGIN_MS:g} ms",
        where,
        f"{_text(total, 0)} of {bound:.0f} ms{f' ({measures.lag_reason})' if measures.lag_reason else ''}",
        total <= bound if total is not None else False if row.timed else None,
    )
    gain = value["gain"]
    yield Claim(
        f"gain {GAIN[0]:g} to {GAIN[1]:g}",
        where,
        _text(gain, 2),
        gain is not None and GAIN[0] <= gain <= GAIN[1],
    )
    p95, most = value["shown_p95_mm"], min(P95_MM, AMPLITUDE_SHARE * measures.amplitude_mm)
    carried = row.timed and (value["last_p95_mm"] is not None or measures.not_found)
    yield Claim(
        f"centroid p95 when shown at most {P95_MM:g} mm and {AMPLITUDE_SHARE:g} of the amplitude",
        where,
        f"{_text(p95, 2)} of {most:.2f} mm",
        (False if carried else None) if p95 is None else p95 <= most,
    )


def _opponents(row: Row, compared: Sequence[Comparison]) -> Iterable[Claim]:
    where = _where(row)
    causal = [c for c in compared if not c.opponent.cell.reference and c.opponent.causal]
    rivals = [c for c in causal if not c.opponent.cell.candidate.startswith("cascade:")]
    for other in rivals:
        outcome = other.compared.outcome
        told = ", ".join(f"{key} {value}" for key, value in outcome.items())
        unknown = UNTOLD in outcome.values()
        ahead = outcome["p95"] == WORSE and not (outcome["nmse"] == BETTER and outcome["dice"] == BETTER)
        label = other.opponent.cell.label
        yield Claim(
            f"{label} is not nearer without being worse on NMSE and Dice",
            where,
            told,
            None if unknown else not ahead,
        )
        if label in BEATEN:
            beaten = all(value == BETTER for value in outcome.values())
            yield Claim(f"{label} is worse on all three", where, told, None if unknown else beaten)


def _general(row: Row, compared: Sequence[Comparison]) -> Iterable[Claim]:
    if row.cell.label != SUBJECT:
        return
    if row.measures is None:
        yield Claim("the cell can be judged", _where(row), row.reason, False)
    for other in compared:
        if other.subject is row and other.opponent.cell.label == "view-sharing":
            outcome = other.compared.outcome
            told = ", ".join(f"{key} {value}" for key, value in outcome.items())
            holds = None if UNTOLD in outcome.values() else WORSE not in outcome.values()
            yield Claim("no worse than view sharing", _where(row), told, holds)


def _text(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
