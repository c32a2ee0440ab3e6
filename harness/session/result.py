"""What one call of `harness.replay` found: its runs together, broken promises, an audit, one verdict."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.audits.finding import AuditReport
from harness.audits.invariants import Breach
from harness.candidates.seen import Overlap
from harness.judge.outcome import Outcome, Verdict
from harness.judge.repetitions import Repetitions
from harness.judge.result import RunResult, played, quality_line
from harness.judge.target import Beamed
from harness.measure.image_quality import Quality
from harness.measure.margin import Margin
from harness.measure.timing import Latency
from harness.picture.plots import plot_run
from harness.realtime.faults import CANDIDATE_KINDS, Fault, format_faults
from harness.realtime.raised import Traceback, traceback_json
from harness.realtime.run import Failure, Fate
from harness.realtime.samples import How, write_samples
from harness.report.report import write_page
from mrsim.errors import InputError
from mrsim.files.writing import write_json
from mrsim.stream import Stream
from mrsim.summary import Summarised, counted


@dataclass(frozen=True)
class Faulted:
    """Hold what came of the faults of a run.

    Parameters
    ----------
    faults
        What went wrong on purpose.
    touched
        How many lines each kind touched.
    broken
        Promises that were not kept.
    again
        The one line that does the same again.
    seed
        Seed of where they struck.
    """

    faults: tuple[Fault, ...]
    touched: dict[str, int]
    broken: tuple[Breach, ...]
    again: str
    seed: int = 0

    def verdict(self, result: RunResult) -> Verdict:
        """Return the verdict on the promises, for a fault takes images by itself.

        Parameters
        ----------
        result
            The run with the faults.
        """
        if self.broken:
            return Verdict(Outcome.FAIL, f"{len(self.broken)} promises broken; again: {self.again}")
        kinds = {fault.kind for fault in self.faults}
        if kinds & set(CANDIDATE_KINDS) and result.verdict.outcome is not Outcome.PASS:
            return result.verdict
        images = result.run.images.shown
        if not images.any():
            return Verdict(Outcome.INSUFFICIENT, f"{self.kept}, but no image came that could have broken one")
        missed = int((~images).sum())
        counts = {
            fate: int((result.run.fate == fate).sum()) for fate in (Fate.DROPPED, Fate.REJECTED, Fate.LOST)
        }
        lost = ", ".join(f"{fate.name.lower()} {count}" for fate, count in counts.items() if count)
        without = f"; {missed} of {len(images)} images never came" if missed else ""
        return Verdict(Outcome.PASS, f"{self.kept}; lines {lost or 'all used'}{without}")

    @property
    def kept(self) -> str:
        """Return that the promises were kept, in words."""
        return f"every promise was kept under {counted(len(self.faults), 'fault')}"


@dataclass(frozen=True, repr=False)
class Result(Summarised):
    """Hold what a replay, or several judged together, found out about a candidate.

    Parameters
    ----------
    repetitions
        The runs, and whether their times were modelled.
    again
        The one line that plays the same again.
    faults
        What came of the faults, where there were any.
    audit
        What the audits found, where they were made (`with_audit`).
    overlap
        Whether the candidate was made from lines of the scan, as far as it says.
    """

    repetitions: Repetitions
    again: str
    faults: Faulted | None = None
    audit: AuditReport | None = None
    overlap: Overlap | None = None

    @property
    def verdict(self) -> Verdict:
        """Return PASS, FAIL, INVALID or INSUFFICIENT, and why: on all runs, the promises and the audits."""
        if self.audit is not None and self.audit.broken:
            answers = self.repetitions.verdict.answers
            return Verdict(Outcome.INVALID, f"audit {self.audit.verdict.reason}", answers)
        found = self.repetitions.verdict if self.faults is None else self.faults.verdict(self.first)
        if self.audit is not None and found.outcome is Outcome.PASS:
            audited = self.audit.verdict
            if audited.outcome is not Outcome.PASS:
                return Verdict(audited.outcome, f"audit {audited.reason}", found.answers)
        return found

    @property
    def runs(self) -> tuple[RunResult, ...]:
        """Return the result of each run."""
        return self.repetitions.results

    @property
    def first(self) -> RunResult:
        """Return the result of the first run, whose images are measured and kept."""
        return self.repetitions.results[0]

    @property
    def failure(self) -> Failure | None:
        """Return what the candidate raised in the first run in which it did; None if it never did.

        Its `traceback` names the lines of the candidate's own code.
        """
        return next((one.run.failure for one in self.runs if one.run.failure is not None), None)

    @property
    def tracebacks(self) -> tuple[Traceback, ...]:
        """Return where the candidate raised in its own code, in every run and audit."""
        raised = [result.run.traceback for result in self.runs]
        raised += [] if self.audit is None else self.audit.tracebacks
        return tuple(found for found in raised if found is not None)

    @property
    def candidate(self) -> str:
        """Return the candidate's name."""
        return self.first.candidate

    @property
    def stream(self) -> Stream:
        """Return the scan as it was played."""
        return self.first.stream

    @property
    def latency(self) -> Latency:
        """Return the percentiles of the response, milliseconds, and the misses, of all runs together."""
        return self.repetitions.latency

    @property
    def quality(self) -> Quality | None:
        """Return the measures of the first run's images; None where they were not measured."""
        return self.first.quality

    @property
    def margin(self) -> Margin | None:
        """Return what the first run had on display at each instant; None where it was not measured."""
        return self.first.margin

    @property
    def beams(self) -> tuple[Beamed, ...]:
        """Return what each beam would have done by the first run, the profile's own first if it has one."""
        return self.first.beams

    @property
    def images(self) -> NDArray[np.complex64] | None:
        """Return the first run's images, shape (images, ny, nx), complex64; None where they were not kept.

        Image i is due at the end of frame i of the scan, and is zero where none came (`shown`).
        """
        return self.first.images

    @property
    def shown(self) -> NDArray[np.bool_]:
        """Return which of the first run's images came, shape (images,), bool."""
        return self.first.run.images.shown

    @property
    def exit_code(self) -> int:
        """Return the command line's exit code."""
        return int(self.verdict.outcome.value)

    def with_audit(self, report: AuditReport) -> Result:
        """Return the same with what the audits found: the runs are void if something is broken.

        Parameters
        ----------
        report
            What `harness.audit` returned for the same candidate.
        """
        return dataclasses.replace(self, audit=report)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values; what the samples do not carry is null."""
        verdict = self.verdict
        outcome = {
            "verdict": verdict.outcome.name,
            "reason": verdict.reason,
            **traceback_json(None if self.failure is None else self.failure.traceback),
        }
        if self.faults is None:
            values = self.repetitions.to_json() | outcome
        else:
            values = self.first.to_json() | outcome
            values |= {
                "faults": format_faults(self.faults.faults),
                "touched": self.faults.touched,
                "broken": [broken.to_json() for broken in self.faults.broken],
            }
        values |= {"overlap": None if self.overlap is None else self.overlap.to_json()}
        return values if self.audit is None else values | {"audit": self.audit.to_json()}

    def save(self, path: str | Path, command: str | None = None) -> None:
        """Write `to_json` into a file, whole or not at all.

        Parameters
        ----------
        path
            The file.
        command
            Command line to record under `command`, as a page does; None for none.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        write_json(path, self.to_json() | ({} if command is None else {"command": command}))

    def save_samples(self, path: str | Path) -> None:
        """Write every raw stamp of every run as .npz; `harness.replay(..., service=path)` plays them again.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        first, faults = self.first, self.faults
        header = first.stream.header
        how = How(
            first.scenario,
            str(first.run.policy),
            "" if faults is None else format_faults(faults.faults),
            0 if faults is None else faults.seed,
            header.lines_per_frame if header.window else None,
        )
        write_samples(path, [result.run for result in self.runs], self.candidate, first.stream, how)

    def report(self, path: str | Path, command: str | None = None) -> None:
        """Write a page to look at and to show, one HTML file that asks nothing of the network.

        Parameters
        ----------
        path
            The file.
        command
            What the page says was called; None for `again`.

        Raises
        ------
        InputError
            If it cannot be written, or the frames were sliding ones.
        """
        if self.stream.header.window:
            raise InputError(f"{path}: a page is made of a scan's own frames, not of sliding ones (stride)")
        write_page(path, self.to_json() | {"command": self.again if command is None else command}, self.first)

    def plot(self, what: str = "trace", path: str | Path | None = None) -> Any:
        """Draw the first run, in one line.

        Parameters
        ----------
        what
            "trace" (where the target is, and where it is shown), "frames", "latency" or "kspace".
        path
            PNG to write, too; None for none.

        Returns
        -------
        figure
            A `matplotlib.figure.Figure`.

        Raises
        ------
        InputError
            If the run does not hold it, or the file cannot be written.
        MissingExtraError
            If matplotlib is not installed.
        """
        return plot_run(self.first, what, path)

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        verdict = self.verdict
        facts = [("reason", verdict.reason)]
        facts += [(a.question, str(a).partition(": ")[2]) for a in verdict.answers]
        facts += [("played", played(self.first)), ("latency", str(self.latency))]
        if self.margin is not None:
            facts.append(("margin", self.margin.sentence))
        facts += [(f"beam {beam.delivery.beam.name}", beam.sentence) for beam in self.beams]
        if self.quality is not None:
            facts.append(("quality", quality_line(self.quality)))
        if self.images is not None:
            facts.append(("images", f"{self.images.shape} {self.images.dtype}"))
        if self.overlap is not None and self.overlap.told is not None:
            facts.append(("seen", self.overlap.told))
        if self.faults is not None:
            facts.append(("faults", format_faults(self.faults.faults)))
        if self.failure is not None and self.failure.traceback is not None:
            at = self.failure.traceback.at
            facts.append(("raised at", f"{at.file}, line {at.line}, in {at.function}: {at.code}"))
        if self.audit is not None:
            facts.append(("audit", self.audit.verdict.reason))
        return f"Result of {self.candidate}: {verdict.outcome.name}", facts
