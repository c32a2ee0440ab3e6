"""What the shipped networks are to reach, and where they fall short: every claim is there, none left out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.comparison.on_display import OnDisplay, compare_displays
from harness.comparison.order import Difference
from harness.comparison.series import Series, compare_series
from harness.experiment.cells import Row
from harness.judge.profiles import SHIPPED

SUBJECT = "cascade"
MEAN_DICE = {5.0: 0.94, 10.0: 0.92}
"""What the full paper reports at each acceleration (Dietz 2019, Phys Med Biol 64:195002)."""
DICE_MARGIN = 0.02
LAG_MARGIN_MS = 15.0
GAIN = (0.9, 1.1)
P95_MM = 1.5
AMPLITUDE_SHARE = 0.25
M95_MM = SHIPPED["keep-up"].m95_mm
BEATEN = ("view-sharing", "nearest-frame")


IMAGES = ("nmse", "dice", "centroid_shown_mm")
COMPARED = (*IMAGES, "m95_mm")
"""Measures in which cells are compared: of single images, and M95 on display."""


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Hold how one cell compares with another one of its scan, on the images that both have.

    Parameters
    ----------
    subject, opponent
        The cells.
    differences
        Of the subject to the opponent, in each of `COMPARED`.
    images
        Number of images that both have.
    """

    subject: Row
    opponent: Row
    differences: dict[str, Difference]
    images: int

    @property
    def standing(self) -> dict[str, str]:
        """Return where the subject stands in each measure."""
        return {name: difference.standing for name, difference in self.differences.items()}


@dataclass(frozen=True, slots=True)
class Claim:
    """Hold one claim, what was found and whether it holds; None where the samples do not tell."""

    claim: str
    where: str
    found: str
    holds: bool | None


def compare_cells(rows: Sequence[Row]) -> list[PairedComparison]:
    """Compare every network with all that was judged on the same scan, a coarse one with its fine one alone.

    Parameters
    ----------
    rows
        Of the table.
    """
    judged = [row for row in rows if row.measures is not None]
    out = []
    for _, group in itertools.groupby(judged, key=lambda row: row.key):
        members = [(row, row.series(), row.on_display()) for row in group]
        for subject, mine, shown in members:
            if not subject.cell.candidate.startswith("cascade:"):
                continue
            for other, theirs, others_shown in members:
                alike = subject.cell.stage != "coarse" or other.cell.label == subject.cell.label
                if other is not subject and alike:
                    both = len(np.intersect1d(mine.frame, theirs.frame))
                    found = compare_images(mine, theirs) | {"m95_mm": compare_shown(shown, others_shown)}
                    out.append(PairedComparison(subject, other, found, both))
    return out


def compare_images(subject: Series, opponent: Series) -> dict[str, Difference]:
    """Compare what was measured of two cells of one scan, in each of `IMAGES`.

    Parameters
    ----------
    subject, opponent
        What was measured of each image.
    """
    return {name: compare_series(name, [subject], [opponent]) for name in IMAGES}


def compare_shown(subject: OnDisplay | None, opponent: OnDisplay | None) -> Difference:
    """Compare M95 on display of two cells of one scan; a slow one may be judged for a shorter time.

    Parameters
    ----------
    subject, opponent
        What each had on display; None where there is no target.
    """
    if subject is None or opponent is None:
        return compare_displays("m95_mm", [], [])
    both = min(len(subject.block), len(opponent.block))
    return compare_displays("m95_mm", [subject.first(both)], [opponent.first(both)])


def claims(rows: Sequence[Row], compared: Sequence[PairedComparison]) -> list[Claim]:
    """Return every claim about the fine networks on prospective scans, as the table has them."""
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
        known = [v for v in values if v is not None]
        if bound is None:
            continue
        where = f"mean of {len(known)} of {len(mine)}, {acceleration:g}x, SNR {snr:g}"
        mean = sum(known) / len(known) if known else None
        holds = None if mean is None or len(known) < len(mine) else mean >= bound
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
    m95 = value["m95_mm"]
    yield Claim(
        f"M95 on display at most {M95_MM:g} mm",
        where,
        f"{_text(m95, 2)} mm",
        (False if m95 is None else m95 <= M95_MM) if row.timed else None,
    )


def _opponents(row: Row, compared: Sequence[PairedComparison]) -> Iterable[Claim]:
    where = _where(row)
    for other in compared:
        opponent = other.opponent.cell
        if opponent.reference or not other.opponent.causal or opponent.candidate.startswith("cascade:"):
            continue
        standing = other.standing
        nearer = standing["centroid_shown_mm"] == "behind"
        dearer = standing["nmse"] == standing["dice"] == "ahead"
        yield Claim(
            f"{opponent.label} is ahead in the centroid only where it is behind in NMSE and Dice",
            where,
            _words(standing),
            _unless_undecided(standing, not nearer or dearer),
        )
        if opponent.label in BEATEN:
            beaten = set(standing.values()) == {"ahead"}
            yield Claim(
                f"{opponent.label} is behind in all four", where, _words(standing),
                _unless_undecided(standing, beaten),
            )  # fmt: skip


def _general(row: Row, compared: Sequence[PairedComparison]) -> Iterable[Claim]:
    if row.cell.label != SUBJECT:
        return
    if row.measures is None:
        yield Claim("the cell can be judged", _where(row), row.reason, False)
    for other in compared:
        if other.subject is row and other.opponent.cell.label == "view-sharing":
            holds = _unless_undecided(other.standing, "behind" not in other.standing.values())
            yield Claim("behind view sharing in nothing", _where(row), _words(other.standing), holds)


def _words(standing: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in standing.items())


def _unless_undecided(standing: dict[str, str], holds: bool) -> bool | None:
    return None if {"undecided", "none"} & set(standing.values()) else holds


def _text(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
