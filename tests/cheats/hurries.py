"""Leaves the work out when lines come at the scanner's pace."""

from __future__ import annotations

import time

from mrsim.stream import Header, Readout
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit, Image


class Cheat(ViewSharing):
    """Leaves the work out when lines come at the scanner's pace."""

    def push(self, readout: Readout) -> None:
        now = time.perf_counter()
        self._hurried, self._before = 1e-3 < now - getattr(self, "_before", now) < 1.0, now
        super().push(readout)

    def open(self, header: Header, emit: Emit) -> None:
        super().open(header, lambda image: emit(self.changed(image)))

    def changed(self, image: Image) -> Image:
        return Image(image.pixels * (0.5 if self._hurried else 1.0), image.frame, image.last_line)
