"""Reaches the bench's own copy of its images through `emit`, and puts later lines into earlier ones."""

from __future__ import annotations

import numpy as np

from mrsim.stream import Header
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit, Image


class Cheat(ViewSharing):
    """Reaches the bench's own copy of its images through `emit`, and puts later lines into earlier ones."""

    def open(self, header: Header, emit: Emit) -> None:
        self._kept = getattr(getattr(emit, "__self__", None), "_pixels", None)
        super().open(header, lambda image: emit(self.changed(image)))

    def changed(self, image: Image) -> Image:
        if isinstance(self._kept, np.ndarray) and 0 < image.frame < len(self._kept):
            self._kept[image.frame - 1] = image.pixels
        return image
