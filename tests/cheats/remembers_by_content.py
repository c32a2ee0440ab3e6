"""Works hard the first time; a scan that it has seen costs nothing."""

from __future__ import annotations

import time
from typing import ClassVar

from mrsim.stream import Header
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit, Image


class Cheat(ViewSharing):
    """Works hard the first time; a scan that it has seen costs nothing."""

    known: ClassVar[set[bytes]] = set()

    def open(self, header: Header, emit: Emit) -> None:
        super().open(header, lambda image: emit(self.changed(image)))

    def changed(self, image: Image) -> Image:
        key = image.pixels.tobytes()
        if key not in self.known:
            until = time.perf_counter() + 1e-3
            while time.perf_counter() < until:
                pass
            self.known.add(key)
        return image
