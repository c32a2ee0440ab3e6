"""`--verbose` and `--log FILE`: what a command does, told or written down, in one way for all of them.

The three packages tell Python's `logging`, each module under its own name. Here it is listened to.
"""

from __future__ import annotations

import contextlib
import logging
import platform
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

import mrsim
from harness.cli.process.streams import complaint
from mrsim.files.targets import check_target
from mrsim.files.writing import journal
from mrsim.printable import visible

PACKAGES = ("mrsim", "recon", "harness")
_LOG = logging.getLogger(__name__)


def noting(
    verbose: bool, file: str | None, argv: Sequence[str], options: Mapping[str, Any], run: Callable[[], int]
) -> int:
    """Run a command, and note what it does.

    Parameters
    ----------
    verbose
        Whether to say it on standard error.
    file
        File to write it into, which is made anew; None for none.
    argv
        The command line.
    options
        What was read from it, and from a file of options.
    run
        Runs the command, and returns its exit code.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    check_target(file, ".log")
    with contextlib.ExitStack() as stack:
        handlers: list[logging.Handler] = [_Told()] if verbose else []
        if file is not None:
            handlers.append(_Kept(stack.enter_context(journal(file)), file))
        for name in PACKAGES:
            stack.enter_context(_listening(logging.getLogger(name), handlers))
        return _noted(argv, options, run)


def _noted(argv: Sequence[str], options: Mapping[str, Any], run: Callable[[], int]) -> int:
    began, worked = time.monotonic(), time.process_time()
    _LOG.info("mrsim %s, Python %s: %s", mrsim.__version__, platform.python_version(), shlex.join(argv))
    told = (f"{key}={value!r}" for key, value in options.items() if key != "argv")
    _LOG.info("options: %s", ", ".join(told))
    try:
        code = run()
    except BaseException as error:
        said = complaint(error)
        if said is not None or not isinstance(error, Exception):
            _LOG.error("ended by %s: %s", type(error).__name__, said or error)
        else:
            _LOG.exception("a defect of mrsim's own")
        raise
    spent = time.monotonic() - began, time.process_time() - worked
    _LOG.info("exit code %d after %.1f s, %.1f s of processor time", code, *spent)
    return code


@contextlib.contextmanager
def _listening(logger: logging.Logger, handlers: Sequence[logging.Handler]) -> Any:
    before = logger.level
    logger.setLevel(logging.INFO)
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(before)
        for handler in handlers:
            logger.removeHandler(handler)


class _Told(logging.Handler):
    """Say it on standard error, with the seconds since the command began."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        # Standard error of this moment: a bar of progress puts its own in the place of it.
        print(f"[{time.monotonic() - self._began:7.2f} s] {self.format(record)}", file=sys.stderr, flush=True)


class _Kept(logging.Handler):
    """Write it down, a line each, with the time (UTC) and the module; a traceback has several."""

    def __init__(self, file: IO[str], name: str) -> None:
        super().__init__()
        self._file, self._name, self._failed = file, name, False

    def emit(self, record: logging.LogRecord) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        lines = self.format(record).replace("\r", "\\r").split("\n")
        try:
            for line in lines:
                self._file.write(f"{stamp}.{record.msecs:03.0f}Z {record.name}: {visible(line)}\n")
            self._file.flush()
        except OSError as error:
            if not self._failed:  # a log is no reason to end, or to end in another code
                self._failed = True
                print(f"mrsim: warning: {self._name}: {error.strerror or error}", file=sys.stderr, flush=True)
