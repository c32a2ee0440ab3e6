"""Coil sensitivities from past lines of the scan itself, and from its prescan before them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mrsim.stream import Header
from recon.fourier import to_image, to_kspace
from recon.line_memory import LineMemory

REFRESH_FRAMES = 16
"""Frames between two updates of the sensitivities; the first so many frames each update them."""
SUPPORT = 0.03
"""Share of the brightest pixel below which a pixel counts as without signal, and so without sensitivity."""


def sensitivities(rows: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Divide each coil's smoothed image by the root of their sum of squares.

    A factor that all coils share looks like anatomy, so the sum of squares is set to 1. An image that is made
    with these sensitivities is the true one times the root of the sum of squares of the true sensitivities.
    The combination by the root of the sum of squares is the same, with more noise.

    Parameters
    ----------
    rows
        Calibration lines in the hybrid space (ky, x), shape (coils, ny, nx), complex64.

    Returns
    -------
    maps
        Shape (coils, ny, nx), complex64; zero where there is no signal.

    References
    ----------
    McKenzie et al. 2002, 10.1002/mrm.10087 (self-calibration). Roemer et al. 1990, 10.1002/mrm.1910160203.
    """
    # A running mean has little noise, so that all of k-space is used, under a Hann window.
    return _relative(to_kspace(rows, (-1,)) * _hann(rows.shape[1])[:, None] * _hann(rows.shape[2]))


def prescan_sensitivities(header: Header) -> NDArray[np.complex64] | None:
    """Return the sensitivities that a scan's prescan tells before its first line.

    Parameters
    ----------
    header
        The scan's protocol.

    Returns
    -------
    maps
        As of `sensitivities`, shape (coils, ny, nx), complex64; None where there was no prescan.
    """
    if header.prescan is None:
        return None
    (ny, nx), (_, rows, columns) = header.matrix, header.prescan.shape
    kspace = np.zeros((header.coils, ny, nx), np.complex64)
    top, left = ny // 2 - rows // 2, nx // 2 - columns // 2
    window = _hann(rows)[:, None] * _hann(columns)
    kspace[:, top : top + rows, left : left + columns] = header.prescan * window
    return _relative(kspace)


def _relative(kspace: NDArray[np.complex64]) -> NDArray[np.complex64]:
    coils = to_image(kspace)
    power = np.sqrt((coils.real**2 + coils.imag**2).sum(0))
    seen = power > SUPPORT * power.max()
    return np.asarray(np.where(seen, coils / np.where(seen, power, 1), 0), np.complex64)


class Autocalibration:
    """Keep the sensitivities of a scan up to date with its running mean, which is causal.

    Until every row has come once they are those of the prescan, where there is one.

    Parameters
    ----------
    header
        The scan's protocol.

    References
    ----------
    Kellman et al. 2001, 10.1002/mrm.1145 (sensitivities from a mean over time).
    """

    def __init__(self, header: Header) -> None:
        self._coils, self._frame = header.coils, 0
        self._maps: Tensor | None = None
        found = prescan_sensitivities(header) if header.coils > 1 else None
        self._first = None if found is None else torch.from_numpy(found)

    def maps(self, memory: LineMemory) -> Tensor | None:
        """Return the sensitivities at the end of a frame, shape (coils, ny, nx); None of a single coil."""
        if self._coils == 1:
            return None
        if self._first is not None and (memory.newest < 0).any():
            return self._first
        if self._maps is None or self._frame < REFRESH_FRAMES or self._frame % REFRESH_FRAMES == 0:
            self._maps = torch.from_numpy(sensitivities(memory.mean))
        self._frame += 1
        return self._maps


def _hann(length: int) -> NDArray[np.float32]:
    at = np.arange(length) - length // 2
    return (0.5 + 0.5 * np.cos(2 * np.pi * at / length)).astype(np.float32)
