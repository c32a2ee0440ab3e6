"""What libraries read from the environment as they load: they answer nonsense at length, so we look first."""

from __future__ import annotations

import os

from mrsim.errors import InputError

THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
MAX_THREADS = 4096


def check_environment() -> None:
    """Refuse a number of threads that is none.

    Raises
    ------
    InputError
        If a variable of `THREADS` is no whole number from 1, or for OpenMP a list of them.
    """
    for name in THREADS:
        value = os.environ.get(name, "").strip()
        numbers = value.split(",") if name == "OMP_NUM_THREADS" else [value]
        if value and not all(_is_count(one.strip()) for one in numbers):
            told = f"expected a whole number from 1 to {MAX_THREADS}; set it anew, or not at all"
            raise InputError(f"{name}={value[:40]}: {told}")


def _is_count(text: str) -> bool:
    return text.isdecimal() and 0 < int(text[:9]) <= MAX_THREADS
