"""What a candidate raised: the exception in one line, and the lines of its own code that led there.

An exception of a stranger may do anything while it is looked at, and may hold anything. So everything that is
taken of one is bounded, made printable, and given up where it cannot be read. Calls of the bench are left
out: nobody who wrote a candidate can mend them.
"""

from __future__ import annotations

import dis
import linecache
import os
import re
import sysconfig
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, cast

from mrsim.errors import MrsimError
from mrsim.files.reading import read_bytes

MAX_PLACES, FIRST_PLACES = 12, 4
"""Calls that are kept of one exception, and how many of these are the outermost."""
MAX_TEXT = 4096
MAX_CHAIN = 6
"""Exceptions that are told of a chain of causes."""
MAX_SOURCE = 4 << 20
HEADING = "traceback of the candidate's own code, the newest call last:"
_RAISE = dis.opmap["RAISE_VARARGS"]
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
_OURS = tuple(os.path.join(_ROOT, package, "") for package in ("harness", "mrsim", "recon"))
_BENCH = _OURS[:1]
_DUMPED = re.compile(r'^  File "([^"\n]*)", line (\d{1,9}) in (.*)$', re.MULTILINE)
_LIBRARIES = tuple(
    os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib", "purelib", "platlib")
)


@dataclass(frozen=True, slots=True)
class Place:
    """Name a line of code.

    Parameters
    ----------
    file
        Path of the file.
    line
        Number of the line in it, from 1; 0 where it is not known.
    function
        Name of the function that it belongs to.
    code
        What the line says; empty where it cannot be read.
    """

    file: str
    line: int
    function: str
    code: str

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"


@dataclass(frozen=True, slots=True)
class Traceback:
    """Hold the calls of a candidate's code that led to an exception.

    Parameters
    ----------
    places
        The calls, the newest last: at most 12, of which the first four are the outermost.
    text
        The same with the exception and its causes, as Python prints it; at most 4096 characters.
    """

    places: tuple[Place, ...]
    text: str

    @property
    def at(self) -> Place:
        """Return the newest place that is no library's, or the newest of all."""
        own = [p for p in self.places if not p.file.startswith((*_LIBRARIES, "<"))]
        return (own or self.places)[-1]

    @classmethod
    def from_json(cls, value: Any) -> Traceback | None:
        """Return what `traceback_json` gave, from a process that may send anything; None if it is not that.

        Parameters
        ----------
        value
            JSON values.
        """
        try:
            places = tuple(
                Place(
                    _printable(str(p["file"]), 240, from_end=True),
                    int(p["line"]),
                    _printable(str(p["function"]), 80),
                    _printable(str(p["code"]), 160),
                )
                for p in value["traceback"][:MAX_PLACES]
            )
            return cls(places, printable_lines(str(value["traceback_text"]))) if places else None
        except (LookupError, TypeError, ValueError, OverflowError, RecursionError):
            return None

    @classmethod
    def from_dump(cls, dump: str, said: str) -> Traceback | None:
        """Return what Python's fault handler wrote of a thread as its process died or was asked.

        Parameters
        ----------
        dump
            What it wrote: calls, the newest first.
        said
            What became of the process, in one line.
        """
        calls = [(f, int(n), name) for f, n, name in _DUMPED.findall(dump[: 1 << 16])][::-1]
        ours = [number for number, call in enumerate(calls) if call[0].startswith(_OURS)]
        inner = calls[ours[0] :] if ours else calls  # before that it is what started the process
        places = tuple(_place(f, n, _printable(name, 80)) for f, n, name in inner if not f.startswith(_OURS))
        skipped = max(0, len(places) - MAX_PLACES)
        places = places[:FIRST_PLACES] + places[FIRST_PLACES:][FIRST_PLACES - MAX_PLACES :]
        text = "\n".join([HEADING, *_section(places, skipped, said)])
        return cls(places, text[:MAX_TEXT]) if places else None


def traceback_json(found: Traceback | None) -> dict[str, Any]:
    """Return the two keys that JSON has of it, whether there is one or not.

    Parameters
    ----------
    found
        The traceback, if there is one.

    Returns
    -------
    values
        `traceback`, a list of file, line, function and code, the newest call last; and `traceback_text`.
    """
    if found is None:
        return {"traceback": [], "traceback_text": None}
    return {"traceback": [asdict(place) for place in found.places], "traceback_text": found.text}


