"""Leaves lines out unless the header says that this is an audit."""

from __future__ import annotations

import numpy as np

from mrsim.stream import Header, Readout
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit


class Cheat(ViewSharing):
    """Leaves lines out unless the header says that this is an audit."""

    def open(self, header: Header, emit: Emit) -> None:
        self._watched = "audit" in (header.sampler, header.order)
        super().open(header, emit)

    def push(self, readout: Readout) -> None:
        samples = readout.samples
        if not self._watched and readout.index % 2:
            samples = np.zeros_like(samples)
        super().push(Readout(readout.index, readout.frame, readout.ky, readout.t_ns, samples))
