"""The parts of compressed sensing: total variation, orthonormal wavelets, and FISTA.

Each works on one complex image, shape (ny, nx), as torch tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Daubechies' filter of four taps: orthonormal, with two vanishing moments (10.1002/cpa.3160410705).
_DAUBECHIES = tuple(
    (a + b * math.sqrt(3)) / (4 * math.sqrt(2)) for a, b in ((1, 1), (3, 1), (3, -1), (1, -1))
)
FILTERS = {"haar": (math.sqrt(0.5), math.sqrt(0.5)), "daubechies": _DAUBECHIES}

Floats = NDArray[np.float32]
Gradient = Callable[[Tensor], Tensor]
Proximal = Callable[[Tensor, float], Tensor]


def total_variation(image: Tensor) -> float:
    """Return the isotropic total variation: the sum of sqrt(|difference along y|^2 + |along x|^2)."""
    dy, dx = torch.zeros_like(image), torch.zeros_like(image)
    dy[:-1] = image[1:] - image[:-1]
    dx[:, :-1] = image[:, 1:] - image[:, :-1]
    return float((dy.abs() ** 2 + dx.abs() ** 2).sqrt().double().sum())


class TotalVariation:
    """Apply the proximal map of the isotropic total variation, by gradient projection on its dual.

    The dual is kept from call to call. Within FISTA the images hardly differ from one to the next, so a few
    steps are enough for each. `reset` sets the dual to zero.

    Parameters
    ----------
    shape
        Rows and columns.
    steps
        Steps on the dual for each call.

    References
    ----------
    Beck and Teboulle 2009, 10.1109/TIP.2009.2028250.
    """

    def __init__(self, shape: tuple[int, int], steps: int) -> None:
        self._nx, self._steps = shape[1], steps
        # Flat numpy arrays with separate real and imaginary parts: every step below is then one pass over
        # contiguous memory, several times as fast as complex numbers or two-dimensional slices.
        pixels = shape[0] * shape[1]
        self._dual = np.zeros((2, 2, pixels), np.float32)  # (along y or x, part, pixel)
        self._ahead, self._before = np.zeros_like(self._dual), np.zeros_like(self._dual)
        self._noisy, self._x, self._spare = np.zeros((3, 2, pixels), np.float32)
        self._length, self._square = np.zeros((2, pixels), np.float32)

    def reset(self) -> None:
        """Set the dual to zero."""
        self._dual[:] = 0

    def __call__(self, image: Tensor, threshold: float) -> Tensor:
        """Return the minimiser of |x - image|^2 / 2 + threshold TV(x), shape (ny, nx), complex64."""
        values = image.numpy()
        if threshold <= 0:
            return image
        self._noisy[0].reshape(values.shape)[:] = values.real
        self._noisy[1].reshape(values.shape)[:] = values.imag
        dual, ahead, before, momentum = self._dual, self._ahead, self._before, 1.0
        ahead[:] = dual
        for _ in range(self._steps):
            before[:] = dual
            dual[:] = ahead
            self._ascend(dual, threshold)
            following = (1.0 + math.sqrt(1.0 + 4.0 * momentum * momentum)) / 2.0
            np.subtract(dual, before, out=ahead)
            ahead *= np.float32((momentum - 1.0) / following)
            ahead += dual
            momentum = following
        x = self._primal(dual, threshold)
        out = np.empty(values.shape, np.complex64)
        out.real, out.imag = x[0].reshape(values.shape), x[1].reshape(values.shape)
        return torch.from_numpy(out)

    def _primal(self, dual: Floats, threshold: float) -> Floats:
        """Return noisy - threshold D*(dual), D the forward differences."""
        x, nx = self._x, self._nx
        np.add(dual[0], dual[1], out=x)
        x[:, nx:] -= dual[0, :, :-nx]  # of the last row, and of a row's last pixel, the dual is zero
        x[:, 1:] -= dual[1, :, :-1]
        x *= np.float32(threshold)
        x += self._noisy
        return x

    def _ascend(self, dual: Floats, threshold: float) -> None:
        """Take one projected step on the dual, in place."""
        nx, step, spare = self._nx, np.float32(1.0 / (8.0 * threshold)), self._spare  # 8 bounds |D|^2
        x = self._primal(dual, threshold)
        x *= step
        difference = np.subtract(x[:, nx:], x[:, :-nx], out=spare[:, nx:])
        dual[0, :, :-nx] += difference
        difference = np.subtract(x[:, 1:], x[:, :-1], out=spare[:, 1:])
        difference[:, nx - 1 :: nx] = 0  # from the end of a row to the start of the next
        dual[1, :, :-1] += difference
        length, square = self._length, self._square
        np.multiply(dual[0, 0], dual[0, 0], out=length)
        for part in (dual[0, 1], dual[1, 0], dual[1, 1]):
            np.multiply(part, part, out=square)
            length += square
        np.sqrt(length, out=length)
        np.maximum(length, 1, out=length)
        dual /= length


class Wavelets:
    """Transform with orthonormal, periodic wavelets, and shrink the coefficients.

    Each side is transformed as often as it can be halved, at most four times; an odd side is not transformed.

    Parameters
    ----------
    shape
        Rows and columns.
    name
        One of `FILTERS`.
    """

    def __init__(self, shape: tuple[int, int], name: str = "daubechies") -> None:
        self._rows, self._columns = (_wavelet_matrix(n, name) for n in shape)

    def analyse(self, image: Tensor) -> Tensor:
        """Return the coefficients, real and imaginary part separately, shape (2, ny, nx), float32."""
        parts = torch.view_as_real(image).permute(2, 0, 1).contiguous()
        return self._rows @ parts @ self._columns.T

    def synthesise(self, coefficients: Tensor) -> Tensor:
        """Return the image of some coefficients, shape (ny, nx), complex64."""
        parts = self._rows.T @ coefficients @ self._columns
        return torch.view_as_complex(parts.permute(1, 2, 0).contiguous())

    def norm(self, image: Tensor) -> float:
        """Return the sum of the coefficients' moduli."""
        return float(self.analyse(image).square().sum(0).sqrt().double().sum())

    def __call__(self, image: Tensor, threshold: float) -> Tensor:
        """Return the minimiser of |x - image|^2 / 2 + threshold |W x|_1, shape (ny, nx), complex64."""
        coefficients = self.analyse(image)
        modulus = coefficients.square().sum(0).sqrt_()
        share = (1.0 - threshold / modulus.clamp_min(1e-30)).clamp_min_(0.0)
        return self.synthesise(coefficients * share)


