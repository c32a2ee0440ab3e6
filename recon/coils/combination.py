"""Several coils as one image, and one image as several coils see it.

The sum of squares of the sensitivities is 1 where there is signal (`recon.coils.sensitivities`). There
combine(expand(x)) is x, and it is 0 where no coil sees anything. If no single image explains the coil images,
combining gives the least-squares one (Roemer et al. 1990, 10.1002/mrm.1910160203).
"""

from __future__ import annotations

from torch import Tensor

from recon.fourier import to_image, to_kspace


def expand(image: Tensor, maps: Tensor) -> Tensor:
    """Return what the coils see of an image, in the hybrid space (ky, x).

    Parameters
    ----------
    image
        Shape (..., ny, nx), complex64.
    maps
        Sensitivities, shape (..., coils, ny, nx), complex64.

    Returns
    -------
    rows
        Shape (..., coils, ny, nx), complex64.
    """
    return to_kspace(maps * image.unsqueeze(-3), (-2,))


def combine(rows: Tensor, maps: Tensor) -> Tensor:
    """Return the image that explains what the coils see, shape (..., ny, nx); the adjoint of `expand`.

    Parameters
    ----------
    rows
        Hybrid space (ky, x) of every coil, shape (..., coils, ny, nx), complex64.
    maps
        Sensitivities, same shape.
    """
    combined: Tensor = (maps.conj() * to_image(rows, (-2,))).sum(-3)
    return combined
