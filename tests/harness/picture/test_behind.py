"""The moving picture: contours stand where target and display are, at the pace of the scan."""

from __future__ import annotations

import dataclasses
import itertools
import os

import numpy as np
import pytest
from PIL import Image as Pillow

from harness.measure.finding.segmentation import finder_of
from harness.measure.true_masks import TrueMasks
from harness.picture import behind, canvas
from harness.picture.behind import Behind, write_behind
from mrsim.errors import InputError
from tests.harness.picture.late import late, scanned


def outline_at(picture, colour, one, window):
    """Return the centre (x, y), metres, of the box around what has a colour in a panel; None for nothing."""
    near = np.abs(picture.astype(int) - np.array(colour)).max(axis=2) < 60
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    if not len(rows):
        return None
    header = one.result.stream.header
    place = []
    for axis, at in ((1, columns), (0, rows)):
        part, side = window[axis], header.matrix[axis]
        pixel = part.start + (at[0] + at[-1] + 1) / 2 / picture.shape[axis] * (part.stop - part.start)
        place.append((pixel - 0.5 - side // 2) * header.fov_m[axis] / side)
    return np.array(place)


def test_contours_stand_where_the_target_is_and_where_it_is_shown():
    scan, frames = scanned(), 3
    one = Behind.of("late", late(frames))
    header = scan.header
    window = finder_of(scan.truth, header).window
    size = behind._panel_size(scan, window)
    nothing = np.zeros([part.stop - part.start for part in window], np.bool_)
    blank = dataclasses.replace(one.displayed, index=np.full_like(one.displayed.index, -1))
    pixel_m = header.fov_m[0] / header.matrix[0]
    apart = []
    for t_ns in (3_000_000_000, 3_300_000_000, 3_700_000_000, 4_400_000_000):
        mask = TrueMasks(scan, window, 0).at(np.array([t_ns]))[0]
        truly = outline_at(
            behind._panel(dataclasses.replace(one, displayed=blank), t_ns, mask, window, 1.0, size),
            canvas.TRUE, one, window,
        )  # fmt: skip
        shown = outline_at(behind._panel(one, t_ns, nothing, window, 1.0, size), canvas.SHOWN, one, window)
        # The newest image at t is of the last frame that has ended, less the frames that it is late by.
        ended = int(t_ns // header.frame_ns) - 1
        last_line = (ended - frames + 1) * header.lines_per_frame - 1
        assert np.hypot(*(truly - scan.truth.centroid_at(np.array([t_ns]), header)[0])) < pixel_m / 2
        assert np.hypot(*(shown - scan.truth.centroid[last_line])) < pixel_m / 2
        apart.append(np.hypot(*(shown - truly)))
    assert min(apart) > pixel_m / 2  # it is late, and that is seen


def test_it_plays_at_the_pace_of_the_scan_and_both_files_hold_every_frame(tmp_path):
    av = pytest.importorskip("av")
    results = {"none late": late(0), "three frames late": late(3)}
    count = write_behind(tmp_path / "b.gif", results, seconds=3.0)
    assert write_behind(tmp_path / "b.mp4", results, seconds=3.0) == count
    with Pillow.open(tmp_path / "b.gif") as gif:
        times = []
        for number in range(gif.n_frames):
            gif.seek(number)
            times.append(gif.info["duration"])
        assert sum(times) == 100 * count  # frames that are alike are one, shown for longer
        size = gif.size
    with av.open(str(tmp_path / "b.mp4")) as mp4:
        frames = list(mp4.decode(video=0))
        assert len(frames) == count
        assert float(frames[-1].time) == pytest.approx((count - 1) / 10, abs=1e-6)
        assert (frames[0].width, frames[0].height) == tuple(side + side % 2 for side in size)
    # Whole breaths of 1.5 s, at most three seconds, so that the end goes on with the beginning.
    assert count in (15, 30)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.gif", "b.mp4"]


def test_figures_are_those_of_the_result():
    one = Behind.of("late", late(3))
    margin, quality = one.result.margin, one.result.quality
    told = f"M95 {margin.m95_mm:.1f} mm, {quality.total_lag_ns / 1e6:.0f} ms behind"
    assert one.figures == told
    assert quality.total_lag_ns / 1e6 == pytest.approx(3 * 64, abs=12)


def test_the_lamp_tells_when_the_beam_is_on_and_misses():
    one = Behind.of("late", late(3))
    on, inside = one.beam.on_share > 0.5, one.beam.ideal_on_share > 0.5
    for wanted, colour, filled in (
        (on & inside, canvas.GOOD, True), (on & ~inside, canvas.BAD, True), (~on, canvas.QUIET, False),
    ):  # fmt: skip
        row = int(np.flatnonzero(wanted)[0])
        drawn = canvas.Canvas(180, 24)
        behind._lamp(drawn, one, int(one.displayed.t_ns[row]), 0, 4)
        assert tuple(drawn.pixels[12, 7]) == (colour if filled else canvas.BACK)
        assert (np.abs(drawn.pixels[:16, :16].astype(int) - colour).max(axis=2) < 40).any()


def test_a_gif_shows_every_colour_that_is_drawn():
    near = canvas.palette().astype(int)
    for colour in (canvas.TRUE, canvas.SHOWN, canvas.GOOD, canvas.BAD, canvas.BACK):
        assert np.abs(near - np.array(colour)).max(axis=1).min() == 0
    assert len(near) <= 256


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"seconds": 0}, "seconds = 0"),
        ({"start_s": 0.0, "seconds": 2.0}, "start_s = 0.0"),
        ({"start_s": 6.9, "seconds": 2.0}, "start_s = 6.9"),
    ],
)
def test_what_is_not_there_is_refused(how, told, tmp_path):
    with pytest.raises(InputError, match=told):
        write_behind(tmp_path / "b.gif", {"late": late(3)}, **how)
    assert not list(tmp_path.iterdir())


def test_another_scan_or_one_without_truth_is_refused(tmp_path):
    import harness

    scan = scanned()
    short = dataclasses.replace(late(3), stream=scan.first_frames(50))
    with pytest.raises(InputError, match="b: its scan is another than that of a"):
        write_behind(tmp_path / "b.gif", {"a": late(3), "b": short})
    bare = harness.replay(dataclasses.replace(scan, truth=None), "zero-filled", scenario="lockstep").first
    with pytest.raises(InputError, match="a: a moving picture needs what was on display"):
        write_behind(tmp_path / "b.gif", {"a": bare})
    with pytest.raises(InputError, match=r"ends in \.gif or \.mp4"):
        write_behind(tmp_path / "b.png", {"a": late(3)})


def test_half_of_it_is_never_left(tmp_path, monkeypatch):
    """Neither where drawing fails, nor where the disk does."""

    def torn(*_):
        yield next(behind_pictures(*_))
        raise OSError(28, os.strerror(28))

    behind_pictures = behind._pictures
    monkeypatch.setattr(behind, "_pictures", torn)
    for name in ("b.gif", "b.mp4"):
        pytest.importorskip("av")
        with pytest.raises((InputError, OSError)):
            write_behind(tmp_path / name, {"late": late(3)}, seconds=2.0)
    assert not list(itertools.islice(tmp_path.iterdir(), 3))
