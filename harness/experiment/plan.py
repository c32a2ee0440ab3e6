"""The 2019 experiment as a plan: what is crossed with what, and every cell of it, before anything is made."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mrsim
from harness.candidates.registry import known
from harness.experiment.choices import HORIZON, PARTS, SLOW, STAGES, TIMINGS
from harness.experiment.scans import Scan, TimeLine, fingerprint
from harness.experiment.variants import CHANGES
from mrsim.errors import Option, OptionError
from mrsim.scanner.protocol import ScanProtocol
from recon.convention import split_convention

REFERENCES = {
    "truth": "the noise-free truth at the last line: what the judge itself errs by",
    "fully-sampled": "every line at one instant, with the scan's noise",
    "consistency-floor": "the truth at the last line, with the acquired lines kept as they are",
}
CASCADE = "cascade:{patient}-{acceleration}x{stage}"
NEAREST = "nearest-frame"
UNTRAINED = 7.0
"""Acceleration that no shipped weights are trained at."""
HORIZONS_MS = (0, 50, 100, 200, 300)
SCHEMA = "mrsim-table-cell/3"
_DAY = re.compile(r"-day\d+(?=(\.toml)?$)")
_LABEL = re.compile(r"([A-Za-z0-9][A-Za-z0-9 ,+_-]{0,39})=(.+)")


@dataclass(frozen=True)
class Entry:
    """Name a candidate of the table.

    Parameters
    ----------
    label
        What its rows are called.
    candidate
        The candidate's string; `{patient}`, `{acceleration}` and `{stage}` stand for the cell's own (the
        stage as in `STAGES`), `{training}` for a stream of the part of the scan that may be known.
    """

    label: str
    candidate: str

    @classmethod
    def parse(cls, text: str) -> Entry:
        """Read `CANDIDATE` or `LABEL=CANDIDATE`.

        Raises
        ------
        InputError
            If there is no such candidate.
        """
        labelled = _LABEL.fullmatch(text)
        label, candidate = (labelled[1], labelled[2]) if labelled else (text.partition(":")[0], text)
        if labelled is None and text not in ("cascade", NEAREST) and ":" in text:
            label = text
        kinds = {form.partition(":")[0] for form in known()} | set(REFERENCES)
        if split_convention(candidate)[0].partition(":")[0] not in kinds:
            every = ", ".join([*known(), *REFERENCES])
            raise OptionError("{}: unknown; known: {}", Option("entries", text), every)
        return cls(label, CASCADE if candidate == "cascade" else candidate)

    @property
    def staged(self) -> bool:
        """Return whether there is one of it for each stage of training."""
        return "{stage}" in self.candidate


@dataclass(frozen=True)
class Cell:
    """Name one cell: a candidate on a scan.

    Parameters
    ----------
    part
        Part of the table, one of `PARTS`.
    scan
        What is played.
    label, stage
        Name of the candidate and stage of its training; empty where it has none.
    candidate
        The candidate's string, with everything filled in but `{training}`.
    trained
        Acceleration of the scan whose first part may be known.
    judged_s
        Test time that is judged, seconds; None for all.
    ahead_ms
        By how much later than the last line the truth is that it is judged against.
    variant
        What is other than in the main part, in words.
    other_day
        The scan of another day, whose first part may be known; None for that of the scan itself.
    """

    part: str
    scan: Scan
    label: str
    stage: str
    candidate: str
    trained: float
    judged_s: float | None = None
    ahead_ms: float = 0.0
    variant: str = ""
    other_day: Scan | None = None

    @property
    def knowable(self) -> Scan:
        """Return the scan whose first part may be known: without the change, and with the truth."""
        known = self.scan if self.other_day is None else self.other_day
        return dataclasses.replace(known.keeper, variant="", acceleration=self.trained)

    @property
    def reference(self) -> bool:
        """Return whether it is no candidate but what candidates are compared with."""
        return self.candidate in REFERENCES

    def describe(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return all that decides the cell's figures, as JSON values."""
        left_out = ("scan", "other_day")
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in left_out}
        other_day = {} if self.other_day is None else {"other_day": self.other_day.describe()}
        return {
            "schema": SCHEMA,
            "version": mrsim.__version__,
            **values,
            "scan": self.scan.describe(),
            **other_day,
            **settings,
        }

    def file(self, description: dict[str, Any]) -> str:
        """Return the name of its files, without an ending."""
        ahead = f"-ahead{self.ahead_ms:g}" if self.ahead_ms else ""
        words = f"{self.label}{'-' if self.stage else ''}{self.stage}{ahead}"
        words = re.sub("[^A-Za-z0-9.+-]+", "_", words)[:60]
        return f"{self.scan.folder().rpartition('-')[0]}-{words}-{fingerprint(description)}"


