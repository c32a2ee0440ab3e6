"""How a command of ours meets its process: closed streams, output that cannot be written, an exit code.

A shell may start a process with closed streams (`>&-`), on a full disk, or with a reader that leaves. None of
that may change a verdict or end in a traceback. The module imports next to nothing, so that Ctrl-C while the
rest is imported is told like any other.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, TextIO, cast

from harness.cli.process.signals import Came, Ended, ended_by_signals, quiet_interrupts
from mrsim.errors import InputError, MrsimError, Option
from mrsim.printable import visible

USAGE = 2
INTERRUPTED = 130
SIGNALLED = 128  # and the signal's number, as a shell has it
BROKEN_PIPE = 141
MOST_TOLD = 2000
"""Characters of what is said of an error: a name on the command line may have a hundred thousand."""
SPELLING = {
    "overrides": "--set",
    "changes": "--set",
    "t2_prime_s": "--t2-prime-ms",
    "field": "--field-hz or --breathing-field-hz-per-m",
    "entries": "--candidates",
    "parts": "--what",
    "timings": "--timing",
    "slow_s": "--slow-seconds",
    "lead_s": "--lead-seconds",
    "train_s": "--train-seconds",
    "judged_s": "--seconds",
}
"""Keywords whose option on the command line has another name."""
_KEYWORD = re.compile(r"(\w+) = (?=[^:]*: )")
_closed: set[int] = set()
"""Standard streams that were closed as the process began."""


def conclude(command: Callable[[], int]) -> int:
    """Run a command with standard streams that can be written to, and say in one line why it ended early.

    Parameters
    ----------
    command
        What to run; it returns an exit code.

    Returns
    -------
    code
        The command's; 2 if its input was wrong or its output could not be written, 130 if it was
        interrupted, 128 and its number for another signal, 141 if whoever read its output left.
    """
    open_closed()
    before = sys.stdout, sys.stderr
    out, err = _Output(sys.stdout), _Errors(sys.stderr)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        with quiet_interrupts():
            return _concluded(command, out, err)
    finally:
        sys.stdout, sys.stderr = before


def _concluded(command: Callable[[], int], out: _Output, err: _Output) -> int:
    code, message, leaving, note = USAGE, None, None, None
    ending: KeyboardInterrupt | None = None
    came = Came()
    try:
        with ended_by_signals() as came:
            code = command()
    except SystemExit as error:  # argparse has answered --help
        leaving = error
    except KeyboardInterrupt as error:
        ending = error
    except Exception as error:
        complained = complaint(error)
        ending = came.ending  # a library that was being imported has turned it into this error
        if complained is None and ending is None:
            raise
        message, note = f"error: {complained}", error.note if isinstance(error, MrsimError) else None
    if isinstance(ending, Ended):
        code, message, note = SIGNALLED + ending.number, f"ended by {ending}", None
    elif ending is not None:
        code, message, note = INTERRUPTED, "interrupted", None
    with contextlib.suppress(OSError):
        out.flush()  # here, so that what cannot be written is noticed here
    if out.failed is not None:
        out.let_go()
        if ending is None:
            leaving = None
            code = BROKEN_PIPE if isinstance(out.failed, BrokenPipeError) else USAGE
            why = f"error: could not write the output: {out.failed.strerror or out.failed}"
            message = None if code == BROKEN_PIPE else why
    if note is not None:
        err.write(f"{note}\n")
    if message is not None:
        err.write(f"mrsim: {message}\n")
    err.flush()
    if err.failed is not None:
        err.let_go()
    if leaving is not None:
        raise leaving
    return code


@contextlib.contextmanager
def named_as_options(options: Iterable[str]) -> Iterator[None]:
    """Let an error that begins with a keyword and its value, as Python has them, name the option.

    Parameters
    ----------
    options
        Keywords of the command.
    """
    try:
        yield
    except InputError as error:
        found = _KEYWORD.match(str(error))
        if found is not None and len(error.args) == 1 and found[1] in options:
            rest = str(error)[found.end() :].replace("{", "{{").replace("}", "}}")
            error.args = ("{} " + rest, Option(found[1]))
        raise


def complaint(error: BaseException) -> str | None:
    """Return what is to be said of an error that a user can act on, in one line; None for a defect."""
    if isinstance(error, InputError):
        from mrsim.stream.units import SPELLINGS

        options = {spelling.name: f"--{key.replace('_', '-')}" for key, spelling in SPELLINGS.items()}
        message = error.typed({**options, **SPELLING})
    elif isinstance(error, MrsimError):
        message = str(error)
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        message = f"{where}{error.strerror or error}"
        if isinstance(error, FileNotFoundError) and _is_lost():
            message = "the folder that it is called from is gone; change to another one"
    elif isinstance(error, MemoryError):
        message = f"not enough memory: {error}; take fewer frames or a smaller matrix"
    else:
        return None
    said = " ".join(visible(message[:MOST_TOLD]).split())
    return said if len(message) <= MOST_TOLD else f"{said}..."


def _is_lost() -> bool:
    """Return whether the folder that we stand in has been removed."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def open_closed() -> None:
    """Open the null device wherever standard input, output or error is closed.

    Else the next file to be opened would get the number of a standard stream, and what is printed would go
    into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _closed.add(number)
            opened = os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)  # a child process is to find it open, too
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            made = open(  # noqa: SIM115
                number, mode, encoding="utf-8", errors="backslashreplace", closefd=False
            )
            setattr(sys, name, made)
            setattr(sys, f"__{name}__", made)


class _Binary:
    """Write bytes to the stream beneath, and keep the first error of it."""

    def __init__(self, outer: _Output) -> None:
        self._outer = outer

    def write(self, data: bytes) -> int:
        try:
            return int(self._outer.inner.buffer.write(data))
        except OSError as error:
            self._outer.failed = self._outer.failed or error
            raise

    def flush(self) -> None:
        self._outer.flush()


class _Output:
    """Pass everything on to a text stream, and keep the first error of writing to it.

    An error may be swallowed on its way up (argparse does so), and a stream without a buffer forgets it.
    """

    def __init__(self, inner: TextIO) -> None:
        self.inner = inner
        self.failed: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def write(self, text: str) -> int:
        self.pass_on(visible(text))
        return len(text)

    def pass_on(self, text: str) -> int:
        """Write text as it is, in the encoding of the stream; what that lacks is spelt out."""
        try:
            try:
                return self.inner.write(text)
            except UnicodeEncodeError:
                encoding = getattr(self.inner, "encoding", None) or "ascii"
                return self.inner.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except OSError as error:
            self.failed = self.failed or error
            raise

    @property
    def binary(self) -> IO[bytes]:
        """Return the same stream for bytes.

        Raises
        ------
        InputError
            If it was closed as we began: what is written would go nowhere.
        """
        if 1 in _closed:
            raise InputError("standard output is closed; write into a file")
        return cast("IO[bytes]", _Binary(self))

    @property
    def raw(self) -> TextIO:
        """Return the same stream for what moves the cursor on purpose."""
        return cast(TextIO, _Raw(self))

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self.inner.flush()
        except OSError as error:
            self.failed = self.failed or error
            raise

    def close(self) -> None:
        """Leave the stream open: a candidate that closes it must not silence the verdict."""

    def let_go(self) -> None:
        """Send what is left to the null device: Python flushes once more at the end, and would complain."""
        with contextlib.suppress(OSError, io.UnsupportedOperation):
            number = self.inner.fileno()
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, number)
            os.close(null)


class _Raw:
    """Pass on everything as it is, through a stream that keeps the errors of writing to it."""

    def __init__(self, output: _Output) -> None:
        self._output = output

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output, name)

    def write(self, text: str) -> int:
        return self._output.pass_on(text)


class _Errors(_Output):
    """Pass on what can be written, and carry on without the rest: nothing is left to say it on."""

    def pass_on(self, text: str) -> int:
        with contextlib.suppress(OSError):
            super().pass_on(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            super().flush()
