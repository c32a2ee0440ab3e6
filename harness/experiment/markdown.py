"""The table as a page of Markdown, from the same JSON values as the CSV."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from harness.console import significant
from harness.experiment.claims import COMPARED
from harness.experiment.measures import COLUMNS, Column
from harness.experiment.plan import REFERENCES
from harness.experiment.result import NAMES, Values
from harness.measure.intervals import MARGIN_BREATHS, MIN_BREATHS, MIN_BREATHS_OF_SHARE


def to_markdown(values: Values, figures: Sequence[str]) -> str:
    """Return the table as a page.

    Parameters
    ----------
    values
        What `Table.to_json` returned.
    figures
        Names of the pictures beside it.
    """
    config = values["config"]
    out = [
        "# The experiment of Dietz 2019",
        "",
        f"Configuration {values['config_hash']}: {config['command']}",
        "",
        *_notes(config),
    ]
    for key, group in itertools.groupby(values["rows"], key=_section):
        out += ["", f"## {key}", "", *_section_table(list(group))]
    out += _gaps(values["rows"])
    out += _horizons(values["rows"])
    out += _compared(values["comparisons"])
    out += _claimed(values["claims"])
    if figures:
        out += ["", "## Figures", "", *(f"![{name}]({name})" for name in figures)]
    return "\n".join(out) + "\n"


def _notes(config: Values) -> list[str]:
    service = config["service_ms"]
    timed = f"- Response times are {_timed(service)}."
    if "untimed" in config:
        timed = f"- Response times, and what depends on them: {config['untimed']}."
    return [
        f"- One scan of {config['scan_s']:g} s a patient (seed {config['seed']}): what precedes "
        f"{config['train_s']:g} s may be known to training and libraries, what follows is judged. Candidates "
        f"see lines from {config['train_s'] - config['lead_s']:g} s on.",
        "- NMSE, SSIM and Dice against the truth at the last line of each frame; *Dice to full* against "
        "the target as it is segmented in the fully sampled image. *own* is the segmentation's own error, on "
        "the fully sampled images of the same frames, against the truth.",
        "- Brackets: 95 % intervals over whole breaths; none for a largest value, or for fewer than "
        f"{MIN_BREATHS} breaths ({MARGIN_BREATHS} of a p95, {MIN_BREATHS_OF_SHARE[0.99]} of a p99). A dash: "
        "the samples do not carry the figure, or it means nothing; as a bound, that it has no limit.",
        "- *M95 on display*: for 95 % of the time the target is within so many millimetres of where it is "
        f"shown. *Last line* and *shown* are of single images. {_shown(config)}",
        timed,
        *(f"- Reference *{name}*: {what}." for name, what in REFERENCES.items()),
        "- Reference *nearest-frame*: the image of the first part of the same scan that fits the lines best; "
        "it is the noise-free truth of its instant.",
    ]


def _shown(config: Values) -> str:
    if "untimed" in config:
        return "Here an image is on display as soon as its last line is due: computing takes no time."
    return "An image is on display once it is computed, in the time that its pushes take."


def _timed(service_ms: float | None) -> str:
    if service_ms is not None:
        return f"of a modelled host on which every push takes {service_ms:g} ms"
    return (
        "the processor time of each push on one thread, on a virtual clock, so that other work on the host "
        "does not enter: not a claim about a deadline"
    )


def _section(row: Values) -> str:
    what = {"main": "", "generalisation": "Generalisation: ", "horizon": "Horizon: "}[row["part"]]
    snr = "no noise" if row["snr"] is None else f"SNR {row['snr']:g}"
    variant = f", {row['variant']}" if row["variant"] else ""
    return f"{what}{row['acceleration']:g}x, {row['timing']}, {snr}{variant}"


def _section_table(rows: Sequence[Values]) -> list[str]:
    headings = ["patient", "candidate", *(c.heading for c in COLUMNS), "images", "lost"]
    return _markdown(headings, [_cells(row) for row in rows])


def _label(row: Values, candidate: str = "candidate", stage: str = "stage") -> str:
    return f"{row[candidate]}{', ' if row[stage] else ''}{row[stage]}"


def _cells(row: Values) -> list[str]:
    label = f"*{_label(row)}*" if row["reference"] else _label(row)
    if not row["causal"]:
        label += " (not causal)"
    if row["reason"]:
        return [row["patient"], label, f"not judged: {row['reason']}", *[""] * (len(COLUMNS) + 1)]
    figures = [_figure(row, column) for column in COLUMNS]
    return [row["patient"], label, *figures, str(row["images"]), str(row["not_found"])]


def _figure(row: Values, column: Column) -> str:
    return figure_text(row["figures"][column.key], column.digits)


def figure_text(figure: Values, digits: int | None) -> str:
    """Return a figure and its interval as text."""
    if figure["value"] is None:
        return "-"
    text = _number(figure["value"], digits)
    if figure["interval"] is None:
        return text
    low, high = figure["interval"]
    return f"{text} [{_number(low, digits)}, {_number(high, digits)}]"


def _number(value: float | None, digits: int | None) -> str:
    if value is None:
        return "-"
    if digits is None:
        return significant(value)
    return f"{round(value, digits) + 0.0:.{digits}f}"  # no -0


def _markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return [line(headings), "|" + "---|" * len(headings), *(line(row) for row in rows)]


_GAP = {"nmse": "NMSE", "dice": "Dice", "lag_ms": "lag ms", "shown_p95_mm": "p95 mm when shown"}


def _gaps(rows: Sequence[Values]) -> list[str]:
    """Return the two short tables: retrospective beside prospective, and `centre` beside `last`."""
    main = [row for row in rows if row["part"] == "main" and not row["reason"] and not row["reference"]]
    timed = [
        (row, other)
        for row, other in itertools.product(main, main)
        if (row["timing"], other["timing"]) == ("retrospective", "prospective")
        and _same(row, other, "timing")
    ]
    aimed = [
        (row, other)
        for row, other in itertools.product(main, main)
        if (row["candidate"], other["candidate"]) == ("centre", "cascade")
        and other["stage"] != "coarse"
        and _same(row, other, "candidate", "stage")
    ]
    out: list[str] = []
    if timed:
        out += ["", "## Retrospective beside prospective", ""]
        out += _gap_table(timed, "retrospective", "prospective")
        out += [
            "",
            "Retrospective undersampling takes every line of a frame at one instant, so that it hides what "
            "moves within a frame: what it gains here is what a scanner will not give.",
        ]
    if aimed:
        out += ["", "## Centre beside last", "", *_gap_table(aimed, "centre", "last")]
        out += [
            "",
            "Weights that aim at the centre of a frame, as those of Dietz 2019, are half a frame behind "
            "before they begin; both are judged against the last line, which is what a beam acts on.",
        ]
    return out


def _horizons(rows: Sequence[Values]) -> list[str]:
    """Return, for each horizon, the weights that aim there beside the plain ones with that delay."""
    mine = [row for row in rows if row["part"] == "horizon" and not row["reason"]]
    columns = [next(c for c in COLUMNS if c.key == key) for key in ("nmse", "shown_p95_mm")]
    names = ("NMSE", "p95 mm when acted on")
    headings = ["patient", "acceleration", "horizon ms"]
    headings += [f"{name}, {side}" for name in names for side in ("plain", "ahead")]
    lines = []
    for row in mine:
        if row["candidate"] != "plain":
            continue
        # At no horizon both are the same weights.
        other = [r for r in mine if r["candidate"] == "ahead" and _same(r, row, "candidate")]
        ahead = other[0] if other else row if row["ahead_ms"] == 0 else None
        cells = [row["patient"], f"{row['acceleration']:g}x", f"{row['ahead_ms']:g}"]
        for column in columns:
            cells += [_figure(row, column), "-" if ahead is None else _figure(ahead, column)]
        lines.append(cells)
    note = "Against the truth so long after the last line; *plain* aims at the last line and is that late."
    heading = ["", "## How far ahead one can look", "", note, ""]
    return [*heading, *_markdown(headings, lines)] if lines else []


def _same(row: Values, other: Values, *but: str) -> bool:
    return all(row[key] == other[key] for key in NAMES if key not in but)


def _gap_table(pairs: Sequence[tuple[Values, Values]], one: str, other: str) -> list[str]:
    columns = [column for column in COLUMNS if column.key in _GAP]
    headings = ["patient", "acceleration", "SNR", "candidate"]
    headings += [f"{_GAP[c.key]} {side}" for c in columns for side in (one, other)]
    lines = []
    for pair in pairs:
        row = pair[0]
        cells = [row["patient"], f"{row['acceleration']:g}x", str(row["snr"]), _label(row)]
        lines.append(cells + [_figure(r, column) for column in columns for r in pair])
    return _markdown(headings, lines)


def _compared(compared: Sequence[Values]) -> list[str]:
    if not compared:
        return []
    headings = [
        "scan",
        "candidate",
        "against",
        *("NMSE", "Dice", "p95 when shown", "M95 on display"),
        "images",
    ]
    lines = []
    for row in compared:
        standings = [row["measures"][name]["standing"] for name in COMPARED]
        scan, opponent = f"{row['patient']}, {_section(row)}", _label(row, "opponent", "opponent_stage")
        lines.append([scan, _label(row), opponent, *standings, str(row["images"])])
    note = (
        "Paired, over the same breaths: a tie is where the interval comes within 2 % of the "
        "NMSE, 0.002 of Dice or 0.05 mm."
    )
    return ["", "## Against each opponent", "", note, "", *_markdown(headings, lines)]


def _claimed(claims: Sequence[Values]) -> list[str]:
    if not claims:
        return []
    says = {True: "holds", False: "**falls short**", None: "undecided"}
    lines = [[c["where"], c["claim"], c["found"], says[c["holds"]]] for c in claims]
    short = sum(c["holds"] is False for c in claims)
    undecided = sum(c["holds"] is None for c in claims)
    held = len(claims) - short - undecided
    note = f"{len(claims)} claims: {held} hold, {short} fall short, {undecided} are undecided."
    return ["", "## Claims", "", note, "", *_markdown(["where", "claim", "found", ""], lines)]
