"""Profiles are limits as data, and gating does to the beam what the run's delays do."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.judge.evaluate import evaluate
from harness.judge.outcome import Outcome, Verdict
from harness.judge.profiles import SHIPPED, Criterion, Profile, load_profile
from harness.measure.lag import Lag
from harness.realtime.clock import VirtualClock
from harness.realtime.service import ConstantService
from mrsim.errors import InputError
from mrsim.stream import Stream
from tests.harness.synthetic import Drawn, draw_target, make_header, moving_stream

MS = 1_000_000
LAG = Lag(40.0 * MS, 1.0, 1e-4, (35.0 * MS, 60.0 * MS), "")


@pytest.fixture(scope="module")
def stream() -> Stream:
    return moving_stream()


def drawn(stream: Stream) -> Drawn:
    truth, last = stream.truth, stream.header.lines_per_frame
    assert truth is not None
    return Drawn(lambda f: draw_target(stream.header, truth.centroid[last * f + last - 1]))


@pytest.mark.parametrize(
    ("name", "downstream", "deadline_ms"),
    [
        ("keep-up", None, 64),
        ("dietz2019", None, 100),
        ("paper", None, 65),
        ("one-TR", None, 2.2),
        ("tracking", None, 200 - 60 - 2),  # the later end of the lag's interval, and TR - TE
        ("gating", 150, 500 - 150 - 60 - 2),
    ],
)
def test_a_profile_is_a_deadline(name: str, downstream: float | None, deadline_ms: float) -> None:
    header = make_header(lines_per_frame=8, tr_ns=4 * MS)
    assert Criterion.of(load_profile(name), downstream).deadline_ns(header, 64 * MS, LAG) == deadline_ms * MS


def test_a_total_without_a_lag_is_no_pass() -> None:
    criterion, header = Criterion.of(SHIPPED["tracking"], None), make_header()
    cases = (
        (dataclasses.replace(LAG, reason="gain 0.50 is not between"), Outcome.FAIL, "gain 0.50"),
        (Lag(None, None, None, None, "3 centroids"), Outcome.INSUFFICIENT, "3 centroids"),
        (dataclasses.replace(LAG, tau_ns=300.0 * MS, interval_ns=None), Outcome.FAIL, "leave nothing of 200"),
        (None, Outcome.FAIL, "no image came"),
    )
    for lag, outcome, told in cases:
        verdict = criterion.deadline_ns(header, 64 * MS, lag)
        assert isinstance(verdict, Verdict)
        assert verdict.outcome is outcome
        assert told in verdict.reason


@pytest.mark.parametrize(("service_ms", "outcome"), [(1, Outcome.PASS), (8, Outcome.FAIL)])
def test_a_run_is_judged_by_its_profile(service_ms: int, outcome: Outcome, stream: Stream) -> None:
    """Without lag of its own, 200 ms bind once the queue grows: 8 ms a line at TR 4 ms."""
    result = evaluate(
        stream,
        "drawn",
        lambda: drawn(stream),
        clock=VirtualClock(),
        service=ConstantService(service_ms * MS),
        claim=0.7,
        criterion=Criterion.of(SHIPPED["tracking"], None),
    )
    time = result.verdict.answer("time")
    assert time is not None
    assert time.outcome is outcome
    assert result.to_json()["profile"]["name"] == "tracking"
    assert 190 * MS < result.timing.deadline_ns < 200 * MS


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\nmeasure = "total"\nlimit_ms = 80\ndownstream_ms = 12.5\nclaim = 0.95\n')
    profile = load_profile(str(file))
    assert profile == Profile("mine", str(file), "total", 80, 0.95, 12.5)
    assert Criterion.of(profile, None).downstream_ms == 12.5
    assert Criterion.of(profile, 20).downstream_ms == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "not valid TOML"),
        ("limit_ms = 3", "missing key 'name'"),
        ('name = "a"\nlimit = 3', "unknown key 'limit'"),
        ('name = "a"\nlimit_ms = "3"', "limit_ms is a str: expected float"),
        ('name = "a"\nlimit_ms = true', "limit_ms is a bool"),
        ('name = "a"\nlimit_ms = 0', "limit_ms = 0"),
        ('name = "a"\nlimit_ms = nan', "limit_ms = nan"),
        ('name = "a"\nlimit_ms = 10000000000000000000000', "too large"),
        ('name = "a"\nmeasure = "total"', "a limit, for a total"),
        ('name = "a"\nmeasure = "luck"', "one of response, total"),
        ('name = "a"\nclaim = 1.0', "a share from 0.5 to below 1"),
        ('name = "a"\nclaim = 1e-300', "a share from 0.5 to below 1"),
        ('name = "a"\nbeam = "mlc"\nwindow_mm = 2.0', "either a window or a beam, not both"),
        ("a = [" * 3000, "not valid TOML|unknown key"),
        ("#" * (1 << 17), "larger than"),
    ],
)
def test_a_profile_that_is_wrong_is_told_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_profile(str(file))
    assert "\n" not in str(caught.value)
    assert "bad.toml" in str(caught.value)


def test_what_a_profile_needs() -> None:
    with pytest.raises(InputError, match="downstream_ms = 150"):
        Criterion.of(SHIPPED["gating"], None)
    with pytest.raises(InputError, match="leave out downstream_ms"):
        Criterion.of(SHIPPED["dietz2019"], 3)
    with pytest.raises(InputError, match="expected 0 to"):
        Criterion.of(SHIPPED["gating"], float("nan"))
    with pytest.raises(InputError, match="expected one of keep-up, dietz2019"):
        load_profile("fast")
