"""The data-consistency layer: what was acquired outweighs what the network believes.

On sampled positions the layer returns (k_cnn + lambda k_acquired) / (1 + lambda), elsewhere k_cnn
untouched (Schlemper 2018, 10.1109/TMI.2017.2760978). It is written with the weight
w = lambda / (1 + lambda), which is finite for lambda -> infinity: there w = 1, and the acquired value
is returned exactly. The mask is a mask: a sampled zero is sampled.

Along x every line of a Cartesian scan is complete, so the layer needs the transform along y alone: it
works on the hybrid space (ky, x) and gives the same image as in two dimensions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mrsim.errors import InputError
from recon.fourier import to_image, to_kspace


def weight_of(lam: float) -> float:
    """Return the weight lambda / (1 + lambda) of the acquired value; 1 for an infinite lambda.

    Raises
    ------
    InputError
        If lambda is negative or not a number.
    """
    if math.isnan(lam) or lam < 0:
        raise InputError(f"lambda = {lam}: expected 0 (ignore the data) to infinity (keep it exactly)")
    return 1.0 if math.isinf(lam) else lam / (1.0 + lam)


def enforce(predicted: Tensor, acquired: Tensor, mask: Tensor, weight: Tensor | float = 1.0) -> Tensor:
    """Combine predicted and acquired k-space.

    Parameters
    ----------
    predicted
        k-space of the prediction, complex.
    acquired
        Acquired k-space, complex, same shape; its value matters only where it was sampled.
    mask
        True where sampled, bool, broadcast against `predicted`.
    weight
        lambda / (1 + lambda), in [0, 1], broadcast against `predicted`: 1 keeps the acquired value.

    Returns
    -------
    kspace
        Shape and dtype of `predicted`.
    """
    # (1 - w) a + w b, not a + w (b - a): the latter is not exactly b at w = 1 in floating point.
    return torch.where(mask, (1.0 - weight) * predicted + weight * acquired, predicted)


def enforce_image(
    image: Tensor, acquired: Tensor, mask: Tensor, weight: Tensor | float = 1.0
) -> tuple[Tensor, Tensor]:
    """Make an image consistent with acquired lines, in the hybrid space (ky, x).

    Parameters
    ----------
    image
        Shape (..., ny, nx), complex64.
    acquired
        Acquired lines after the transform along x, shape (..., ny, nx), complex64.
    mask
        Sampled rows, shape (..., ny), bool.
    weight
        lambda / (1 + lambda) of all rows, or of each, shape (..., ny), float32.

    Returns
    -------
    image
        Shape (..., ny, nx), complex64.
    innovation
        What the lines say beyond the returned image, as an image: zero where the weight is 1.
    """
    rows = weight.unsqueeze(-1) if isinstance(weight, Tensor) and weight.ndim else weight
    sampled = mask.unsqueeze(-1)
    kspace = to_kspace(image, (-2,))
    residual = (acquired - kspace) * ((1.0 - rows) * sampled)
    return to_image(enforce(kspace, acquired, sampled, rows), (-2,)), to_image(residual, (-2,))
