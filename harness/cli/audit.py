"""`mrsim audit`: a candidate in, findings printed and written, exit code out."""

from __future__ import annotations

import argparse

from harness.cli.arguments import add_allow_seen, add_candidate, add_isolate, add_json, add_seed, tell_seen
from harness.console import print_apart, print_table, progress


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_candidate(command)
    command.add_argument(
        "stream", nargs="?", metavar="STREAM", help="folder of a stream; default: one is made"
    )
    add_isolate(command)
    add_allow_seen(command)
    add_seed(command, "random")
    add_json(command)


def run(
    *,
    candidate: str,
    stream: str | None,
    isolate: bool,
    limit_s: float | None,
    seed: int,
    allow_seen: bool,
    json_file: str | None,
) -> int:
    """Audit a candidate, print what was found and return the exit code.

    Raises
    ------
    InputError
        If the candidate or the stream is wrong.
    """
    from harness.audits.finding import word_of
    from harness.candidates.isolation import told
    from harness.session.audit import audit
    from mrsim.files.targets import check_target
    from mrsim.files.writing import write_json

    check_target(json_file, ".json")
    with progress("audit") as report_to:
        report = audit(
            candidate, stream, seed=seed, isolate=isolate, limit_s=limit_s, allow_seen=allow_seen,
            progress=report_to,
        )  # fmt: skip
    if json_file is not None:
        write_json(json_file, report.to_json())
    tell_seen(report.overlaps)
    rows = [[f.audit, word_of(f.state), f.evidence] for f in report.findings]
    print_table(f"audit of {candidate} (seed {seed})", ["audit", "", "evidence"], rows)
    print(told(report.isolation))
    print_apart(found.text for found in report.tracebacks)
    print(f"{report.verdict.outcome.name}: {report.verdict.reason}")
    return int(report.verdict.outcome.value)
