"""The command line: arguments in, exit code out.

0 passed, 1 failed, 2 usage or bad input, 3 invalid run, 4 too few samples for the claim.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from harness.cli.process.parent import COMMANDS, in_a_child, serve
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
    if argv is None and sys.platform != "win32" and sys.argv[1:2] and sys.argv[1] in COMMANDS:
        return conclude(lambda: in_a_child(sys.argv[1:]))
    return conclude(lambda: _run(sys.argv[1:] if argv is None else list(argv)))


def in_child() -> int:
    """Run the command of a child, as the arguments of its process say."""
    return serve(main)


def _run(argv: list[str]) -> int:
    # Here, where closed streams are open and Ctrl-C is caught: it imports the command and what that needs.
    from harness.cli.arguments import read

    command, options = read(argv)
    return command(**options)
