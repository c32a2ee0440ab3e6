"""bSSFP in closed form against a brute-force Bloch iteration with rotation matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mrsim.physics.steady_state import bssfp, bssfp_on_resonance, tissue_signal
from mrsim.physics.tissue import tissue

TR, TE, FLIP = 2.2e-3, 1.1e-3, math.radians(20)


def pulse(flip: float) -> np.ndarray:
    c, s = math.cos(flip), math.sin(flip)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def free(t1: float, t2: float, df: float, duration: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix and the recovery of free precession."""
    e1, e2, turn = math.exp(-duration / t1), math.exp(-duration / t2), 2 * math.pi * df * duration
    c, s = math.cos(turn), math.sin(turn)
    return np.array([[e2 * c, -e2 * s, 0], [e2 * s, e2 * c, 0], [0, 0, e1]]), np.array([0, 0, 1 - e1])


def bloch(t1: float, t2: float, flip: float, tr: float, te: float, df: float) -> complex:
    """Iterate pulse and precession until nothing changes; return the signal at the echo, demodulated."""
    decay, recovery = free(t1, t2, df, tr)
    plus, minus = pulse(flip), pulse(-flip)
    m = np.array([0.0, 0.0, 1.0])
    for _ in range(200_000):
        before = m
        m = decay @ (plus @ m) + recovery
        m = decay @ (minus @ m) + recovery  # two pulses: the phase of the RF alternates
        if np.abs(m - before).max() < 1e-16:
            break
    else:
        raise AssertionError("no steady state")
    echo, grown = free(t1, t2, df, te)
    at = echo @ (plus @ m) + grown
    return 1j * complex(at[0], at[1])  # the receiver's phase: real on resonance


@pytest.mark.parametrize("name", ["muscle", "fat", "lung", "liver"])
@pytest.mark.parametrize("df", [0.0, 31.7, -120.0, 227.0, -434.3])
def test_agrees_with_a_brute_force_bloch_iteration_to_1e9(name: str, df: float) -> None:
    at = tissue(name, 3.0)
    expected = bloch(at.t1_s, at.t2_s, FLIP, TR, TE, df)
    assert abs(complex(bssfp(at.t1_s, at.t2_s, FLIP, TR, TE, df)) - expected) < 1e-9


@pytest.mark.parametrize(("flip_deg", "tr", "te"), [(70, 4e-3, 2e-3), (5, 10e-3, 1e-3), (150, 3e-3, 2.9e-3)])
def test_agrees_at_other_angles_and_echo_times(flip_deg: float, tr: float, te: float) -> None:
    flip = math.radians(flip_deg)
    for df in (0.0, 40.0, -77.0):
        expected = bloch(0.35, 0.12, flip, tr, te, df)
        assert abs(complex(bssfp(0.35, 0.12, flip, tr, te, df)) - expected) < 1e-9


def test_the_formula_on_resonance_is_the_general_one_at_zero() -> None:
    for name in ("muscle", "blood", "fat"):
        at = tissue(name, 1.5)
        general = complex(bssfp(at.t1_s, at.t2_s, FLIP, TR, TE, 0.0))
        short = bssfp_on_resonance(at.t1_s, at.t2_s, FLIP, TR, TE)
        assert abs(general - short) < 1e-15
        assert short > 0


def test_has_its_nulls_at_half_the_inverse_of_tr() -> None:
    df = np.linspace(-400, 400, 160_001)
    signal = np.abs(bssfp(1.0, 0.08, FLIP, TR, TE, df))
    for side in (-1, 1):
        near = np.abs(df - side * 227.27) < 100
        assert df[near][np.argmin(signal[near])] == pytest.approx(side / (2 * TR), abs=0.01)
        assert signal[near].min() < 0.05 * signal.max()


def test_neighbouring_bands_have_opposed_sign_at_the_middle_echo() -> None:
    # At TE = TR / 2 the phase of a band is flat (T2' is refocused) and turns by pi from band to band.
    inside = bssfp(1.0, 0.08, FLIP, TR, TE, np.linspace(-150, 150, 31))
    beyond = bssfp(1.0, 0.08, FLIP, TR, TE, np.linspace(300, 600, 31))
    assert np.abs(np.angle(inside)).max() < 0.05
    assert np.abs(np.angle(-beyond)).max() < 0.05


def test_fat_over_water_depends_on_the_field_as_published() -> None:
    # -3.4 ppm: in phase at 0.5 T, opposed at 3 T.
    for field, sign in ((0.5, 1), (3.0, -1)):
        signal = tissue_signal(tissue("fat", field), FLIP, 2_200_000, 1_100_000)
        assert np.sign(signal.real) == sign
        assert abs(signal.imag) < 0.1 * abs(signal)


def test_fat_is_near_the_null_at_one_and_a_half_tesla() -> None:
    # 0.47 of its signal on resonance, with T1/T2 382/68 ms; the table's values at 1.5 T give 0.45.
    df = tissue("fat", 1.5).shift_hz
    for t1, t2, share in ((0.382, 0.068, 0.469), (0.343, 0.058, 0.454)):
        signal = abs(complex(bssfp(t1, t2, FLIP, TR, TE, df)))
        assert signal / bssfp_on_resonance(t1, t2, FLIP, TR, TE) == pytest.approx(share, abs=1e-3)


def test_signal_is_proportional_to_proton_density_and_nothing_from_air() -> None:
    muscle = tissue("muscle", 3.0)
    expected = muscle.pd * bssfp_on_resonance(muscle.t1_s, muscle.t2_s, FLIP, TR, TE)
    assert tissue_signal(muscle, FLIP, 2_200_000, 1_100_000) == pytest.approx(expected, rel=1e-12)
    assert tissue_signal(tissue("air", 3.0), FLIP, 2_200_000, 1_100_000) == 0
