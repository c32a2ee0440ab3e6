"""What an item of training data holds: every key, its shape, its dtype and its meaning, in one place.

Only the keys that are asked for are made: a network that sees view-shared images needs no k-space. A window
of T consecutive frames has an axis of T in front of every shape.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, NamedTuple

from mrsim.errors import DatasetError


class Key(NamedTuple):
    """Say what stands under a key of an item."""

    shape: tuple[str, ...]
    dtype: str
    about: str


KEYS = {
    "kspace": Key(("coils", "ny", "nx"), "complex64", "lines of the frame, zero elsewhere; k = 0 at n // 2"),
    "mask": Key(("ny",), "bool", "rows that the frame sampled"),
    "image": Key(("coils", "ny", "nx"), "complex64", "zero-filled image of each coil"),
    "shared": Key(
        ("coils", "ny", "nx"), "complex64", "view-shared image of each coil: the newest line of every row"
    ),
    "age_s": Key(
        ("ny",), "float32", "age in seconds of the line that `shared` has in each row, at the frame's "
        "last echo; 1e6 where none has come yet",
    ),
    "lines": Key(("lines", "coils", "nx"), "complex64", "lines of the frame in the order of their echoes"),
    "ky": Key(("lines",), "int64", "row of each line, -(ny // 2) to ny - ny // 2 - 1"),
    "t_ns": Key(("lines",), "int64", "echo time of each line from the start of the scan, nanoseconds"),
    "target": Key(("ny", "nx"), "complex64", "true image at `target_t_ns`, without noise"),
    "target_mask": Key(("ny", "nx"), "bool", "pixels of the tracked region at that instant"),
    "target_m": Key(("2",), "float64", "centre (x, y) of the tracked region at that instant, metres"),
    "target_t_ns": Key((), "int64", "echo of the frame's last line from the start of the scan, nanoseconds"),
    "item": Key((), "int64", "number of the scan"),
    "frame": Key((), "int64", "number of the frame in it"),
}  # fmt: skip
"""Every key of an item."""

USUAL = ("kspace", "mask", "target", "target_mask", "item", "frame")
"""The keys of an item where none are asked for."""


class Item(dict[str, Any]):
    """Hold one item, or a batch of them, by key; see `KEYS`.

    Raises
    ------
    DatasetError
        If a key is read that was not asked for, or that there is none of.
    """

    def __missing__(self, key: object) -> Any:
        here = ", ".join(map(str, self))
        if key in KEYS:
            raise DatasetError(
                f"an item of this dataset has no {key!r}: add it to keys when you make the FrameDataset; "
                f"here are {here}"
            )
        raise DatasetError(f"an item has no key {key!r}{_meant(key, list(self))}; here are {here}")


def check_keys(keys: Sequence[str], where: str) -> tuple[str, ...]:
    """Return the keys of an item that are asked for.

    Parameters
    ----------
    keys
        Names out of `KEYS`.
    where
        What asks for them, for errors.

    Raises
    ------
    DatasetError
        If there are none, one is unknown, or one comes twice.
    """
    asked = (keys,) if isinstance(keys, str) else tuple(keys)
    if not asked:
        raise DatasetError(f"{where}: keys is empty: choose some of {', '.join(KEYS)}")
    for key in asked:
        if key not in KEYS:
            raise DatasetError(
                f"{where}: keys: {key!r} is unknown{_meant(key, list(KEYS))}; there are {', '.join(KEYS)}"
            )
    if len(set(asked)) < len(asked):
        raise DatasetError(f"{where}: keys: {', '.join(asked)}: one comes twice")
    return asked


def _meant(key: object, known: list[str]) -> str:
    near = difflib.get_close_matches(str(key), known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""
