"""Errors that a user can act on.

    MrsimError
      +-- InputError            a file, key, string or array from outside is wrong
      |     +-- OptionError     an option of a call, as the keyword or as it was typed
      |     +-- FileError       a file cannot be read, written or put where it was asked for
      |     +-- PhantomError    a phantom, its motion or its tissues
      |     +-- ProtocolError   a scan's protocol, coils or sampling
      |     +-- StreamError     a stored or given scan
      |     +-- FormatError     a file or message of other software (MRD, fastMRI, Pulseq)
      |     +-- WeightsError    weights of a network, or its configuration
      |     +-- TrainingError   what is to be trained, or on what
      |     +-- CandidateError  a reconstructor cannot be built, or does not take the scan
      |     +-- DatasetError    a dataset's specification or folder
      +-- HostError             this machine, its workers or a cluster cannot do the work
      +-- MissingExtraError     an optional library is not installed

Anything else that escapes is a defect of ours. The command line turns an `MrsimError` into one line
and exit code 2.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping


class MrsimError(Exception):
    """Stand at the root of all errors that name what is wrong, where, and what to do."""

    @property
    def note(self) -> str | None:
        """Return what stands beside its one line, such as a candidate's traceback; None for nothing."""
        return "\n".join(getattr(self, "__notes__", ())) or None


class Option:
    """Name an option within a message: a keyword in Python, and what is typed on the command line.

    Parameters
    ----------
    name
        The keyword, such as "quality".
    value
        Its value, if that is to be told: `quality = False` is `--no-quality` there.
    """

    def __init__(self, name: str, value: object = ...) -> None:
        self.name, self.value = name, value

    def __str__(self) -> str:
        return self.name if self.value is ... else f"{self.name} = {self.value!r}"

    def typed(self, spelling: Mapping[str, str]) -> str:
        """Return it as it is typed on the command line.

        Parameters
        ----------
        spelling
            Options that are not spelt as their keyword, by keyword.
        """
        option = spelling.get(self.name, "--" + self.name.replace("_", "-"))
        if self.value is False:
            return option.replace("--", "--no-", 1)
        return option if self.value is ... or self.value is True else f"{option} {self.value}"


class InputError(MrsimError, ValueError):
    """Reject input from outside: a file, a key, an option, a candidate's string, an array's shape.

    Parameters
    ----------
    message
        What is wrong, where, and what to do.
    pieces
        What is put in for each `{}` of the message, if anything is; an `Option` among them reads as the
        caller wrote it.
    """

    def __init__(self, message: str = "", *pieces: object) -> None:
        super().__init__(message, *pieces)

    def __str__(self) -> str:
        message, *pieces = self.args
        return str(message).format(*pieces) if pieces else str(message)

    def typed(self, spelling: Mapping[str, str]) -> str:
        """Return the message with every option as it is typed on the command line."""
        message, *pieces = self.args
        if not pieces:
            return str(message)
        return str(message).format(*(p.typed(spelling) if isinstance(p, Option) else p for p in pieces))


class FileError(InputError):
    """Reject a file that cannot be read, written or put where it was asked for."""


class PhantomError(InputError):
    """Reject a phantom, its motion or its tissues."""


class ProtocolError(InputError):
    """Reject a scan's protocol, coils or sampling."""


class StreamError(InputError):
    """Reject a stored or given scan."""


class FormatError(InputError):
    """Reject a file or a message of other software."""


class WeightsError(InputError):
    """Reject weights of a network, or its configuration."""


class TrainingError(InputError):
    """Reject what is to be trained, or what it is to be trained on."""


class CandidateError(InputError):
    """Reject a reconstructor that cannot be built or does not take the scan."""


class DatasetError(InputError):
    """Reject a dataset's specification or folder."""


class HostError(MrsimError, RuntimeError):
    """Say that this machine, its workers or a cluster cannot do the work."""


@contextlib.contextmanager
def files_raise(kind: type[InputError]) -> Iterator[None]:
    """Turn an error of a file into one of what the file was to hold.

    Parameters
    ----------
    kind
        Raised in place of a `FileError`, with the same message.
    """
    try:
        yield
    except FileError as error:
        raise kind(str(error)) from None


class OptionError(InputError):
    """Reject an option of a call, or several that do not go together."""


class MissingExtraError(MrsimError, ImportError):
    """Name the extra that a feature needs.

    Parameters
    ----------
    library
        The import name that was not found.
    extra
        The extra of this package that brings it.
    purpose
        What it is needed for, as the end of "... is needed for".
    """

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(f"{library} is needed for {purpose}: pip install 'mrsim[{extra}]'")
        self._given = library, extra, purpose

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str]]:
        # It comes back from a worker as it was raised there.
        return type(self), self._given
