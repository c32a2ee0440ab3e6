"""One line draws a scan or a run: the curves are the numbers that they stand for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.judge.repetitions import Repetitions
from harness.picture.plots import plot_run
from harness.session.result import Result
from mrsim.errors import InputError
from tests.harness.picture.late import late, scanned


def curves(figure):
    return {line.get_label(): line.get_xydata() for axes in figure.axes for line in axes.lines}


def test_a_result_draws_where_the_target_is_and_where_it_is_shown(tmp_path):
    run = late(3)
    result = Result(Repetitions((run,), exact=True), "again")
    found = curves(result.plot("trace", tmp_path / "t.png"))
    shown = run.displayed
    along = int(np.argmax(np.ptp(shown.true_m, axis=0)))
    for label, values in (("where the target is", shown.true_m), ("where it is shown", shown.centre_m)):
        assert np.allclose(found[label][:, 0], shown.t_ns * 1e-9)
        assert np.allclose(found[label][:, 1], values[:, along] * 1e3, equal_nan=True)
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("frames", [0, 2])
def test_latency_is_that_of_each_image(frames):
    run = late(frames)
    figure = plot_run(run, "latency")
    drawn = figure.axes[0].lines[0].get_xydata()
    assert np.allclose(drawn[:, 1], run.timing.response_ns[run.timing.shown] / 1e6)
    assert sum(patch.get_height() for patch in figure.axes[1].patches) == int(run.timing.shown.sum())


def test_frames_and_kspace_are_those_of_the_run():
    run = late(3)
    frames = plot_run(run, "frames")
    pixels = run.run.images.pixels
    for axes in frames.axes:
        number = int(axes.get_title().split()[1].rstrip(","))
        assert np.allclose(axes.images[0].get_array(), np.abs(pixels[number]))
    kspace = plot_run(run, "kspace")
    assert [axes.get_title() for axes in kspace.axes[:2]] == ["k-space of image 109", "k-space of the truth"]
    mapped = kspace.axes[0].images[0].get_array()
    assert np.unravel_index(np.argmax(mapped), mapped.shape) == (32, 32)  # k = 0 is at N // 2


def test_a_scan_draws_its_frames_lines_and_path(tmp_path):
    scan = scanned()
    path = curves(scan.plot("trace"))["y, head to feet"]
    centre = scan.truth.centroid[:, 1] * 1e3
    assert np.allclose(path[:, 1], centre - centre[0])
    for axes, frame in zip(scan.plot("frames").axes, np.linspace(0, 109, 5).round().astype(int), strict=True):
        assert np.allclose(axes.images[0].get_array(), np.abs(scan.truth.image[frame]))
    drawn = scan.plot("kspace", tmp_path / "k.png").axes[1].collections[0].get_offsets()
    assert np.allclose(drawn[:, 1], scan.ky[: len(drawn)])
    bare = dataclasses.replace(scan, truth=None)
    assert len(bare.plot("frames").axes) == 5
    with pytest.raises(InputError, match="nothing tells the target's path"):
        bare.plot("trace")


def test_what_is_not_there_is_refused(tmp_path):
    for thing in (lambda: scanned().plot("sound"), lambda: plot_run(late(0), "sound")):
        with pytest.raises(InputError, match="expected one of"):
            thing()
    with pytest.raises(InputError, match=r"ends in \.png"):
        scanned().plot("frames", tmp_path / "a.jpg")
    assert not list(tmp_path.iterdir())
