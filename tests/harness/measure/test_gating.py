"""What a gated beam would have done, for paths that jump in and out of the window at known lines."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.judge.evaluate import evaluate
from harness.judge.profiles import Criterion, Profile
from harness.measure.gating import Gating, simulate_gating
from harness.measure.image_quality import Quality, assess
from harness.measure.timing import measure
from harness.realtime.clock import VirtualClock
from harness.realtime.replay import replay
from harness.realtime.service import ConstantService
from mrsim.stream import Stream
from tests.harness.synthetic import Drawn, draw_target, moving_stream

MS = 1_000_000
WINDOW_M = 3e-3
INSIDE, OUTSIDE = (-0.02, 0.0), (-0.02, 0.02)
"""The target's planned place, and one 20 mm away."""


@pytest.fixture(scope="module")
def scan() -> Stream:
    return moving_stream(40)


def gated(scan: Stream, seen_in: list[bool], truly_out: list[range]) -> Gating:
    """Gate by images that show the target inside or not, while it is truly outside at some lines."""
    header, truth = scan.header, scan.truth
    assert truth is not None
    path = np.tile(INSIDE, (len(scan), 1))
    for lines in truly_out:
        path[lines.start : lines.stop] = OUTSIDE
    stream = dataclasses.replace(scan, truth=dataclasses.replace(truth, centroid=path))
    frames = np.arange(len(seen_in))
    t_ns = ((frames + 1) * header.lines_per_frame - 1) * header.tr_ns + header.te_ns
    quality = dataclasses.replace(
        blank_quality(scan),
        frames=frames,
        t_ns=t_ns,
        shown_ns=t_ns,
        centroid_m=np.array([INSIDE if seen else OUTSIDE for seen in seen_in]),
    )
    gating = simulate_gating(stream, quality, WINDOW_M, 0)
    assert gating is not None
    return gating


def blank_quality(scan: Stream) -> Quality:
    truth, last = scan.truth, scan.header.lines_per_frame
    assert truth is not None
    candidate = Drawn(lambda f: draw_target(scan.header, truth.centroid[last * f + last - 1]))
    run = replay(scan, candidate, VirtualClock(), ConstantService(0))
    quality = assess(scan, run, measure(run, warmup=0))
    assert quality is not None
    return quality


def test_the_longest_stray_time_is_its_lines_times_tr(scan: Stream) -> None:
    """Seven lines outside while the beam is on are seven TR: not TE, not a bound, not the sum of strays."""
    assert scan.header.te_ns != scan.header.tr_ns
    gating = gated(scan, [True] * 40, [range(100, 103), range(200, 207), range(300, 305)])
    assert gating.outside_longest_ns == 7 * scan.header.tr_ns
    steady = len(scan) - 15  # before the first image the beam has nothing to go by
    assert gating.duty == 1
    assert gating.outside_share == pytest.approx((3 + 7 + 5) / steady)
    assert gating.ideal_duty == pytest.approx(1 - (3 + 7 + 5) / steady)
    assert gating.missed_share == 0


def test_a_beam_that_is_off_strays_nowhere_and_misses_what_was_inside(scan: Stream) -> None:
    # Frames 10 to 19 show the target outside: off from the last line of frame 10 to that of frame 20.
    gating = gated(scan, [not 10 <= f < 20 for f in range(40)], [range(200, 240)])
    steady, off = len(scan) - 15, 10 * 16
    assert gating.outside_longest_ns == 0
    assert gating.outside_share == 0
    assert gating.duty == pytest.approx(1 - off / steady)
    assert gating.ideal_duty == pytest.approx(1 - 40 / steady)
    assert gating.missed_share == pytest.approx((off - 40) / (steady - 40))


def test_a_stray_at_either_end_of_the_scan_counts_whole(scan: Stream) -> None:
    lines = len(scan)
    assert gated(scan, [True] * 40, [range(0, 24)]).outside_longest_ns == 9 * scan.header.tr_ns
    assert gated(scan, [True] * 40, [range(lines - 11, lines)]).outside_longest_ns == 11 * scan.header.tr_ns


def test_every_figure_of_gating_is_told_under_its_own_name_and_unit(scan: Stream) -> None:
    truth = scan.truth
    assert truth is not None
    criterion = Criterion.of(Profile("mine", "a window", "total", 2000.0, window_mm=3.0), 100.0)
    last = scan.header.lines_per_frame
    result = evaluate(
        scan,
        "drawn",
        lambda: Drawn(lambda f: draw_target(scan.header, truth.centroid[last * f + last - 1])),
        clock=VirtualClock(),
        service=ConstantService(0),
        claim=0.5,
        criterion=criterion,
    )
    gating = result.gating
    assert gating is not None
    values = (gating.duty, gating.ideal_duty, gating.outside_share, gating.missed_share)
    assert len(set(values)) == 4  # else one could stand for another
    assert result.to_json()["gating"] == {
        "window_mm": pytest.approx(3.0),
        "planned_mm": pytest.approx([gating.planned_m[0] * 1e3, gating.planned_m[1] * 1e3]),
        "downstream_ms": 100.0,
        "duty": gating.duty,
        "ideal_duty": gating.ideal_duty,
        "outside_share": gating.outside_share,
        "outside_longest_ms": gating.outside_longest_ns / MS,
        "missed_share": gating.missed_share,
    }
