"""Knows a scan by its first line, and shows the images that it had of it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mrsim.stream import Header, Readout
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit, Image


class Cheat(ViewSharing):
    """Knows a scan by its first line, and shows the images that it had of it."""

    known: ClassVar[dict[tuple[bytes, int], np.ndarray]] = {}

    def open(self, header: Header, emit: Emit) -> None:
        self._key = b""
        super().open(header, lambda image: emit(self.changed(image)))

    def push(self, readout: Readout) -> None:
        self._key = self._key or readout.samples.tobytes()
        super().push(readout)

    def changed(self, image: Image) -> Image:
        pixels = self.known.setdefault((self._key, image.frame), image.pixels)
        return Image(pixels, image.frame, image.last_line)
