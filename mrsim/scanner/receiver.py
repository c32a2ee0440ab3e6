"""The receive side of a scan: the coils' filters on k-space, and the covariance of their noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.phantom import Phantom
from mrsim.errors import InputError
from mrsim.reception.channels import body_noise_covariance
from mrsim.reception.coil_fit import FittedCoils, fit_coils
from mrsim.reception.coils import CoilArray
from mrsim.scanner.protocol import ScanProtocol

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class Receiver:
    """Hold how a scan is received.

    Parameters
    ----------
    array
        The coils.
    fitted
        Their filters; None for one coil of uniform sensitivity.
    psi
        Covariance of the channels' noise relative to that of one uniform coil, shape (coils, coils). It is
        scaled so that the combination of least noise has the SNR that was asked for, at the target's centre
        where it rests.
    """

    array: CoilArray
    fitted: FittedCoils | None
    psi: Complex

    @classmethod
    def around(cls, phantom: Phantom, protocol: ScanProtocol) -> Receiver:
        """Lay the coils of a protocol around a phantom; the fit holds within its outermost regions.

        Raises
        ------
        InputError
            If the field of view is too large for the coils.
        """
        array = CoilArray.ring(protocol.coils)
        if protocol.coils == 1:
            return cls(array, None, np.ones((1, 1), np.complex128))
        roots = [r for r in phantom.regions if r.parent is None]

        def inside(x: Array, y: Array) -> NDArray[np.bool_]:
            found = np.zeros(np.shape(x), np.bool_)
            for region in roots:
                found |= region.shape.inside(x, y)
            return found

        still = not any(r.moves or r.deforms for r in roots)
        try:
            fitted = fit_coils(array, protocol.fov_m, inside=inside if still else None)
        except InputError:
            if not still:
                raise
            fitted = fit_coils(array, protocol.fov_m)  # the body is too small to hold enough points
        target = phantom.regions[phantom.index(phantom.target)]
        seen = fitted.sensitivity(*(np.array([v]) for v in target.shape.center))[:, 0]
        psi = body_noise_covariance(array)
        gain = float((seen.conj() @ np.linalg.solve(psi, seen)).real)
        return cls(array, fitted, np.asarray(psi * gain, np.complex128))

    def coloured(self, white: Complex) -> Complex:
        """Give white noise, shape (lines, coils, nx), the covariance of the channels."""
        if len(self.psi) == 1:
            return white
        lower = np.linalg.cholesky(self.psi)
        out = np.empty_like(white)
        for i in range(len(lower)):  # one product after another: a line's bits do not depend on its company
            out[:, i] = lower[i, 0] * white[:, 0]
            for j in range(1, i + 1):
                out[:, i] += lower[i, j] * white[:, j]
        return out
