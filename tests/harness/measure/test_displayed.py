"""What is on display at each instant, M95, and what it is made of."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.measure.displayed import NOTHING, Displayed, Emissions, display
from harness.measure.failures import SilentFailures, silent_failures
from harness.measure.margin import measure_margin
from harness.measure.timing import measure
from harness.measure.waterfall import waterfall_of
from harness.realtime.clock import VirtualClock
from harness.realtime.replay import replay
from harness.realtime.service import ConstantService
from mrsim.stream import Header, Readout, Stream, Truth
from recon.protocol import Emit, Position
from tests.harness.synthetic import make_header, make_stream

TR_NS = 2_200_000
PERIOD = 1818
AMPLITUDE_M = 7.5e-3
WHOLE = (slice(0, 32), slice(0, 32))


def sinusoid(periods: int = 2, lines_per_frame: int = 18) -> Stream:
    """Make a scan of a target on a sinusoid; its judged time is whole periods."""
    header = make_header(lines_per_frame, TR_NS, (32, 32))
    lines = PERIOD * periods + lines_per_frame
    stream = make_stream(lines, header=header)
    phase = 2 * np.pi * np.arange(lines) / PERIOD
    centre = np.stack([np.zeros(lines), AMPLITUDE_M * np.sin(phase)], axis=-1)
    assert stream.truth is not None
    mask = np.zeros_like(stream.truth.mask)
    mask[:, 13:16, 13:16] = True
    return dataclasses.replace(stream, truth=dataclasses.replace(stream.truth, centroid=centre, mask=mask))


class Tracker:
    """Emit where the target was some lines ago, after every line; a function may change the position."""

    def __init__(
        self,
        stream: Stream,
        behind: int = 0,
        changed: Callable[[Position], Position | None] = lambda position: position,
        every: int = 1,
    ) -> None:
        assert stream.truth is not None
        self._path, self._behind, self._changed, self._every = stream.truth.centroid, behind, changed, every

    def open(self, header: Header, emit: Emit) -> None:
        self._emit = emit

    def push(self, readout: Readout) -> None:
        if (readout.index + 1) % self._every:
            return
        x, y = self._path[(readout.index - self._behind) % PERIOD] * 1e3
        position = self._changed(Position(float(x), float(y), readout.frame, readout.index))
        if position is not None:
            self._emit(position)

    def close(self) -> None:
        pass


def shown(stream: Stream, tracker: Tracker, service_ns: int = 0) -> Displayed:
    run = replay(stream, tracker, VirtualClock(), ConstantService(service_ns))
    displayed = display(stream, run, measure(run, warmup=0), {}, WHOLE)
    assert displayed is not None
    return displayed


def late(stream: Stream, tracker: Tracker, service_ms: int) -> Displayed:
    """Show what comes some time after its last line, and keeps nothing else waiting."""
    run = replay(stream, tracker, VirtualClock(), ConstantService(0))
    completed = run.images.completed_ns + service_ms * 1_000_000
    assert run.images.positions is not None
    positions = dataclasses.replace(run.images.positions, completed_ns=completed)
    images = dataclasses.replace(run.images, completed_ns=completed, positions=positions)
    run = dataclasses.replace(run, images=images)
    # Behind the first images the truth would be needed from before the scan.
    displayed = display(stream, run, measure(run, warmup=10), {}, WHOLE)
    assert displayed is not None
    return displayed


NONE = SilentFailures(0.0, 0, {}, 0, 0, None)


@pytest.mark.parametrize("delay", [1, 2, 45, 73, 136, 227])
def test_a_delayed_sinusoid_has_the_margin_that_trigonometry_says(delay: int) -> None:
    """A sin(w t) - A sin(w (t - L)) has rms A sqrt 2 |sin(w L / 2)|; a share p is below sin(p pi / 2)."""
    stream = sinusoid()
    # A position comes at the end of its TR, and is seen at the next echo: one TR late by itself.
    displayed = shown(stream, Tracker(stream, delay - 1))
    assert len(displayed.t_ns) == 2 * PERIOD
    half = abs(math.sin(math.pi * delay / PERIOD))
    margin = measure_margin(displayed, stream, None, NONE, waterfall_of(displayed, stream, None))
    assert margin.rms_m is not None
    assert margin.m95_m is not None
    assert margin.rms_m == pytest.approx(AMPLITUDE_M * math.sqrt(2) * half, rel=1e-6)
    assert margin.m95_m == pytest.approx(2 * AMPLITUDE_M * half * math.sin(0.475 * math.pi), rel=1e-4)
    assert margin.m99_m == pytest.approx(2 * AMPLITUDE_M * half * math.sin(0.495 * math.pi), rel=1e-4)


def test_a_late_image_of_an_older_frame_replaces_nothing() -> None:
    ones = np.zeros(4)
    emissions = Emissions(
        shown_ns=np.array([10, 20, 30, 40]),
        newest=np.array([5, 9, 7, 11]),
        frame=np.full(4, NOTHING),
        centre_m=np.zeros((4, 2)),
        hold=ones.astype(bool),
        mask=np.full(4, NOTHING),
        masks=np.zeros((0, 1, 1), bool),
    )
    assert emissions.on_display(np.array([0, 9, 10, 19, 20, 30, 39, 40, 99])).tolist() == [
        NOTHING, NOTHING, 0, 0, 1, 1, 1, 3, 3,
    ]  # fmt: skip


def test_lost_time_is_infinitely_far_and_held_time_leaves_the_margin() -> None:
    stream = sinusoid()

    def lost(position: Position) -> Position | None:
        return None if position.last_line < 1900 else position

    displayed = shown(stream, Tracker(stream, changed=lost))
    assert np.isinf(displayed.error_m).mean() == pytest.approx((1901 - 18) / (2 * PERIOD), abs=1e-3)

    def holds(position: Position) -> Position:
        return dataclasses.replace(position, hold=position.last_line >= PERIOD, x_mm=0.0)

    displayed = shown(stream, Tracker(stream, 100, holds))
    margin = measure_margin(displayed, stream, None, NONE, waterfall_of(displayed, stream, None))
    assert margin.held_share == pytest.approx(0.5, abs=0.01)
    assert margin.availability == pytest.approx(1 - margin.held_share, abs=1e-12)
    half = abs(math.sin(math.pi * 101 / PERIOD))
    assert margin.m99_m == pytest.approx(2 * AMPLITUDE_M * half, rel=0.01)


def test_time_without_a_target_in_the_slice_is_unavailable() -> None:
    stream = sinusoid()
    truth: Truth | None = stream.truth
    assert truth is not None
    mask = truth.mask.copy()
    mask[100:150] = False
    stream = dataclasses.replace(stream, truth=dataclasses.replace(truth, mask=mask))
    displayed = shown(stream, Tracker(stream))
    margin = measure_margin(displayed, stream, None, NONE, waterfall_of(displayed, stream, None))
    assert margin.gone_share == pytest.approx(50 / 202, abs=0.01)
    # It is still shown, without a word.
    silent = silent_failures(displayed, stream, None)
    assert silent.kinds["target gone"] == pytest.approx(margin.gone_share, abs=1e-9)


@pytest.mark.parametrize("service_ms", [0, 30])
def test_the_waterfall_parts_what_time_costs(service_ms: int) -> None:
    """Images every 18 lines, of the target 50 lines ago, some ms late: each part has its own delay."""
    stream = sinusoid(3)
    tracker = Tracker(stream, 50, every=18)
    displayed = late(stream, tracker, service_ms)
    fall = waterfall_of(displayed, stream, 50 * TR_NS)
    margin = measure_margin(displayed, stream, None, NONE, fall)
    assert fall.sharing_m is not None
    assert margin.m95_m is not None

    def expected(behind: NDArray[np.float64]) -> float:
        """Return M95 of a display that is so many lines behind, uniformly over the breath."""
        phase = 2 * np.pi * np.arange(PERIOD) / PERIOD
        error = np.abs(2 * AMPLITUDE_M * np.sin(np.pi * behind[:, None] / PERIOD) * np.cos(phase))
        return float(np.quantile(error, 0.95))

    hold = np.arange(1, 19)
    lines_late = service_ms * 1e6 / TR_NS
    assert fall.cadence_m == pytest.approx(expected(hold), rel=0.01)
    assert fall.cadence_m + fall.sharing_m == pytest.approx(expected(hold + 50), rel=0.01)
    assert fall.lag_m == pytest.approx(expected(np.ceil(hold + 50 + lines_late)), rel=0.01)
    assert abs(fall.image_m) < 1e-12
    assert fall.lag_m + fall.image_m == pytest.approx(margin.m95_m, rel=1e-12)
    assert fall.half_compute_m == pytest.approx(expected(np.ceil(hold + 50 + lines_late / 2)), rel=0.01)
    assert fall.tenfold_m == pytest.approx(expected(np.ceil(np.arange(1, 5) + 50 + lines_late)), rel=0.01)


def test_what_the_same_images_would_cost_keeps_their_error() -> None:
    """A target that is shown 2 mm beside it and late is 2 mm beside it however soon it comes."""
    stream = sinusoid(3)

    def beside(position: Position) -> Position:
        return dataclasses.replace(position, x_mm=position.x_mm + 2.0)

    displayed = late(stream, Tracker(stream, changed=beside, every=18), 30)
    fall = waterfall_of(displayed, stream, 0.0)
    phase = 2 * np.pi * np.arange(PERIOD) / PERIOD

    def expected(behind: NDArray[np.float64]) -> float:
        along = 2 * AMPLITUDE_M * np.sin(np.pi * behind[:, None] / PERIOD) * np.cos(phase)
        return float(np.quantile(np.hypot(along, 2e-3), 0.95))

    assert fall.half_compute_m == pytest.approx(expected(np.ceil(np.arange(1, 19) + 15e6 / TR_NS)), rel=0.01)
    assert fall.tenfold_m == pytest.approx(expected(np.ceil(np.arange(1, 5) + 30e6 / TR_NS)), rel=0.01)
    assert fall.half_compute_m > 2e-3 > fall.lag_m


def test_of_a_lost_target_no_millimetres_are_told() -> None:
    stream = sinusoid()
    displayed = shown(stream, Tracker(stream, changed=lambda position: None))
    assert "image the target lost" in str(waterfall_of(displayed, stream, None))


def test_a_position_that_stands_still_is_a_silent_failure_until_it_says_hold() -> None:
    stream = sinusoid()

    def stuck(position: Position) -> Position:
        if position.last_line < 600:
            return position
        return dataclasses.replace(position, y_mm=1.0, hold=position.last_line >= 1400)

    displayed = shown(stream, Tracker(stream, changed=stuck))
    silent = silent_failures(displayed, stream, None)
    # An image may be 500 ms old before that is a failure: 228 lines.
    start = 600 + math.ceil(500e6 / TR_NS)
    assert silent.kinds["frozen"] == pytest.approx((1400 - start) / (2 * PERIOD), abs=2e-3)
    assert silent.first_sign_ns == pytest.approx((1400 - start) * TR_NS, abs=3 * TR_NS)
    assert (silent.count, silent.unflagged) == (1, 0)


def test_a_display_that_no_longer_changes_is_stale() -> None:
    stream = sinusoid()

    def stops(position: Position) -> Position | None:
        return position if position.last_line < 600 else None

    silent = silent_failures(shown(stream, Tracker(stream, changed=stops)), stream, None)
    assert silent.kinds["stale"] == pytest.approx((PERIOD * 2 + 18 - 600 - 228) / (2 * PERIOD), abs=3e-3)
    assert silent.unflagged == 1
    assert silent.first_sign_ns is None
