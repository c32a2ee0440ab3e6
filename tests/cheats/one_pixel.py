"""Shows zeros, and a tiny sum of the lines in one pixel."""

from __future__ import annotations

import numpy as np

from mrsim.stream import Header, Readout
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit, Image


class Cheat(ViewSharing):
    """Shows zeros, and a tiny sum of the lines in one pixel."""

    def open(self, header: Header, emit: Emit) -> None:
        self._head, self._out, self._sum = header, emit, 0j

    def push(self, readout: Readout) -> None:
        if np.isfinite(readout.samples).all():
            self._sum += complex(readout.samples.sum())
        if (readout.index + 1) % self._head.lines_per_frame == 0:
            pixels = np.zeros(self._head.matrix, np.complex64)
            pixels[0, 0], self._sum = 1e-20 * self._sum, 0j
            self._out(Image(pixels, readout.frame, readout.index))
