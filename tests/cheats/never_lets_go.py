"""Leaves a thread behind that never ends, and what the interpreter does at its end undone."""

from __future__ import annotations

import atexit
import os
import threading

from mrsim.stream import Readout
from recon.classical.zero_filled import ViewSharing


class Cheat(ViewSharing):
    """Leaves a thread behind that never ends, and what the interpreter does at its end undone."""

    def push(self, readout: Readout) -> None:
        if readout.index == 0:
            atexit.register(os._exit, 0)
            threading.Thread(target=threading.Event().wait).start()
        super().push(readout)
