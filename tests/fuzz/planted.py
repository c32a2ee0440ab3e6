"""Targets that break each promise once, so that what watches them is seen to notice."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st

from mrsim.errors import InputError
from tests.fuzz.batch import serve


def _loop(drawn: int) -> None:
    while drawn % 7 == 3:
        pass


def _lines(drawn: int) -> None:
    raise InputError("one\ntwo" if drawn % 7 == 3 else "one")


def _prints(drawn: int) -> None:
    if drawn % 7 == 3:
        print("here")


def _takes(drawn: int, kept: list[bytes] = []) -> None:  # noqa: B006 - kept on purpose
    if drawn % 7 == 3:
        kept.append(b"x" * (300 << 20))


DOES = {
    "traceback": lambda drawn: 1 // (drawn % 7 - 3),
    "lines": _lines,
    "warning": lambda drawn: drawn % 7 == 3 and warnings.warn("beware", stacklevel=1),
    "prints": _prints,
    "loops": _loop,
    "takes": _takes,
    "ends": lambda drawn: drawn % 7 == 3 and os._exit(0),
    "keeps": lambda drawn: None,
}


def _target(name: str) -> Any:
    def read(_: Path, drawn: int) -> None:
        DOES[name](drawn)

    return SimpleNamespace(strategy=st.integers(0, 10**6), read=read)


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1:], {name: lambda name=name: _target(name) for name in DOES}))
