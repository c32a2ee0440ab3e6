"""One candidate on one scan, told in one sentence: judged, audited, and set beside view sharing."""

from __future__ import annotations

import dataclasses
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.audits.finding import AuditReport
from harness.candidates.objects import Given
from harness.comparison.on_display import OnDisplay, compare_displays
from harness.comparison.order import Difference
from harness.console import Report
from harness.judge.outcome import Outcome
from harness.judge.result import RunResult
from harness.measure.margin import mm
from harness.report.beside import Moving
from harness.report.report import write_page
from harness.session.audit import audit
from harness.session.replay import replay
from harness.session.result import Result
from mrsim.errors import InputError
from mrsim.files.reading import read_bytes
from mrsim.plotting import pillow
from mrsim.stream import Stream
from mrsim.summary import Summarised

OPPONENT = "view-sharing"
MOST_BYTES = 1 << 25
"""Of a moving picture that goes into a page."""
AUDITED_FRAMES = 64
"""First frames of the scan that the audits play: enough for each of them, and some seconds for a network."""


@dataclass(frozen=True, repr=False)
class Trial(Summarised):
    """Hold what came of a first try.

    Parameters
    ----------
    name
        The candidate's name.
    result
        Its replay, with what the audits found.
    opponent
        View sharing on the same scan.
    difference
        M95 of the candidate minus that of view sharing, millimetres, at the same instants.
    """

    name: str
    result: Result
    opponent: Result
    difference: Difference

    @property
    def sentence(self) -> str:
        """Return what the candidate costs, and what view sharing does, in one sentence."""
        told = self._costs.replace("this reconstructor", self.name, 1)
        if self.name == OPPONENT:
            return told
        other, found = self.opponent.margin, self.difference
        if other is None or other.m95_m is None or not math.isfinite(other.m95_m):
            return f"{told}; view sharing has no margin here"
        if found.value is None:
            return f"{told}; view sharing costs {mm(other.m95_m)} mm"
        if found.interval is None:
            return f"{told}; view sharing costs {mm(other.m95_m)} mm, in too few breaths to tell them apart"
        if found.standing == "tie":
            return f"{told}; level with view sharing ({mm(other.m95_m)} mm)"
        least, most = sorted(map(abs, found.interval))
        apart = f"view sharing costs {abs(found.value):.1f} mm {'more' if found.value < 0 else 'less'}"
        return f"{told}; {apart} ({least:.1f} to {most:.1f})"

    @property
    def _costs(self) -> str:
        if self.result.margin is None:
            return "this reconstructor showed no image that could be judged"
        return self.result.margin.sentence

    @property
    def next_step(self) -> str:
        """Return what to do next, in one sentence."""
        result, report = self.result, self.result.audit
        if result.failure is not None:
            return "mend what it raised: its traceback is above and on the page"
        if report is not None and report.broken:
            return f"look at the audit on the page first: {report.verdict.reason}"
        if result.first.symptom is not None:
            return f"look at its images first: {result.first.symptom}"
        margin, lag = result.margin, None if result.margin is None else result.margin.waterfall.lag_m
        if margin is not None and margin.m95_m is not None and not math.isfinite(margin.m95_m):
            return "look at behind.gif: the target is lost in its images, so its lag does not matter yet"
        by_question = {answer.question: answer.outcome for answer in result.verdict.answers}
        if by_question.get("time") is Outcome.FAIL:
            return "make it faster: its images come late; `mrsim replay --scenario find-peak` says how much"
        if margin is not None and margin.bounds is None:
            return margin.unsure
        if (
            by_question.get("target") is Outcome.FAIL
            and margin is not None
            and margin.m95_m
            and lag is not None
        ):
            most = "its lag, of lines and computing" if lag > margin.m95_m / 2 else "the images themselves"
            return f"most of the margin is {most}: the waterfall on the page says of what"
        return "try a harder anatomy (v2/patient2-day1), then hold it with `mrsim check` in CI"

    def to_json(self) -> dict[str, Any]:
        """Return the candidate's result as JSON values, and under `try` what it was set beside."""
        margin, other = self.result.margin, self.opponent.to_json()["margin"]
        return self.result.to_json() | {
            "try": {
                "sentence": self.sentence,
                "next": self.next_step,
                "lag_mm": None if margin is None else margin.waterfall.lag_m * 1e3,
                "view_sharing_m95_mm": None if other is None else other["m95_mm"],
                "difference_mm": self.difference.to_json(),
                "beside": [_row(name, one) for name, one in self.beside.items()],
            }
        }

    @property
    def beside(self) -> dict[str, Result]:
        """Return the results that are set side by side, by name: the candidate's first."""
        others = {} if self.name == OPPONENT else {OPPONENT: self.opponent}
        return {self.name: self.result, **others}

    def report(self, path: str | Path, command: str, moving: str | Path | None = None) -> None:
        """Write the page: that of the result, led by both side by side.

        Parameters
        ----------
        path
            HTML file.
        command
            What the page says was called.
        moving
            The moving picture of both (.gif), which goes into the page; None for none.

        Raises
        ------
        InputError
            If the page cannot be written, or the picture not be read.
        """
        shown = None
        if moving is not None:
            gif, image = (
                read_bytes(moving, MOST_BYTES, "a moving picture"),
                pillow("Image", "its first frame"),
            )
            still = io.BytesIO()
            with image.open(io.BytesIO(gif)) as first:
                first.convert("RGB").save(still, "PNG")
            shown = Moving(gif, still.getvalue(), tuple(self.panels))
        write_page(path, self.to_json() | {"command": command}, self.result.first, shown)

    @property
    def panels(self) -> dict[str, RunResult]:
        """Return what the moving picture shows side by side."""
        beside = {} if self.name == OPPONENT else {"view sharing": self.opponent.first}
        own = self.result.first
        return {self.name: own, **beside} if own.displayed is not None else beside

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        return f"Try of {self.name}: {self.result.verdict.outcome.name}", [
            ("it", self.sentence),
            ("next", self.next_step),
        ]


