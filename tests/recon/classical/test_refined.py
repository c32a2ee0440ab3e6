"""View sharing made better: coils by sensitivities, less noise, and images moved ahead to now."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass

from harness.audits.conformance import CHECKS, Candidate
from harness.candidates.registry import builder
from mrsim.errors import InputError
from mrsim.stream import Header, Readout
from recon.classical.refined import Ahead, CombinedViewSharing, Denoised
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit, Image, Position
from tests.recon.classical.opponents import body, coil_maps, nmse, still_scan
from tests.recon.conftest import run, small_stream

SIZE = 64


class Shown:
    """Emit what it was given, an image a frame."""

    def __init__(self, images: NDArray[np.complex64]) -> None:
        self._images = images

    def open(self, header: Header, emit: Emit) -> None:
        self._emit, self._lines = emit, header.lines_per_frame

    def push(self, readout: Readout) -> None:
        if (readout.index + 1) % self._lines == 0:
            self._emit(Image(self._images[readout.frame], readout.frame, readout.index))

    def close(self) -> None:
        pass


def discs(rows: NDArray[np.float64]) -> NDArray[np.complex64]:
    """Return images of a soft disc at these rows, in a fixed background."""
    y, x = np.mgrid[:SIZE, :SIZE]
    still = 0.3 * np.exp(-((x - 10) ** 2) / 60)
    moving = [np.exp(-((y - row) ** 2 + (x - 36) ** 2) / 50) for row in rows]
    return np.array([still + one for one in moving], np.complex64)


def row_of(pixels: NDArray[np.complex64]) -> float:
    return float(center_of_mass(np.abs(pixels[:, 24:50]) ** 4)[0])


def test_coils_by_sensitivities_show_the_truth_where_the_root_of_squares_shows_noise() -> None:
    image, maps = body(32, 32), coil_maps(6, 32, 32)
    scan = still_scan(image, 8, frames=40, maps=maps, noise=0.05)
    ours, root = (run(one, scan)[-1].pixels for one in (CombinedViewSharing(), ViewSharing()))
    # The sum of squares of the sensitivities is 1, so both show the image.
    assert nmse(np.abs(ours), image) < 0.5 * nmse(root, image)
    quiet = run(CombinedViewSharing(), still_scan(image, 8, frames=40, maps=maps))[-1].pixels
    assert nmse(np.abs(quiet), image) < 1e-4


def test_of_one_coil_it_is_view_sharing() -> None:
    scan = small_stream(12)
    for ours, plain in zip(run(CombinedViewSharing(), scan), run(ViewSharing(), scan), strict=True):
        assert np.array_equal(ours.pixels, plain.pixels)


@pytest.mark.parametrize("magnitude", [False, True])
def test_noise_is_taken_away_and_edges_stay(magnitude: bool) -> None:
    rng = np.random.default_rng(4)
    scan = small_stream(6)
    true = np.repeat(body(SIZE, SIZE)[None], 6, 0) * np.exp(0.7j * ~np.array(magnitude))
    noise = 0.05 * (rng.standard_normal(true.shape) + 1j * rng.standard_normal(true.shape))
    noisy = (true + (noise.real if magnitude else noise)).astype(np.complex64)
    for before, after, image in zip(noisy, run(Denoised(lambda: Shown(noisy)), scan), true, strict=True):
        assert nmse(after.pixels, image) < 0.35 * nmse(before, image)
        # Where the edge is steepest, at half height, the image is as steep as before.
        steep = [float(np.abs(np.diff(np.abs(one[SIZE // 2])))[:20].max()) for one in (after.pixels, image)]
        assert steep[0] > 0.7 * steep[1]


def test_what_has_no_noise_stays_as_it_is() -> None:
    flat = np.ones((6, SIZE, SIZE), np.complex64)
    for one in run(Denoised(lambda: Shown(flat)), small_stream(6)):
        assert np.array_equal(one.pixels, flat[0])


@pytest.mark.parametrize("speed", [-0.7, 0.4, 1.1])
def test_steady_motion_is_shown_where_it_is_now(speed: float) -> None:
    """An image that is three frames old is moved to where the disc is in its own frame."""
    frames, late = np.arange(14), 3
    old = discs(32 + speed * (frames - 7 - late))
    images = run(Ahead(lambda: Shown(old), late), small_stream(14))
    for frame in range(late + 2, 14):
        now = 32 + speed * (frame - 7)
        assert row_of(images[frame].pixels) == pytest.approx(now, abs=0.15)
        assert abs(row_of(old[frame]) - now) == pytest.approx(late * abs(speed), abs=0.05)


def test_what_stands_still_is_not_moved() -> None:
    still = discs(np.full(10, 30.0))
    for image in run(Ahead(lambda: Shown(still), 3), small_stream(10)):
        assert nmse(image.pixels, still[0]) < 1e-9


def test_by_default_it_is_moved_by_the_mean_age_of_rows_drawn_at_random() -> None:
    """24 rows, 8 a frame: three frames a full image, two ahead."""
    moving = discs(30 + 0.5 * np.arange(12))
    scan = small_stream(12)
    default, two = (run(Ahead(lambda: Shown(moving), frames), scan) for frames in (None, 2))
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(default, two, strict=True))


def test_positions_and_broken_images_pass_as_they_are() -> None:
    broken = np.full((6, SIZE, SIZE), np.nan, np.complex64)
    assert all(np.isnan(one.pixels).all() for one in run(Denoised(lambda: Shown(broken)), small_stream(6)))
    told: list[object] = []
    inner = Shown(broken)
    ahead = Ahead(lambda: inner)
    ahead.open(small_stream(2).header, told.append)
    inner._emit(Position(1.0, 2.0, 0, 7))
    assert told == [Position(1.0, 2.0, 0, 7)]


@pytest.mark.parametrize(
    "how", ["", "sensitivities", "denoised", "denoised=0.5,ahead=3", "ahead,sensitivities"]
)
def test_it_is_named_by_what_is_made_better(how: str) -> None:
    made = builder(f"view-sharing:{how}" if how else "view-sharing")()
    kinds = []
    while True:
        kinds.append(type(made))
        if not isinstance(made, Denoised | Ahead):
            break
        made = made._inner
    expected: list[type] = [Ahead] * ("ahead" in how) + [Denoised] * ("denoised" in how)
    assert kinds == [*expected, CombinedViewSharing if "sensitivities" in how else ViewSharing]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("noise", "expected sensitivities, denoised"),
        ("ahead,ahead", "expected sensitivities"),
        ("ahead=x", "expected sensitivities"),
        ("sensitivities=3", "expected sensitivities"),
        ("ahead=0", "0 frames: expected 1 to 64"),
        ("denoised=-1", "strength = -1: expected above 0"),
        ("denoised=nan", "strength = nan: expected above 0"),
    ],
)
def test_a_name_that_is_none_is_refused(how: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        builder(f"view-sharing:{how}")


@pytest.mark.parametrize("check", CHECKS, ids=repr)
def test_it_conforms(check) -> None:
    scan = small_stream(24, 24, 20, maps=coil_maps(4, 24, 20).astype(np.complex64))
    check(Candidate("view sharing", builder("view-sharing:sensitivities,denoised,ahead"), scan))
