"""Writes nonsense to everything that it has open, whoever listens there."""

from __future__ import annotations

import contextlib
import os

from mrsim.stream import Readout
from recon.classical.zero_filled import ViewSharing


class Cheat(ViewSharing):
    """Writes nonsense to everything that it has open, whoever listens there."""

    def push(self, readout: Readout) -> None:
        super().push(readout)
        for number in range(3, 64):
            with contextlib.suppress(OSError):
                os.write(number, b'{"is": "done", "type": "Image"}')
