"""Keeps 400 bytes of Python's a line."""

from __future__ import annotations

from typing import ClassVar

from mrsim.stream import Readout
from recon.classical.zero_filled import ViewSharing


class Cheat(ViewSharing):
    """Keeps 400 bytes of Python's a line."""

    kept: ClassVar[list[bytes]] = []

    def push(self, readout: Readout) -> None:
        self.kept.append(bytes(400))
        super().push(readout)
