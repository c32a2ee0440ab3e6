"""Knows an image by the line through the middle of k-space, and shows the one that it had of it."""

from __future__ import annotations

from typing import ClassVar

from mrsim.stream import Header, Readout
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit, Image


class Cheat(ViewSharing):
    """Knows an image by the line through the middle of k-space, and shows the one that it had of it."""

    known: ClassVar[dict[bytes, Image]] = {}

    def open(self, header: Header, emit: Emit) -> None:
        self._middle = b""
        super().open(header, lambda image: emit(self.changed(image)))

    def push(self, readout: Readout) -> None:
        if readout.ky == 0:
            self._middle = readout.samples.tobytes()
        super().push(readout)

    def changed(self, image: Image) -> Image:
        found = self.known.setdefault(self._middle + bytes([image.frame % 256]), image)
        return Image(found.pixels, image.frame, image.last_line)
