"""The receive side of a scan: the coils' filters on k-space, and the covariance of their noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.body import Body
from mrsim.anatomy.containment import BEYOND_FOV
from mrsim.errors import InputError, ProtocolError
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
    def around(cls, body: Body, protocol: ScanProtocol, filters: Complex | None = None) -> Receiver:
        """Lay the coils of a protocol around a body; the fit holds within its outline, if that stands still.

        Parameters
        ----------
        body, protocol
            What is scanned, and how.
        filters
            Filters that were stored, shape (coils, taps, taps); None to fit them.

        Raises
        ------
        InputError
            If the field of view is too large for the coils, or the filters are of another number of them.
        """
        array = CoilArray.ring(protocol.coils).shifted(*body.coil_shift_m)
        if protocol.coils == 1:
            return cls(array, None, np.ones((1, 1), np.complex128))
        if filters is not None:
            if len(filters) != array.count:
                raise ProtocolError(
                    f"release: filters of {len(filters)} coils, and the scan has {array.count}"
                )
            return cls._of(array, FittedCoils(filters, protocol.fov_m, math.nan, math.nan), body)
        outline = body.resting_outline()
        beyond = BEYOND_FOV if body.beyond_fov else 1.0
        try:
            fitted = fit_coils(array, protocol.fov_m, inside=outline, beyond=beyond)
        except InputError:
            if outline is None:
                raise
            fitted = fit_coils(array, protocol.fov_m)  # the body is too small to hold enough points
        return cls._of(array, fitted, body)

    @classmethod
    def _of(cls, array: CoilArray, fitted: FittedCoils, body: Body) -> Receiver:
        seen = fitted.sensitivity(*(np.array([v]) for v in body.target_center_m))[:, 0]
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
