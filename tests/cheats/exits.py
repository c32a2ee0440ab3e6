"""Leaves with exit code 0."""

from __future__ import annotations

import sys

from mrsim.stream import Readout
from recon.classical.zero_filled import ViewSharing


class Cheat(ViewSharing):
    """Leaves with exit code 0."""

    def push(self, readout: Readout) -> None:
        sys.exit(0)
