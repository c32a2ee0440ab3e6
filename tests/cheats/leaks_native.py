"""Keeps 400 bytes of malloc's a line, which Python does not see."""

from __future__ import annotations

import ctypes

from mrsim.stream import Readout
from recon.classical.zero_filled import ViewSharing


class Cheat(ViewSharing):
    """Keeps 400 bytes of malloc's a line, which Python does not see."""

    def push(self, readout: Readout) -> None:
        allocate = ctypes.CDLL(None).malloc
        allocate.restype = ctypes.c_void_p
        ctypes.memset(allocate(400), 1, 400)
        super().push(readout)
