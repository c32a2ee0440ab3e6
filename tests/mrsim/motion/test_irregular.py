"""Wandering and modulated motions: what they promise, exactly and however a run is cut."""

from __future__ import annotations

import numpy as np
import pytest

from mrsim.errors import InputError
from mrsim.motion.courses import Breathing
from mrsim.motion.irregular import Modulated, Wander
from mrsim.motion.tables import read_motions

LONG = np.arange(0, 3000 * 10**9, 10**8)


def drive(seed: int = 1, **changes: float):
    values = {"amplitude_m": 2e-3, "period_s": 3.0, "longest_s": 30.0} | changes
    return Wander(**values).drive(np.random.SeedSequence(seed))


def test_wandering_has_its_deviation_its_band_and_its_bounds() -> None:
    value = drive().at(LONG)
    assert value.std() == pytest.approx(2e-3, rel=0.03)
    assert abs(value.mean()) < 2e-5
    low, high = drive().bounds(10**12)
    assert low <= value.min() < -5e-3
    assert 5e-3 < value.max() <= high
    power = np.abs(np.fft.rfft(value * np.hanning(len(value)))) ** 2
    frequency = np.fft.rfftfreq(len(value), 0.1)
    inside = (frequency > 1 / 31) & (frequency < 1 / 2.95)
    assert power[inside].sum() > 0.999 * power.sum()
    # Of equal power in every third of the band.
    thirds = [
        power[(frequency > a) & (frequency < b)].sum()
        for a, b in ((0.03, 0.133), (0.133, 0.233), (0.233, 0.34))
    ]
    assert max(thirds) < 1.3 * min(thirds)


def test_seeds_wander_independently_and_an_instant_does_not_depend_on_the_others() -> None:
    a, b = drive(1).at(LONG), drive(2).at(LONG)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.1
    assert drive(1).at(LONG[777:778]).tobytes() == a[777:778].tobytes()
    assert drive(1).at(LONG).tobytes() == a.tobytes()


def test_a_modulated_motion_is_the_product_by_hand_and_keeps_its_bounds() -> None:
    breathing, wander = Breathing(0.015, 4.0).drive(np.random.SeedSequence(3)), drive(4)
    both = Modulated("breathing", "wander", 150.0).derive({"breathing": breathing, "wander": wander})
    t_ns = LONG[:3000]
    assert (both.at(t_ns) == breathing.at(t_ns) * (1 + 150.0 * wander.at(t_ns))).all()
    low, high = both.bounds(300 * 10**9)
    assert low <= both.at(t_ns).min()
    assert both.at(t_ns).max() <= high
    assert np.ptp(both.at(t_ns)) > np.ptp(breathing.at(t_ns)) * 1.2


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"w": {"kind": "wander", "amplitude_mm": 1, "period_s": 3, "longest_s": 2}},
            "motion 'w': longest_s = 2",
        ),
        ({"w": {"kind": "wander", "amplitude_mm": 30, "period_s": 3, "longest_s": 9}}, "amplitude_mm = 30"),
        (
            {"m": {"kind": "modulated", "of": "static", "by": "x", "share_percent_per_mm": 1}},
            "of = 'x': no motion",
        ),
    ],
)
def test_what_is_wrong_is_named(table: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_motions(table, "p")


def test_the_file_s_units() -> None:
    motions = read_motions(
        {
            "w": {"kind": "wander", "amplitude_mm": 1.5, "period_s": 3, "longest_s": 9},
            "m": {"kind": "modulated", "of": "static", "by": "w", "share_percent_per_mm": 30},
        },
        "p",
    )
    assert motions["w"] == Wander(1.5e-3, 3.0, 9.0)
    assert motions["m"] == Modulated("static", "w", 300.0)  # 30 % a mm is 0.3 a mm, 300 a metre
