"""Centred unitary Fourier transforms of numpy arrays.

k = 0 and r = 0 lie at index n // 2 of every transformed axis, and the forward transform has exp(-2 pi i k.r).
The precision is that of the values. `recon.fourier` has the same transforms for torch tensors, and compiled.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Complex = TypeVar("Complex", np.complex64, np.complex128)
Axes = tuple[int, ...]


def to_kspace(image: NDArray[Complex], axes: Axes = (-2, -1), *, unitary: bool = True) -> NDArray[Complex]:
    """Transform from image to k-space along some axes.

    Parameters
    ----------
    image
        Complex values of any shape.
    axes
        Axes to transform.
    unitary
        Whether to keep the energy; false for the plain sum over all pixels.

    Returns
    -------
    kspace
        Same shape and dtype.
    """
    norm: Literal["ortho", "backward"] = "ortho" if unitary else "backward"
    spectrum = np.fft.fftn(np.fft.ifftshift(image, axes), axes=axes, norm=norm)
    return np.fft.fftshift(spectrum, axes)


def to_image(kspace: NDArray[Complex], axes: Axes = (-2, -1)) -> NDArray[Complex]:
    """Transform from k-space to image along some axes; the inverse and the adjoint of `to_kspace`.

    Parameters
    ----------
    kspace
        Complex values of any shape.
    axes
        Axes to transform.

    Returns
    -------
    image
        Same shape and dtype.
    """
    image = np.fft.ifftn(np.fft.ifftshift(kspace, axes), axes=axes, norm="ortho")
    return np.fft.fftshift(image, axes)
