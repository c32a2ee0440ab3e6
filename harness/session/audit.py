"""`harness.audit`: what images alone cannot show of a candidate."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from harness.audits.audits import audit_candidate
from harness.audits.bench import default_stream
from harness.audits.finding import AuditReport
from harness.candidates.build import candidate_builder
from harness.candidates.objects import Given, name_of
from harness.candidates.seen import check_seen
from harness.console import Report
from harness.realtime.copies import OneProcess
from harness.session.given import check_limit, opened
from mrsim.argument_types import checked
from mrsim.errors import InputError
from mrsim.seeds import check_seed, fresh_seed
from mrsim.stream import Stream


@checked
@OneProcess()
def audit(
    candidate: Given,
    scan: Stream | str | Path | None = None,
    *,
    seed: int | None = None,
    isolate: bool = False,
    limit_s: float | None = None,
    allow_seen: bool = False,
    name: str | None = None,
    progress: Report | None = None,
) -> AuditReport:
    """Look for a reconstructor that looks ahead, leaves lines out, remembers the answer, or does not repeat.

    Parameters
    ----------
    candidate
        As for `harness.replay`.
    scan
        A stream of 12 frames or more, or the folder of one; None for random lines, 128 x 128 at 4x, one coil.
    seed
        Seed of all that is altered, and of the scan if one is made; None for a fresh one of 128 bits, which
        the report tells.
    isolate
        Whether the candidate, which is then a string, runs in a process of its own.
    limit_s
        Time for one line where isolated, seconds.
    allow_seen
        Whether a candidate may be judged on lines that it was made from.
    name
        The candidate's name in the report; None for its own.
    progress
        Told how far the audit is, and what runs.

    Returns
    -------
    report
        A finding for each audit, with line, frame and seed, and how much it saw. Its verdict is PASS only if
        all is kept, INVALID if something is broken, and INSUFFICIENT if something was not shown.

    Raises
    ------
    InputError
        If the candidate, the scan or an option is wrong.
    """
    seed = fresh_seed() if seed is None else check_seed(seed)
    check_limit(limit_s)
    stream = default_stream(seed) if scan is None else opened(scan)
    called = name_of(candidate) if name is None else name
    overlaps = () if scan is None else (check_seen(candidate, stream, allow=allow_seen, name=called),)
    build = candidate_builder(candidate, isolate, limit_s, (), seed)
    try:
        report = audit_candidate(stream, build, called, seed, progress)
        return dataclasses.replace(report, overlaps=overlaps)
    except InputError as error:
        if scan is not None:
            raise
        (ny, nx), coils = stream.header.matrix, stream.header.coils
        raise InputError(
            f"{error}; if it needs another scan than the audit's own ({ny} x {nx} at 4x in {coils} coil), "
            "name a STREAM that it takes (`mrsim simulate`; in Python, give a scan)"
        ) from None
