"""An object with open, push and close: given every line the moment it is due.

mrsim replay my.stream python:examples/streaming.py:Newest
"""

import numpy as np

from recon.protocol import Image


class Newest:
    """Keep each row of k-space, renewed as its lines come; emit an image at the end of every frame."""

    def open(self, header, emit):  # the protocol: matrix, TR, coils, lines per frame, ...
        self.header, self.emit = header, emit
        self.kspace = np.zeros((header.coils, *header.matrix), np.complex64)

    def push(self, line):  # line.samples: (coils, nx) complex64; line.ky runs from -ny/2 to ny/2 - 1
        if np.isfinite(line.samples).all():  # a spoilt line must not spoil the images after it
            self.kspace[:, line.ky + self.header.matrix[0] // 2] = line.samples
        if (line.index + 1) % self.header.lines_per_frame == 0:
            centred = np.fft.ifftshift(self.kspace, axes=(-2, -1))
            coils = np.fft.fftshift(np.fft.ifft2(centred, norm="ortho"), axes=(-2, -1))
            image = coils[0] if len(coils) == 1 else np.sqrt((np.abs(coils) ** 2).sum(0))
            self.emit(Image(image.astype(np.complex64), line.frame, line.index))

    def close(self):
        del self.kspace
