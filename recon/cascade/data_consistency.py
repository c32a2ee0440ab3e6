"""The data-consistency layer: acquired samples replace, or outweigh, those that the network predicts.

Where k-space was sampled, the layer returns (k_cnn + lambda k_acquired) / (1 + lambda); elsewhere it returns
k_cnn (Schlemper 2018, 10.1109/TMI.2017.2760978). The code has the weight w = lambda / (1 + lambda), which is
finite for lambda -> infinity: there w = 1, and the acquired value is returned exactly. A mask says what was
sampled, so a sampled zero counts.

Along x every line of a Cartesian scan is complete. So the layer needs the transform along y alone: it works
in the hybrid space (ky, x), and gives the same image as in two dimensions.

Several coils
-------------
With A the expansion of an image x into the sampled rows of all coils (`recon.coils.combination`), y what they
acquired and W the weights of the rows, the layer returns x + A* W (y - A x), and zero where no coil sees
anything. It expands the image, puts in the acquired lines of every coil with their weight as above, and
combines the coils again. This is a step of POCSENSE (Samsonov 2004, 10.1002/mrm.20285) and the gradient step
of a variational network (Hammernik 2018, 10.1002/mrm.26977).
As |A| <= 1 and 0 <= W <= 1, for any image whatsoever:

- the misfit never grows: |W^1/2 (y - A x')| <= |W^1/2 (y - A x)|;
- of lines that an image x* explains, the image comes no further away: |x' - x*| <= |x - x*|, and it is x*
  itself where all rows are sampled and the weight is 1;
- of one coil it is the layer above, and applied again and again it converges to the SENSE solution.

Lines of several coils contradict each other, by their noise and by the error of the sensitivities, so no
image has all of them. A projection onto the images that fit them best is the alternative (lambda to infinity
in the proximal step of Schlemper 2018 and of MoDL, Aggarwal 2019, 10.1109/TMI.2018.2865356). Wherever coils
times sampled rows exceed ny, it is the SENSE solution with all its amplified noise, whatever the network
predicts. The gradient step keeps what the coils agree on, needs no solver, and costs two transforms along y.
Each block repeats it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mrsim.errors import WeightsError
from recon.coils.combination import combine, expand
from recon.fourier import to_image, to_kspace


def weight_of(lam: float) -> float:
    """Return the weight lambda / (1 + lambda) of the acquired value; 1 for an infinite lambda.

    Raises
    ------
    WeightsError
        If lambda is negative or not a number.
    """
    if math.isnan(lam) or lam < 0:
        raise WeightsError(f"lambda = {lam}: expected 0 (ignore the data) to infinity (keep it exactly)")
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
        The acquired lines minus those of the returned image, as an image: zero where the weight is 1.
    """
    rows = weight.unsqueeze(-1) if isinstance(weight, Tensor) and weight.ndim else weight
    sampled = mask.unsqueeze(-1)
    kspace = to_kspace(image, (-2,))
    residual = (acquired - kspace) * ((1.0 - rows) * sampled)
    return to_image(enforce(kspace, acquired, sampled, rows), (-2,)), to_image(residual, (-2,))


def enforce_alone(image: Tensor, acquired: Tensor, mask: Tensor, weight: Tensor | float = 1.0) -> Tensor:
    """Return the image of `enforce_image` without the innovation, in two thirds of the time."""
    rows = weight.unsqueeze(-1) if isinstance(weight, Tensor) and weight.ndim else weight
    return to_image(enforce(to_kspace(image, (-2,)), acquired, mask.unsqueeze(-1), rows), (-2,))


def enforce_coils(
    image: Tensor, acquired: Tensor, mask: Tensor, maps: Tensor, weight: Tensor | float = 1.0
) -> Tensor:
    """Put the acquired lines of all coils into an image, in the hybrid space (ky, x).

    Parameters
    ----------
    image
        Shape (..., ny, nx), complex64.
    acquired
        Acquired lines after the transform along x, shape (..., coils, ny, nx), complex64.
    mask
        Sampled rows, shape (..., ny), bool.
    maps
        Sensitivities with a sum of squares of 1 or 0, shape (..., coils, ny, nx), complex64.
    weight
        lambda / (1 + lambda) of all rows, or of each, shape (..., ny), float32.

    Returns
    -------
    image
        Shape (..., ny, nx), complex64; zero where no coil sees anything.
    """
    rows = weight[..., None, :, None] if isinstance(weight, Tensor) and weight.ndim else weight
    return combine(enforce(expand(image, maps), acquired, mask[..., None, :, None], rows), maps)


def innovation_of(image: Tensor, acquired: Tensor, mask: Tensor, maps: Tensor) -> Tensor:
    """Return the lines of all coils minus those of an image, as an image, shape (..., ny, nx), complex64.

    Parameters
    ----------
    image, acquired, mask, maps
        As for `enforce_coils`.
    """
    return combine((acquired - expand(image, maps)) * mask[..., None, :, None], maps)
