"""Figures 2, 3A, 3B and 4 of the 2019 abstract, drawn again from the cells of the table, and the horizon.

Dietz et al. 2019, ISMRM 4784. Needs matplotlib, the extra `[report]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.experiment.cells import Row
from mrsim.files.writing import whole_file
from mrsim.plotting import plotting
from mrsim.scanner.protocol import ScanProtocol

SUBJECT = "cascade"
COLOURS = {5.0: "#0072b2", 10.0: "#d55e00", 4.0: "#009e73"}
"""Of each acceleration: apart for colour-blind eyes, too (Okabe and Ito)."""
OTHER = "#cc79a7"


def draw_all(folder: Path, rows: Sequence[Row]) -> list[str]:
    """Draw every figure that the rows carry.

    Parameters
    ----------
    folder
        Where; each file is written whole or not at all.
    rows
        Of the table.

    Returns
    -------
    names
        Files that were written.

    Raises
    ------
    InputError
        If a file cannot be written.
    MissingExtraError
        If matplotlib is not installed.
    """
    judged = [row for row in rows if row.measures is not None]
    main = [row for row in judged if row.cell.part == "main"]
    names: list[str] = []
    for patient in dict.fromkeys(row.cell.scan.name for row in main):
        names += _figure2(folder, [row for row in main if row.cell.scan.name == patient], patient)
        names += _figure4(folder, [row for row in main if row.cell.scan.name == patient], patient)
    names += _figure3(folder, main, "figure3a.png", "nmse", "NMSE, magnitudes against the truth", True)
    names += _figure3(folder, main, "figure3b.png", "dice_full", "Dice, to the segmented full image", False)
    return names + _horizon(folder, [row for row in judged if row.cell.part == "horizon"])


def _new(width: float, height: float) -> Any:
    Figure, FigureCanvasAgg = plotting()
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _write(figure: Any, path: Path) -> list[str]:
    with whole_file(path) as partial:
        # Without the date of writing, so that the same cells give the same bytes.
        figure.savefig(partial, format="png", dpi=110, metadata={"Software": None})
    return [path.name]


def _one(rows: Sequence[Row], label: str, **scan: Any) -> Row | None:
    """Return the row of a candidate, the fine stage where there are several."""
    found = [row for row in rows if row.cell.label == label]
    found = [row for row in found if all(getattr(row.cell.scan, key) == value for key, value in scan.items())]
    return max(found, key=lambda row: row.cell.stage == "fine", default=None)


def _pictures(path: Path, title: str, full: Row, shown: Sequence[tuple[str, Row]], arrow: bool) -> list[str]:
    """Draw pictures side by side, as bright as the fully sampled one; an arrow points at the target."""
    scale = full.picture()
    white = 1.0 if scale is None else float(np.quantile(scale, 0.998))
    figure, half = _new(4.2 * len(shown), 4.5), 1e3 * ScanProtocol.fov_m[0] / 2
    for axes, (name, row) in zip(figure.subplots(1, len(shown)), shown, strict=True):
        axes.imshow(
            row.picture(), cmap="gray", vmin=0, vmax=white, extent=(-half, half, half, -half),
            interpolation="nearest",
        )  # fmt: skip
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("x, left-right [mm]", fontsize=8)
        axes.set_ylabel("y, head to feet [mm]", fontsize=8)
        axes.tick_params(labelsize=7)
        series = row.series()
        x, y = 1e3 * np.array([np.nanmedian(series.x_m), np.nanmedian(series.y_m)])
        if arrow and np.isfinite([x, y]).all():
            style = {"arrowstyle": "-|>", "color": "#ffd000", "lw": 1.6}
            axes.annotate("", xy=(x - 12, y + 12), xytext=(x - 62, y + 62), arrowprops=style)
    figure.suptitle(title, fontsize=11)
    return _write(figure, path)


def _figure2(folder: Path, rows: Sequence[Row], patient: str) -> list[str]:
    """Draw the fully sampled image beside the network's at each acceleration, as Figure 2."""
    timings = {row.cell.scan.timing for row in rows}
    timing = "retrospective" if "retrospective" in timings else "prospective"
    snr = max((row.cell.scan.snr for row in rows), default=0.0)
    mine = [row for row in rows if (row.cell.scan.timing, row.cell.scan.snr) == (timing, snr)]
    accelerations = sorted({row.cell.scan.acceleration for row in mine})
    full = _one(mine, "fully-sampled")
    seen = [(a, _one(mine, SUBJECT, acceleration=a)) for a in accelerations]
    networks = [(a, row) for a, row in seen if row is not None and row.picture() is not None]
    if full is None or full.picture() is None or len(accelerations) < 2 or not networks:
        return []
    shown = [("(A) fully sampled, in an instant", full)]
    for number, (acceleration, row) in enumerate(networks, 1):
        assert row.measures is not None
        nmse = row.measures.figures["nmse"][0]
        shown.append((f"({chr(ord('A') + number)}) {acceleration:g}x, cascade: NMSE {nmse:.1e}", row))
    title = f"{patient}, {timing}, SNR {snr:g}: the arrow points at the tumour"
    return _pictures(folder / f"figure2-{patient}.png", title, full, shown, True)


