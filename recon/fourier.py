"""Centred unitary Fourier transforms, for numpy arrays and torch tensors alike.

k = 0 lies at index n // 2 of every transformed axis, forward is exp(-2 pi i k.r), and energy is kept.
"""

from __future__ import annotations

from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray

Array = TypeVar("Array", torch.Tensor, NDArray[np.complex64])


def to_kspace(image: Array, axes: tuple[int, ...] = (-2, -1)) -> Array:
    """Transform from image to k-space along some axes.

    Parameters
    ----------
    image
        Complex values of any shape.
    axes
        Axes to transform.

    Returns
    -------
    kspace
        Same shape, dtype and kind.
    """
    if isinstance(image, torch.Tensor):
        shifted = torch.fft.fftn(torch.fft.ifftshift(image, axes), dim=axes, norm="ortho")
        return cast(Array, torch.fft.fftshift(shifted, axes))
    return cast(Array, np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(image, axes), None, axes, "ortho"), axes))


def to_image(kspace: Array, axes: tuple[int, ...] = (-2, -1)) -> Array:
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
        Same shape, dtype and kind.
    """
    if isinstance(kspace, torch.Tensor):
        shifted = torch.fft.ifftn(torch.fft.ifftshift(kspace, axes), dim=axes, norm="ortho")
        return cast(Array, torch.fft.fftshift(shifted, axes))
    return cast(
        Array, np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(kspace, axes), None, axes, "ortho"), axes)
    )
