"""One seed, and an independent child of it for everything that is random."""

from __future__ import annotations

import hashlib
import secrets

import numpy as np

from mrsim.errors import InputError

SEED_BITS = 128
MAX_SEED = (1 << SEED_BITS) - 1


def check_seed(seed: int) -> int:
    """Return the seed if it is a whole number from 0 to 2^128 - 1.

    Raises
    ------
    InputError
        If it is anything else.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed <= MAX_SEED:
        raise InputError(f"seed = {seed!r}: expected a whole number from 0 to {MAX_SEED}")
    return int(seed)


def fresh_seed() -> int:
    """Return a seed that nobody can guess: 128 bits of the system's randomness."""
    return secrets.randbits(SEED_BITS)


def child(seed: int, *path: str | int) -> np.random.SeedSequence:
    """Return the seed of one use, such as `child(7, "sampling", frame)`.

    It depends on the seed and the path alone, so that no use disturbs another one's numbers.
    """
    key = tuple(
        p if isinstance(p, int) else int.from_bytes(hashlib.sha256(p.encode()).digest()[:4], "little")
        for p in path
    )
    return np.random.SeedSequence(entropy=seed, spawn_key=key)
