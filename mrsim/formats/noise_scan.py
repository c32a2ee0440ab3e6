"""Noise scans: readouts without excitation, which tell the covariance of the channels' noise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import FormatError
from mrsim.stream.header import MAX_COILS
from mrsim.stream.layout import check_array
from mrsim.stream.storage import StreamWriter, attached

MAX_SAMPLES = (1 << 16) - 1  # of one readout, in MRD
MAX_NOISE_BYTES = 1 << 30
_SAMPLES, _DWELL = "noise", "noise_dwell_us"


@dataclass(frozen=True)
class NoiseScans:
    """Hold the noise scans of a measurement.

    Parameters
    ----------
    samples
        Shape (scans, coils, n), complex64.
    dwell_us
        Dwell of each, shape (scans,), float32, microseconds.
    """

    samples: NDArray[np.complex64]
    dwell_us: NDArray[np.float32]

    def attach(self, writer: StreamWriter) -> None:
        """Put them beside the columns of a stream that is being written."""
        writer.attach(_SAMPLES, self.samples)
        writer.attach(_DWELL, self.dwell_us)

    @classmethod
    def of(cls, folder: str | Path) -> NoiseScans | None:
        """Map the noise scans beside a stored stream, None where there are none.

        Raises
        ------
        FormatError
            If they are not whole.
        """
        samples, dwell_us = attached(folder, _SAMPLES), attached(folder, _DWELL)
        if samples is None or dwell_us is None:
            return None
        where = f"{folder}/{_SAMPLES}.npy"
        sizes = samples.ndim == 3 and 1 <= samples.shape[1] <= MAX_COILS
        if not sizes or not 1 <= samples.shape[2] <= MAX_SAMPLES or samples.nbytes > MAX_NOISE_BYTES:
            raise FormatError(f"{where}: its shape is {samples.shape}: expected (scans, coils, samples)")
        check_array(samples, samples.shape, np.complex64, where)
        check_array(dwell_us, samples.shape[:1], np.float32, f"{folder}/{_DWELL}.npy")
        return cls(samples, dwell_us)

    def whitening(self) -> NDArray[np.complex128]:
        """Return the matrix that makes the channels' noise white, with the mean variance that it had.

        Returns
        -------
        matrix
            Shape (coils, coils), complex128, lower triangular: multiply it from the left to (coils, n).
            Kellman & McVeigh 2005, 10.1002/mrm.20713.

        Raises
        ------
        FormatError
            If there are too few samples, or channels without noise of their own.
        """
        coils = self.samples.shape[1]
        noise = np.moveaxis(self.samples, 1, 0).reshape(coils, -1).astype(np.complex128)
        if noise.shape[1] < 2 * coils or not np.isfinite(noise).all():
            raise FormatError(
                f"noise scans: {noise.shape[1]} samples cannot tell the noise of {coils} channels"
            )
        covariance = noise @ noise.conj().T / noise.shape[1]
        scale = float(np.trace(covariance).real) / coils
        # Cholesky of a covariance that is singular but for rounding gives a matrix of nonsense.
        if not scale > 0 or np.linalg.eigvalsh(covariance)[0] < 1e-9 * scale:
            raise FormatError("noise scans: a channel has no noise of its own: leave out --prewhiten")
        return np.linalg.inv(np.linalg.cholesky(covariance / scale)).astype(np.complex128)
