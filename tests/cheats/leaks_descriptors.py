"""Opens a file every 16 lines, and never closes it."""

from __future__ import annotations

import os
from typing import ClassVar

from mrsim.stream import Header, Readout
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit


class Cheat(ViewSharing):
    """Opens a file every 16 lines, and never closes it."""

    kept: ClassVar[list[int]] = []

    def open(self, header: Header, emit: Emit) -> None:
        self._close()
        super().open(header, emit)

    def push(self, readout: Readout) -> None:
        if readout.index % 16 == 0:
            self.kept.append(os.open(os.devnull, os.O_RDONLY))
        super().push(readout)

    def close(self) -> None:
        super().close()
        self._close()  # what is left to the test that plays this

    def _close(self) -> None:
        while self.kept:
            os.close(self.kept.pop())
