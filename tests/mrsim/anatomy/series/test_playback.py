"""A playback meets the smoothed frames, and follows its target."""

from __future__ import annotations

import numpy as np
import pytest

from mrsim.anatomy.series.playback import playback_of
from mrsim.anatomy.series.reading.cine import read_cine
from mrsim.anatomy.series.series import series_from_arrays
from mrsim.anatomy.series.tracking import label_center, track
from mrsim.errors import PhantomError
from tests.mrsim.anatomy.series.cines import REAL, SHAPE, STEP_S, breathing, cine, moved, smooth_image


def test_every_frame_is_met_at_its_instant_and_faded_in_between() -> None:
    series = series_from_arrays(**cine())
    played, realism = playback_of(series, 0)
    for frame in range(24):
        assert np.abs(played.image(int(series.t_ns[frame])) - series.images[frame]).max() <= 1e-6
    quarter = int(series.t_ns[4] + 37_500_000)
    mixed = 0.75 * series.images[4] + 0.25 * series.images[5]
    assert played.image(quarter) == pytest.approx(mixed, abs=1e-6)
    assert realism.removed == 0


def test_between_frames_the_target_goes_straight() -> None:
    played, _ = playback_of(series_from_arrays(**cine(12)), 0)
    at = played.t_ns[4] + (played.t_ns[5] - played.t_ns[4]) * np.array([0, 1, 2]) // 4
    path = played.path_px[4] + np.outer([0, 0.25, 0.5], played.path_px[5] - played.path_px[4])
    assert np.abs(played.path_px[5] - played.path_px[4]).max() > 0.1
    np.testing.assert_allclose(played.place_px(at), path, atol=1e-6)


def test_smoothing_takes_what_is_white_in_time_and_leaves_what_is_slow() -> None:
    rng = np.random.default_rng(1)
    still = np.repeat(smooth_image()[None], 200, axis=0)
    noise = 0.1 * rng.standard_normal(still.shape)
    given = cine(images=still + noise, seconds=STEP_S * np.arange(200), first_label=None)
    played, realism = playback_of(series_from_arrays(**given), 1.0)
    inner = slice(10, -10)
    # A Gaussian of one frame keeps sum(w^2) = 1 / (2 sqrt(pi)) of white noise's variance.
    kept = (played.images[inner] - still[inner]).var() / noise.var()
    assert kept == pytest.approx(1 / (2 * np.sqrt(np.pi)), rel=0.03)
    body = np.abs(played.images).mean(axis=0)
    body = body > np.percentile(body, 35)
    # What is removed is x - w x: its variance is 1 - 2 w_0 + sum(w^2) of the noise's.
    share = 1 - 2 / np.sqrt(2 * np.pi) + 1 / (2 * np.sqrt(np.pi))
    energy = (still[:, body] ** 2).sum() + noise[:, body].var() * noise[:, body].size
    assert realism.removed == pytest.approx(share * (noise[:, body] ** 2).sum() / energy, rel=0.03)


def test_left_out_frames_are_met_better_than_by_the_frame_before() -> None:
    _, realism = playback_of(series_from_arrays(**cine()), 0)
    assert 0 < realism.left_out < realism.previous / 4


def test_a_target_is_followed_to_hundredths_of_a_pixel_while_its_brightness_changes() -> None:
    given = cine(60)
    flicker = 1 + 0.3 * np.sin(np.arange(60))[:, None, None]
    shift, likeness = track(given["images"] * flicker + 5.0, given["first_label"])
    assert np.abs(shift - breathing(60)).max() < 0.03
    assert likeness.min() > 0.99
    played, realism = playback_of(series_from_arrays(**given), 0)
    assert played.path_px[0] == pytest.approx(label_center(given["first_label"]))
    assert np.abs(played.path_px - played.path_px[0] - breathing(60)).max() < 0.03
    assert realism.likeness is not None


def test_a_black_frame_is_named() -> None:
    images = cine()["images"].copy()
    images[5] = 0
    with pytest.raises(PhantomError, match="images: frame 5 is black throughout the body; leave it out"):
        playback_of(series_from_arrays(**cine(images=images)), smooth_frames=0)


def test_a_label_a_frame_needs_no_following() -> None:
    label = cine()["first_label"]
    labels = np.stack([np.roll(label, n % 3, 0) for n in range(24)])
    played, realism = playback_of(series_from_arrays(**cine(first_label=None, labels=labels)), 0)
    assert played.path_px[:, 0] - played.path_px[0, 0] == pytest.approx(np.arange(24) % 3)
    assert realism.likeness is None


def test_what_cannot_be_followed_is_told() -> None:
    images = cine()["images"].copy()
    images[9:] = np.random.default_rng(2).random((15, *SHAPE))
    with pytest.raises(PhantomError, match=r"cannot be followed: in frame \d+ .* correlation"):
        playback_of(series_from_arrays(**cine(images=images)), 0)
    away = np.stack([moved(smooth_image(), -0.9 * n, 0) for n in range(24)])
    with pytest.raises(PhantomError, match=r"leaves the image in frame \d+|cannot be followed"):
        playback_of(series_from_arrays(**cine(images=away)), 0)
    with pytest.raises(PhantomError, match="smoothing by 11 frames"):
        playback_of(series_from_arrays(**cine()), 11)


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="real cines, which are no part of the project")
@pytest.mark.parametrize("name", ["volunteer-a", "volunteer-b"])
def test_real_breathing_is_played_back(name: str) -> None:
    """What is white in time is 7e-3 of the energy; a cross-fade beats the frame before by five."""
    series = read_cine(REAL / f"{name}.npz")
    played, realism = playback_of(series)
    assert realism.removed == pytest.approx(7.0e-3, rel=0.05)
    assert realism.left_out < realism.previous / 5
    assert realism.likeness is not None
    assert realism.likeness > 0.45
    along = (played.path_px[:, 0] - played.path_px[0, 0]) * played.pixel_m[0]
    assert 8e-3 < np.ptp(along) < 25e-3
