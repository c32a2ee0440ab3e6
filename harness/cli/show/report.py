"""`mrsim report`: replay, audit, and write a page."""

from __future__ import annotations

import argparse
from typing import Any

from harness.cli import replay


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    command.add_argument("-o", "--output", required=True, metavar="FILE", help="page to write (.html)")
    command.add_argument("--no-audit", action="store_true", help="leave the audits out")
    replay.add_play(command)


def run(*, output: str, no_audit: bool, **options: Any) -> int:
    """Replay, audit, and write a page.

    Parameters
    ----------
    output
        The page.
    no_audit
        Whether the audits are left out.
    options
        Those of `mrsim replay`.

    Raises
    ------
    InputError
        If an option, the stream or the candidate is wrong.
    """
    return replay.run(report=output, audit=not no_audit, **options)
