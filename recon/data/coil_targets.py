"""Targets with several coils: the true image of a training scan, shaded as the coils' combination is.

A scan's truth is the image of one uniform coil. The combination of several coils is shaded, by a factor that
they share and by the error of the sensitivities. Data consistency works on the combination, so the target is
shaded alike: with S the true sensitivities and R the estimated ones, the lines F S x give the image
sum of conj(R) S x over the coils.

S is found by least squares from the training scan, whose lines and images are both known. `true_waves` finds
the weights of few waves, in which the lines are linear (`recon.coils.waves`): a patient's subspace needs S
wherever the body may come. `SeenSensitivities` mends that pixel by pixel, where there is signal: of tissue
from beyond the field of view, which folds in with the sensitivity of where it is, waves know nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import TrainingError
from mrsim.stream import Stream
from recon.coils.waves import WAVES, maps_of, waves
from recon.fourier import to_image, to_kspace
from recon.line_memory import LineMemory

MAX_FRAMES = 48
"""Frames that are used, spread over the scan."""

INNER = 0.5
"""Share of k-space that is used, along each axis: near its edge coils mix in samples from outside."""

RIDGE = 1e-6
"""Share of the largest eigenvalue that is added to all, so that weights without signal stay small."""


SMOOTH_PX = 1.5
"""Width of the window over which the error of a sensitivity is taken for the same, pixels."""

RIDGE_PX = 1e-4
"""Share of the largest mean power that is added to all pixels: those without signal are not mended."""


class SeenSensitivities:
    """Mend the sensitivities of `true_waves` pixel by pixel, by what they leave of the shared views.

    Parameters
    ----------
    stream
        A scan of several coils.

    Raises
    ------
    TrainingError
        If it has no truth, or a single frame.
    """

    def __init__(self, stream: Stream) -> None:
        self._waves = maps_of(true_waves(stream), stream.header.matrix)
        assert stream.truth is not None  # or there were no waves
        self._truth, self._lines_per_frame = stream.truth.image, stream.header.lines_per_frame
        self._cross = np.zeros(self._waves.shape, np.complex128)
        self._power = np.zeros(self._waves.shape[1:])
        self._rows: OrderedDict[int, NDArray[np.complex64]] = OrderedDict()

    def take(self, memory: LineMemory) -> None:
        """Take a frame, once every row has come.

        Parameters
        ----------
        memory
            Lines of all coils so far.
        """
        coils = len(self._waves)
        shared = np.empty((1 + coils, *self._power.shape), np.complex64)
        for row, (frame, last) in enumerate(zip(*divmod(memory.newest, self._lines_per_frame), strict=True)):
            # Truth is that of each frame's last line; before it, part of the one before.
            share = np.float32((last + 1) / self._lines_per_frame)
            before, after = self._true_rows(max(0, int(frame) - 1)), self._true_rows(int(frame))
            shared[:, row] = share * after[:, row] + (1 - share) * before[:, row]
        true = to_image(shared, (-2,))
        left = to_image(memory.shared, (-2,)) - true[1:]
        self._cross += true[0].conj() * left
        self._power += true[0].real ** 2 + true[0].imag ** 2

    def _true_rows(self, frame: int) -> NDArray[np.complex64]:
        """Return the rows of the true image, and of what each coil would see of it, (1 + coils, ny, nx)."""
        if frame not in self._rows:
            image = np.asarray(self._truth[frame])
            self._rows[frame] = to_kspace(np.concatenate([image[None], self._waves * image]), (-2,))
            if len(self._rows) > MAX_FRAMES:
                self._rows.popitem(last=False)
        return self._rows[frame]

    def found(self) -> NDArray[np.complex64]:
        """Return the sensitivities, shape (coils, ny, nx), complex64."""
        cross, power = _smoothed(self._cross), _smoothed(self._power).real
        mended = cross / (power + RIDGE_PX * power.max() + np.finfo(np.float64).tiny)
        return np.asarray(self._waves + mended, np.complex64)


def _smoothed(values: NDArray[Any]) -> NDArray[np.complex128]:
    """Return an image in which each pixel is a weighted mean of those about it."""
    windows = [np.exp(-2 * (np.pi * SMOOTH_PX * np.fft.fftfreq(n)) ** 2) for n in values.shape[-2:]]
    return np.asarray(np.fft.ifft2(np.fft.fft2(values) * windows[0][:, None] * windows[1]), np.complex128)


def true_waves(stream: Stream) -> NDArray[np.complex64]:
    """Find the weights of the waves of a scan's sensitivities from its lines and its true images.

    Parameters
    ----------
    stream
        A scan of several coils, with truth, of two frames or more.

    Returns
    -------
    weights
        Relative to the uniform coil of the truth, shape (coils, waves, waves), complex64.

    Raises
    ------
    TrainingError
        If the scan has no truth, or a single frame.
    """
    header, where = stream.header, str(stream.path or "the training stream")
    if stream.truth is None or stream.frames < 2:
        raise TrainingError(f"{where}: it needs truth and 2 frames or more to find its coils' sensitivities")
    (ny, nx), per_frame, coils = header.matrix, header.lines_per_frame, header.coils
    along_y, along_x = waves(ny), waves(nx)
    rows, columns = np.arange(ny) - ny // 2, np.arange(nx) - nx // 2
    # The unitary transform along y of each wave times an image, as a matrix; and the same along x.
    seen = np.exp(-2j * np.pi * np.outer(rows, rows) / ny)[:, None, :] / np.sqrt(ny) * along_y
    inner = np.abs(columns) <= INNER * nx / 2
    across = np.exp(-2j * np.pi * np.outer(columns, columns) / nx)[:, inner] / np.sqrt(nx)
    across = along_x[:, :, None] * across
    normal = np.zeros((WAVES**2, WAVES**2), np.complex128)
    right_side = np.zeros((WAVES**2, coils), np.complex128)
    count = min(MAX_FRAMES, stream.frames - 1)
    for frame in np.linspace(1, stream.frames - 1, count).round().astype(int):
        before, after = (np.asarray(stream.truth.image[f], np.complex128) for f in (frame - 1, frame))
        for line in range(per_frame):
            index = int(frame) * per_frame + line
            samples = np.asarray(stream.samples[index])
            if abs(int(stream.ky[index])) > INNER * ny / 2 or not np.isfinite(samples).all():
                continue
            share = (line + 1) / per_frame  # truth is that of each frame's last line
            weights = seen[int(stream.ky[index]) + ny // 2]
            column = weights @ ((1 - share) * before + share * after)
            terms = np.einsum("qx,pxk->qpk", column, across, optimize=True).reshape(WAVES**2, -1)
            normal += terms.conj() @ terms.T
            right_side += terms.conj() @ samples[:, inner].T
    normal += (RIDGE * np.linalg.norm(normal, 2) + np.finfo(np.float64).tiny) * np.eye(len(normal))
    found = np.linalg.solve(normal, right_side).T.reshape(coils, WAVES, WAVES)
    return np.asarray(found, np.complex64)
