"""What couples receive channels: the covariance of their noise, and the combination that undoes it.

The noise of n channels is CN(0, Psi) with Psi Hermitian and positive definite. With Psi = L L^H, L white
noise has the covariance Psi, and L^-1 makes noise of covariance Psi white.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import ProtocolError
from mrsim.reception.coils import MU0, CoilArray

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

_BODY_SIDE = 16  # points along each axis of the box about the body
_SEGMENTS = 72


def noise_covariance(count: int, correlation: float) -> Complex:
    """Return the covariance of channels of unit variance that are all correlated alike.

    Parameters
    ----------
    count
        Number of channels.
    correlation
        Correlation of any two, from 0 to below 1.

    Returns
    -------
    psi
        Shape (count, count), complex128, Hermitian and positive definite.

    Raises
    ------
    ProtocolError
        If a value is out of range.
    """
    if count < 1 or not 0 <= correlation < 1:
        raise ProtocolError(
            f"channels: {count!r} with correlation {correlation!r}: expected 1 or more, in [0, 1)"
        )
    return np.asarray(np.eye(count) * (1 - correlation) + correlation, np.complex128)


def body_noise_covariance(
    array: CoilArray, body_m: tuple[float, float, float] = (0.16, 0.2, 0.11), own_noise: float = 0.2
) -> Complex:
    """Compute the covariance of the noise that the loops pick up from a conducting body.

    Two loops share the noise of the currents that both see: Psi_ij is the integral of A_i.A_j over the body,
    with A the vector potential of a loop (its electric field is -dA/dt; the charges that gather on the
    body's surface are neglected). Each loop adds noise of its own. Scaled to a mean variance of 1.

    Parameters
    ----------
    array
        The coils.
    body_m
        Semi-axes of the ellipsoid that stands for the body, along x, y and z, metres.
    own_noise
        Share of the mean variance that is the coils' own, above 0 and at most 1.

    Returns
    -------
    psi
        Shape (coils, coils), complex128, Hermitian and positive definite.

    Raises
    ------
    ProtocolError
        If a value is out of range.

    References
    ----------
    Roemer et al. 1990, 10.1002/mrm.1910160203.
    """
    if not (0 < own_noise <= 1 and all(0 < half < 10 for half in body_m)):
        raise ProtocolError(
            f"channels: body {body_m!r}, own noise {own_noise!r}: expected lengths, and (0, 1]"
        )
    if not array.loops:
        return np.ones((1, 1), np.complex128)
    axis = (np.arange(_BODY_SIDE) + 0.5) * (2 / _BODY_SIDE) - 1
    unit = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    body = unit[(unit**2).sum(axis=1) < 1] * np.array(body_m)
    potential = np.empty((array.count, len(body), 3))
    for n, loop in enumerate(array.loops):
        # A = mu0 / 4 pi times the integral of dl / distance; the trapezoidal rule on a circle is spectral.
        wire = loop.wire(_SEGMENTS)
        current = np.cross(loop.axis, wire - np.array(loop.center)) * (2 * np.pi / _SEGMENTS)
        distance = np.linalg.norm(body[:, None, :] - wire, axis=-1)
        potential[n] = MU0 / (4 * np.pi) * (1 / distance) @ current
    shared = np.einsum("ipk,jpk->ij", potential, potential)
    shared /= np.trace(shared) / array.count
    return np.asarray((1 - own_noise) * shared + own_noise * np.eye(array.count), np.complex128)


def colour(white: Complex, psi: Complex, axis: int = -2) -> Complex:
    """Give noise a covariance.

    Parameters
    ----------
    white
        Independent noise, shape (..., coils, nx) or any other with the channels along `axis`.
    psi
        Covariance, shape (coils, coils).
    axis
        Axis of the channels.

    Returns
    -------
    coloured
        L white with Psi = L L^H, of the shape of `white`, complex128.

    Raises
    ------
    ProtocolError
        If `psi` is not Hermitian and positive definite, or of another size.
    """
    return _along(_factor(psi, white.shape[axis]), white, axis)


def prewhiten(samples: Complex, psi: Complex, axis: int = -2) -> Complex:
    """Make the noise of samples white, with unit variance; parameters and errors as for `colour`.

    Sensitivities that are treated alike (`axis=0`) stay those of the treated samples.
    """
    lower = _factor(psi, samples.shape[axis])
    return _along(np.asarray(np.linalg.inv(lower), np.complex128), samples, axis)


def combine(images: Complex, sensitivities: Complex, psi: Complex) -> Complex:
    """Combine the channels' images into the one of least noise.

    At every pixel it is (S^H Psi^-1 S)^-1 S^H Psi^-1 I. Where the images are S times one image, the
    result is that image.

    Parameters
    ----------
    images
        Image of every channel, shape (coils, ...).
    sensitivities
        Sensitivity of every channel at every pixel, of the same shape.
    psi
        Covariance of the noise, shape (coils, coils).

    Returns
    -------
    image
        Shape (...), complex128; 0 where no channel sees anything.

    Raises
    ------
    ProtocolError
        If the shapes differ, or `psi` is not a covariance.

    References
    ----------
    Roemer et al. 1990, 10.1002/mrm.1910160203; Pruessmann et al. 1999,
    10.1002/(SICI)1522-2594(199911)42:5<952::AID-MRM16>3.0.CO;2-S.
    """
    if images.shape != sensitivities.shape:
        raise ProtocolError(f"channels: images {images.shape} and sensitivities {sensitivities.shape} differ")
    seen, weight = prewhiten(images, psi, 0), prewhiten(sensitivities, psi, 0)
    power = (np.abs(weight) ** 2).sum(axis=0)
    total = (weight.conj() * seen).sum(axis=0)
    return np.asarray(np.divide(total, power, out=np.zeros_like(total), where=power > 0), np.complex128)


def _factor(psi: Complex, count: int) -> Complex:
    if psi.shape != (count, count):
        raise ProtocolError(
            f"channels: covariance {psi.shape} for {count} channels: expected {(count, count)}"
        )
    if not np.allclose(psi, psi.conj().T, rtol=1e-9, atol=1e-12 * float(np.abs(psi).max())):
        raise ProtocolError("channels: the covariance is not Hermitian")
    try:
        return np.asarray(np.linalg.cholesky(psi), np.complex128)
    except np.linalg.LinAlgError:
        raise ProtocolError("channels: the covariance is not positive definite") from None


def _along(matrix: Complex, data: Complex, axis: int) -> Complex:
    return np.asarray(np.moveaxis(np.tensordot(matrix, data, axes=(1, axis)), 0, axis), np.complex128)
