"""Takes a hundred-thousandth of the sixth line of a frame into its image."""

from __future__ import annotations

import dataclasses

from mrsim.stream import Readout
from recon.classical.zero_filled import ViewSharing


class Cheat(ViewSharing):
    """Takes a hundred-thousandth of the sixth line of a frame into its image."""

    def push(self, readout: Readout) -> None:
        if readout.index % 8 == 5:
            readout = dataclasses.replace(readout, samples=readout.samples * 1e-5)
        super().push(readout)
