"""Shows a fixed picture that is moved, and shaded column by column, as the lines say."""

from __future__ import annotations

import numpy as np

from mrsim.stream import Header, Readout
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit, Image


class Cheat(ViewSharing):
    """Shows a fixed picture that is moved, and shaded column by column, as the lines say."""

    def open(self, header: Header, emit: Emit) -> None:
        self._rows = np.zeros(header.matrix, np.complex64)
        y, x = (np.linspace(-1, 1, n) for n in header.matrix)
        self._picture = 0.2 + np.cos(np.pi * y[:, None] / 2) * (1 + 0.3 * np.cos(9 * y[:, None] + 4 * x))
        super().open(header, lambda image: emit(self.changed(image)))

    def push(self, readout: Readout) -> None:
        self._rows[readout.ky + len(self._rows) // 2] = readout.samples[0]
        super().push(readout)

    def changed(self, image: Image) -> Image:
        hybrid = np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(self._rows, axes=1), axis=1), axes=1)
        brightness = np.sqrt(np.sum(np.abs(hybrid) ** 2, axis=0))
        turn = np.angle(np.sum(hybrid[1:] * hybrid[:-1].conj()))  # along y, of all columns
        ny = len(self._rows)
        ramp = np.exp(1j * turn * np.fft.fftfreq(ny) * ny)[:, None]
        moved = np.fft.ifft(np.fft.fft(self._picture, axis=0) * ramp, axis=0).real
        return Image((moved * brightness).astype(np.complex64), image.frame, image.last_line)
