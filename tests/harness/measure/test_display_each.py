"""Several displays of one scan at once, and of a part of a scan whose clock starts anew."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.comparison.scans import part_of
from harness.measure.displayed import Displayed, Emissions, display_each
from harness.measure.image_quality import FrameJudge
from mrsim.anatomy.phantom import load_phantom
from mrsim.scanner.acquisition import ScanProtocol, scan
from mrsim.stream import Stream

FIRST = 37
"""Frame at which the part starts: not a whole breath."""


@pytest.fixture(scope="module")
def whole() -> Stream:
    phantom = load_phantom("quasar", {"motion.breathing.period_s": 2.0})
    return scan(phantom, ScanProtocol(matrix=(64, 64)), seed=2, seconds=8.0)


def window(stream: Stream) -> tuple[slice, slice]:
    assert stream.truth is not None
    return FrameJudge(stream.truth, stream.header).window


def truly(stream: Stream, within: tuple[slice, slice], late_ns: int = 0) -> Emissions:
    """Return the true mask and centre of every frame's last line, so long after that line is due."""
    assert stream.truth is not None
    header, frames = stream.header, np.arange(stream.frames)
    last = (frames + 1) * header.lines_per_frame - 1
    return Emissions(
        shown_ns=(last + 1) * header.tr_ns + late_ns,
        newest=last,
        frame=frames,
        centre_m=np.asarray(stream.truth.centroid)[last],
        hold=np.zeros(len(frames), bool),
        mask=frames,
        masks=np.asarray(stream.truth.mask)[:, within[0], within[1]],
    )


def judged(stream: Stream, first: int) -> np.ndarray:
    """Return the lines from where a frame is due to the end."""
    return np.arange((first + 1) * stream.header.lines_per_frame, len(stream))


def shown_of_part(whole: Stream, start_ns: int) -> tuple[Displayed, Displayed]:
    """Return the same display, of the part and of the whole scan."""
    within = window(whole)
    part = part_of(whole, FIRST, whole.frames)
    (one,) = display_each(part, [truly(part, within)], judged(part, 4), within, start_ns)
    (other,) = display_each(whole, [truly(whole, within)], judged(whole, FIRST + 4), within)
    return one, other


def test_a_part_is_judged_as_in_the_whole_scan(whole: Stream) -> None:
    one, other = shown_of_part(whole, FIRST * whole.header.frame_ns)
    np.testing.assert_array_equal(one.error_m, other.error_m)
    np.testing.assert_array_equal(one.dice, other.dice)
    assert 0.8 < one.dice.min() < 1


def test_a_part_that_does_not_know_where_it_starts_is_judged_by_what_it_stores(whole: Stream) -> None:
    """The phantom would tell masks of the scan's first seconds; masks that are moved are off by a pixel."""
    one, other = shown_of_part(whole, 0)
    assert np.abs(one.dice - other.dice).mean() < 0.05


def test_what_comes_later_is_further_off_and_the_order_of_those_shown_does_not_matter(whole: Stream) -> None:
    within, lines = window(whole), judged(whole, 8)
    soon, late = truly(whole, within), truly(whole, within, 200_000_000)
    two = display_each(whole, [soon, late], lines, within)
    again = display_each(whole, [late, soon.coming_at(late.shown_ns)], lines, within)
    for one, other in ((two[1], again[0]), (two[1], again[1])):
        np.testing.assert_array_equal(one.dice, other.dice)
        np.testing.assert_array_equal(one.error_m, other.error_m)
    assert np.quantile(two[1].error_m, 0.95) > 1.5 * np.quantile(two[0].error_m, 0.95)
    assert two[1].dice.mean() < two[0].dice.mean()


def test_what_comes_in_another_order_is_sorted_by_when_it_comes(whole: Stream) -> None:
    within = window(whole)
    shown = truly(whole, within)
    backwards = shown.coming_at(shown.shown_ns[::-1])
    assert (np.diff(backwards.shown_ns) > 0).all()
    assert backwards.newest.tolist() == shown.newest[::-1].tolist()
    assert backwards.mask.tolist() == backwards.frame.tolist() == list(range(whole.frames))[::-1]
    # The newest one came first, so nothing that came later replaces it.
    (display,) = display_each(whole, [backwards], judged(whole, 8), within)
    assert set(display.index.tolist()) == {0}
    assert dataclasses.replace(backwards, hold=backwards.hold).on_display(np.array([0])).tolist() == [-1]
