"""Balanced SSFP with alternating RF: the steady state in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsim.physics.tissue import Tissue


def bssfp(
    t1_s: float, t2_s: float, flip_rad: float, tr_s: float, te_s: float, off_resonance_hz: ArrayLike = 0.0
) -> NDArray[np.complex128]:
    """Compute the steady-state signal at the echo, for unit equilibrium magnetization.

    With th = 2 pi df TR + pi, E1 = exp(-TR / T1), E2 = exp(-TR / T2):
    M+ = -i (1 - E1) sin a (1 - E2 exp(-i th)) / D,
    D = (1 - E1 cos a)(1 - E2 cos th) - E2 (E1 - cos a)(E2 - cos th), and at the echo times
    exp(-TE / T2 + 2 pi i df TE). The receiver's phase is such that spins on resonance are real and
    positive. At TE = TR / 2 the spread T2' is refocused, so it does not appear.

    Parameters
    ----------
    t1_s, t2_s
        Relaxation times, seconds.
    flip_rad
        Flip angle, radians.
    tr_s, te_s
        Repetition and echo time, seconds.
    off_resonance_hz
        Off-resonance, hertz, of any shape.

    Returns
    -------
    signal
        complex128, of the shape of `off_resonance_hz`.

    References
    ----------
    Freeman and Hill 1971, 10.1016/0022-2364(71)90020-3; Scheffler and Hennig 2003, 10.1002/mrm.10351.
    """
    df = np.asarray(off_resonance_hz, np.float64)
    turn = 2 * math.pi * df * tr_s + math.pi
    e1, e2 = math.exp(-tr_s / t1_s), math.exp(-tr_s / t2_s)
    sine, cosine = math.sin(flip_rad), math.cos(flip_rad)
    d = (1 - e1 * cosine) * (1 - e2 * np.cos(turn)) - e2 * (e1 - cosine) * (e2 - np.cos(turn))
    after_pulse = (1 - e1) * sine * (1 - e2 * np.exp(-1j * turn)) / d  # times i: the receiver's phase
    signal: NDArray[np.complex128] = after_pulse * np.exp(-te_s / t2_s + 2j * math.pi * df * te_s)
    return signal


def bssfp_on_resonance(t1_s: float, t2_s: float, flip_rad: float, tr_s: float, te_s: float) -> float:
    """Compute the steady-state signal of spins on resonance, for unit equilibrium magnetization.

    sin a (1 - E1) / (1 - (E1 - E2) cos a - E1 E2) exp(-TE / T2); parameters as for `bssfp`.
    """
    e1, e2 = math.exp(-tr_s / t1_s), math.exp(-tr_s / t2_s)
    cosine = math.cos(flip_rad)
    return math.sin(flip_rad) * (1 - e1) / (1 - (e1 - e2) * cosine - e1 * e2) * math.exp(-te_s / t2_s)


def tissue_signal(tissue: Tissue, flip_rad: float, tr_ns: int, te_ns: int) -> complex:
    """Compute what a tissue gives at the echo: its proton density times the steady state.

    Its chemical shift is its off-resonance: fat is opposed to water at 3 T and TR 2.2 ms.

    Parameters
    ----------
    tissue
        The tissue at the scan's field.
    flip_rad
        Flip angle, radians.
    tr_ns, te_ns
        Repetition and echo time, nanoseconds.
    """
    if tissue.pd == 0:
        return 0j
    steady = bssfp(tissue.t1_s, tissue.t2_s, flip_rad, tr_ns * 1e-9, te_ns * 1e-9, tissue.shift_hz)
    return tissue.pd * complex(steady)


@dataclass(frozen=True)
class FlipResponse:
    """Give a tissue's steady state as a function of the flip angle: n sin a / (d0 + d1 cos a).

    Parameters
    ----------
    n, d0, d1
        Numerator and the two terms of the denominator; complex where the tissue is off resonance.
    """

    n: complex
    d0: complex
    d1: complex

    @classmethod
    def of(cls, tissue: Tissue, tr_ns: int, te_ns: int) -> FlipResponse:
        """Return the response of a tissue; `tissue_signal` is its value at one flip angle."""
        if tissue.pd == 0:
            return cls(0j, 1.0, 0.0)
        tr_s, te_s = tr_ns * 1e-9, te_ns * 1e-9
        turn = 2 * math.pi * tissue.shift_hz * tr_s + math.pi
        e1, e2, c = math.exp(-tr_s / tissue.t1_s), math.exp(-tr_s / tissue.t2_s), math.cos(turn)
        at_echo = complex(np.exp(-te_s / tissue.t2_s + 2j * math.pi * tissue.shift_hz * te_s))
        n = tissue.pd * (1 - e1) * (1 - e2 * complex(np.exp(-1j * turn))) * at_echo
        return cls(n, 1 - e2 * c - e1 * e2 * (e2 - c), -e1 * (1 - e2 * c) + e2 * (e2 - c))

    def at(self, flip_rad: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Return the signal at flip angles of any shape, radians; complex128."""
        sine, cosine = np.sin(flip_rad), np.cos(flip_rad)
        return np.asarray(self.n * (sine / (self.d0 + self.d1 * cosine)), np.complex128)
