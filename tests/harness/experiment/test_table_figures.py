"""The pictures of the table: drawn from cells alone, each whole, and the same bytes again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from harness.comparison.on_display import OnDisplay
from harness.comparison.series import Series
from harness.experiment.cells import Row
from harness.experiment.figures import draw_all
from harness.experiment.markdown import to_markdown
from harness.experiment.measures import COLUMNS, Figure, Measures
from harness.experiment.plan import Cell, ExperimentPlan
from harness.experiment.result import Table
from harness.experiment.scans import Scan
from tests.harness.synthetic import breathing, draw_target, make_header

SIZE = 64


def made(cell: Cell, nmse: float, dice: float, folder: Path) -> Row:
    """Return a row whose picture is a target in noise of that NMSE, and whose figures are given."""
    count = 8
    values = {field.name: np.zeros(count) for field in dataclasses.fields(Series)}
    picture = np.abs(draw_target(make_header(matrix=(SIZE, SIZE)), breathing(np.array(0.3))))
    noise = np.random.default_rng(1).standard_normal(picture.shape)
    picture = np.abs(picture + noise * np.sqrt(nmse * np.mean(picture**2))).astype(np.float32)
    values |= {"x_m": np.full(count, -0.019), "y_m": np.full(count, 0.005)}
    name = f"{cell.scan.name}-{cell.scan.acceleration:g}-{cell.label}{cell.stage}{cell.ahead_ms:g}{cell.part}"
    shown = {f"display_{field.name}": np.zeros((1, 0)) for field in dataclasses.fields(OnDisplay)}
    np.savez(folder / f"{name}.npz", picture=picture, **values, **shown)
    figures: dict[str, Figure] = {column.key: (1.0, (0.9, 1.1)) for column in COLUMNS}
    figures |= {"nmse": (nmse, (0.8 * nmse, 1.3 * nmse)), "dice_full": (dice, (dice - 0.01, dice + 0.005))}
    figures["shown_p95_mm"] = (30 * nmse**0.5, None)
    measures = Measures(figures, count, 5, 0, "", 12.0, 57.2)
    return Row(cell, measures, "", True, folder / name)


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    (tmp_path / "cells").mkdir()
    out = []
    shown = [
        ("fully-sampled", "", 0.006, 1.0),
        ("zero-filled", "", 0.1, 0.4),
        ("view-sharing", "", 0.008, 0.93),
    ]
    shown += [("cascade", "coarse", 0.0006, 0.96), ("cascade", "fine", 0.0004, 0.97)]
    for patient, accelerations in (("patient1", (5.0, 10.0)), ("patient2", (5.0, 10.0)), ("quasar", (4.0,))):
        for acceleration in accelerations:
            scan = Scan(patient, acceleration)
            for label, stage, nmse, dice in shown:
                cell = Cell("main", scan, label, stage, label, acceleration)
                out.append(made(cell, nmse * acceleration / 5, dice, tmp_path / "cells"))
    scan = Scan("patient1", 5.0)
    for ahead in (0, 50, 100, 200, 300):
        for label, slope in (("plain", 1e-5), ("ahead", 4e-6)):
            if ahead or label == "plain":
                cell = Cell("horizon", scan, label, "fine", label, 5.0, ahead_ms=float(ahead))
                out.append(made(cell, 4e-4 + slope * ahead, 0.97, tmp_path / "cells"))
    return out


def test_every_figure_is_drawn_from_the_cells(rows: list[Row], tmp_path: Path) -> None:
    names = draw_all(tmp_path, rows)
    assert names == [
        "figure2-patient1.png", "figure2-patient2.png", "figure4.png", "figure3a.png", "figure3b.png",
        "horizon.png",
    ]  # fmt: skip
    first = [(tmp_path / name).read_bytes() for name in names]
    assert all(data.startswith(b"\x89PNG") for data in first)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*names, "cells"])
    assert draw_all(tmp_path, rows) == names
    assert [(tmp_path / name).read_bytes() for name in names] == first


def test_what_is_not_there_is_not_drawn(rows: list[Row], tmp_path: Path) -> None:
    judged = [row for row in rows if row.cell.label != "cascade" and row.cell.part == "main"]
    assert draw_all(tmp_path, judged) == ["figure4.png"]  # zero-filled and fully sampled of the phantom
    assert draw_all(tmp_path, [dataclasses.replace(row, measures=None) for row in rows]) == []


def test_the_page_shows_the_gaps_and_the_horizon(rows: list[Row]) -> None:
    retrospective = [
        dataclasses.replace(
            row,
            cell=dataclasses.replace(
                row.cell, scan=dataclasses.replace(row.cell.scan, timing="retrospective")
            ),
        )
        for row in rows
        if row.cell.part == "main"
    ]
    centre = [
        dataclasses.replace(row, cell=dataclasses.replace(row.cell, label="centre", stage=""))
        for row in rows
        if (row.cell.part, row.cell.label, row.cell.stage) == ("main", "cascade", "fine")
    ]
    table = Table(ExperimentPlan((), ()), (*rows, *retrospective, *centre), (), (), "abc")
    page = to_markdown(table.to_json("mrsim table"), ["figure4.png"])
    assert "## Retrospective beside prospective" in page
    assert "## Centre beside last" in page
    ahead = page[page.index("## How far ahead") :]
    assert "| patient1 | 5x | 300 | 0.0034 [0.0027, 0.0044] | 0.0016 [0.0013, 0.0021] |" in ahead
    assert "![figure4.png](figure4.png)" in page
