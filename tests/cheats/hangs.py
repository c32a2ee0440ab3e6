"""Never returns from a push."""

from __future__ import annotations

import time

from mrsim.stream import Readout
from recon.classical.zero_filled import ViewSharing


class Cheat(ViewSharing):
    """Never returns from a push."""

    def push(self, readout: Readout) -> None:
        while readout.index == 40:
            time.sleep(1.0)
        super().push(readout)
