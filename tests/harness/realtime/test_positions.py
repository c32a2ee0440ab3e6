"""Positions in place of images: what the collector takes, keeps and refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.realtime.clock import VirtualClock
from harness.realtime.replay import Run, replay
from harness.realtime.service import ConstantService
from mrsim.stream import Header, Readout
from recon.protocol import Emission, Emit, Image, Position
from tests.harness.synthetic import make_stream


class Tracker:
    """Emit whatever a function makes of each line."""

    def __init__(self, what: Any) -> None:
        self._what = what

    def open(self, header: Header, emit: Emit) -> None:
        self._header, self._emit = header, emit

    def push(self, readout: Readout) -> None:
        for emission in self._what(readout, self._header):
            self._emit(emission)

    def close(self) -> None:
        pass


def played(what: Any, lines: int = 40) -> Run:
    return replay(make_stream(lines), Tracker(what), VirtualClock(), ConstantService(1000))


def every_line(readout: Readout, header: Header) -> list[Emission]:
    return [Position(0.5 * readout.index, -1.0, readout.frame, readout.index)]


def test_a_position_for_every_line_is_kept_and_those_of_whole_frames_stand_for_images() -> None:
    images = played(every_line).images
    assert images.shown.all()
    assert not images.drawn.any()
    assert images.positions is not None
    assert images.positions.last_line.tolist() == list(range(40))
    assert images.positions.centre_m[:, 0] == pytest.approx(0.5e-3 * np.arange(40))
    assert (images.last_line % 4 == 3).all()
    assert (images.extra, images.early, images.nonfinite) == (0, 0, 0)
    stamps = images.positions.completed_ns[3::4]
    assert (images.completed_ns == stamps).all()


def test_hold_goes_with_images_and_positions() -> None:
    def what(readout: Readout, header: Header) -> list[Emission]:
        if (readout.index + 1) % header.lines_per_frame:
            return []
        hold = readout.frame % 2 == 1
        if readout.frame < 5:
            return [Image(np.ones(header.matrix, np.complex64), readout.frame, readout.index, hold=hold)]
        return [Position(0.0, 0.0, readout.frame, readout.index, hold=hold)]

    images = played(what).images
    assert images.hold.tolist() == [False, True] * 5
    assert images.drawn.tolist() == [True] * 5 + [False] * 5
    assert images.positions is not None
    assert images.positions.hold.tolist() == [True, False, True, False, True]


def test_masks_are_kept_for_whole_frames() -> None:
    def what(readout: Readout, header: Header) -> list[Emission]:
        mask = np.zeros(header.matrix, np.bool_)
        mask[readout.frame % 8, 2] = True
        return [Position(1.0, 2.0, readout.frame, readout.index, mask)]

    images = played(what).images
    assert images.positions is not None
    assert images.positions.mask is not None
    assert images.positions.mask.sum(axis=(1, 2)).tolist() == [1] * 10
    assert images.positions.mask[3, 3, 2]
    assert images.content(3) != images.content(4)


@pytest.mark.parametrize(
    ("position", "kind", "words"),
    [
        (Position("1", 0.0, 0, 0), "contract", "x_mm is a str"),  # type: ignore[arg-type]
        (Position(0.0, True, 0, 0), "contract", "y_mm is a bool"),
        (Position(0.0, 0.0, 0, 0, np.zeros((8, 8))), "contract", "its mask is float64"),  # type: ignore[arg-type]
        (Position(0.0, 0.0, 0, 0, np.zeros((4, 8), np.bool_)), "contract", "expected bool"),
        (Position(0.0, 0.0, 0, 9), "causality", "line 9 went into it"),
        (Position(0.0, 0.0, 3, 0), "causality", "frame 3 has not begun"),
    ],
)
def test_a_position_that_breaks_the_contract_is_named(position: Position, kind: str, words: str) -> None:
    violation = played(lambda readout, header: [position]).violation
    assert violation is not None
    assert violation.kind == kind
    assert words in violation.message


@pytest.mark.parametrize("x_mm", [float("nan"), float("inf"), 1e7, -1e300])
def test_a_position_that_is_no_number_is_discarded_and_counted(x_mm: float) -> None:
    images = played(lambda r, h: [Position(x_mm, 0.0, r.frame, r.index)], 8).images
    assert images.nonfinite == 8
    assert images.first_nonfinite == (0, 0)
    assert not images.shown.any()


@pytest.mark.parametrize("pixel", [complex("nan"), 3e38 * (1 + 1j), 1e16, -1e16j])
@pytest.mark.parametrize("columns", [None, (0, 8)])
def test_an_image_of_infinite_magnitude_is_discarded(pixel: complex, columns: tuple[int, int] | None) -> None:
    def what(readout: Readout, header: Header) -> list[Emission]:
        if (readout.index + 1) % header.lines_per_frame:
            return []
        pixels = np.ones(header.matrix, np.complex64)
        pixels[2, 3] = pixel if readout.frame == 1 else 1e15
        return [Image(pixels, readout.frame, readout.index, columns=columns)]

    images = played(what).images
    shown = images.completed_ns if columns is None else images.band_ns
    assert (shown >= 0).tolist() == [True, False] + [True] * 8
    if columns is None:
        assert images.nonfinite == 1
        assert images.first_nonfinite == (1, 7)


def test_memory_for_positions_is_bounded() -> None:
    run = played(lambda r, h: [Position(0.0, 0.0, r.frame, r.index)] * 1000, 8)
    assert run.images.positions is not None
    assert len(run.images.positions.completed_ns) == 8 * 4
    assert run.violation is not None


@pytest.mark.parametrize(
    ("emission", "told"),
    [
        (lambda at: [Position(0.0, 0.0, at.frame, at.index)] * 5, "one more than 4 positions for each line"),
        (lambda at: [Position(10**400, 0.0, at.frame, at.index)], "x_mm is beyond"),
        (lambda at: [Position(0.0, 0.0, at.frame, at.index, hold="no")], "hold is a str"),  # type: ignore[arg-type]
    ],
)
def test_what_would_be_lost_or_mistaken_breaks_the_contract(emission: Any, told: str) -> None:
    violation = played(lambda readout, header: emission(readout)).violation
    assert violation is not None
    assert violation.kind == "contract"
    assert told in violation.message


def test_two_positions_a_line_are_all_kept() -> None:
    images = played(lambda at, header: [Position(x, 0.0, at.frame, at.index) for x in (1.0, 2.0)]).images
    assert images.positions is not None
    assert images.positions.centre_m[:, 0] == pytest.approx(np.tile([1e-3, 2e-3], 40))