class RaisedElsewhere(Exception):
    """Stand for what a candidate raised in another process.

    Parameters
    ----------
    said
        The exception there, in one line.
    traceback
        Where it was raised there; None where that is not known.
    """

    def __init__(self, said: str, traceback: Traceback | None = None) -> None:
        super().__init__(said)
        self.said, self.traceback = said, traceback


def one_line(error: BaseException) -> str:
    """Return an exception's type and message without line breaks, cut to 300 characters.

    Parameters
    ----------
    error
        The exception.
    """
    if issubclass(type(error), RaisedElsewhere):  # isinstance would ask a stranger's error for its class
        return cast(RaisedElsewhere, error).said[:300]
    kind = _name_of(error)
    try:
        text = _printable(str(error), 4 * 300)
    except KeyboardInterrupt:
        raise
    except BaseException:  # a candidate's own exception may do anything
        text = "its message cannot be read"
    message = " ".join(text.split())
    return f"{kind}: {message}"[:300] if message else kind


def traceback_of(error: BaseException) -> Traceback | None:
    """Return the calls of a candidate's code that led to an exception, and to what caused it.

    Calls of the bench are left out. Where nothing is left, as for a candidate that is shipped, calls of
    reconstructors are taken.

    Parameters
    ----------
    error
        The exception, which may be any that a stranger made.

    Returns
    -------
    traceback
        None where no line of the candidate's code is known.
    """
    if issubclass(type(error), RaisedElsewhere):
        return cast(RaisedElsewhere, error).traceback
    try:
        return _walked(error, _OURS) or _walked(error, _BENCH)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return None


def is_strangers(error: BaseException) -> bool:
    """Return whether code that is not ours led to an exception.

    Parameters
    ----------
    error
        The exception.
    """
    try:
        return any(not file.startswith(_OURS) for _, file in _calls(error))
    except KeyboardInterrupt:
        raise
    except BaseException:
        return True


def is_the_users(error: BaseException) -> bool:
    """Return whether an exception is the user's Ctrl-C, and not one that a candidate raised.

    Ctrl-C comes between any two instructions; who raises does so in a `raise`. Of a kind of his own a
    candidate may make one that derives from `KeyboardInterrupt`: it is his.

    Parameters
    ----------
    error
        The exception.
    """
    if not issubclass(type(error), KeyboardInterrupt):
        return False
    try:
        last = None
        for call, file in _calls(error):
            last = call, file
        if last is None or last[1].startswith(_OURS):
            return True
        return last[0].tb_frame.f_code.co_code[last[0].tb_lasti] != _RAISE
    except KeyboardInterrupt:
        raise
    except BaseException:
        return True


def is_strangers_own(error: BaseException) -> bool:
    """Return whether an exception was raised by code that is not ours, and is not the user's Ctrl-C.

    Parameters
    ----------
    error
        The exception.
    """
    return is_strangers(error) and not is_the_users(error)


def with_note(refusal: MrsimError, error: BaseException) -> MrsimError:
    """Return an error of ours with the traceback of what a candidate raised as its note.

    Python prints a note below the message, the command line above it (`MrsimError.note`).

    Parameters
    ----------
    refusal
        The error of ours.
    error
        What the candidate raised.
    """
    found = traceback_of(error)
    if found is not None:
        refusal.add_note(found.text)
    return refusal


def _walked(error: BaseException, hidden: tuple[str, ...]) -> Traceback | None:
    """Return the traceback without the files below some folders; None if nothing is left."""
    sections: list[list[str]] = []
    places: tuple[Place, ...] = ()
    for link, one in _chain(error):
        found, skipped = _places(one, hidden)
        sections.append(_section(found, skipped, one_line(one)) + ([link] if link else []))
        places = found or places  # of the exception itself, else of its nearest cause
    if not places:
        return None
    while sum(len(line) + 1 for lines in sections for line in lines) > MAX_TEXT and len(sections) > 1:
        del sections[0]  # the farthest cause
    text = "\n".join([HEADING, *(line for lines in sections for line in lines)])
    if len(text) > MAX_TEXT:
        half = MAX_TEXT // 2 - 8
        text = f"{text[:half]}\n  ...\n{text[-half:]}"
    return Traceback(tuple(places), text)