def _figure4(folder: Path, rows: Sequence[Row], patient: str) -> list[str]:
    """Draw zero-filled, network and fully sampled images of a motion phantom, as Figure 4."""
    mine = [row for row in rows if row.cell.scan.timing == "prospective" and row.cell.scan.acceleration == 4]
    names = {"zero-filled": "zero-filled", SUBJECT: SUBJECT, "fully-sampled": "fully sampled, in an instant"}
    seen = [(title, _one(mine, label)) for label, title in names.items()]
    shown = [(title, row) for title, row in seen if row is not None and row.picture() is not None]
    full = seen[-1][1]
    if len(shown) < 2 or full is None:
        return []
    title = f"{patient} at 4x, prospective, at the instant of fastest motion"
    name = "figure4.png" if patient == "quasar" else f"figure4-{patient}.png"
    return _pictures(folder / name, title, full, shown, False)


def _figure3(folder: Path, rows: Sequence[Row], name: str, key: str, label: str, log: bool) -> list[str]:
    """Draw a figure of every patient, acceleration and stage with its interval, as Figure 3."""
    networks = {_case(row) for row in rows if row.cell.label == SUBJECT}
    cases = [case for case in dict.fromkeys(map(_case, rows)) if case in networks]
    if not cases:
        return []
    patients = list(dict.fromkeys(row.cell.scan.name for row in rows))
    figure = _new(max(6.5, 1.35 * len(patients) * len(cases) + 2.5), 4.6)
    for axes, case in zip(figure.subplots(1, len(cases), squeeze=False, sharey=True)[0], cases, strict=True):
        mine = [row for row in rows if _case(row) == case]
        series = _series(mine)
        if key == "dice_full":  # of a fully sampled image it is 1 by its meaning
            series = {kind: found for kind, found in series.items() if kind[1] != "fully-sampled"}
        for number, (what, members) in enumerate(series.items()):
            offset = (number - (len(series) - 1) / 2) * 0.8 / max(len(series), 1)
            _points(axes, [(patients.index(row.cell.scan.name) + offset, row) for row in members], key, what)
        axes.set_xticks(range(len(patients)), patients, fontsize=8)
        axes.set_xlim(-0.6, len(patients) - 0.4)
        axes.set_xlabel("patient", fontsize=9)
        axes.set_title(f"{case[0]}, SNR {case[1]:g}", fontsize=10)
        axes.grid(axis="y", alpha=0.3, which="both")
        if log:
            axes.set_yscale("log")
    first = figure.axes[0]
    first.set_ylabel(f"{label} (no unit)", fontsize=9)
    handles, labels = first.get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, ncols=4, loc="outside lower center", frameon=False)
    figure.suptitle("bars: 95 % intervals over breaths", fontsize=9)
    return _write(figure, folder / name)


def _case(row: Row) -> tuple[str, float]:
    return row.cell.scan.timing, row.cell.scan.snr


