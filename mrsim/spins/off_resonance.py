"""Off-resonance: of the place, which may breathe, and the spread within a voxel that makes T2*."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import ProtocolError
from mrsim.spins.isochromats import FIELD_TERMS

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FieldMap:
    """Describe off-resonance as polynomials of the place, one that stands and one that breathes.

    Parameters
    ----------
    static_hz
        Coefficients of (1, x, y, x^2, xy, y^2), x and y in metres: hertz, Hz/m and Hz/m^2.
    breathing_hz_per_m
        The same for each metre of the target's motion, so that bands move with the breath.

    Raises
    ------
    ProtocolError
        If there are not six finite coefficients.
    """

    static_hz: tuple[float, ...] = (0.0,) * FIELD_TERMS
    breathing_hz_per_m: tuple[float, ...] = (0.0,) * FIELD_TERMS

    def __post_init__(self) -> None:
        for key in ("static_hz", "breathing_hz_per_m"):
            values = getattr(self, key)
            if len(values) != FIELD_TERMS or not all(abs(v) < 1e300 for v in values):
                raise ProtocolError(f"field: {key} = {values!r}: expected {FIELD_TERMS} finite coefficients")

    def at(self, motion_m: Array) -> Array:
        """Return the coefficients for each value of the motion, shape (n, 6), hertz."""
        breathing = np.multiply.outer(np.asarray(motion_m, np.float64), self.breathing_hz_per_m)
        return np.asarray(np.array(self.static_hz) + breathing, np.float64)


def lorentz_offsets(t2_prime_s: float, count: int) -> Array:
    """Return the middle quantiles of the spread that gives exp(-t / T2'): a Lorentzian, hertz.

    A few of them end before the next band of the sequence: with all of the tails no echo would be whole.

    Parameters
    ----------
    t2_prime_s
        T2', seconds: 1/T2* = 1/T2 + 1/T2'.
    count
        How many.

    Returns
    -------
    offsets
        Symmetric and ascending, shape (count,), hertz.
    """
    at = (np.arange(count) + 0.5) / count - 0.5
    return np.asarray(np.tan(math.pi * at) / (2 * math.pi * t2_prime_s), np.float64)
