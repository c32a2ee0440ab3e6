"""Output to a terminal: tables and progress, with rich if it is installed, else as plain text."""

from __future__ import annotations

import importlib
import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from mrsim.printable import visible

EVERY_S = 10.0
"""How often it is said how much is done where standard error is no terminal."""
_LOG = logging.getLogger(__name__)


class Report(Protocol):
    """Report how much is done, of how much, and what is being done."""

    def __call__(self, done: int, total: int, now: str = ...) -> None:
        """Report progress.

        Parameters
        ----------
        done
            Amount that is done.
        total
            Amount of all.
        now
            What is being done.
        """


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; its first column is aligned to the left, the others to the right.

    Parameters
    ----------
    title
        One line above it.
    columns
        Headings.
    rows
        Cells, one for each heading in every row.
    """
    rich = _rich("rich.table") if sys.stdout.isatty() else None
    if rich is None:
        print(plain_table(title, columns, rows))
        return
    table = rich.Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(visible(cell) for cell in row))
    _rich("rich.console").Console(file=_raw(sys.stdout)).print(table, markup=False)


def print_apart(texts: Iterable[str]) -> None:
    """Print some texts of several lines on standard error, each once, after what was printed before.

    Parameters
    ----------
    texts
        Tracebacks, which standard output is kept free of.
    """
    sys.stdout.flush()
    for text in dict.fromkeys(texts):
        print(text, file=sys.stderr, flush=True)


def figure(value: float | None, digits: int) -> str:
    """Return a number as text, or a dash for None.

    Parameters
    ----------
    value
        The number.
    digits
        Number of decimals.
    """
    return "-" if value is None else f"{value:.{digits}f}"


def significant(value: float | None, digits: int = 2) -> str:
    """Return a number with significant digits, or a dash for None.

    Parameters
    ----------
    value
        The number.
    digits
        Number of significant digits.
    """
    return "-" if value is None else f"{value:.{digits}g}"


def plain_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as plain text.

    Parameters
    ----------
    title
        One line above it.
    columns
        Headings.
    rows
        Cells, one for each heading in every row.
    """
    widths = [max(len(str(cell)) for cell in column) for column in zip(columns, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([title, line(columns), rule, *(line(row) for row in rows)])


@contextmanager
def progress(what: str) -> Iterator[Report]:
    """Show progress on standard error: a bar on a terminal, else a line every ten seconds.

    Parameters
    ----------
    what
        What is being done.

    Yields
    ------
    report
        Call it with the amount done and the total.
    """
    said = ""
    with _shown(what) as show:

        def report(done: int, total: int, now: str = what) -> None:
            nonlocal said
            show(done, total, now)
            stage = now.partition(":")[0]  # what follows may be figures, which are others each time
            if stage != said or done >= total:
                said = stage
                _LOG.info("%s: %d of %d", now, done, total)

        yield report


@contextmanager
def _shown(what: str) -> Iterator[Report]:
    if not sys.stderr.isatty():
        yield _lines()
        return
    rich = _rich("rich.progress")
    if rich is None:
        yield _one_line()
        return
    console = _rich("rich.console").Console(file=_raw(sys.stderr))
    with rich.Progress(console=console, transient=True, speed_estimate_period=600) as bar:
        task = bar.add_task(what, total=None)

        def report(done: int, total: int, now: str = what) -> None:
            bar.update(task, completed=done, total=total, description=now)

        yield report


def _one_line() -> Report:
    width = 0

    def report(done: int, total: int, now: str = "") -> None:
        nonlocal width
        end, text = "\n" if done >= total else "", f"{now}: {done} of {total}"
        width = max(width, len(text))  # what is longer must not show through
        print(f"\r{text:{width}}", end=end, file=sys.stderr, flush=True)

    return report


def _lines() -> Report:
    began = last = time.monotonic()

    def report(done: int, total: int, now: str = "") -> None:
        nonlocal last
        at = time.monotonic()
        if at - last >= EVERY_S and done < total:  # of what is done the command itself tells
            last = at
            print(f"{now}: {done} of {total} after {at - began:.0f} s", file=sys.stderr, flush=True)

    return report


def _raw(stream: TextIO) -> TextIO:
    # A command's own streams spell out what moves the cursor; here it is meant.
    raw: TextIO = getattr(stream, "raw", stream)
    return raw


def _rich(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        return None
