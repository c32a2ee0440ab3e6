"""Keeps its rows when it is opened again."""

from __future__ import annotations

from mrsim.stream import Header
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit


class Cheat(ViewSharing):
    """Keeps its rows when it is opened again."""

    def open(self, header: Header, emit: Emit) -> None:
        memory = getattr(self, "_memory", None)
        super().open(header, emit)
        self._memory = memory or self._memory
