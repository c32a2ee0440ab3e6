"""The command line: arguments in, exit code out.

0 passed, 1 failed, 2 usage or bad input, 3 invalid run, 4 too few samples for the claim.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` imports more, and Ctrl-C may come meanwhile
import gc
import sys

TYPE_CHECKING = False  # not of `typing`, which imports more
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


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
    if argv is None:
        return _program(sys.argv[1:])
    from harness.cli.process.streams import conclude

    given = list(argv)
    return conclude(lambda: _run(given))


def in_child() -> int:
    """Run the command of a child, as the arguments of its process say."""
    quiet = _keep_quiet()
    from harness.cli.process.parent import serve
    from harness.cli.process.streams import conclude

    return serve(lambda argv: _answering(quiet, lambda: conclude(lambda: _run(argv, own=True))))


def _program(argv: list[str]) -> int:
    quiet = _keep_quiet()
    from harness.cli.process.parent import COMMANDS, in_a_child
    from harness.cli.process.streams import conclude

    if sys.platform != "win32" and argv[:1] and argv[0] in COMMANDS:
        return _answering(quiet, lambda: conclude(lambda: in_a_child(argv)))
    return _answering(quiet, lambda: conclude(lambda: _run(argv, own=True)))


def _keep_quiet() -> bool:
    """Let Ctrl-C end the process without a word while nothing is there that would answer it.

    So it is before `conclude` is imported, and once it has said its last. A shell has 130 for it, as ever.
    """
    usual = _signal.getsignal(_signal.SIGINT) in (_signal.default_int_handler, _signal.SIG_DFL)
    if usual:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    return usual


def _answering(quiet: bool, concluded: Callable[[], int]) -> int:
    """Run what answers Ctrl-C, and keep quiet again afterwards."""
    if quiet:
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    try:
        return concluded()
    finally:
        if quiet:
            _signal.signal(_signal.SIGINT, _signal.SIG_DFL)


def _run(argv: list[str], own: bool = False) -> int:
    """Run a command; `own` says that the process does nothing else."""
    if not own:
        return _ready(argv)()
    # Libraries have millions of objects that stay. To look through them while they come, and once more at the
    # end, takes seconds. What comes later is looked through: a candidate's files may be closed by that alone.
    gc.disable()
    try:
        command = _ready(argv)
    finally:
        gc.freeze()
        gc.enable()
    return command()


def _ready(argv: list[str]) -> Callable[[], int]:
    """Read the arguments, import the command, and return what is left to do."""
    # Here, where closed streams are open and Ctrl-C is caught: it imports the command and what that needs.
    from harness.cli.arguments import parser, read
    from harness.cli.process.environment import check_environment
    from harness.cli.process.streams import USAGE, named_as_options

    check_environment()
    if not argv:  # help is no verdict: a script whose variable is empty must not go on
        print(parser([]).format_help(), end="")
        return lambda: USAGE
    command, options, noted = read(argv)

    def run() -> int:
        with named_as_options(options):
            if noted.verbose or noted.file is not None:
                from harness.cli.log import noting

                return noting(noted.verbose, noted.file, argv, options, lambda: command(**options))
            return command(**options)

    return run
