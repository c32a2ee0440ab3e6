"""Kills the process that started its own, and its own."""

from __future__ import annotations

import os
import signal

from mrsim.stream import Readout
from recon.classical.zero_filled import ViewSharing


class Cheat(ViewSharing):
    """Kills the process that started its own, and its own."""

    def push(self, readout: Readout) -> None:
        if readout.index == 40:
            os.kill(os.getppid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGKILL)
        super().push(readout)
