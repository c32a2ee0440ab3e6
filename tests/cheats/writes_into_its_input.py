"""Scales the samples that it was handed in place."""

from __future__ import annotations

from mrsim.stream import Readout
from recon.classical.zero_filled import ViewSharing


class Cheat(ViewSharing):
    """Scales the samples that it was handed in place."""

    def push(self, readout: Readout) -> None:
        super().push(readout)
        readout.samples[...] *= 2