def _chain(error: BaseException) -> list[tuple[str, BaseException]]:
    """Return an exception and its causes, the farthest first, each with what leads on to the next one."""
    chain: list[tuple[str, BaseException]] = []
    link, seen, one = "", set[int](), error
    while id(one) not in seen and len(chain) < MAX_CHAIN:
        seen.add(id(one))
        chain.append((link, one))
        if issubclass(type(one), BaseExceptionGroup):
            within = cast(BaseExceptionGroup[BaseException], one).exceptions
            for number, inner in enumerate(within[:2], 1):
                chain.append((f"which is number {number} of {len(within)} in:", inner))
        cause, context = _held(one, "__cause__"), _held(one, "__context__")
        if cause is not None:
            link, one = "which was the direct cause of:", cause
        elif context is not None and not _held(one, "__suppress_context__"):
            link, one = "and while that was handled:", context
    return chain[::-1]


def _places(error: BaseException, hidden: tuple[str, ...]) -> tuple[tuple[Place, ...], int]:
    """Return the first and the last calls of one exception, and how many between them are left out."""
    first: list[tuple[TracebackType, str]] = []
    last: deque[tuple[TracebackType, str]] = deque(maxlen=MAX_PLACES - FIRST_PLACES)
    count = 0
    for call, file in _calls(error):
        if not file.startswith((*hidden, "<frozen importlib")):
            (first if count < FIRST_PLACES else last).append((call, file))
            count += 1
    found = [_place(file, call.tb_lineno or 0, _function(call)) for call, file in (*first, *last)]
    if issubclass(type(error), SyntaxError):  # of code that did not get as far as being called
        wrong = cast(SyntaxError, error)
        if isinstance(wrong.filename, str):
            found.append(_place(wrong.filename, wrong.lineno or 0, "<module>"))
            count += 1
    found = [*found[:FIRST_PLACES], *found[FIRST_PLACES:][FIRST_PLACES - MAX_PLACES :]]
    return tuple(found), count - len(found)


def _calls(error: BaseException) -> Iterator[tuple[TracebackType, str]]:
    call = _held(error, "__traceback__")
    while call is not None:
        yield call, call.tb_frame.f_code.co_filename
        call = call.tb_next


def _held(error: BaseException, name: str) -> Any:
    """Return what every exception holds; a stranger's may have a property of that name."""
    return BaseException.__dict__[name].__get__(error)


def _function(call: TracebackType) -> str:
    return _printable(call.tb_frame.f_code.co_qualname, 80)


def _place(file: str, line: int, function: str) -> Place:
    return Place(_printable(file, 240, from_end=True), line, function, _code_at(file, line))


def _code_at(file: str, line: int) -> str:
    """Return a line of a file: as Python has it in its cache (a cell of a notebook), else from the disk."""
    try:
        known = linecache.cache.get(file)
        if known is not None and len(known) == 4:
            lines = [str(text) for text in known[2]]
        else:
            lines = [text.decode("utf-8", "replace") for text in read_bytes(file, MAX_SOURCE).splitlines()]
        return _printable(lines[line - 1].strip(), 160) if line > 0 else ""
    except (MrsimError, OSError, LookupError, ValueError):
        return ""


def _section(places: tuple[Place, ...], skipped: int, said: str) -> list[str]:
    lines = []
    for number, place in enumerate(places):
        if number == FIRST_PLACES and skipped:
            lines.append(f"  ... {skipped} calls left out")
        lines.append(f'  File "{place.file}", line {place.line}, in {place.function}')
        if place.code:
            lines.append(f"    {place.code}")
    return [*lines, said]


def printable_lines(text: str) -> str:
    """Return a text of several lines with nothing in it that a terminal would act on, cut to 4096 characters.

    Parameters
    ----------
    text
        The text.
    """
    return "\n".join(_printable(line, MAX_TEXT) for line in text[:MAX_TEXT].split("\n"))


def _name_of(error: BaseException) -> str:
    try:
        return _printable(type.__dict__["__name__"].__get__(type(error)), 80) or "an exception"
    except Exception:
        return "an exception"


def _printable(text: str, most: int, from_end: bool = False) -> str:
    """Return a text of one line, whatever kind of string it is; what is too long is cut."""
    plain = str.__getitem__(text, slice(-most, None) if from_end else slice(most))
    return "".join(c if c.isprintable() else " " for c in plain)
