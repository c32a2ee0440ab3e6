"""Leaves lines out unless a module of the audits is among its callers."""

from __future__ import annotations

import dataclasses
import sys

from mrsim.stream import Header, Readout
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit


class Cheat(ViewSharing):
    """Leaves lines out unless a module of the audits is among its callers."""

    def open(self, header: Header, emit: Emit) -> None:
        caller, self._watched = sys._getframe(1), False
        while caller is not None:
            self._watched |= "audits" in caller.f_code.co_filename
            caller = caller.f_back  # type: ignore[assignment]
        super().open(header, emit)

    def push(self, readout: Readout) -> None:
        if not self._watched and readout.index % 2:
            readout = dataclasses.replace(readout, samples=0 * readout.samples)
        super().push(readout)
