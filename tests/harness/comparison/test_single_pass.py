"""One pass and what it measured of every image: which images count, and how two candidates' are paired."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from harness.comparison.series import Series, compare_series
from harness.comparison.single_pass import Ground, _Judging, _Tap, play
from mrsim.stream import Readout
from recon.protocol import Image
from tests.harness.synthetic import Drawn, draw_target, moving_stream

FRAMES = 40


@lru_cache(maxsize=1)
def ground() -> Ground:
    return Ground(moving_stream(FRAMES), 4, FRAMES)


def truth(frame: int) -> np.ndarray:
    header = ground().stream.header
    centroid = ground().truth.centroid[(frame + 1) * header.lines_per_frame - 1]
    return draw_target(header, centroid)


def series(frames: np.ndarray, nmse: np.ndarray, block: np.ndarray) -> Series:
    values = {name: np.zeros(len(frames)) for name in Series.__dataclass_fields__}
    return Series(**(values | {"frame": frames, "nmse": nmse, "block": block}))  # type: ignore[arg-type]


def test_an_image_that_is_no_number_costs_itself_and_is_told() -> None:
    def draw(frame: int) -> np.ndarray:
        return np.full_like(truth(frame), np.nan) if frame == 7 else truth(frame)

    one = play(ground(), Drawn(draw), "drawn", service_ms=0.0)
    assert "not finite" in one.broken
    assert not one.ended
    assert one.expected == FRAMES - 4
    assert one.series.frame.tolist() == [f for f in range(4, FRAMES) if f != 7]


def test_one_that_raises_has_ended_and_is_told_where() -> None:
    def draw(frame: int) -> np.ndarray:
        if frame == 9:
            raise RuntimeError("no memory")
        return truth(frame)

    one = play(ground(), Drawn(draw), "drawn", service_ms=0.0)
    assert one.ended
    assert one.broken.startswith("the candidate raised RuntimeError: no memory")
    assert one.series.frame.tolist() == [4, 5, 6, 7, 8]


def test_pixels_are_kept_of_the_frames_that_were_asked_for() -> None:
    """Of frames before the first that is judged, too; and of none that the scan does not have."""
    one = play(ground(), Drawn(truth), "drawn", service_ms=0.0, kept=(0, 6, FRAMES))
    assert sorted(one.pixels) == [0, 6]
    assert np.array_equal(one.pixels[6], truth(6).astype(np.complex64))
    assert one.pixels[6].dtype == np.complex64


def test_without_fully_sampled_images_nothing_is_said_of_them() -> None:
    one = play(ground(), Drawn(truth), "drawn", service_ms=0.0)
    assert np.isnan(one.series.dice_own).all()
    seen = play(Ground(ground().stream, 4, FRAMES, 0), Drawn(truth), "drawn", service_ms=0.0)
    assert not np.isnan(seen.series.dice_own).any()
    assert np.array_equal(one.series.nmse, seen.series.nmse)


def test_without_times_no_image_is_said_to_be_shown() -> None:
    one = play(ground(), Drawn(truth), "drawn", service_ms=0.0, timed=False)
    assert (one.series.shown_ns == -1).all()
    assert np.isnan(one.series.error_shown_m).all()
    assert np.isfinite(one.series.error_last_m).all()


def test_an_image_counts_by_the_lines_that_were_there_when_it_was_emitted() -> None:
    """One that a thread emits between two lines is early, although it is judged after the frame's last."""
    stream = ground().stream
    lines = stream.header.lines_per_frame
    tap = _Tap(Drawn(truth), ground(), FRAMES, (), _Judging(), None)
    tap.open(stream.header, lambda image: None)
    for index in range(6 * lines - 1):
        tap.push(stream.readout(index))
    before = set(tap.scores)
    wrong = Image(np.zeros(stream.header.matrix, np.complex64), 5, 0)
    tap._box.take(wrong)
    last: Readout = stream.readout(6 * lines - 1)
    tap.push(last)
    assert set(tap.scores) == before | {5}
    assert tap.scores[5].nmse < 0.5  # of a blank image it is 1


def test_frames_that_one_side_lacks_are_left_out_and_scans_keep_their_breaths_apart() -> None:
    rng = np.random.default_rng(0)
    frames, block = np.arange(60), np.repeat(np.arange(3), 20)
    values = rng.uniform(0.1, 0.2, 60)
    one, other = series(frames, 2 * values, block), series(frames[:-5], values[:-5], block[:-5])
    single = compare_series("nmse", [one], [other])
    assert single.value == pytest.approx(2)
    assert (single.standing, single.interval) == ("undecided", None)  # three breaths are too few
    double = compare_series("nmse", [one, one], [other, other])
    assert double.interval == pytest.approx((2, 2))  # six are not
    assert double.standing == "behind"
    missing = values.copy()
    missing[3] = np.nan
    assert compare_series("nmse", [series(frames, missing, block)], [one]).value == pytest.approx(0.5)


def test_two_that_share_no_frame_are_undecided() -> None:
    one = series(np.arange(5), np.ones(5), np.zeros(5, np.int64))
    other = series(np.arange(5, 9), np.ones(4), np.zeros(4, np.int64))
    found = compare_series("nmse", [one], [other])
    assert found.standing == "undecided"
    assert "no frame" in found.note
