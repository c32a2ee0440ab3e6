"""Stops its process by a signal, so that it neither ends nor answers."""

from __future__ import annotations

import os
import signal

from mrsim.stream import Readout
from recon.classical.zero_filled import ViewSharing


class Cheat(ViewSharing):
    """Stops its process by a signal, so that it neither ends nor answers."""

    def push(self, readout: Readout) -> None:
        super().push(readout)
        if readout.index == 20:
            os.kill(os.getpid(), signal.SIGSTOP)
