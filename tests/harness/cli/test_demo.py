"""The reference floor and the picture of the demonstration."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.measure.floor import consistency_floor
from harness.measure.image_quality import FrameJudge, judge_frames
from harness.report.picture import draw_frames
from mrsim.anatomy.phantom import load_phantom
from mrsim.errors import InputError
from mrsim.scanner.acquisition import ScanProtocol, scan
from recon.fourier import to_image, to_kspace


@pytest.fixture(scope="module")
def stream():
    return scan(load_phantom("quasar"), ScanProtocol(), seed=3, seconds=5)


def test_floor_keeps_the_lines_and_the_truth_elsewhere(stream):
    frames = np.arange(10, stream.frames)
    pixels, quality = consistency_floor(stream, frames, 0)
    for frame in (10, 31):
        kspace, true = to_kspace(pixels[frame]), to_kspace(stream.truth.image[frame])
        mine = stream.frame == frame
        rows = stream.ky[mine] + 64
        assert np.allclose(kspace[rows], stream.samples[mine, 0], atol=1e-4)
        others = np.setdiff1d(np.arange(128), rows)
        assert np.allclose(kspace[others], true[others], atol=1e-4)
    # It lags: the lines of a frame are older than its end, by less than half a frame on the whole.
    assert 0 < quality.lag.claimed_ns < stream.header.frame_ns / 2


def test_floor_needs_truth(stream):
    with pytest.raises(InputError, match="truth"):
        consistency_floor(dataclasses.replace(stream, truth=None), np.arange(3))


def methods(stream):
    frames = np.arange(8, stream.frames)
    truth = stream.truth.image
    judge = FrameJudge(stream.truth, stream.header)
    quality = judge_frames(
        stream,
        frames,
        (frames + 1) * stream.header.frame_ns,
        [judge.score(int(f), truth[f]) for f in frames],
        0,
    )
    return {"a method": (truth, quality), "another": (truth, quality)}


def test_picture_is_written_whole_or_not_at_all(stream, tmp_path, monkeypatch):
    draw_frames(tmp_path / "frames.png", stream, methods(stream))
    assert (tmp_path / "frames.png").read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["frames.png"]

    from matplotlib.figure import Figure

    def half(self, path, **_):
        path.write_bytes(b"\x89PNG half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(InputError, match=r"other\.png: cannot be written: disk full"):
        draw_frames(tmp_path / "other.png", stream, methods(stream))
    assert [p.name for p in tmp_path.iterdir()] == ["frames.png"]


def test_transforms_of_the_scanner_and_the_reconstructors_agree(stream):
    """Full sampling of the simulator, by the reconstructors' transform, is the simulator's true image."""
    full = scan(
        load_phantom("quasar", {"motion.breathing.amplitude_mm": 0.0}),
        ScanProtocol(acceleration=1, sampler="full", target_snr=float("inf")),
        seed=1,
        frames=1,
    )
    kspace = np.zeros((128, 128), np.complex64)
    kspace[full.ky + 64] = full.samples[:, 0]
    assert np.allclose(to_image(kspace), full.truth.image[0], atol=1e-5)
