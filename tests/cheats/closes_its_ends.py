"""Closes all that it has open, so that nobody can reach it."""

from __future__ import annotations

import os
import time

from mrsim.stream import Readout
from recon.classical.zero_filled import ViewSharing


class Cheat(ViewSharing):
    """Closes all that it has open, so that nobody can reach it."""

    def push(self, readout: Readout) -> None:
        super().push(readout)
        if readout.index == 20:
            os.closerange(3, 256)
            time.sleep(3600)
