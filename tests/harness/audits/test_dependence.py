"""Dependence: a shift is a phase ramp, and what is no image of the anatomy is found by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from harness.audits.bench import SHORT, Bench, default_stream
from harness.audits.dependence import audit_dependence, moved, spotted, weighted
from harness.audits.finding import State
from mrsim.anatomy.phantom import load_phantom
from mrsim.scanner.acquisition import scan as scan_of
from mrsim.scanner.protocol import ScanProtocol
from mrsim.stream import Header, Readout, Stream
from recon.classical.zero_filled import ViewSharing, ZeroFilled
from recon.protocol import Emit, Image, Position, Reconstructor
from tests.cheats import columns_alone
from tests.harness.synthetic import make_header, make_stream


@pytest.fixture(scope="module")
def scan() -> Stream:
    return default_stream(seed=3, frames=24, matrix=(32, 32))


def images(stream: Stream) -> np.ndarray:
    pixels = Bench(stream, ZeroFilled, 0).base.images.pixels
    assert pixels is not None
    return pixels


def test_a_ramp_moves_the_image_and_a_weight_dims_its_columns() -> None:
    # 16 rows of 25 mm, all of them in each frame: two pixels are 50 mm.
    stream = make_stream(192, header=make_header(lines_per_frame=16, matrix=(16, 16)))
    still = images(stream)
    np.testing.assert_allclose(images(moved(stream, y_m=0.05)), np.roll(still, 2, axis=1), atol=1e-5)
    np.testing.assert_allclose(images(moved(stream, x_m=0.05)), np.roll(still, 2, axis=2), atol=1e-5)
    np.testing.assert_allclose(images(weighted(stream)), still * np.linspace(0.6, 1.4, 16), atol=1e-5)


def test_a_spot_is_where_it_was_put_and_as_strong_as_all_the_rest() -> None:
    stream = make_stream(192, header=make_header(lines_per_frame=16, matrix=(16, 16)))
    within = spotted(stream, 5, 11)
    added = within.samples - stream.samples
    assert np.isclose(np.sum(np.abs(added) ** 2), np.sum(np.abs(stream.samples) ** 2))
    alone = np.mean(images(dataclasses.replace(stream, samples=added)), axis=0)
    assert np.unravel_index(np.abs(alone).argmax(), alone.shape) == (5, 11)


@pytest.mark.parametrize("acceleration", [4.0, 8.0])
@pytest.mark.parametrize("sampler", ["uniform", "variable-density"])
def test_no_more_is_asked_of_a_spot_than_the_lines_can_show(sampler: str, acceleration: float) -> None:
    """Rows that are missing put other spots elsewhere, of uniform rows as strong ones."""
    protocol = ScanProtocol(matrix=(32, 32), acceleration=acceleration, sampler=sampler)
    stream = scan_of(load_phantom("quasar"), protocol, seed=2019, frames=SHORT)
    for seed in range(4):
        assert audit_dependence(Bench(stream, ZeroFilled, seed)).fault is None


def changed(function: Callable[[np.ndarray], np.ndarray]) -> type[ZeroFilled]:
    class Changed(ViewSharing):
        def open(self, header: Header, emit: Emit) -> None:
            def passed(image: Image) -> None:
                pixels = function(image.pixels).astype(np.complex64)
                emit(Image(pixels, image.frame, image.last_line))

            super().open(header, passed)

    return Changed


class OnePixel(ZeroFilled):
    """Show zeros, and a tiny sum of the lines in one pixel."""

    def open(self, header: Header, emit: Emit) -> None:
        self._head, self._out, self._sum = header, emit, 0j

    def push(self, readout: Readout) -> None:
        self._sum += complex(readout.samples.sum())
        if (readout.index + 1) % self._head.lines_per_frame == 0:
            pixels = np.zeros(self._head.matrix, np.complex64)
            pixels[0, 0], self._sum = 1e-20 * self._sum, 0j
            self._out(Image(pixels, readout.frame, readout.index))


PICTURE = 10 * np.abs(np.random.default_rng(0).normal(size=(32, 32)))


@pytest.mark.parametrize(
    ("cheat", "told"),
    [
        (OnePixel, " of its pixels change, 0.01 is the least"),
        (changed(lambda image: PICTURE + 1e-6 * np.abs(image)), "its image changes by "),
        (changed(lambda image: 100 * PICTURE + 10 * np.abs(image)), "nearer to where it was"),
        (
            changed(lambda i: np.abs(i) / (1e-9 + np.abs(i).sum(0))),
            "of another contrast, its image changes by",
        ),
        (columns_alone.Cheat, "times as much as elsewhere in these columns"),
    ],
)
def test_what_is_no_image_of_the_anatomy_is_found(
    cheat: Callable[[], Reconstructor], told: str, scan: Stream
) -> None:
    seen = audit_dependence(Bench(scan, cheat, 1))
    assert seen.state is State.BROKEN
    assert told in (seen.fault or "")


@pytest.mark.parametrize(
    "honest",
    [
        ZeroFilled,
        ViewSharing,
        changed(lambda image: np.abs(image)),
        changed(lambda image: image / np.abs(image).max()),
        changed(lambda image: np.sqrt(np.abs(image))),
    ],
    ids=["zero-filled", "view-sharing", "magnitude", "normalised", "compressed contrast"],
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_an_image_passes(honest: Callable[[], Reconstructor], seed: int, scan: Stream) -> None:
    seen = audit_dependence(Bench(scan, honest, seed))
    assert (seen.state, seen.count) == (State.KEPT, 60), seen.fault


class Tracker(ViewSharing):
    """Emit the middle of the image's energy around the field of view, as a function of (x, y) has it."""

    def __init__(self, told: Callable[[float, float], tuple[float, float]] = lambda x, y: (x, y)) -> None:
        super().__init__()
        self._told = told

    def open(self, header: Header, emit: Emit) -> None:
        (ny, nx), (fov_y, fov_x) = header.matrix, header.fov_m
        turns_y, turns_x = (np.exp(2j * np.pi * np.arange(n) / n) for n in (ny, nx))

        def passed(image: Image) -> None:
            energy = np.abs(image.pixels).astype(np.float64) ** 2
            x = float(np.angle(energy.sum(axis=0) @ turns_x)) * 1e3 * fov_x / (2 * np.pi)
            y = float(np.angle(energy.sum(axis=1) @ turns_y)) * 1e3 * fov_y / (2 * np.pi)
            emit(Position(*self._told(x, y), image.frame, image.last_line))

        super().open(header, passed)


@pytest.mark.parametrize(
    ("told", "state"),
    [
        (lambda x, y: (x, y), State.KEPT),
        (lambda x, y: (0.7 * x, 0.7 * y), State.KEPT),
        (lambda x, y: (x / 1e3, y / 1e3), State.BROKEN),
        (lambda x, y: (y, x), State.BROKEN),
        (lambda x, y: (x, -y), State.BROKEN),
    ],
    ids=["honest", "sluggish", "metres", "swapped", "upside down"],
)
def test_positions_move_with_the_anatomy(
    told: Callable[[float, float], tuple[float, float]], state: State, scan: Stream
) -> None:
    seen = audit_dependence(Bench(scan, lambda: Tracker(told), 1))
    assert seen.state is state, seen.fault
    assert state is State.KEPT or "are they millimetres, x before y?" in (seen.fault or "")
