"""The opponents that need no network: zero-filled, view sharing, the nearest training frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import CandidateError
from mrsim.stream import Header, Readout, Stream
from recon.fourier import to_image, to_kspace
from recon.line_memory import LineMemory
from recon.protocol import ROOT_SUM, UNIFORM, Emit, Image

MAX_LIBRARY_BYTES = 2 << 30


def combine_coils(images: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Combine coil images, shape (coils, ny, nx): one as it is, several by the root of the sum of squares.

    The result is the true image times the root of the sum of squares of the sensitivities, and noise that no
    longer has a mean of zero (Roemer et al. 1990, 10.1002/mrm.1910160203).
    """
    if len(images) == 1:
        return images.reshape(images.shape[1:])
    return np.asarray(np.sqrt((images.real**2 + images.imag**2).sum(0)), np.complex64)


class ZeroFilled:
    """Transform the lines of the present frame, with zeros where nothing was sampled.

    References
    ----------
    Lustig et al. 2007, 10.1002/mrm.21391 (where it is what compressed sensing has to beat).
    """

    combination = ROOT_SUM

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan."""
        self._memory, self._emit = LineMemory(header, mean=False), emit

    def push(self, readout: Readout) -> None:
        """Take one line; the frame's last one emits its image."""
        if self._memory.push(readout):
            pixels = combine_coils(to_image(self._memory.acquired, (-2,)))
            self._emit(Image(pixels, readout.frame, readout.index))

    def close(self) -> None:
        """End the scan."""


class ViewSharing:
    """Transform the newest value of every row: sharp at rest, and late when something moves.

    References
    ----------
    Riederer et al. 1988, 10.1002/mrm.1910080102 (MR fluoroscopy).
    """

    combination = ROOT_SUM

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan."""
        self._memory, self._emit = LineMemory(header, mean=False), emit

    def push(self, readout: Readout) -> None:
        """Take one line; the frame's last one emits its image."""
        if self._memory.push(readout):
            pixels = combine_coils(to_image(self._memory.shared, (-2,)))
            self._emit(Image(pixels, readout.frame, readout.index))

    def close(self) -> None:
        """End the scan."""


class NearestFrame:
    """Show the stored training image that fits the present frame's lines best.

    It shows what memory without reconstruction can do: its images are perfect where the anatomy has been
    before, and wrong elsewhere. The stored images are the noise-free truth of the training scan, which is
    also the target of a cascade's training. With several coils it compares what each of them would see.

    Parameters
    ----------
    training
        A scan with truth.
    maps
        Of a training scan of several coils their sensitivities relative to the uniform coil of the truth,
        shape (coils, ny, nx), complex64; None of one coil.

    Raises
    ------
    CandidateError
        If the scan has no truth, sensitivities of other coils, or more frames than fit in memory.

    References
    ----------
    Ma et al. 2013, 10.1038/nature11971 (acquired data are matched to a dictionary, there of time courses).
    """

    combination = UNIFORM

    def __init__(self, training: Stream, maps: NDArray[np.complex64] | None = None) -> None:
        where = str(training.path or "the training stream")
        if training.truth is None:
            raise CandidateError(
                f"{where}: it stores no truth; nearest-frame needs the images of a training scan"
            )
        images, self._coils = training.truth.image, training.header.coils
        if self._coils > 1 and (maps is None or maps.shape != (self._coils, *images.shape[1:])):
            raise CandidateError(
                f"{where}: {self._coils} coils; nearest-frame needs the sensitivities of all of them"
            )
        if images.nbytes * self._coils > MAX_LIBRARY_BYTES:
            raise CandidateError(
                f"{where}: {len(images)} frames exceed {MAX_LIBRARY_BYTES} bytes; use a shorter scan"
            )
        self._images = np.asarray(images)
        # Row-major by ky: a line that arrives needs the values of one row in all frames.
        self._rows = np.empty((images.shape[1], len(images), self._coils, images.shape[2]), np.complex64)
        for coil in range(self._coils):
            seen = self._images if maps is None else self._images * maps[coil]
            self._rows[:, :, coil] = to_kspace(seen, (-2,)).transpose(1, 0, 2)

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan.

        Raises
        ------
        CandidateError
            If its matrix or number of coils differs from the training scan's.
        """
        matrix = self._images.shape[1:]
        if header.matrix != matrix or header.coils != self._coils:
            raise CandidateError(
                f"nearest-frame: the training frames are {matrix} of {self._coils} coils, the stream is "
                f"{header.matrix} of {header.coils}"
            )
        self._header, self._emit = header, emit
        self._frame = -1
        self._misfit = np.zeros(len(self._images), np.float32)

    def push(self, readout: Readout) -> None:
        """Take one line; the frame's last one emits the image that fits best."""
        if readout.frame != self._frame:
            self._frame = readout.frame
            self._misfit[:] = 0
        line = to_image(readout.samples, (-1,))
        if np.isfinite(line).all():
            row = readout.ky + self._header.matrix[0] // 2
            # The difference itself: in |s|^2 - 2 s.a rounding would hide the difference of close frames.
            difference = (self._rows[row] - line).view(np.float32)
            self._misfit += np.einsum("fcx,fcx->f", difference, difference)
        if (readout.index + 1) % self._header.lines_per_frame == 0:
            best = int(np.argmin(self._misfit))
            self._emit(Image(self._images[best], readout.frame, readout.index))

    def close(self) -> None:
        """End the scan."""
