"""What a beam is told to be, and what it would have done: paths that cross the window at known times."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.measure.beam import SHIPPED_BEAMS, Beam, load_beam
from harness.measure.delivery import PLAN_NS, Delivery, deliver
from mrsim.errors import InputError

TR_NS = 4_000_000
MS = 1_000_000
GATE = Beam("gate", "a gate", "gating", window_mm=3.0, on_ms=0.0, off_ms=0.0)
LEAVES = Beam("leaves", "leaves", "tracking", delay_ms=0.0)
OUT_M = 0.02


def along_y(y_m: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.zeros(len(y_m)), y_m], axis=1)


def wave(pattern: str, repeat: int = 1) -> NDArray[np.float64]:
    """Return a path that is at the planned place at `#` and 20 mm away at `.`, a TR each."""
    return along_y(np.array([0.0 if sign == "#" else OUT_M for sign in pattern * repeat]))


def gate(
    seen: str, true: str | None = None, on_ms: float = 0, off_ms: float = 0, held: str | None = None
) -> Delivery:
    """Gate by a display that shows the target inside at `#`, outside at `.` and not at all at `?`."""
    beam = dataclasses.replace(GATE, on_ms=float(on_ms), off_ms=float(off_ms))
    shown = wave(seen)
    shown[np.array(list(seen)) == "?"] = np.nan
    holds = np.array([sign == "h" for sign in held or "." * len(seen)])
    return deliver(beam, shown, holds, wave(true or seen), TR_NS, planned_m=(0.0, 0.0))


def test_a_beam_without_delay_or_error_is_the_ideal_one() -> None:
    did = gate("###..##...#....#####")
    assert did.duty == did.ideal_duty == 11 / 20
    assert did.duty_of_ideal == 1
    assert did.coverage == 1
    assert did.stray_share == did.missed_share == 0
    assert did.stray_longest_ns == 0
    assert did.treatment_time_factor == pytest.approx(20 / 11)
    assert did.planned_m == (0.0, 0.0)
    assert np.array_equal(did.on_share, [float(sign == "#") for sign in "###..##...#....#####"])


def test_delays_shift_the_edges_of_the_gate_to_the_nanosecond() -> None:
    """On 5 ms late and off 9 ms late: 4 TR of pulse become 16 + 4 ms, of which 9 ms are stray, exactly."""
    did = gate("....####....", on_ms=5, off_ms=9)
    assert did.duty == 20 / 48
    assert did.ideal_duty == 16 / 48
    assert did.stray_share == 9 / 20
    assert did.stray_longest_ns == 9 * MS
    assert did.missed_share == pytest.approx(5 / 16, abs=1e-15)
    assert did.coverage == 11 / 20
    assert did.on_share.tolist() == [0, 0, 0, 0, 0, 0.75, 1, 1, 1, 1, 0.25, 0]


def test_a_pulse_shorter_than_the_delays_vanishes() -> None:
    """A pulse of 8 ms whose beam would come 9 ms after it was told to go is none, whatever follows."""
    did = gate("..##......####....", on_ms=20, off_ms=11)
    assert did.duty == (16 - 9) / 72
    assert did.stray_share == 1  # all of it comes after the target has left
    assert gate("..##....", on_ms=20, off_ms=11).duty == 0
    assert gate("..##....", on_ms=19, off_ms=11).duty == 0
    assert gate("..##....", on_ms=18.999999, off_ms=11).duty == 1 / 32e6


def test_a_gap_shorter_than_the_delays_vanishes() -> None:
    """Told off and on again before it went off, the beam stays on, and its time is counted once."""
    did = gate("##..##....", on_ms=0, off_ms=10)
    assert did.duty == 34 / 40
    assert did.stray_share == (8 + 10) / 34
    assert did.stray_longest_ns == 10 * MS
    assert did.missed_share == 0
    assert gate("##..##..##..", on_ms=0, off_ms=8).duty == 1
    assert gate("##..##..##..", on_ms=0, off_ms=7).duty == (48 - 2 - 1) / 48 - 0 / 48


def test_what_is_on_at_the_end_was_not_told_to_go_off() -> None:
    did = gate("......####", on_ms=4, off_ms=100)
    assert did.duty == 12 / 40
    assert did.stray_share == 0


def test_the_longest_stray_is_without_a_break() -> None:
    """Three strays of 3, 7 and 5 TR are not one of 15; a beam that is off does not stray."""
    true = "##...##.......##.....####"
    did = gate("#" * 25, true)
    assert did.stray_longest_ns == 7 * TR_NS
    assert did.stray_share == 15 / 25
    broken = gate("##########.##############", true)
    assert broken.stray_longest_ns == 5 * TR_NS
    assert broken.stray_share == 14 / 24


def test_a_hold_turns_the_beam_off_with_its_delay() -> None:
    did = gate("##########", held="...hhh....", on_ms=4, off_ms=8)
    assert did.on_share.tolist() == [0, 1, 1, 1, 1, 0, 0, 1, 1, 1]
    assert did.stray_share == 0
    assert did.missed_share == pytest.approx(3 / 10)


def test_a_target_that_is_not_shown_turns_the_beam_off() -> None:
    assert gate("###??###", true="########").on_share.tolist() == [1, 1, 1, 0, 0, 1, 1, 1]
    assert gate("????", true="####").duty == 0


def test_a_beam_that_was_never_on_has_no_figures_of_its_time() -> None:
    did = gate("....", true="####")
    assert (did.duty, did.ideal_duty, did.missed_share) == (0, 1, 1)
    assert did.coverage is did.stray_share is did.treatment_time_factor is None
    assert did.stray_longest_ns == 0
    never = gate("####", true="....")
    assert never.missed_share is never.duty_of_ideal is None
    assert never.stray_share == 1


@pytest.mark.parametrize(("on_ms", "off_ms"), [(0, 0), (337, 231), (120, 480)])
def test_a_sinusoid_has_the_pulses_that_theory_gives(on_ms: float, off_ms: float) -> None:
    """A pulse lasts a T + off - on, and its middle is (on + off) / 2 late (Worm 2023, Med Phys 50:3289)."""
    tr_ns, period_s, height_m, periods = 1_000_000, 4.0, 0.01, 5
    t_s = (np.arange(round(periods * period_s / 1e-3)) + 0.5) * 1e-3
    true = along_y(-height_m * np.cos(2 * np.pi * t_s / period_s))  # inside around each minimum, t = k T
    window_m = 0.006
    beam = Beam("sine", "", "gating", window_mm=window_m * 1e3, on_ms=on_ms, off_ms=off_ms)
    did = deliver(beam, true, np.zeros(len(true), bool), true, tr_ns, planned_m=(0.0, -height_m))
    half_s = period_s / (2 * np.pi) * np.arccos(1 - window_m / height_m)
    share = 2 * half_s / period_s
    assert did.ideal_duty == pytest.approx(share, abs=1e-3)
    on = np.concatenate([[False], did.on_share == 1, [False]])  # delays are whole TRs here
    # The first pulse has begun before the scan, and the last goes on after it.
    starts, ends = np.flatnonzero(np.diff(on)).reshape(-1, 2)[1:-1].T * 1e-3
    lasts = share * period_s + (off_ms - on_ms) * 1e-3
    assert ends - starts == pytest.approx(np.full(len(ends), lasts), abs=2.1e-3)
    middle = (starts + ends) / 2 - np.arange(1, len(ends) + 1) * period_s
    assert middle == pytest.approx(np.full(len(ends), (on_ms + off_ms) / 2e3), abs=2.1e-3)
    assert did.stray_longest_ns == pytest.approx(off_ms * MS, abs=tr_ns)


def test_leaves_without_delay_or_limit_are_on_the_target() -> None:
    true = along_y(np.sin(np.arange(200) / 20) * 0.01)
    did = deliver(LEAVES, true, np.zeros(200, bool), true, TR_NS)
    assert np.array_equal(did.error_m, np.zeros((200, 2)))
    assert (did.duty, did.ideal_duty, did.coverage, did.stray_share) == (1, 1, 1, 0)
    assert did.planned_m is None


def test_leaves_follow_what_was_on_display_a_delay_ago() -> None:
    """9 ms are more than two TR of 4 ms, so the third TR is the first that goes by the display."""
    true = along_y(np.arange(50) * 1e-4)
    did = deliver(dataclasses.replace(LEAVES, delay_ms=9.0), true, np.zeros(50, bool), true, TR_NS)
    assert did.on_share.tolist() == [0.0] * 3 + [1.0] * 47
    assert did.error_m[3:, 1] == pytest.approx(np.full(47, -3e-4), abs=1e-15)
    assert did.duty == 47 / 50
    late = dataclasses.replace(LEAVES, delay_ms=1e4)
    assert deliver(late, true, np.zeros(50, bool), true, TR_NS).duty == 0


def test_leaves_are_no_faster_than_they_can_be() -> None:
    """A jump of 20 mm (12 and 16) at 30 mm/s and TR 4 ms: 0.12 mm a TR, so there with the 167th."""
    jump = np.zeros((300, 2))
    jump[10:] = (0.012, 0.016)
    did = deliver(dataclasses.replace(LEAVES, leaf_mm_s=30.0), jump, np.zeros(300, bool), jump, TR_NS)
    away = np.hypot(*did.error_m.T)
    steps = np.arange(1, 167)
    assert away[10:176] == pytest.approx(0.02 - 0.12e-3 * steps, abs=1e-12)
    assert not away[176:].any()
    assert did.error_m[10:176, 0] == pytest.approx(-0.6 * away[10:176])  # straight to it
    # Farther off than 3 mm until 17 mm are done, with the 142nd step.
    assert did.stray_longest_ns == 141 * TR_NS
    assert did.stray_share == 141 / 300


def test_leaves_go_step_by_step_through_jumps_holds_and_gaps() -> None:
    """Against the rule spelt out, for displays that jump, vanish and hold at random."""
    rng = np.random.default_rng(5)
    shown = np.repeat(rng.normal(0, 0.004, (60, 2)), 7, axis=0) + rng.normal(0, 1e-4, (420, 2))
    held = rng.random(420) < 0.15
    shown[rng.random(420) < 0.1] = np.nan
    true = np.zeros((420, 2))
    did = deliver(dataclasses.replace(LEAVES, leaf_mm_s=200.0), shown, held, true, TR_NS)
    leaves, behind = None, 0
    for at, (goal, hold) in enumerate(zip(shown, held, strict=True)):
        told = np.isfinite(goal).all() and not hold
        assert did.on_share[at] == told
        if leaves is None and told:
            leaves = goal
        elif told:
            away = np.hypot(*(goal - leaves))
            behind += away > 0.8e-3
            leaves = leaves + (goal - leaves) * min(1.0, 0.8e-3 / away)
        if leaves is not None:
            assert did.error_m[at] == pytest.approx(leaves, abs=1e-15)
    assert 100 < behind < 300


def test_leaves_wait_where_they_are_without_a_target_and_the_beam_is_off() -> None:
    true = along_y(np.arange(10) * 1e-3)
    shown, held = true.copy(), np.zeros(10, bool)
    shown[[0, 4, 5]] = np.nan
    held[8] = True
    did = deliver(LEAVES, shown, held, true, TR_NS)
    assert did.on_share.tolist() == [0, 1, 1, 1, 0, 0, 1, 1, 0, 1]
    assert (did.error_m + true)[1:, 1] == pytest.approx(
        [1e-3, 2e-3, 3e-3, 3e-3, 3e-3, 6e-3, 7e-3, 7e-3, 9e-3]
    )
    assert deliver(LEAVES, np.full((4, 2), np.nan), np.zeros(4, bool), true[:4], TR_NS).duty == 0
    shown[3, 1] = np.nan  # half a position is none
    assert deliver(LEAVES, shown, held, true, TR_NS).on_share[3] == 0


def test_a_beam_that_does_nothing_is_always_on_at_the_mean() -> None:
    true = along_y(np.array([0.0, 0.0, 0.0, 8e-3]))
    did = deliver(SHIPPED_BEAMS["none"], np.full((4, 2), np.nan), np.ones(4, bool), true, TR_NS)
    assert did.planned_m == (0.0, 2e-3)
    assert (did.duty, did.ideal_duty, did.coverage, did.stray_share) == (1, 1, 0.75, 0.25)
    assert (did.treatment_time_factor, did.missed_share) == (1, 0)


def test_the_plan_is_where_the_first_20_s_dwell_longest() -> None:
    """What comes later changes no plan: a target that then stays elsewhere is simply outside."""
    first = PLAN_NS // TR_NS
    later = np.concatenate([wave(".####", first // 5), wave(".", 3 * first)])
    did = deliver(GATE, later, np.zeros(len(later), bool), later, TR_NS)
    assert did.planned_m == (0.0, 0.0)
    assert did.ideal_duty == pytest.approx(0.8 / 4)
    other = wave(".", 4 * first)
    planned = deliver(GATE, other, np.zeros(len(other), bool), other, TR_NS).planned_m
    assert planned == pytest.approx((0.0, OUT_M))


def test_no_place_holds_the_target_much_longer_than_the_planned_one() -> None:
    t_s = np.arange(5000) * 4e-3
    true = np.stack([0.004 * np.sin(t_s * 1.3) ** 2, 0.012 * np.sin(t_s * 0.8) ** 4], axis=1)
    did = deliver(GATE, true, np.zeros(5000, bool), true, TR_NS)
    held = [np.mean(np.hypot(*(true - place).T) <= 3e-3) for place in true[::17]]
    assert did.ideal_duty > max(held) - 0.02


def test_a_machine_end_to_end_goes_by_the_motion_alone() -> None:
    """It sees no display and hears no hold, and one that predicts goes off before the target leaves."""
    true = wave("...##########....")
    beam = dataclasses.replace(GATE, on_ms=12.0, off_ms=-8.0, end_to_end=True)
    did = deliver(beam, np.full(true.shape, np.nan), np.ones(len(true), bool), true, TR_NS, (0.0, 0.0))
    assert did.on_share.tolist() == [0.0] * 6 + [1.0] * 5 + [0.0] * 6
    assert did.stray_share == 0
    staying = wave("...##########")
    did = deliver(beam, staying, np.zeros(13, bool), staying, TR_NS, (0.0, 0.0))
    assert did.on_share.tolist() == [0.0] * 6 + [1.0] * 7  # it has not been told to go off
    follows = dataclasses.replace(LEAVES, delay_ms=8.0, end_to_end=True)
    did = deliver(follows, np.full(true.shape, np.nan), np.ones(len(true), bool), true, TR_NS)
    assert did.error_m[2:] == pytest.approx(true[:-2] - true[2:])


def test_shapes_and_truths_that_cannot_be_are_refused() -> None:
    true, held = wave("####"), np.zeros(4, bool)
    for wrong in (
        (true[:3], held, true, TR_NS),
        (true, held[:3], true, TR_NS),
        (true[:0], held[:0], true[:0], TR_NS),
    ):
        with pytest.raises(InputError, match="beam 'gate': shapes"):
            deliver(GATE, *wrong)
    with pytest.raises(InputError, match="TR 0 ns"):
        deliver(GATE, true, held, true, 0)
    lost = true.copy()
    lost[2, 1] = np.nan
    with pytest.raises(InputError, match="line 2: the truth is not finite"):
        deliver(GATE, true, held, lost, TR_NS)


def test_figures_are_told_in_millimetres_and_milliseconds() -> None:
    beam = dataclasses.replace(GATE, on_ms=5.0, off_ms=9.0)
    true = wave("....####....") + np.array([0.001, -0.002])
    did = deliver(beam, true, np.zeros(12, bool), true, TR_NS, planned_m=(0.001, -0.002))
    assert did.to_json() == {
        "beam": "gate",
        "kind": "gating",
        "planned_mm": [pytest.approx(1.0), pytest.approx(-2.0)],
        "duty": 20 / 48,
        "ideal_duty": 16 / 48,
        "duty_of_ideal": pytest.approx(20 / 16),
        "coverage": 11 / 20,
        "stray_share": 9 / 20,
        "stray_longest_ms": 9.0,
        "missed_share": pytest.approx(5 / 16),
        "treatment_time_factor": 48 / 20,
    }


def test_every_shipped_beam_is_called_by_its_name_and_has_a_source() -> None:
    for name, beam in SHIPPED_BEAMS.items():
        assert load_beam(name) is beam
        assert beam.name == name
        assert beam.about
        assert beam.source or beam.kind == "none"
        true = along_y(np.sin(np.arange(5000) / 160) * 0.008)
        assert 0 <= deliver(beam, true, np.zeros(5000, bool), true, TR_NS).duty <= 1


def test_a_beam_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\nkind = "tracking"\ndelay_ms = 80\nleaf_mm_s = 25.5\nend_to_end = true\n')
    expected = Beam("mine", str(file), "tracking", delay_ms=80, leaf_mm_s=25.5, end_to_end=True)
    assert load_beam(str(file)) == expected
    file.write_text(
        'name = "b"\nabout = "c"\nsource = "d"\nkind = "gating"\nwindow_mm = 2\nmargin_mm = 4\n'
        "on_ms = 1\noff_ms = 0\n"
    )
    assert load_beam(str(file)) == Beam("b", "c", "gating", "d", 2, 4, 1, 0)


GATING = 'name = "a"\nkind = "gating"\nwindow_mm = 3\non_ms = 1\noff_ms = 2\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "not valid TOML"),
        ('name = "a"', "missing key 'kind'"),
        ('kind = "none"', "missing key 'name'"),
        ('name = ""\nkind = "none"', "name = '': expected 1 to 80"),
        ('name = "a"\nkind = "luck"', "kind = 'luck': expected one of gating, tracking, none"),
        (GATING + "dose = 3", "unknown key 'dose'; known: name, about, kind"),
        (GATING + "end_to_end = 1", "end_to_end is a int: expected bool"),
        (GATING + 'margin_mm = "3"', "margin_mm is a str: expected float"),
        (GATING + "margin_mm = true", "margin_mm is a bool: expected float"),
        (GATING + "margin_mm = nan", "margin_mm = nan: expected 0 to 1000"),
        (GATING + "margin_mm = -1", "margin_mm = -1: expected 0 to 1000"),
        (GATING + "margin_mm = 10000000000000000000000", "too large"),
        (GATING + "delay_ms = 3", "delay_ms = 3: expected no such key, for gating"),
        (GATING + "leaf_mm_s = 3", "leaf_mm_s = 3: expected no such key, for gating"),
        (GATING.replace("on_ms = 1", ""), "on_ms = None: expected a number, for gating"),
        (GATING.replace("on_ms = 1", "on_ms = -1"), "on_ms = -1: expected 0 to 100000"),
        (GATING.replace("window_mm = 3", "window_mm = 0"), "window_mm = 0: expected 0.001 to 1000"),
        ('name = "a"\nkind = "tracking"', "delay_ms = None: expected a number, for tracking"),
        ('name = "a"\nkind = "tracking"\ndelay_ms = 1\nleaf_mm_s = 0', "leaf_mm_s = 0: expected 0.001"),
        ('name = "a"\nkind = "tracking"\ndelay_ms = -1\nend_to_end = true', "delay_ms = -1: expected 0"),
        ('name = "a"\nkind = "none"\nwindow_mm = 3', "window_mm = 3: expected no such key, for none"),
        ("#" * (1 << 17), "larger than"),
    ],
)
def test_a_beam_that_is_wrong_is_told_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_beam(str(file))
    assert "\n" not in str(caught.value)
    assert "bad.toml" in str(caught.value)


def test_a_beam_that_is_not_there_is_told_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="beam 'gate': expected one of none, linac-trigger"):
        load_beam("gate")
    with pytest.raises(InputError, match="no such file"):
        load_beam(str(tmp_path / "none.toml"))
