"""Targets with several coils: the true image of a training scan, shaded as the coils' combination is.

A scan's truth is the image of one uniform coil. The combination of several coils is shaded, by a factor that
they share and by the error of the sensitivities. Data consistency works on the combination, so the target is
shaded alike: with S the true sensitivities and R the estimated ones, the lines F S x give the image
sum of conj(R) S x over the coils.

S is found by least squares from the training scan, whose lines and images are both known: the lines are
linear in the weights of the waves of S (`recon.coils.waves`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import TrainingError
from mrsim.stream import Stream
from recon.coils.waves import WAVES, waves

MAX_FRAMES = 48
"""Frames that are used, spread over the scan."""

INNER = 0.5
"""Share of k-space that is used, along each axis: near its edge coils mix in samples from outside."""

RIDGE = 1e-6
"""Share of the largest eigenvalue that is added to all, so that weights without signal stay small."""


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
