"""The target instant: an image shows its frame's centre, its last line, or some time ahead of that."""

from __future__ import annotations

import re

from mrsim.errors import TrainingError
from mrsim.stream import Header

MAX_AHEAD_MS = 2_000
_FORM = re.compile(r"last\+(\d{1,4}(?:\.\d{1,6})?)")


def offset_ns(target_instant: str, header: Header) -> int:
    """Return the target instant relative to the echo of a frame's last line, nanoseconds.

    Parameters
    ----------
    target_instant
        `last`, the echo of the last line; `centre`, halfway between a frame's first and last echo, as in
        Dietz 2019; or `last+MS`, ahead of it by the delay of the machine that acts on the image,
        milliseconds.
    header
        The protocol.

    Raises
    ------
    TrainingError
        If the target instant is none of these.
    """
    if target_instant == "last":
        return 0
    if target_instant == "centre":
        return -((header.lines_seen - 1) * header.tr_ns) // 2
    found = _FORM.fullmatch(target_instant)
    if found is None or float(found[1]) > MAX_AHEAD_MS:
        raise TrainingError(
            f"target instant {target_instant!r}: expected last, centre or last+MS, up to {MAX_AHEAD_MS} ms"
        )
    return round(float(found[1]) * 1e6)