Kind = tuple[float, str, str]
_DRAWN = (("view-sharing", ""), (SUBJECT, ""), (SUBJECT, "coarse"), (SUBJECT, "fine"), ("fully-sampled", ""))


def _series(rows: Sequence[Row]) -> dict[Kind, list[Row]]:
    """Return the rows that are drawn alike, by acceleration, candidate and stage."""
    kinds = [(a, *drawn) for a in sorted({row.cell.scan.acceleration for row in rows}) for drawn in _DRAWN]
    series = {
        kind: [row for row in rows if (row.cell.scan.acceleration, row.cell.label, row.cell.stage) == kind]
        for kind in kinds
    }
    return {kind: found for kind, found in series.items() if found}


_MARKS = {"view-sharing": "x", "coarse": "o", "fine": "s", SUBJECT: "s", "fully-sampled": "_"}


def _points(axes: Any, points: Sequence[tuple[float, Row]], key: str, kind: Kind) -> None:
    acceleration, label, stage = kind
    colour = COLOURS.get(acceleration, OTHER)
    kept = [(x, row.measures.figures[key]) for x, row in points if row.measures is not None]
    kept = [(x, figure) for x, figure in kept if figure[0] is not None]
    if not kept:
        return
    x, y = [p[0] for p in kept], np.array([p[1][0] for p in kept], np.float64)
    low_high = [p[1][1] or (p[1][0], p[1][0]) for p in kept]
    bars = np.abs(np.array(low_high, np.float64).T - y)
    bars[~np.isfinite(bars)] = 0  # no limit
    style = {"marker": _MARKS[stage or label], "ms": 6, "color": colour, "ls": "none", "elinewidth": 1.0}
    hollow = {"mfc": "white"} if stage == "coarse" else {}
    name = f"{acceleration:g}x {label}{f', {stage}' if stage else ''}"
    axes.errorbar(x, y, yerr=bars, capsize=2.5, label=name, **style, **hollow)


def _horizon(folder: Path, rows: Sequence[Row]) -> list[str]:
    """Draw NMSE and centroid error against the horizon, of weights that aim ahead and of plain ones."""
    if not rows:
        return []
    figure = _new(11, 4.6)
    axes = figure.subplots(1, 2)
    scans = dict.fromkeys((row.cell.scan.name, row.cell.scan.acceleration) for row in rows)
    quantities = (("nmse", "NMSE (no unit)"), ("shown_p95_mm", "centroid error when acted on, p95 [mm]"))
    for place, (key, label) in zip(axes, quantities, strict=True):
        for number, (name, acceleration) in enumerate(scans):
            for candidate, dashes in (("plain", "--"), ("ahead", "-")):
                points = _against_horizon(rows, name, acceleration, candidate, key)
                if points:
                    aim = "aimed ahead" if candidate == "ahead" else "aimed at last"
                    line = f"{name} {acceleration:g}x, {aim}"
                    x, y = zip(*points, strict=True)
                    place.plot(x, y, dashes, marker="o", ms=4, color=f"C{number % 10}", label=line)
        place.set_xlabel("horizon after the last line [ms]", fontsize=9)
        place.set_ylabel(label, fontsize=9)
        place.set_ylim(bottom=0)
        place.grid(alpha=0.3)
    axes[0].legend(fontsize=7)
    figure.suptitle(
        "judged against the truth at the horizon; dashed: the plain image with that delay", fontsize=10
    )
    return _write(figure, folder / "horizon.png")


def _against_horizon(
    rows: Sequence[Row], name: str, acceleration: float, candidate: str, key: str
) -> list[tuple[float, float]]:
    points = []
    for row in rows:
        cell = row.cell
        if (cell.scan.name, cell.scan.acceleration) != (name, acceleration) or row.measures is None:
            continue
        value = row.measures.figures[key][0]
        # At no horizon both are the same weights.
        if (cell.label == candidate or cell.ahead_ms == 0) and value is not None:
            points.append((cell.ahead_ms, value))
    return sorted(points)
