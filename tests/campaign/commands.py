"""Every command in its smallest form: what it reads, what it writes, and what is the same each time."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.cli.main import main
from mrsim.stream import save
from tests.harness.synthetic import moving_stream
from tests.mrsim.anatomy.series.cines import cine

SPEC = """
name = "small"
title = "a small set"
seed = 3
phantoms = ["quasar"]
[scan]
seconds = 0.2
matrix = [16, 16]
acceleration = { each = [2, 4] }
"""


@dataclass(frozen=True)
class Command:
    """Hold a command.

    Parameters
    ----------
    name
        What the table calls it.
    words
        Its arguments; `{source}` is what it reads, `{target}` what it writes.
    source
        Name of what it reads in the folder of inputs; empty for nothing.
    target
        Name of what it writes; empty for nothing.
    codes
        Exit codes that it may have where nothing is wrong.
    same
        Whether what it writes is the same bytes each time; else it holds times, and its files are compared.
    goes_on
        Whether it goes on in what an earlier call left, and is not to begin with nothing.
    differs
        Ends of names of files that may differ, for they hold times.
    """

    name: str
    words: str
    source: str = ""
    target: str = ""
    codes: tuple[int, ...] = (0,)
    same: bool = True
    goes_on: bool = False
    differs: tuple[str, ...] = ()


JUDGED = (0, 1, 3, 4)
COMMANDS = {
    command.name: command
    for command in (
        Command("phantoms", "phantoms quasar --png {target}", "", "p.png"),
        Command("patient", "patient {source} -o {target}", "cine.npz", "mine"),
        Command("hardness", "hardness {source} --json {target}", "a.stream", "h.json"),
        Command("simulate", "simulate {source} -o {target} --frames 60 --matrix 64 64", "q.toml", "q.stream"),
        Command("dataset", "dataset {source} -o {target} --workers 1", "spec.toml", "set", goes_on=True),
        Command(
            "train",
            "train {source} -o {target} --network population --set filters=4 --set blocks=1 "
            "--set convolutions=2 --epochs 2 1 --columns 32",
            "t.stream",
            "w.npz",
            goes_on=True,
        ),
        Command(
            "table",
            "table -o {target} --patients quasar@2 --scan-seconds 28 --train-seconds 6 --lead-seconds 2 "
            "--matrix 64 64 --service-ms 0.5 --seed 3 --candidates view-sharing",
            "",
            "table",
            goes_on=True,
        ),
        Command(
            "replay",
            "replay {source} view-sharing --clock virtual --frames 40 --json {target}",
            "a.stream",
            "r.json",
            JUDGED,
            same=False,
        ),
        Command(
            "check",
            "check view-sharing {source} --clock virtual --no-quality --json {target}",
            "a.stream",
            "c.json",
            (0, 1),
            same=False,
        ),
        Command(
            "compare",
            "compare view-sharing zero-filled --on {source} --lockstep --frames 40 --json {target}",
            "a.stream",
            "c.json",
            JUDGED,
            same=False,
        ),
        Command(
            "report",
            "report {source} view-sharing --clock virtual --frames 40 --no-audit -o {target}",
            "a.stream",
            "r.html",
            JUDGED,
            same=False,
        ),
        Command(
            "audit", "audit view-sharing {source} --json {target}", "a.stream", "a.json", JUDGED, same=False
        ),
        Command(
            "guard",
            "guard view-sharing zero-filled {source} --images 24 --json {target}",
            "a.stream",
            "g.json",
            JUDGED,
            same=False,
        ),
        Command(
            "try",
            "try view-sharing quasar --seconds 6 --acceleration 8 -o {target}",
            "",
            "try",
            JUDGED,
            goes_on=True,
            differs=("result.json", ".html", ".gif"),
        ),
        Command("export", "export {source} {target}", "a.stream", "a.nii.gz"),
        Command("export, moving", "export {source} {target} --frames 20", "a.stream", "a.gif"),
        Command("info", "info {source}", "a.stream"),
        Command("view", "view {source} -o {target}", "a.stream", "v.png"),
        Command("convert", "convert {source} {target}", "a.stream", "a.h5", differs=(".h5",)),
        Command("convert, back", "convert {source} {target}", "a.h5", "b.stream"),
        Command("doctor", "doctor --json {target}", "", "d.json", JUDGED, same=False),
        Command("serve", "serve nearest-frame:{source} --port 0 --limit-s 1", "a.stream"),
        Command(
            "demo", "demo -o {target}", "", "demo", goes_on=True, differs=("report.json", ".png", ".gif")
        ),
    )
}


def make_inputs(folder: Path) -> None:
    """Make everything that a command reads."""
    save(moving_stream(90), folder / "a.stream")
    np.savez(folder / "cine.npz", **cine(40))
    (folder / "spec.toml").write_text(SPEC)
    shutil.copy(Path(__file__).parents[2] / "phantoms" / "quasar.toml", folder / "q.toml")
    words = ["simulate", "quasar", "-o", str(folder / "t.stream"), "--frames", "60"]
    if main([*words, "--matrix", "32", "32", "--seed", "3"]) or main(
        ["convert", str(folder / "a.stream"), str(folder / "a.h5")]
    ):
        raise AssertionError("the inputs could not be made")