@dataclass(frozen=True)
class ExperimentPlan:
    """Say which candidates are judged on which scans, and how.

    Parameters
    ----------
    patients
        Name and accelerations of each.
    entries, stages, timings, snrs, parts
        What is crossed.
    time_line
        How a scan is divided.
    scan_s
        Length of every scan, seconds.
    slow_s
        Test seconds of slow candidates.
    slow
        Labels of those.
    horizon_weights
        Template of the weights that aim ahead; `{horizon}` stands for milliseconds.
    seed
        Of scans.
    matrix
        Rows and columns.
    service_ms
        Time of a push, milliseconds; None to measure it.
    timed
        Whether it is measured at all where it is not given.
    coils
        Receive channels of every scan.
    fields_t
        Static field of the patients whose names begin so, tesla; the first that fits counts, and an empty
        name fits all. Those that none fits are scanned at the usual one.
    train_on
        Day, such as `day1`, whose first part may be known of patients `NAME-dayN`; empty for a scan's own.
        Another day has another seed, and all of its scan but the lead-in is judged.

    Raises
    ------
    InputError
        If a value is none of those that are known, or two candidates are called the same.
    """

    patients: tuple[tuple[str, tuple[float, ...]], ...]
    entries: tuple[Entry, ...]
    stages: tuple[str, ...] = tuple(STAGES)
    timings: tuple[str, ...] = ("prospective",)
    snrs: tuple[float, ...] = (20.0,)
    parts: tuple[str, ...] = ("main",)
    time_line: TimeLine = dataclasses.field(default_factory=TimeLine)
    scan_s: float = 183.0
    slow_s: float = 12.0
    slow: tuple[str, ...] = SLOW
    horizon_weights: str = HORIZON
    seed: int = 0
    matrix: tuple[int, int] = ScanProtocol.matrix
    service_ms: float | None = None
    timed: bool = True
    coils: int = ScanProtocol.coils
    fields_t: tuple[tuple[str, float], ...] = ()
    train_on: str = ""

    def __post_init__(self) -> None:
        if self.train_on:
            for name, _ in self.patients:
                if not _DAY.search(f"-{self.train_on}") or not _DAY.search(name):
                    given = Option("train_on", self.train_on), Option("patients", name)
                    raise OptionError("{}, {}: expected dayN and patients called NAME-dayN", *given)
        for name, expected in (("stages", tuple(STAGES)), ("parts", PARTS), ("timings", TIMINGS)):
            for value in getattr(self, name):
                if value not in expected:
                    raise OptionError("{}: expected {}", Option(name, value), ", ".join(expected))
        if not self.slow_s > 0:
            raise OptionError("{}: expected seconds above 0", Option("slow_s", self.slow_s))
        if self.service_ms is not None and not 0 <= self.service_ms < 1e6:
            raise OptionError("{}: expected milliseconds from 0", Option("service_ms", self.service_ms))
        labels = [entry.label for entry in self.entries]
        if len(set(labels)) < len(labels):
            both = Option("entries"), ", ".join(labels)
            raise OptionError("{}: two are called the same: {}; use LABEL=CANDIDATE", *both)

    @property
    def settings(self) -> dict[str, Any]:
        """Return what decides the figures of every cell beside the cell itself."""
        line = self.time_line
        values = {"train_s": line.train_s, "lead_s": line.lead_s, "seconds": line.judged_s}
        values |= {"service_ms": self.service_ms}
        # Cells without times are others than those with them, which are called as ever.
        return values if self.timed or self.service_ms is not None else values | {"timed": False}

    def time_line_of(self, cell: Cell) -> TimeLine:
        """Return how a cell's scan is divided: of one of another day nothing but the lead-in is left out."""
        line = self.time_line
        return line if cell.other_day is None else dataclasses.replace(line, train_s=line.lead_s)

    def field_of(self, name: str) -> float:
        """Return the field that a patient is scanned at, tesla."""
        fitting = (field_t for start, field_t in self.fields_t if Path(name).stem.startswith(start))
        return next(fitting, ScanProtocol.field_t)


