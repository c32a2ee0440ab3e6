"""A scan of a breathing disc, and a candidate that shows its true images late by whole frames."""

from __future__ import annotations

import functools

import harness
from harness.judge.result import RunResult
from mrsim.stream import Header, Readout, Stream
from recon.protocol import Emit, Image
from tests.harness.synthetic import moving_stream


class Late:
    """Show the true image of some frames ago, at the end of each frame."""

    def __init__(self, stream: Stream, frames: int) -> None:
        assert stream.truth is not None
        self.images, self.late = stream.truth.image, frames

    def open(self, header: Header, emit: Emit) -> None:
        self.header, self.emit = header, emit

    def push(self, line: Readout) -> None:
        if (line.index + 1) % self.header.lines_per_frame == 0:
            self.emit(Image(self.images[max(0, line.frame - self.late)].copy(), line.frame, line.index))

    def close(self) -> None:
        pass


@functools.cache
def scanned() -> Stream:
    """Return the scan: 110 frames of 64 ms, breaths of 1.5 s."""
    return moving_stream(110)


@functools.cache
def late(frames: int) -> RunResult:
    """Return the replay of what is so many frames late, each image computed in no time."""
    scan = scanned()
    return harness.replay(scan, Late(scan, frames), scenario="lockstep", name=f"{frames} late").first
