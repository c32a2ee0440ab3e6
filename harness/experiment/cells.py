"""One cell of the table: made once, written whole, and found again by the next call.

A cell is two files: `NAME.npz` with what was measured of every image, and `NAME.json` with its figures, which
is written last and so says that the cell is done. The name carries a hash of all that decides the figures.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.candidates.registry import builder
from harness.candidates.seen import check_seen
from harness.comparison.on_display import OnDisplay, displayed_of
from harness.comparison.scans import part_of
from harness.comparison.series import Series
from harness.comparison.single_pass import Ground, Pass, play, show
from harness.console import Report
from harness.experiment.horizon import looking_ahead
from harness.experiment.measures import BEAM, Measures, measure_cell
from harness.experiment.plan import NEAREST, Cell, ExperimentPlan
from harness.experiment.scans import Scan, Scans, fingerprint
from harness.experiment.training_overlap import refuse_overlap
from harness.judge.measures import deliver_by
from harness.measure.beam import load_beam
from harness.measure.shown import nmses_of_full, shown_as
from mrsim.errors import InputError, MissingExtraError
from mrsim.files.arrays import read_arrays
from mrsim.files.partials import discard_stale
from mrsim.files.reading import open_file, read_json
from mrsim.files.writing import write_arrays, write_json
from mrsim.scanner.oracle import truth_of
from mrsim.stream import Stream, save
from recon.cascade import checkpoint
from recon.cascade.threads import one_thread
from recon.data.album import nearest_frame
from recon.protocol import Builder

WEIGHTS = "cascade:"
MAX_CELL_BYTES = 1 << 30
_SERIES = tuple(field.name for field in dataclasses.fields(Series))
_SHOWN = {f"display_{field.name}": field.name for field in dataclasses.fields(OnDisplay)}
"""Names in a cell's file of what was on display; empty where there is no target."""


@dataclass(frozen=True)
class Row:
    """Hold a cell as the table shows it.

    Parameters
    ----------
    cell
        Which it is.
    measures
        Its figures; None where it could not be judged.
    reason
        Why not; empty where it was.
    causal
        Whether the candidate says that an image needs no later line.
    file
        Its files, without an ending.
    """

    cell: Cell
    measures: Measures | None
    reason: str
    causal: bool
    file: Path

    @property
    def key(self) -> tuple[Any, ...]:
        """Return what cells that are compared with one another share."""
        return self.cell.part, self.cell.scan, self.cell.trained, self.cell.ahead_ms

    @property
    def timed(self) -> bool:
        """Return whether it says when its images were shown."""
        return self.measures is not None and self.measures.figures["response_max_ms"][0] is not None

    def series(self) -> Series:
        """Return what was measured of every image."""
        arrays = _arrays(self.file)
        return Series(**{name: arrays[name] for name in _SERIES})

    def on_display(self) -> OnDisplay | None:
        """Return what was on display at each instant; None where there is no target."""
        arrays = _arrays(self.file)
        found = OnDisplay(**{field: arrays[name] for name, field in _SHOWN.items()})
        return found if found.error_m.size else None

    def picture(self) -> NDArray[np.float32] | None:
        """Return the magnitude of its picture, shape (ny, nx); None where there is none."""
        picture = _arrays(self.file)["picture"]
        return None if picture.size == 0 else picture


PARTS = ("streams", "cells")


