"""An image for every echo: sliding frames show what whole frames do, and more often."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from harness.candidates.registry import builder
from harness.cli.main import main
from harness.judge.search import find_stride
from harness.realtime.clock import VirtualClock
from harness.realtime.scenarios import Pace
from harness.realtime.service import ConstantService
from harness.realtime.sliding import slide
from mrsim.errors import InputError
from mrsim.stream import Header, save
from recon.cascade.checkpoint import Checkpoint
from recon.cascade.reconstructor import OnlineCascade
from recon.fourier import to_image
from recon.protocol import FrameAdapter, Image
from tests.recon.conftest import small_stream, small_weights

MS = 1_000_000


def images_of(reconstructor, stream) -> dict[int, np.ndarray]:
    """Return the images by their newest line."""
    shown: dict[int, np.ndarray] = {}

    def take(image: Image) -> None:
        shown[image.last_line] = np.array(image.pixels)

    reconstructor.open(stream.header, take)
    for readout in stream:
        reconstructor.push(readout)
    reconstructor.close()
    return shown


@pytest.mark.parametrize("stride", [1, 2, 3, 8])
@pytest.mark.parametrize("name", ["view-sharing", "zero-filled", "function", "cascade"])
def test_where_a_whole_frame_ends_the_image_is_that_of_whole_frames(stride: int, name: str, small) -> None:
    def build():
        if name == "cascade":
            return OnlineCascade(small)
        if name == "function":
            return FrameAdapter(lambda kspace, mask: to_image(kspace * mask[:, None], (-2, -1))[0])
        return builder(name)()

    stream = small_stream(frames=12, seed=3)
    whole, slid = images_of(build(), stream), images_of(build(), slide(stream, stride))
    assert sorted(slid) == list(range(stride - 1, len(stream) - len(stream) % stride, stride))
    ends = [line for line in whole if line in slid]
    assert ends
    for line in ends:
        assert np.allclose(slid[line], whole[line], atol=1e-5 * np.abs(whole[line]).max())


@pytest.fixture(scope="module")
def small() -> Checkpoint:
    return small_weights()


def test_within_a_frame_the_newest_lines_of_a_whole_one_are_seen() -> None:
    """By hand: the mask after any line is that of the rows of the eight newest."""
    stream, seen = slide(small_stream(frames=6), 1), []
    run = FrameAdapter(lambda kspace, mask: (seen.append(mask.copy()), kspace[0])[1])
    images_of(run, stream)
    assert len(seen) == len(stream)
    for line in (3, 7, 11, 30):
        rows = stream.ky[max(0, line - 7) : line + 1] + 12
        assert set(np.flatnonzero(seen[line])) == set(rows.tolist())


@pytest.mark.parametrize(("service_ms", "expected"), [(2.0, 1), (2.3, 2), (4.5, 3), (17.5, 8), (18.0, None)])
def test_the_shortest_stride_is_that_of_the_service_time(service_ms: float, expected: int | None) -> None:
    """At 2.2 ms from line to line an image that takes 2.3 ms leaves after every second one."""
    stream = small_stream(frames=60)

    class Busy:
        def open(self, header: Header, emit) -> None:
            self._header, self._emit = header, emit

        def push(self, readout) -> None:
            if (readout.index + 1) % self._header.lines_per_frame == 0:
                clock[0].advance(round(service_ms * MS))
                self._emit(Image(np.zeros((24, 20), np.complex64), readout.frame, readout.index))

        def close(self) -> None: ...

    clock: list = []

    found = find_stride(stream, Busy, lambda: pace_of(clock), 0.95)
    assert found.stride == expected
    assert (found.verdict.outcome.name == "PASS") == (expected is not None)


def pace_of(clock: list) -> Pace:
    clock[:] = [VirtualClock()]
    return Pace(clock[0], ConstantService(0))


def test_the_command_slides_and_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(small_stream(frames=60), tmp_path / "s.stream")
    given = ["replay", str(tmp_path / "s.stream"), "view-sharing", "--clock", "virtual"]
    told = tmp_path / "r.json"
    lockstep = [*given[:3], "--scenario", "lockstep", "--stride", "2", "--claim", "0.9", "--json", str(told)]
    assert main(lockstep) == 0
    result = json.loads(told.read_text())
    assert result["deadline"] is None
    # A whole frame of lines comes before the first image, and eight images warm up.
    assert result["reason"] == f"time: all {240 - 4 - 8} images came; lockstep has no deadline"
    # What a host sustains is its own: what is tested exactly is tested above.
    assert main([*given, "--scenario", "find-peak", "--over", "stride", "--json", str(told)]) in (0, 1, 3, 4)
    assert {"stride", "trials", "verdict"} <= json.loads(told.read_text()).keys()
    capsys.readouterr()
    for wrong, message in (
        (["--stride", "9"], "--stride 9: expected 1 to 8"),
        (["--stride", "2", "--faults", "drop:p=0.1"], "--stride goes without --faults"),
        (["--over", "stride"], "goes with --scenario find-peak"),
        (["--stride", "2", "--scenario", "find-peak"], "takes no"),
    ):
        assert main([*given, *wrong]) == 2
        assert message in capsys.readouterr().err


def test_a_header_with_a_window_survives_json_and_one_without_names_none() -> None:
    header = small_stream(frames=2).header
    assert "window" not in header.to_dict()
    slid = dataclasses.replace(header, lines_per_frame=2, window=8)
    assert Header.from_dict(slid.to_dict()) == slid
    assert Header.from_dict(header.to_dict()) == header
    for window in (1, 25, -1):
        with pytest.raises(InputError, match="window"):
            dataclasses.replace(header, lines_per_frame=2, window=window)
