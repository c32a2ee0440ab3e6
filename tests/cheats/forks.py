"""Leaves a copy of its process behind, and ends with exit code 0."""

from __future__ import annotations

import os

from mrsim.stream import Readout
from recon.classical.zero_filled import ViewSharing


class Cheat(ViewSharing):
    """Leaves a copy of its process behind, and ends with exit code 0."""

    def push(self, readout: Readout) -> None:
        if readout.index == 40 and os.fork():
            os._exit(0)
        super().push(readout)