def read_patients(
    names: Sequence[str], accelerations: Sequence[float]
) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """Read `NAME` or `NAME@ACCELERATION`, the one that this patient alone is scanned at.

    Raises
    ------
    InputError
        If the acceleration is not a number.
    """
    out = []
    for text in names:
        name, at, own = text.partition("@")
        try:
            out.append((name, (float(own),) if at else tuple(accelerations)))
        except ValueError:
            given = Option("patients", text)
            raise OptionError("{}: expected NAME or NAME@ACCELERATION", given) from None
    return tuple(out)


def cells_of(plan: ExperimentPlan) -> list[Cell]:
    """Return every cell of a plan; those of one scan stand together, and references come first."""
    makers = {"main": _main, "generalisation": _generalisation, "horizon": _horizon}
    return [cell for part in plan.parts for cell in makers[part](plan)]


def _scans(plan: ExperimentPlan, plain: bool = False) -> list[Scan]:
    """Return every scan; of plain ones, those alone that are prospective and have the first SNR."""
    return [
        _scan(plan, name, acceleration, timing, snr)
        for name, accelerations in plan.patients
        for acceleration in accelerations
        for snr in plan.snrs
        for timing in plan.timings
        if not plain or (timing == "prospective" and snr == plan.snrs[0])
    ]


def _scan(plan: ExperimentPlan, name: str, acceleration: float, timing: str, snr: float) -> Scan:
    line, seed, seconds = plan.time_line, plan.seed, plan.scan_s
    if _day_known(plan, name) != name:  # with the same seed both days would be irregular alike
        seed += 1
        seconds = line.lead_s + (seconds - line.train_s if line.judged_s is None else line.judged_s)
    field_t = plan.field_of(name)
    return Scan(name, acceleration, timing, snr, seed, seconds, plan.matrix, "", plan.coils, field_t)


def _day_known(plan: ExperimentPlan, name: str) -> str:
    """Return the patient's name on the day whose first part may be known."""
    return _DAY.sub(f"-{plan.train_on}", name) if plan.train_on else name


def _other_day(plan: ExperimentPlan, scan: Scan) -> Scan | None:
    known = _day_known(plan, scan.patient)
    if known == scan.patient:
        return None
    return dataclasses.replace(scan, patient=known, seed=plan.seed, seconds=plan.scan_s)


def _main(plan: ExperimentPlan) -> list[Cell]:
    return [cell for scan in _scans(plan) for cell in _row(plan, "main", scan, scan.acceleration, "")]


def _generalisation(plan: ExperimentPlan) -> list[Cell]:
    cells = []
    for scan in _scans(plan, plain=True):
        changed = [(dataclasses.replace(scan, variant=name), words) for name, (words, _) in CHANGES.items()]
        words = f"{UNTRAINED:g}x, with weights for {scan.acceleration:g}x"
        for other, variant in [*changed, (dataclasses.replace(scan, acceleration=UNTRAINED), words)]:
            cells += _row(plan, "generalisation", other, scan.acceleration, variant)
    return cells


def _row(plan: ExperimentPlan, part: str, scan: Scan, trained: float, variant: str) -> list[Cell]:
    """Return the references and every candidate on one scan."""
    day: dict[str, Any] = {"variant": variant, "other_day": _other_day(plan, scan)}
    cells = [Cell(part, scan, name, "", name, trained, **day) for name in REFERENCES]
    for entry in plan.entries:
        for stage in plan.stages if entry.staged else ("",):
            if part == "generalisation" and stage == "coarse":
                continue
            candidate = _fill(entry.candidate, scan, trained, stage)
            slow = plan.slow_s if entry.label in plan.slow else None
            cells.append(Cell(part, scan, entry.label, stage, candidate, trained, slow, **day))
    return cells


def _horizon(plan: ExperimentPlan) -> list[Cell]:
    """Return, for each horizon, the weights that aim there and those that aim at the last line."""
    cells = []
    for scan in _scans(plan, plain=True):
        trained = scan.acceleration
        for ahead in HORIZONS_MS:
            for label, template in (("plain", CASCADE), ("ahead", plan.horizon_weights))[: 2 if ahead else 1]:
                candidate = _fill(template, scan, trained, "fine").replace("{horizon}", str(ahead))
                variant = f"judged {ahead} ms after the last line"
                day = _other_day(plan, scan)
                cells.append(
                    Cell("horizon", scan, label, "fine", candidate, trained, None, float(ahead), variant, day)
                )
    return cells


def _fill(candidate: str, scan: Scan, trained: float, stage: str) -> str:
    filled = candidate.replace("{patient}", Path(scan.patient).stem)
    return filled.replace("{acceleration}", f"{trained:g}").replace("{stage}", STAGES.get(stage, ""))
