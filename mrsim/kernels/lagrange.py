"""Interpolation in a table of complex values: Lagrange's polynomial through eight neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrsim.kernels.compilation import inlined

Array = NDArray[np.float64]


@inlined
def interpolated(re: Array, im: Array, below: int, t: float) -> tuple[float, float]:
    """Return Lagrange's polynomial through the nodes -3 to 4 about `below`, at t in [0, 1)."""
    a, b, c, d = t + 3.0, t + 2.0, t + 1.0, t
    e, f, g, h = t - 1.0, t - 2.0, t - 3.0, t - 4.0
    ab, cd, ef, gh = a * b, c * d, e * f, g * h
    abcd, efgh = ab * cd, ef * gh
    w0 = b * cd * efgh * (-1.0 / 5040.0)
    w1 = a * cd * efgh * (1.0 / 720.0)
    w2 = ab * d * efgh * (-1.0 / 240.0)
    w3 = ab * c * efgh * (1.0 / 144.0)
    w4 = abcd * f * gh * (-1.0 / 144.0)
    w5 = abcd * e * gh * (1.0 / 240.0)
    w6 = abcd * ef * h * (-1.0 / 720.0)
    w7 = abcd * ef * g * (1.0 / 5040.0)
    i = below - 3
    real = w0 * re[i] + w1 * re[i + 1] + w2 * re[i + 2] + w3 * re[i + 3]
    real += w4 * re[i + 4] + w5 * re[i + 5] + w6 * re[i + 6] + w7 * re[i + 7]
    imag = w0 * im[i] + w1 * im[i + 1] + w2 * im[i + 2] + w3 * im[i + 3]
    imag += w4 * im[i + 4] + w5 * im[i + 5] + w6 * im[i + 6] + w7 * im[i + 7]
    return real, imag
