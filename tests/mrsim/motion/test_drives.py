"""Motions beside plain breathing: exact at any instant, continuous, within their bounds, whatever the cut."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from mrsim.anatomy.anatomy import Anatomy
from mrsim.anatomy.phantom import Phantom, load_phantom
from mrsim.errors import InputError
from mrsim.motion.courses import Breathing, Drive
from mrsim.motion.drives import Cough, Delayed, Heart, Sum
from mrsim.motion.trace import Trace, read_csv
from tests.mrsim.bodies import definition, region

ROOT = Path(__file__).resolve().parents[3]
SEED = np.random.SeedSequence(5)
BREATHING = Breathing(0.012, 4.0, 2, 0.2, 0.15, 0.001, 1e-5, 0.3)
HELD = Breathing(0.010, 4.0, 1, hold_at_s=10, hold_s=6, hold_every_s=40, deep_amplitude_m=0.03)
T = np.arange(0, 60 * 10**9, 7_000_001, dtype=np.int64)
RECORDED = Trace(tuple(np.arange(0, 70, 0.05)), tuple(0.01 * np.sin(np.arange(0, 70, 0.05)) ** 2))


def drives() -> dict[str, Drive]:
    basic = {
        "breathing": BREATHING.drive(np.random.SeedSequence(1)),
        "held": HELD.drive(np.random.SeedSequence(2)),
        "heart": Heart(0.006, 0.9, 0.35, 0.25, 0.1, 0.1, 0.4).drive(np.random.SeedSequence(3)),
        "cough": Cough(0.008, 12.0).drive(np.random.SeedSequence(4)),
        "trace": RECORDED.drive(SEED),
    }
    basic["late"] = Delayed("breathing", 0.5).derive(basic)
    basic["both"] = Sum(("breathing", "cough")).derive(basic)
    return basic


@pytest.mark.parametrize("name", ["breathing", "held", "heart", "cough", "trace", "late", "both"])
def test_a_motion_is_the_same_however_it_is_asked_for(name: str) -> None:
    whole = drives()[name].at(T)
    pieces = drives()[name]
    backwards = [pieces.at(T[a : a + 97]) for a in range(0, len(T), 97)][::-1]
    assert np.concatenate(backwards[::-1]).tobytes() == whole.tobytes()
    assert drives()[name].at(T[4321:4322]).tobytes() == whole[4321:4322].tobytes()
    low, high = drives()[name].bounds(int(T[-1]))
    assert low - 1e-15 <= whole.min() <= whole.max() <= high + 1e-15
    assert high - low < 3 * np.ptp(whole)
    fine = drives()[name].at(np.arange(0, 20 * 10**9, 100_000, dtype=np.int64))
    assert np.abs(np.diff(fine)).max() < 5e-5  # no jump: at most half a metre a second
    assert np.abs(np.diff(fine, 2)).max() < 2e-7  # nor one of the speed


def test_a_held_breath_rests_and_a_deep_one_follows() -> None:
    value = HELD.drive(SEED).at(np.arange(0, 60 * 10**9, 10**7, dtype=np.int64))
    assert not value[1201:1799].any()  # the first end-exhale from 10 s on is at 12 s
    assert value[1800:2400].max() == pytest.approx(0.03, rel=1e-4)
    assert value[2400:5000].max() == pytest.approx(0.01, rel=1e-4)
    assert not value[5201:5799].any()  # and again: held from the first end-exhale after 50 s


def test_a_heart_contracts_relaxes_and_rests() -> None:
    beat = Heart(0.006, 1.0, 0.3, 0.2).drive(SEED)
    at = beat.at((np.array([0, 0.15, 0.3, 0.4, 0.5, 0.7, 0.99, 1.3]) * 1e9).astype(np.int64))
    assert at * 1e3 == pytest.approx([0, 3, 6, 3, 0, 0, 0, 6], abs=1e-9)


def test_a_delayed_motion_is_the_other_one_later() -> None:
    both = drives()
    assert both["late"].at(T).tobytes() == both["breathing"].at(T - 500_000_000).tobytes()
    assert both["both"].at(T) == pytest.approx(both["breathing"].at(T) + both["cough"].at(T), abs=1e-18)


def test_hysteresis_makes_the_path_a_loop() -> None:
    text = definition(
        region("target", "muscle", (0, 0), (10, 10)),
        'motion = ["breathing", "late"]\ndirection = [[0, 1], [0.5, 0]]\n',
        motion=(
            '[motion.breathing]\nkind = "breathing"\namplitude_mm = 12.0\nperiod_s = 3.0\n'
            '[motion.late]\nkind = "delayed"\nof = "breathing"\ndelay_ms = 400\n'
        ),
    )
    path = Anatomy(Phantom.from_text(text), 0).displacement(np.arange(0, 3 * 10**9, 10**7))[:, 0]
    x, y = path.T
    area = abs(float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2)
    assert area > 10e-6  # without the delay it is a line, of no area
    assert np.ptp(x) == pytest.approx(0.006, rel=1e-3)


def test_a_trace_goes_through_its_samples_and_stays_between_them() -> None:
    rng = np.random.default_rng(0)
    t, value = np.cumsum(rng.uniform(0.03, 0.06, 400)), rng.normal(0, 0.004, 400)
    drive = Trace(tuple(t), tuple(value)).drive(SEED)
    at = np.rint((t - t[0]) * 1e9).astype(np.int64)
    assert drive.at(at) == pytest.approx(value, abs=1e-15)
    inner = at[:-1, None] + (np.diff(at)[:, None] * np.linspace(0, 1, 9)).astype(np.int64)
    between = drive.at(inner.ravel()).reshape(inner.shape)
    low, high = np.minimum(value[:-1], value[1:]), np.maximum(value[:-1], value[1:])
    assert (between >= low[:, None] - 1e-15).all()
    assert (between <= high[:, None] + 1e-15).all()


def test_a_trace_that_ends_is_refused_or_turned_round() -> None:
    t = tuple(np.arange(0, 10.01, 0.1))
    again = Trace(t, t, 1e-3, True)
    with pytest.raises(InputError, match=r"ends at t = 10\.000 s, and 12\.000 s was asked for; set repeat"):
        Trace(t, t, 1e-3).drive(SEED).at(np.array([12 * 10**9]))
    assert again.drive(SEED).at(np.array([12 * 10**9, 23 * 10**9])) == pytest.approx([8e-3, 3e-3])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t_s,value_mm\n0,1\n0.1,2\n0.2,1\n0.3,2\n0.4,1\n1.9,2\n", r"a gap of 1\.500 s after t = 0\.400 s"),
        ("t_s,value_mm\n0,1\n0.1,2\n0.1,1\n0.3,2\n", r"sample 2: t = 0\.1 s is not after 0\.1 s"),
        ("t_s,value_mm\n0,1\n0.1,nan\n0.2,1\n", r"line 3 \(t = 0\.1 s\): a value is not finite"),
        ("t_s,value_mm\n0,1\n0.1;2\n", r"line 3: '0\.1;2': expected two numbers"),
        ("t,v\n0,1\n", "expected the header"),
        ("t_s,value_mm\n0,1\n0.1,200\n0.2,1\n0.3,2\n", r"t = 0\.1 s: 200\.0 mm"),
    ],
)
def test_a_wrong_trace_is_refused_with_the_instant(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.csv").write_text(text)
    body = definition(
        region("target", "muscle", (0, 0), (10, 10), motion="breathing", direction=[0, 1]),
        motion='[motion.breathing]\nkind = "trace"\nfile = "bad.csv"\n',
    )
    (tmp_path / "body.toml").write_text(body)
    with pytest.raises(InputError, match=rf"motion 'breathing': .*{message}") as error:
        load_phantom(tmp_path / "body.toml")
    assert "\n" not in str(error.value)


def test_a_phantom_carries_its_trace_in_its_text() -> None:
    phantom = load_phantom("quasar-recorded")
    again = Phantom.from_text(phantom.text)
    at = np.arange(0, 10**10, 10**8)
    assert Anatomy(again, 1).displacement(at).tobytes() == Anatomy(phantom, 2).displacement(at).tobytes()


def test_the_shipped_trace_is_what_its_script_makes() -> None:
    spec = importlib.util.spec_from_file_location("make_trace", ROOT / "scripts" / "make_trace.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    made = read_csv(script.text(11).encode(), "made")
    shipped = read_csv((ROOT / "phantoms" / "traces" / "irregular.csv").read_bytes(), "shipped")
    assert made[0] == shipped[0]
    assert np.array(made[1]) == pytest.approx(np.array(shipped[1]), abs=0.0011)  # rounded to 0.001 mm
