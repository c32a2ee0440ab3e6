"""Keeps its images for the next scan of the same protocol."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mrsim.stream import Header
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit, Image


class Cheat(ViewSharing):
    """Keeps its images for the next scan of the same protocol."""

    known: ClassVar[dict[int, np.ndarray]] = {}

    def open(self, header: Header, emit: Emit) -> None:
        super().open(header, lambda image: emit(self.changed(image)))

    def changed(self, image: Image) -> Image:
        return Image(self.known.setdefault(image.frame, image.pixels), image.frame, image.last_line)
