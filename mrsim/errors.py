"""Errors that a user can act on.

    MrsimError
      +-- InputError          a file, key, string or array from outside is wrong
      +-- MissingExtraError   an optional library is not installed

Anything else that escapes is a defect of ours. The command line turns an `MrsimError` into one line
and exit code 2.
"""

from __future__ import annotations


class MrsimError(Exception):
    """Stand at the root of all errors that name what is wrong, where, and what to do."""


class InputError(MrsimError, ValueError):
    """Reject input from outside: a file, a key, a candidate's string, an array's shape."""


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
