"""Sensitivities as few numbers: each coil is a Fourier series on twice the field of view.

A coil's sensitivity is smooth but not periodic over the field of view. Over twice the field of view a
periodic function can represent it (Guerquin-Kern 2012, 10.1109/TMI.2011.2174158).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recon.coils.sensitivities import SUPPORT

WAVES = 7
"""Waves along each axis."""


def waves(length: int) -> NDArray[np.complex128]:
    """Return exp(2 pi i p r / (2 length)) for the waves p around 0, shape (waves, length)."""
    numbers = np.arange(WAVES) - WAVES // 2
    turns = np.outer(numbers, np.arange(length) - length // 2) / (2 * length)
    found: NDArray[np.complex128] = np.exp(2j * np.pi * turns)
    return found


def maps_of(weights: NDArray[np.complex64], matrix: tuple[int, int]) -> NDArray[np.complex64]:
    """Return the sensitivities that have these weights.

    Parameters
    ----------
    weights
        Of every wave along y and along x, shape (coils, waves, waves).
    matrix
        Rows and columns of the images.

    Returns
    -------
    maps
        Relative to a uniform coil, shape (coils, ny, nx), complex64.
    """
    ny, nx = matrix
    maps = np.einsum("cqp,qy,px->cyx", weights, waves(ny), waves(nx), optimize=True)
    return np.asarray(maps, np.complex64)


def unit_maps(maps: NDArray[np.complex64]) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """Divide sensitivities by the root of their sum of squares, for the combination of coils.

    Parameters
    ----------
    maps
        Shape (coils, ny, nx).

    Returns
    -------
    unit
        With a sum of squares of 1, and 0 where no coil sees anything, same shape.
    shading
        Factor of a uniform coil's image in the combination: that root, or 0, shape (ny, nx).
    """
    root = np.sqrt((maps.real**2 + maps.imag**2).sum(0))
    shading = np.where(root > SUPPORT * root.max(initial=0), root, 0).astype(np.float32)
    unit = np.divide(maps, shading, out=np.zeros_like(maps), where=shading > 0)
    return unit, shading
