"""What libraries read from the environment as they load: they answer nonsense at length, so we look first."""

from __future__ import annotations

import os

from mrsim.errors import InputError

THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
MAX_THREADS = 4096
UNCOMPILED = "NUMBA_DISABLE_JIT"
NUMBERS = ("DEBUG", "ENABLE_AVX", "BOUNDSCHECK", "WARNINGS", "DEVELOPER_MODE", "FULL_TRACEBACKS")
"""Of `NUMBA_...`: whole numbers, over which it warns with a traceback where they are none."""
WORDS = {
    "NUMBA_OPT": ("0", "1", "2", "3", "max"),
    "NUMBA_THREADING_LAYER": ("default", "tbb", "omp", "workqueue", "safe", "threadsafe", "forksafe"),
}


def check_environment() -> None:
    """Refuse a number of threads that is none, and what numba would answer with a traceback.

    Raises
    ------
    InputError
        If a variable of `THREADS` is no whole number from 1, or for OpenMP a list of them; or one of numba's
        is not what it must be, or tells it to compile nothing.
    """
    for name in THREADS:
        value = os.environ.get(name, "").strip()
        numbers = value.split(",") if name == "OMP_NUM_THREADS" else [value]
        if value and not all(_is_count(one.strip()) for one in numbers):
            raise _wrong(name, f"expected a whole number from 1 to {MAX_THREADS}; set it anew, or not at all")
    if os.environ.get(UNCOMPILED, "") not in ("", "0"):
        raise _wrong(UNCOMPILED, "our kernels are computed by machine code alone; take it away")
    for name in (f"NUMBA_{end}" for end in NUMBERS):
        value = os.environ.get(name, "")
        if value and not value.strip().lstrip("+-").isdecimal():
            raise _wrong(name, "expected a whole number; set it anew, or not at all")
    for name, words in WORDS.items():
        if os.environ.get(name, "") not in ("", *words):
            raise _wrong(name, f"expected one of {', '.join(words)}; set it anew, or not at all")


def _wrong(name: str, told: str) -> InputError:
    return InputError(f"{name}={os.environ[name].strip()[:40]}: {told}")


def _is_count(text: str) -> bool:
    return text.isdecimal() and 0 < int(text[:9]) <= MAX_THREADS
