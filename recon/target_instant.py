"""Which instant an image is to show: the centre of its frame, its last line, or some time ahead."""

from __future__ import annotations

import re

from mrsim.errors import InputError
from mrsim.stream import Header

MAX_AHEAD_MS = 2_000
_FORM = re.compile(r"last\+(\d{1,4}(?:\.\d{1,6})?)")


def offset_ns(instant: str, header: Header) -> int:
    """Return the shown instant relative to the echo of a frame's last line, nanoseconds.

    Parameters
    ----------
    instant
        `last`; `centre`, halfway between a frame's first and last echo, as the seed; or `last+MS`, ahead by
        so many milliseconds: the delay of whatever acts on the image.
    header
        The protocol.

    Raises
    ------
    InputError
        If it is none of these.
    """
    if instant == "last":
        return 0
    if instant == "centre":
        return -((header.lines_seen - 1) * header.tr_ns) // 2
    found = _FORM.fullmatch(instant)
    if found is None or float(found[1]) > MAX_AHEAD_MS:
        raise InputError(
            f"target instant {instant!r}: expected last, centre or last+MS with up to {MAX_AHEAD_MS} ms"
        )
    return round(float(found[1]) * 1e6)