class Cells:
    """Make the cells of a table, or find them where an earlier call left them.

    Parameters
    ----------
    folder
        Of the table; it exists.
    plan
        Of the experiment.
    """

    def __init__(self, folder: Path, plan: ExperimentPlan) -> None:
        self._folder, self._plan = folder, plan
        for name in PARTS:
            (folder / name).mkdir(exist_ok=True)
        self._scans = Scans(folder / "streams")
        self._ground: tuple[Any, Ground] | None = None
        self._hashes: dict[str, str] = {}

    def discard_stale(self) -> None:
        """Remove what a call left half-written that was killed."""
        for name in PARTS:
            discard_stale(self._folder / name)

    def describe(self, cell: Cell) -> dict[str, Any]:
        """Return all that decides a cell's figures, with the hash of its weights."""
        settings = dict(self._plan.settings)
        if cell.candidate.startswith(WEIGHTS):
            settings["weights_sha256"] = self._weights_hash(cell)
        return cell.describe(settings)

    def refuse_overlap(self, cell: Cell) -> None:
        """Raise an error if the cell's weights were trained on the time that is judged.

        Raises
        ------
        InputError
            If they were, or their record does not tell.
        """
        if not cell.candidate.startswith(WEIGHTS) or not self._weights_hash(cell):
            return
        name = cell.candidate.removeprefix(WEIGHTS)
        judged_s = (self._plan.time_line_of(cell).train_s, cell.scan.seconds)
        record = checkpoint.load_record(name)
        refuse_overlap(record, cell.scan.phantom, cell.scan.seed, judged_s, f"weights {name}")

    def find(self, cell: Cell) -> Row | None:
        """Return a cell that is done; None where it is not."""
        described = self.describe(cell)
        file = self._folder / "cells" / cell.file(described)
        try:
            found = read_json(_beside(file, ".json"), MAX_CELL_BYTES)
            if found["cell"] != described or not _beside(file, ".npz").is_file():
                return None
            measures = Measures.from_json(found["measures"])
        except (ValueError, KeyError, TypeError):
            return None  # damaged by whatever else: it is made again
        return Row(cell, measures, "", bool(found["causal"]), file)

    def make(self, cell: Cell, report: Report | None = None) -> Row:
        """Judge a cell and write it.

        Raises
        ------
        InputError
            If a scan cannot be made, or a file cannot be written.
        """
        described = self.describe(cell)
        file = self._folder / "cells" / cell.file(described)
        try:
            ground, whole = self._prepare(cell, report)
            self._refuse_images(cell, whole)
            one, causal = self._judge(cell, ground, whole, report)
        except MissingExtraError:
            raise
        except InputError as error:
            return Row(cell, None, str(error), True, file)
        displayed = displayed_of(ground, one)
        shown = None if displayed is None else OnDisplay.of([displayed], ground.stream)
        beamed = None if displayed is None else deliver_by(load_beam(BEAM), displayed, ground.stream)
        full = nmses_of_full(shown_as(ground.stream, one.combination), one.series.frame)
        measures = measure_cell(ground, one.series, shown, beamed, full)
        nothing = np.empty((0, 0), np.complex64)
        arrays = {name: getattr(one.series, name) for name in _SERIES}
        kept = {} if shown is None else shown.arrays
        arrays |= {name: kept.get(field, np.empty((1, 0))) for name, field in _SHOWN.items()}
        arrays["picture"] = np.abs(one.pixels.get(ground.fastest, nothing))
        write_arrays(_beside(file, ".npz"), arrays)
        done = {"cell": described, "causal": causal, "measures": measures.to_json()}
        write_json(_beside(file, ".json"), done)
        return Row(cell, measures, "", causal, file)

    def _refuse_images(self, cell: Cell, whole: Stream) -> None:
        """Raise an error if a candidate carries images of what judges it; weights were asked before."""
        seen = check_seen(cell.candidate, whole, allow=True)
        if seen.lines is None or cell.candidate.startswith(WEIGHTS):
            return
        _, start, stop = self._plan.time_line_of(cell).judged(whole.frames, whole.header.frame_ns)
        first, end = (frame * whole.header.lines_per_frame for frame in (start, stop))
        if seen.lines[0] < end and first < seen.lines[1]:
            raise InputError(f"{seen.told}; take images of another seed, or of the time before line {first}")

    def provide(self, scan: Scan, training: bool) -> None:
        """Make a scan, and a stream of the part that may be known, where they are missing.

        Raises
        ------
        InputError
            If the phantom cannot be scanned so.
        """
        self._scans.provide(scan)
        if training:
            self._training(scan, None)

    def _prepare(self, cell: Cell, report: Report | None) -> tuple[Ground, Stream]:
        """Return what is judged, kept from the last cell where it is the same, and the whole scan."""
        whole = self._scans.stream(cell.scan, report)
        key = (cell.scan, cell.ahead_ms)
        if self._ground is None or self._ground[0] != key:
            self._ground = None  # lets go of the last one before the next is made
            self._ground = key, self._make_ground(cell, whole)
        return self._ground[1], whole

    def _make_ground(self, cell: Cell, whole: Stream) -> Ground:
        frame_ns = whole.header.frame_ns
        seen, first, stop = self._plan.time_line_of(cell).judged(whole.frames, frame_ns)
        part, ahead_ns = part_of(whole, seen, whole.frames), 0
        if cell.ahead_ms:
            ahead_ns = round(cell.ahead_ms * 1e6)
            part = part_of(whole, seen, min(whole.frames, stop + 2_000_000_000 // frame_ns))
            part = looking_ahead(part, truth_of(whole), seen * frame_ns, first - seen, ahead_ns)
        # What is judged is the truth of `ahead_ns` later, so that is where the part's clock starts.
        return Ground(part, first - seen, stop - seen, self._plan.seed, seen * frame_ns + ahead_ns)

    def _judge(self, cell: Cell, ground: Ground, whole: Stream, report: Report | None) -> tuple[Pass, bool]:
        frame_ns = whole.header.frame_ns
        seen, _, stop = self._plan.time_line_of(cell).judged(whole.frames, frame_ns, cell.judged_s)
        asked: dict[str, Any] = {"stop": stop - seen, "kept": (ground.fastest,), "report": report}
        if cell.reference:
            return show(ground, cell.candidate, **asked), True
        candidate, plan = self._builder(cell, report)(), self._plan
        timed = plan.timed or plan.service_ms is not None
        # On one thread, so that the same images come of it on any host, and its processor time is its time.
        with one_thread():
            one = play(
                ground, candidate, cell.candidate, timed=timed,
                service_ms=plan.service_ms if timed else 0.0, **asked,
            )  # fmt: skip
        if one.ended or not len(one.series):
            reason = one.broken if one.ended else "no image came in what is judged"
            raise InputError(f"{cell.candidate}: {reason}")
        return one, bool(getattr(candidate, "causal", True))

    def _builder(self, cell: Cell, report: Report | None) -> Builder:
        if cell.candidate == NEAREST:
            known = self._known(cell.knowable, report)
            return lambda: nearest_frame(known)
        candidate = cell.candidate
        if "{training}" in candidate:
            candidate = candidate.replace("{training}", str(self._training(cell.knowable, report)))
        return builder(candidate)

    def _known(self, scan: Scan, report: Report | None) -> Stream:
        """Return the part of a scan that training and libraries may know."""
        stream = self._scans.stream(scan, report)
        return part_of(stream, 0, self._plan.time_line.known_frames(stream.header.frame_ns))

    def _training(self, scan: Scan, report: Report | None) -> Path:
        described = scan.describe() | {"train_s": self._plan.time_line.train_s}
        path = self._folder / "streams" / f"{scan.name}-training-{fingerprint(described)}.stream"
        if path.is_dir():
            return path
        # Another process may have made it meanwhile, of the same bytes.
        return save(self._known(scan, report), path, overwrite=True)

    def _weights_hash(self, cell: Cell) -> str:
        """Return the hash of a cell's weights; empty where there are none."""
        name = cell.candidate.removeprefix(WEIGHTS)
        if name not in self._hashes:
            try:
                with open_file(checkpoint.find(name)) as file:
                    self._hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
            except InputError:
                self._hashes[name] = ""
        return self._hashes[name]


def _beside(file: Path, ending: str) -> Path:
    return file.with_name(file.name + ending)


def _arrays(file: Path) -> dict[str, NDArray[Any]]:
    path = _beside(file, ".npz")
    names, remedy = (*_SERIES, *_SHOWN, "picture"), "remove it and its .json, and call again"
    arrays = read_arrays(path, MAX_CELL_BYTES, "a cell of the table", names=names, remedy=remedy)
    if missing := [name for name in names if name not in arrays]:
        raise InputError(f"{path}: damaged: it has no {missing[0]}; {remedy}")
    return arrays
