"""Stops working after some images, and shows the last one."""

from __future__ import annotations

from mrsim.stream import Header
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit, Image


class Cheat(ViewSharing):
    """Stops working after some images, and shows the last one."""

    def open(self, header: Header, emit: Emit) -> None:
        super().open(header, lambda image: emit(self.changed(image)))

    def changed(self, image: Image) -> Image:
        if image.frame < 10:
            self._last = image.pixels
        return Image(self._last, image.frame, image.last_line)
