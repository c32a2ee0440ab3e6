"""Shows frame f - 1 as frame f, which was ready long ago."""

from __future__ import annotations

import numpy as np

from mrsim.stream import Header
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit, Image


class Cheat(ViewSharing):
    """Shows frame f - 1 as frame f, which was ready long ago."""

    def open(self, header: Header, emit: Emit) -> None:
        self._last = np.zeros(header.matrix, np.complex64)
        super().open(header, lambda image: emit(self.changed(image)))

    def changed(self, image: Image) -> Image:
        shown, self._last = self._last, image.pixels
        return Image(shown, image.frame, image.last_line)
