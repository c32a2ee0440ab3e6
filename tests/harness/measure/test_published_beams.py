"""What is published of machines and of lags, against what our beams do."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.measure.beam import SHIPPED_BEAMS, Beam
from harness.measure.delivery import Delivery, deliver
from harness.measure.dose import LUNG_FALLOFF_M, relative_d98
from mrsim.motion.courses import Breathing

TR_NS = 2_200_000
SEEDS = range(1, 6)
EXHALE = (0.0, 0.0)
PIXEL_M = 0.25e-3
GATE = Beam("gate", "", "gating", window_mm=3.0, on_ms=0.0, off_ms=0.0)
LEAVES = Beam("leaves", "", "tracking", delay_ms=0.0)


def breathing(seed: int, height_m: float) -> NDArray[np.float64]:
    """Return 180 s of irregular breaths of 4 s, which dwell at exhale (sin^4)."""
    motion = Breathing(height_m, 4.0, exponent=2, amplitude_sd=0.2, period_sd=0.1)
    y = motion.drive(np.random.SeedSequence(seed)).at(np.arange(round(180e9 / TR_NS)) * TR_NS)
    return np.stack([np.zeros(len(y)), y], axis=1)


def disc() -> NDArray[np.bool_]:
    """Return a target of 20 mm."""
    at = (np.arange(121) - 60) * PIXEL_M
    return np.hypot(at[:, None], at) <= 0.01


def runs(beam: Beam, height_m: float = 0.015) -> list[Delivery]:
    paths = [breathing(seed, height_m) for seed in SEEDS]
    plan = EXHALE if beam.kind == "gating" else None
    return [deliver(beam, true, np.zeros(len(true), bool), true, TR_NS, plan) for true in paths]


def mean_d98(dids: list[Delivery], **options: Any) -> float:
    shares = [relative_d98(disc(), (PIXEL_M,) * 2, did.error_m, did.on_share, **options) for did in dids]
    return float(np.mean([share or 0 for share in shares]))


def rms_mm(did: Delivery) -> float:
    return float(np.sqrt(np.mean(np.sum(did.error_m[did.on_share > 0] ** 2, axis=1)))) * 1e3


@pytest.mark.parametrize(
    ("lag_ms", "m95_mm", "stray", "d98", "lung", "hard"),
    [
        (30, 0.53, 0.0162, 0.9994, 0.9997, 1.0),
        (100, 1.73, 0.0542, 0.9936, 0.9966, 0.9998),
        (160, 2.74, 0.0866, 0.9840, 0.9912, 0.9642),
        (300, 5.07, 0.1625, 0.9518, 0.9711, 0.7897),
        (500, 8.16, 0.2705, 0.8936, 0.9224, 0.7101),
    ],
)
def test_what_a_lag_costs(
    lag_ms: float, m95_mm: float, stray: float, d98: float, lung: float, hard: float
) -> None:
    """The dose hardly sees what strays and millimetres see: docs/beam.md has this table."""
    followed = runs(dataclasses.replace(LEAVES, delay_ms=float(lag_ms)))
    gated = runs(dataclasses.replace(GATE, on_ms=float(lag_ms), off_ms=float(lag_ms)))
    m95 = [np.quantile(np.hypot(*did.error_m[did.on_share > 0].T), 0.95) * 1e3 for did in followed]
    assert np.mean(m95) == pytest.approx(m95_mm, abs=0.03)
    for expected, options in ((d98, {}), (lung, {"falloff_m": LUNG_FALLOFF_M}), (hard, {"hard_edge": True})):
        assert mean_d98(followed, **options) == pytest.approx(expected, abs=3e-4)
    assert np.mean([did.stray_share or 0 for did in gated]) == pytest.approx(stray, abs=0.001)
    assert {did.stray_longest_ns for did in gated} == {lag_ms * 1_000_000}


@pytest.mark.parametrize(
    ("name", "stray", "longest_ms", "missed", "time"),
    [
        ("none", 0.763, None, 0.0, 1.0),
        ("linac-trigger", 0.0008, 1.45, 0.0018, 2.12),
        ("0.35t-dual", 0.133, 231, 0.182, 2.25),
        ("0.35t-dual-predicted", 0.0, 0, 0.316, 3.10),
        ("0.35t-slowest", 0.1635, 302, 0.1635, 2.12),
        ("0.35t-fastest", 0.0254, 47, 0.0254, 2.12),
        ("tg-76", 0.2705, 500, 0.2708, 2.12),
        ("mlc", 0.0, 0, 0.0, 1.0),
        ("mlc-trilogy", 0.196, None, 0.001, 1.0),
        ("radixact", 0.608, None, 0.004, 1.0),
    ],
)
def test_what_each_shipped_beam_does_to_the_same_breaths(
    name: str, stray: float, longest_ms: float | None, missed: float, time: float
) -> None:
    dids = runs(SHIPPED_BEAMS[name])
    assert np.mean([did.stray_share or 0 for did in dids]) == pytest.approx(stray, abs=1.5e-3)
    assert np.mean([did.missed_share or 0 for did in dids]) == pytest.approx(missed, abs=1.5e-3)
    assert np.mean([did.treatment_time_factor or 0 for did in dids]) == pytest.approx(time, abs=0.01)
    if longest_ms is not None:
        assert {did.stray_longest_ns for did in dids} == {longest_ms * 1_000_000}


def test_smaller_breaths_cost_even_less_dose() -> None:
    """Of 8 mm, 160 ms leave 0.996 of D98, and 7 % of a gate's time outside."""
    late = {"on_ms": 160.0, "off_ms": 160.0}
    assert mean_d98(runs(dataclasses.replace(LEAVES, delay_ms=160.0), 0.008)) == pytest.approx(
        0.9957, abs=3e-4
    )
    strays = [did.stray_share or 0 for did in runs(dataclasses.replace(GATE, **late), 0.008)]
    assert np.mean(strays) == pytest.approx(0.0704, abs=1e-3)


