"""Readout oversampling, which scanners do twofold and images do not show.

It is a unitary transform to the image, a wider or narrower field of view, and back. So it is the image that
keeps its values, not k-space: a server that transforms 256 samples unitarily and keeps the middle 128 columns
gets what 128 samples would have given it.
"""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray

from mrsim.stream.fourier import to_image, to_kspace


class Oversampling(Enum):
    """Name the conventions of readout oversampling.

    Parameters
    ----------
    NONE
        A readout has the samples of the image's columns.
    REPORTED
        A readout has twice as many, and the encoded space says so.
    UNREPORTED
        A readout has twice as many, and the encoded space is that of the image.
    """

    NONE = "none"
    REPORTED = "reported"
    UNREPORTED = "unreported"

    @property
    def factor(self) -> int:
        """Return the samples of a readout over the columns of the image."""
        return 1 if self is Oversampling.NONE else 2


def oversample(samples: NDArray[np.complex64], count: int) -> NDArray[np.complex64]:
    """Widen the field of view along the readout with zeros, until it has so many samples.

    Parameters
    ----------
    samples
        Shape (..., nx), complex64, k = 0 at nx // 2.
    count
        Number of samples, nx or more; with nx the samples come back as they are.

    Returns
    -------
    samples
        Shape (..., count), complex64, k = 0 at count // 2.
    """
    nx = samples.shape[-1]
    if count == nx:
        return samples
    image = np.zeros((*samples.shape[:-1], count), np.complex128)
    start = count // 2 - nx // 2
    image[..., start : start + nx] = to_image(samples.astype(np.complex128), (-1,))
    return to_kspace(image, (-1,)).astype(np.complex64)


def crop_oversampling(samples: NDArray[np.complex64], nx: int) -> NDArray[np.complex64]:
    """Narrow the field of view along the readout to its middle, until nx samples are left.

    Parameters
    ----------
    samples
        Shape (..., count), complex64, k = 0 at count // 2; with nx samples they come back as they are.
    nx
        Number of samples to be left.

    Returns
    -------
    samples
        Shape (..., nx), complex64, k = 0 at nx // 2.
    """
    count = samples.shape[-1]
    if count == nx:
        return samples
    start = count // 2 - nx // 2
    image = to_image(samples.astype(np.complex128), (-1,))[..., start : start + nx]
    return to_kspace(image, (-1,)).astype(np.complex64)
