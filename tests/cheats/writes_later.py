"""Writes into a line that it kept from two frames ago."""

from __future__ import annotations

from collections import deque

from mrsim.stream import Header, Readout
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit


class Cheat(ViewSharing):
    """Writes into a line that it kept from two frames ago."""

    def open(self, header: Header, emit: Emit) -> None:
        self._kept = deque[Readout](maxlen=2 * header.lines_per_frame)
        super().open(header, emit)

    def push(self, readout: Readout) -> None:
        super().push(readout)
        if len(self._kept) == self._kept.maxlen:
            self._kept[0].samples[...] = 0
        self._kept.append(readout)