def test_the_d98_of_a_gate_holds_what_its_window_costs() -> None:
    assert mean_d98(runs(GATE)) == pytest.approx(0.953, abs=1e-3)


def test_every_shipped_beam_stands_in_the_table() -> None:
    mark = test_what_each_shipped_beam_does_to_the_same_breaths.pytestmark[0]  # type: ignore[attr-defined]
    assert {row[0] for row in mark.args[1]} == set(SHIPPED_BEAMS)


@pytest.mark.parametrize(
    ("height_mm", "speed_by_delay_mm", "beyond_mm"), [(13.0, 3.00, 2.72), (20.0, 4.65, 4.68)]
)
def test_302_ms_at_4_s(height_mm: float, speed_by_delay_mm: float, beyond_mm: float) -> None:
    """Published are 302 ms, 4 s, a gate 8 mm above exhale, and 3.0 mm as the speed times the delay.

    The height of the motion is not in the abstract (10.1002/acm2.13118). A sinusoid of 13 mm has that speed
    at the gate; the beam then goes off 2.7 mm beyond it, as the target slows down meanwhile.
    """
    tr_ns, period_s, gate_mm = 1_000_000, 4.0, 8.0
    t_s = np.arange(20_000) * 1e-3
    y = height_mm / 2e3 * (1 - np.cos(2 * np.pi * t_s / period_s))
    true = np.stack([np.zeros(len(y)), y], axis=1)
    beam = dataclasses.replace(SHIPPED_BEAMS["0.35t-slowest"], window_mm=gate_mm)
    did = deliver(beam, true, np.zeros(len(y), bool), true, tr_ns, EXHALE)
    crossing = int(np.argmax(y > gate_mm * 1e-3))
    speed = (y[crossing] - y[crossing - 1]) / 1e-3
    assert speed * 0.302 * 1e3 == pytest.approx(speed_by_delay_mm, abs=0.01)
    assert y[did.on_share > 0].max() * 1e3 - gate_mm == pytest.approx(beyond_mm, abs=0.02)


def test_without_its_prediction_a_machine_of_630_ms_is_far_off() -> None:
    """Published are 630 ms and 0.76 mm RMSE (10.1002/acm2.70492), by prediction; ours follows 630 ms late."""
    assert np.mean([rms_mm(did) for did in runs(SHIPPED_BEAMS["radixact"])]) == pytest.approx(5.62, abs=0.05)


def test_leaves_of_published_speed_are_fast_enough_for_breathing() -> None:
    """The fastest breath here moves at 22 mm/s: the limit of 30 mm/s shows where the display jumps alone."""
    free = dataclasses.replace(SHIPPED_BEAMS["mlc"], leaf_mm_s=None)
    for limited, unlimited in zip(runs(SHIPPED_BEAMS["mlc"]), runs(free), strict=True):
        assert np.nanmax(np.abs(limited.error_m - unlimited.error_m)) < 1e-12
    slow = dataclasses.replace(SHIPPED_BEAMS["mlc"], leaf_mm_s=10.0)
    assert np.mean([rms_mm(did) for did in runs(slow)]) > 1.5
