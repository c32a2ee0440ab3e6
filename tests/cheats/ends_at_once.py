"""Ends its process with exit code 0, and no word."""

from __future__ import annotations

import os

from mrsim.stream import Readout
from recon.classical.zero_filled import ViewSharing


class Cheat(ViewSharing):
    """Ends its process with exit code 0, and no word."""

    def push(self, readout: Readout) -> None:
        os._exit(0)
