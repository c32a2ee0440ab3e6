"""How the channels of a stored scan see the image plane: from its provenance, for whoever judges images.

An image that several coils' lines are combined into is not that of one uniform coil: the root of the sum of
squares is shaded by that of the sensitivities, and carries their noise.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import InputError, StreamError
from mrsim.kernels.grid import Grid
from mrsim.reception.channels import prewhiten
from mrsim.reception.coil_fit import FittedCoils
from mrsim.scanner.protocol import ScanProtocol
from mrsim.scanner.receiver import Receiver
from mrsim.scanner.scene import Scene
from mrsim.scanner.scenes import body_of, scene_of
from mrsim.stream import Header, Provenance
from mrsim.stream.fourier import to_image

FOLDS = 3
"""Fields of view, one upon the other, that a body which goes on beyond its own is looked for in."""

FAINT = 0.01
"""Share of the brightest pixel below which nothing counts as folded in."""

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class Channels:
    """Hold how a scan was received.

    Parameters
    ----------
    sensitivity
        Of every channel at the centre of every pixel, shape (coils, ny, nx), complex128. Where tissue from
        beyond the field of view folds in, it is the mean of the places, weighted by what each gives to the
        image at the first echo.
    psi
        Covariance of their noise relative to that of one uniform coil, shape (coils, coils).
    """

    sensitivity: Complex
    psi: Complex

    @property
    def shading(self) -> Array:
        """Return the root of the sum of squares of the sensitivities, shape (ny, nx)."""
        return np.asarray(np.sqrt((np.abs(self.sensitivity) ** 2).sum(axis=0)), np.float64)

    @property
    def least_noise(self) -> Array:
        """Return the noise of the combination of least noise, relative to one uniform coil's, (ny, nx)."""
        power = (np.abs(prewhiten(self.sensitivity, self.psi, 0)) ** 2).sum(axis=0)
        return np.asarray(1 / np.sqrt(np.maximum(power, np.finfo(np.float64).tiny)), np.float64)


def channels_of(header: Header, made: Provenance) -> Channels:
    """Return how the coils of a scan see the image plane.

    Parameters
    ----------
    header
        Protocol of a scan of several coils.
    made
        How it was made.

    Returns
    -------
    channels
        Of the samples as they are: whitened, if the scan is.

    Raises
    ------
    StreamError
        If it has one coil, or what was scanned cannot be had.
    """
    try:
        body = body_of(made.phantom_text, made.phantom, "its phantom_text")
        protocol = ScanProtocol(
            matrix=header.matrix, fov_m=header.fov_m, coils=header.coils, acceleration=1.0, sampler="full"
        )
        receiver = Receiver.around(body, protocol)
    except InputError as error:
        raise StreamError(f"the coils of the scan cannot be had again ({error})") from None
    x, y = Grid(header.matrix, header.fov_m).pixels()
    if receiver.fitted is None:
        raise StreamError("the scan has one coil")
    seen = receiver.fitted.sensitivity(x, y)
    if body.beyond_fov:
        seen = _folded(seen, receiver.fitted, scene_of(body, _long(header), made.seed or 0), header)
    if made.engine.endswith("prewhiten"):
        return Channels(prewhiten(seen, receiver.psi, 0), np.eye(header.coils, dtype=np.complex128))
    return Channels(seen, receiver.psi)


def _long(header: Header) -> Header:
    """Return a protocol whose field of view reaches over all that folds in, in pixels of the same size."""
    (ny, nx), (along, across) = header.matrix, header.fov_m
    return dataclasses.replace(
        header, matrix=(FOLDS * ny, nx), fov_m=(FOLDS * along, across), coils=1, window=0, prescan=None
    )


def _folded(seen: Complex, fitted: FittedCoils, scene: Scene, header: Header) -> Complex:
    """Return sensitivities in which each place that folds into a pixel counts by its share of the image."""
    (ny, nx), (fov_m, _) = header.matrix, header.fov_m
    rows = (np.arange(FOLDS * ny) - FOLDS * ny // 2).astype(np.int32)
    parts = np.asarray(to_image(scene.instant(rows, header.te_ns)), np.complex128).reshape(FOLDS, ny, nx)
    whole = parts.sum(axis=0)
    power = whole.real**2 + whole.imag**2
    x, y = Grid(header.matrix, header.fov_m).pixels()
    out = seen.copy()
    for fold, part in enumerate(parts):
        if fold == FOLDS // 2:
            continue  # the place in the field of view itself, whose share is what the others leave
        share = part * whole.conj() / (power + FAINT**2 * power.max())
        share[np.abs(part) < FAINT * np.sqrt(power.max())] = 0
        there = fitted.sensitivity(x, y + (fold - FOLDS // 2) * fov_m)
        out += share * (there - seen)
    return out
