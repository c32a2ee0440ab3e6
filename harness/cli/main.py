"""The command line: arguments in, exit code out.

0 passed, 1 failed, 2 usage or bad input, 3 invalid run, 4 too few samples for the claim.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from harness.cli.process.streams import conclude


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv
        Arguments; None for those of the process.

    Returns
    -------
    code
        Exit code.
    """
    return conclude(lambda: _run(sys.argv[1:] if argv is None else list(argv)))


def _run(argv: list[str]) -> int:
    # Here, where closed streams are open and Ctrl-C is caught: it imports the command and what that needs.
    from harness.cli.arguments import read

    command, options = read(argv)
    return command(**options)
