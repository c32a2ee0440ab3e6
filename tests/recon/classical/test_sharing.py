"""Sliding window and keyhole against what they are defined to be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrsim.errors import InputError
from recon.classical.sharing import Keyhole, SlidingWindow
from recon.classical.zero_filled import ViewSharing
from recon.fourier import to_image
from tests.recon.conftest import run, small_stream


def visits(stream, row, first, last):
    """Return what was read of a row in some frames, oldest first."""
    centre = stream.header.matrix[0] // 2
    return [r.samples[0] for r in stream if r.ky + centre == row and first <= r.frame <= last]


@settings(max_examples=8)
@given(window=st.integers(1, 9), seed=st.integers(0, 99))
def test_window_is_the_mean_of_each_rows_visits_within_it_and_nothing_else(window, seed):
    stream = small_stream(frames=12, seed=seed)
    images = run(SlidingWindow(window), stream)
    for image in images[::4]:
        kspace = np.zeros(stream.header.matrix, np.complex64)
        for row in range(24):
            found = visits(stream, row, image.frame - window + 1, image.frame)
            if found:
                kspace[row] = np.mean(found, axis=0)
        assert np.allclose(image.pixels, to_image(kspace), atol=2e-6)


def test_the_window_is_as_long_as_a_full_image_unless_told(stream):
    others = run(SlidingWindow(3), stream)  # 24 rows, 8 a frame
    for ours, other in zip(run(SlidingWindow(), stream), others, strict=True):
        assert np.array_equal(ours.pixels, other.pixels)


def test_a_window_of_one_frame_forgets_and_a_long_one_does_not_share_views(stream):
    shared = run(ViewSharing(), stream)[-1].pixels
    for window in (1, 20):
        assert not np.allclose(run(SlidingWindow(window), stream)[-1].pixels, shared, atol=1e-3)


@pytest.mark.parametrize("frames", [0, -3, 5000])
def test_a_window_that_is_none_is_refused(frames):
    with pytest.raises(InputError, match=f"{frames} frames: expected 1 to 4096"):
        SlidingWindow(frames)


def test_a_window_that_fills_the_memory_is_refused(stream, monkeypatch):
    monkeypatch.setattr("recon.classical.sharing.MAX_WINDOW_BYTES", 1000)
    with pytest.raises(InputError, match="MiB: take fewer"):
        run(SlidingWindow(4096), stream)


@pytest.mark.parametrize("reference", ["mean", "first"])
def test_keyhole_keeps_the_present_rows_and_takes_the_others_from_its_reference(reference, stream):
    for image in run(Keyhole(reference), stream)[::7]:
        kspace = np.zeros(stream.header.matrix, np.complex64)
        for row in range(24):
            found = visits(stream, row, 0, image.frame)
            now = visits(stream, row, image.frame, image.frame)
            if found:
                kept = found[0] if reference == "first" else np.mean(found[-32:], axis=0)
                kspace[row] = now[-1] if now else kept
        assert np.allclose(image.pixels, to_image(kspace), atol=2e-5)


def test_an_unknown_reference_is_refused():
    with pytest.raises(InputError, match="'newest': expected mean or first"):
        Keyhole("newest")