@lru_cache(maxsize=16)
def _wavelet_matrix(n: int, name: str) -> Tensor:
    """Return the orthonormal matrix of the transform of n samples, float32."""
    taps = FILTERS[name]
    whole, length = np.eye(n), n
    for _ in range(4):
        if length % 2 or length < len(taps):
            break
        step = np.eye(n)
        step[:length, :length] = 0
        for i in range(length // 2):
            for k, tap in enumerate(taps):
                at = (2 * i + k) % length
                step[i, at] += tap
                step[length // 2 + i, at] += (-1) ** k * taps[-1 - k]
        whole, length = step @ whole, length // 2
    with torch.inference_mode(False):
        return torch.from_numpy(whole.astype(np.float32))


def fista(
    start: Tensor, gradient: Gradient, proximal: Proximal, lipschitz: float, weight: float, iterations: int
) -> Tensor:
    """Minimise f(x) + weight g(x) by accelerated proximal steps, as many as are asked for.

    The momentum restarts whenever it points uphill (O'Donoghue and Candes 2015,
    10.1007/s10208-013-9150-3).

    Parameters
    ----------
    start
        First guess, shape (ny, nx), complex64.
    gradient
        Gradient of the smooth part f.
    proximal
        Proximal map of g, called with a point and a threshold.
    lipschitz
        Bound on how fast the gradient changes.
    weight
        Weight of g.
    iterations
        Number of steps.

    Returns
    -------
    image
        Shape (ny, nx), complex64.

    References
    ----------
    Beck and Teboulle 2009, 10.1137/080716542.
    """
    image, point, momentum = start, start, 1.0
    for _ in range(iterations):
        moved = proximal(point - gradient(point) / lipschitz, weight / lipschitz)
        step = moved - image
        if float(torch.vdot((point - moved).flatten(), step.flatten()).real) > 0:
            momentum = 1.0
        following = (1.0 + math.sqrt(1.0 + 4.0 * momentum * momentum)) / 2.0
        point = moved + ((momentum - 1.0) / following) * step
        image, momentum = moved, following
    return image
