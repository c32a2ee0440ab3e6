"""What an audit found: kept, broken or not shown, how much it saw, and the report of all of them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from harness.candidates.seen import Overlap
from harness.judge.outcome import Outcome, Verdict
from harness.realtime.raised import Traceback, traceback_json
from mrsim.summary import Summarised

SCHEMA = "mrsim-audit/1"


class State(enum.Enum):
    """Name what came of an audit; only what was kept passes."""

    KEPT = "kept"
    BROKEN = "broken"
    NOT_SHOWN = "not shown"

    @property
    def outcome(self) -> Outcome:
        """Return the outcome that a verdict has of it."""
        outcomes = {State.KEPT: Outcome.PASS, State.BROKEN: Outcome.INVALID}
        return outcomes.get(self, Outcome.INSUFFICIENT)


@dataclass(frozen=True, slots=True)
class Seen:
    """Hold what an audit saw: how much of what, how much it takes, and what was wrong.

    Parameters
    ----------
    count
        How much was seen.
    least
        How much it takes to say that a candidate keeps the audit, 1 or more.
    what
        What is counted, in the plural.
    fault
        What was wrong, with line and frame; None if nothing was.
    """

    count: int
    least: int
    what: str
    fault: str | None = None

    @property
    def state(self) -> State:
        """Return BROKEN if something was wrong, NOT_SHOWN if too little was seen, else KEPT."""
        if self.fault is not None:
            return State.BROKEN
        return State.KEPT if self.count >= self.least else State.NOT_SHOWN

    @property
    def told(self) -> str:
        """Return how much was seen, and what it takes where that was too little."""
        seen = f"{self.what}: {self.count:,}"
        return seen if self.count >= self.least else f"{seen}, it takes {self.least}"

    @property
    def complaint(self) -> str | None:
        """Return in one line why this is no pass; None where the candidate keeps the audit."""
        if self.fault is not None:
            return self.fault
        return f"not shown: {self.told}" if self.state is State.NOT_SHOWN else None


@dataclass(frozen=True, slots=True)
class Finding:
    """Hold the outcome of one audit.

    Parameters
    ----------
    audit
        Its name.
    state
        Whether the candidate kept it, broke it, or showed too little for either.
    evidence
        What was found, with line and frame; or what was examined.
    seen
        How much of what was seen, and how much it takes.
    traceback
        Where the candidate raised in its own code while it was audited; None if it did not, or passed.
    """

    audit: str
    state: State
    evidence: str
    seen: Seen
    traceback: Traceback | None = None

    @property
    def kept(self) -> bool:
        """Return whether the candidate passed."""
        return self.state is State.KEPT

    def to_json(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        seen = {"count": self.seen.count, "least": self.seen.least, "what": self.seen.what}
        found = {"audit": self.audit, "kept": self.kept, "state": self.state.value, "seen": seen}
        return found | {"evidence": self.evidence} | traceback_json(self.traceback)


@dataclass(frozen=True, repr=False)
class AuditReport(Summarised):
    """Hold the findings on one candidate.

    Parameters
    ----------
    candidate
        Its name.
    seed
        Seed of all alterations.
    findings
        One for each audit.
    isolation
        What held the candidate's own process, in words; None for one in the bench's process.
    overlaps
        Whether it was made from lines of the scan, as far as it says; empty where the scan was made here.
    """

    candidate: str
    seed: int
    findings: tuple[Finding, ...]
    isolation: tuple[str, ...] | None = None
    overlaps: tuple[Overlap, ...] = ()

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        facts = [(f.audit, f"{word_of(f.state)}: {f.evidence}") for f in self.findings]
        return f"Audit of {self.candidate}: {self.verdict.outcome.name} (seed {self.seed})", facts

    @property
    def broken(self) -> tuple[str, ...]:
        """Return the names of the audits that found something."""
        return tuple(f.audit for f in self.findings if f.state is State.BROKEN)

    @property
    def not_shown(self) -> tuple[str, ...]:
        """Return the names of the audits that saw too little."""
        return tuple(f.audit for f in self.findings if f.state is State.NOT_SHOWN)

    @property
    def tracebacks(self) -> list[Traceback]:
        """Return where the candidate raised in its own code, each place once."""
        raised = [f.traceback for f in self.findings if f.traceback is not None]
        return list({found.text: found for found in raised}.values())

    @property
    def verdict(self) -> Verdict:
        """Return PASS only if all is kept; INVALID if something is broken, else INSUFFICIENT."""
        found = [
            f"{word}: {', '.join(names)}"
            for word, names in (("broken", self.broken), ("not shown", self.not_shown))
            if names
        ]
        if found:
            outcome = Outcome.INVALID if self.broken else Outcome.INSUFFICIENT
            return Verdict(outcome, f"{'; '.join(found)} (seed {self.seed})")
        if not self.findings:
            return Verdict(Outcome.INSUFFICIENT, f"nothing was audited (seed {self.seed})")
        return Verdict(Outcome.PASS, f"{len(self.findings)} audits found nothing (seed {self.seed})")

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "schema": SCHEMA,
            "candidate": self.candidate,
            "seed": self.seed,
            "isolation": None if self.isolation is None else list(self.isolation),
            "verdict": self.verdict.outcome.name,
            "reason": self.verdict.reason,
            "audits": [f.to_json() for f in self.findings],
            "overlaps": [one.to_json() for one in self.overlaps],
        }


def word_of(state: State) -> str:
    """Return how a table names a state: what is broken stands out.

    Parameters
    ----------
    state
        The state.
    """
    return "BROKEN" if state is State.BROKEN else state.value
