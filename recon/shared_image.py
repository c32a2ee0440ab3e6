"""The image of the newest lines, kept up to date as they come.

A line that takes the place of an older one changes the image by a plane wave along y, as bright at every x as
the two differ there. To add the waves of a few lines costs a fraction of a transform of all rows, and most
are added before a frame's last line has come.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mrsim.stream import Header
from recon.fourier import to_image
from recon.memory import LineMemory, where

RENEW_AFTER = 64
"""Changes after which all rows are transformed anew: each adds the rounding of a sum."""

MOST_CHANGE = 1e3
"""What the lines that came since may add up to, over the brightest held: one that was far brighter than all
others leaves its rounding behind when its place is taken."""


class SharedImage:
    """Follow the image of the newest value of every row of a memory.

    Parameters
    ----------
    header
        The scan's protocol.
    """

    def __init__(self, header: Header) -> None:
        ny, nx = header.matrix
        self._held = np.zeros((header.coils, ny, nx), np.complex64)
        self._image = np.zeros_like(self._held)
        self._scratch = np.zeros_like(self._held)
        self._waves = to_image(np.eye(ny, dtype=np.complex64), (-1,))  # symmetric: a row's wave is a row
        self._seen = np.full(ny, -1, np.int64)
        self._brightest = np.zeros(ny, np.float32)
        self._changes, self._came = 0, 0.0

    def follow(self, memory: LineMemory) -> None:
        """Take what the memory has learnt since the last call."""
        rows = np.flatnonzero(memory.newest != self._seen)
        if not len(rows):
            return
        if self._changes >= RENEW_AFTER:
            self._renew()
        at = where(rows)
        lines = memory.shared[:, at]
        change = lines - self._held[:, at]
        waves = self._waves[at]
        if len(rows) == 1:  # the plain product is the sooner done
            self._image += np.multiply(waves.T, change, out=self._scratch)
        else:
            images, by = torch.from_numpy(self._image), torch.from_numpy(change)
            for image, coil in zip(images, by, strict=True):
                image.addmm_(torch.from_numpy(waves).T, coil)
        self._held[:, at] = lines
        self._seen[at] = memory.newest[at]
        self._came += float(self._brightest[at].max() + memory.brightest[at].max())
        self._brightest[at] = memory.brightest[at]
        self._changes += 1

    def images(self) -> NDArray[np.complex64]:
        """Return the coils' images, shape (coils, ny, nx), complex64; an array of their own."""
        if self._came > MOST_CHANGE * float(self._brightest.max()):
            self._renew()
        return self._image.copy()

    def _renew(self) -> None:
        self._image = to_image(self._held, (-2,))
        self._changes, self._came = 0, 0.0
