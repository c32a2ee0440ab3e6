"""What the numbers of a scan may be: lines in the order of their echoes, positions on this planet.

A number that is none, or far too large, would go through the judge's arithmetic unseen and come out as a
verdict. So it is refused where the scan is read, by its file and line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import StreamError

MAX_TIME_NS = 10**17
"""Three years from the start of the scan."""
MAX_POSITION_M = 1e3
MAX_SAMPLE = 1e15
"""Of a sample's real and imaginary part; its square is still a float32, and so is an image's."""
MAX_NAME = 200
_PIECE = 1 << 18
_REPAIR = "repair the stream, or scan it again"


class LineOrder:
    """Check frames and echo times of a scan as they come, a piece at a time.

    Parameters
    ----------
    where
        The scan, as an error names it: a folder, or "stream".
    lines_per_frame
        Lines of a frame.
    stored
        Whether frames are numbered from 0, as in a folder; else they may begin anywhere, but never go back.
    """

    def __init__(self, where: str, lines_per_frame: int, *, stored: bool) -> None:
        self._where, self._per_frame, self._stored = where, lines_per_frame, stored
        self._line, self._newest_ns, self._newest = 0, -1, 0

    def check(self, frame: NDArray[np.int32], t_ns: NDArray[np.int64]) -> None:
        """Check the next lines.

        Parameters
        ----------
        frame
            Frame of each, shape (lines,).
        t_ns
            Echo time of each, shape (lines,), nanoseconds.

        Raises
        ------
        StreamError
            If a frame is not the line's, or a time does not ascend or is out of range.
        """
        for start in range(0, len(frame), _PIECE):
            self._check(frame[start : start + _PIECE], t_ns[start : start + _PIECE])

    def _check(self, frame: NDArray[np.int32], t_ns: NDArray[np.int64]) -> None:
        found = np.asarray(frame)
        expected = (self._line + np.arange(len(found))) // self._per_frame
        if not self._stored:
            expected = np.concatenate([[self._newest], found[:-1]])
        wrong = (found != expected) if self._stored else (found < expected)
        if wrong.any():
            at = int(np.argmax(wrong))
            least = "" if self._stored else "or above, "
            raise StreamError(
                f"{self._where}: {self._named('frame', at)}: it says frame {int(found[at])}: expected "
                f"{int(expected[at])}, {least}as a frame has {self._per_frame} lines; {_REPAIR}"
            )
        before = np.concatenate([[self._newest_ns], t_ns[:-1]])
        # Compared, not subtracted: a difference of two such numbers may not fit.
        wrong = (np.asarray(t_ns) <= before) | (np.asarray(t_ns) > MAX_TIME_NS)
        if wrong.any():
            at = int(np.argmax(wrong))
            told = f"at {int(t_ns[at])} ns: expected after {int(before[at])} ns, and at most {MAX_TIME_NS}"
            raise StreamError(f"{self._where}: {self._named('t_ns', at)}: its echo is {told}; {_REPAIR}")
        self._line, self._newest_ns = self._line + len(frame), int(t_ns[-1])
        self._newest = int(found[-1])

    def _named(self, column: str, at: int) -> str:
        line = self._line + at
        return f"{column}: {_line(line, self._per_frame)}"


def check_positions(
    where: str, lines_per_frame: int, arrays: Mapping[str, NDArray[np.float64]], first: int = 0
) -> None:
    """Refuse true positions that are no numbers, or farther away than a kilometre.

    Parameters
    ----------
    where
        The scan, as an error names it.
    lines_per_frame
        Lines of a frame.
    arrays
        By name, shape (lines, ...), metres.
    first
        Number of their first line.

    Raises
    ------
    StreamError
        If one is NaN, infinite or too large.
    """
    for name, array in arrays.items():
        for start in range(0, len(array), _PIECE):
            piece = array[start : start + _PIECE]
            wrong = ~(np.abs(piece) <= MAX_POSITION_M).reshape(len(piece), -1).all(axis=1)
            if wrong.any():
                at = int(np.argmax(wrong))
                value = piece[at][~(np.abs(piece[at]) <= MAX_POSITION_M)][0]
                raise StreamError(
                    f"{where}: {name}: {_line(first + start + at, lines_per_frame)}: {value:g} m: expected "
                    f"{-MAX_POSITION_M:g} to {MAX_POSITION_M:g}; {_REPAIR}"
                )


def first_odd(values: NDArray[np.complex64], step: int) -> tuple[int, str] | None:
    """Return the first row with a number that is none or too large, and what is wrong; None for no such row.

    Parameters
    ----------
    values
        Samples or pixels, shape (rows, ...).
    step
        Rows that are looked at together, so that a mapped file is read piece by piece.
    """
    for start in range(0, len(values), step):
        piece = values[start : start + step].reshape(len(values[start : start + step]), -1)
        sound = (np.abs(piece.real) <= MAX_SAMPLE) & (np.abs(piece.imag) <= MAX_SAMPLE)
        if not sound.all():
            row = int(np.argmin(sound.all(axis=1)))
            wrong = piece[row][~sound[row]]
            large = np.isfinite(wrong).all()
            return start + row, f"above {MAX_SAMPLE:g}: scale the scan" if large else f"not finite; {_REPAIR}"
    return None


def check_name(name: Any, where: str, *, least: int = 1) -> None:
    """Refuse a name that no terminal and no page could show.

    Raises
    ------
    StreamError
        If it is no text of printable characters, at least so many and at most 200.
    """
    if not isinstance(name, str) or not least <= len(name) <= MAX_NAME or not name.isprintable():
        shown = str(name)[:80].encode("unicode_escape").decode("ascii")
        raise StreamError(f"{where} = '{shown}': expected {least} to {MAX_NAME} printable characters")


def _line(line: int, lines_per_frame: int) -> str:
    return f"k-space line {line} (frame {line // lines_per_frame})"
