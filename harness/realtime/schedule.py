"""The schedule: when each line is due, which lines complete an image, and which frames may be dropped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import InputError
from mrsim.stream import Stream

MAX_WAITING = 1 << 20
MAX_WARMUP = 8
"""Greatest default number of first images that are reported separately."""


@dataclass(frozen=True)
class Schedule:
    """Fix before the run when each line is due and which lines complete an image.

    Parameters
    ----------
    offset_ns
        When each line is due, from the start of the scan, shape (lines,), int64, nanoseconds.
    completing
        Line that completes each expected image, shape (images,), int64.
    deadline_ns
        Time from an image's last line being due to the image, at most: the cadence of the images,
        nanoseconds.
    """

    offset_ns: NDArray[np.int64]
    completing: NDArray[np.int64]
    deadline_ns: int

    @classmethod
    def of(cls, stream: Stream) -> Schedule:
        """Return the scanner's own schedule: a line each TR, an image for each whole frame.

        Parameters
        ----------
        stream
            The scan.

        Raises
        ------
        InputError
            If the stream has no whole frame, or lines that do not follow each other at TR.
        """
        header = stream.header
        if not stream.frames:
            raise InputError(
                f"{stream.path or 'stream'}: {len(stream)} lines, a frame has {header.lines_per_frame}"
            )
        offset_ns = np.arange(1, len(stream) + 1, dtype=np.int64) * header.tr_ns
        expected_ns = offset_ns - header.tr_ns + header.te_ns
        off = np.flatnonzero(np.asarray(stream.t_ns) != expected_ns)
        if len(off):
            line = int(off[0])
            raise InputError(
                f"{stream.path or 'stream'}: the echo of k-space line {line} is at {int(stream.t_ns[line])} "
                f"ns: expected {int(expected_ns[line])}, line times TR and TE; mend t_ns, or the header's TR "
                "and TE"
            )
        completing = np.arange(1, stream.frames + 1, dtype=np.int64) * header.lines_per_frame - 1
        return cls(offset_ns, completing, header.frame_ns)


@dataclass(frozen=True, slots=True)
class Policy:
    """State which frames to drop when a candidate falls behind.

    Frames are dropped whole and before their first line is handed out, the oldest first, since the newest
    anatomy matters most. A frame that was begun is finished. A dropped frame is a miss.

    Parameters
    ----------
    waiting
        Greatest number of whole frames that may wait, not yet begun; None for no limit.
    """

    waiting: int | None = None

    @classmethod
    def parse(cls, text: str) -> Policy:
        """Read `keep-all`, `latest` (one frame waits) or `bounded:N`.

        Parameters
        ----------
        text
            The policy's name.

        Raises
        ------
        InputError
            If it is none of these.
        """
        kind, _, count = text.partition(":")
        if kind == "bounded" and count.isascii() and count.isdigit() and len(count) < 9:
            if 1 <= int(count) <= MAX_WAITING:
                return cls(int(count))
        elif text in ("keep-all", "latest"):
            return cls(None if text == "keep-all" else 1)
        raise InputError(
            f"policy {text[:80]!r}: expected keep-all, latest or bounded:N with N from 1 to {MAX_WAITING}"
        )

    def __str__(self) -> str:
        if self.waiting is None:
            return "keep-all"
        return "latest" if self.waiting == 1 else f"bounded:{self.waiting}"
