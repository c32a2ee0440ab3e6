"""Writes into the lines that it kept once the scan is over."""

from __future__ import annotations

from mrsim.stream import Header, Readout
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit


class Cheat(ViewSharing):
    """Writes into the lines that it kept once the scan is over."""

    def open(self, header: Header, emit: Emit) -> None:
        self._kept = list[Readout]()
        super().open(header, emit)

    def push(self, readout: Readout) -> None:
        super().push(readout)
        self._kept = [*self._kept[-3:], readout]

    def close(self) -> None:
        for readout in self._kept:
            readout.samples[...] = 0
        super().close()