def _row(name: str, one: Result) -> dict[str, Any]:
    """Return the figures of a candidate that stand beside those of another."""
    told = one.to_json()
    margin, quality = told["margin"] or {}, told["quality"] or {}
    return {
        "candidate": name,
        "m95_mm": margin.get("m95_mm"),
        "availability": margin.get("availability"),
        "lag_ms": quality.get("total_lag_ms"),
        "response_p50_ms": told["latency_ms"]["response"]["p50"],
        "dice": quality.get("dice"),
        "nmse": quality.get("nmse"),
    }


def try_out(
    scan: Stream,
    candidate: Given,
    *,
    clock: str = "virtual",
    claim: float | None = None,
    seed: int = 0,
    isolate: bool = False,
    limit_s: float | None = None,
    allow_seen: bool = False,
    progress: Report | None = None,
) -> Trial:
    """Replay a candidate, audit it, and set it beside view sharing on the same scan.

    Parameters
    ----------
    scan
        A scan with truth.
    candidate
        As for `harness.replay`.
    clock
        "virtual", which measures the candidate's computing as well, or "real".
    claim
        Share of images that are to meet the deadline; None for the profile's.
    seed
        Seed of the audits.
    isolate, limit_s
        Whether the candidate, which is then a string, runs in a process of its own, and how long that may
        take for one line, seconds; without `isolate` the limit is that of the whole replay.
    allow_seen
        Whether a candidate may be judged on lines that it was made from.
    progress
        Told how far the audit is.

    Raises
    ------
    InputError
        If the scan has no truth, or the candidate does not take it.
    """
    if scan.truth is None:
        raise InputError(f"{scan.path or 'stream'}: a try needs a scan with truth; name a patient or a cine")
    held: dict[str, Any] = {"isolate": isolate, "limit_s": limit_s, "allow_seen": allow_seen}
    result = replay(scan, candidate, clock=clock, claim=claim, **held)
    found: AuditReport | None = None
    if result.failure is None:
        part = scan.first_frames(min(AUDITED_FRAMES, scan.frames))
        found = audit(candidate, part, seed=seed, progress=progress, **held)
        result = result.with_audit(found)
    opponent = (
        result
        if candidate == OPPONENT and not isolate
        else replay(scan, OPPONENT, clock="virtual", claim=claim)
    )
    return Trial(result.candidate, result, opponent, _difference(result.first, opponent.first))


def _difference(one: RunResult, other: RunResult) -> Difference:
    """Return by how much the margins of two runs differ, at the instants that both were judged at."""
    if one.displayed is None or other.displayed is None:
        return Difference(None, None, "none", "nothing was on display")
    first = max(int(one.displayed.t_ns[0]), int(other.displayed.t_ns[0]))
    rows = []
    for run in (one, other):
        shown = run.displayed
        assert shown is not None
        skipped = int((shown.t_ns < first).sum())
        columns = ("t_ns", "index", "centre_m", "true_m", "held", "gone", "dice")
        cut = {name: getattr(shown, name)[skipped:] for name in columns}
        rows.append([OnDisplay.of([dataclasses.replace(shown, **cut)], run.stream)])
    return compare_displays("m95_mm", rows[0], rows[1])
