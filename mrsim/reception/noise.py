"""Thermal noise of the receiver, keyed by (seed, line).

SNR is stated as the signal of the target over sigma, the standard deviation of the real (or imaginary)
part of the noise in a fully sampled image. The transforms are unitary, so sigma is the same in an image and
in a sample of k-space, and the complex noise of a sample has the standard deviation sqrt(2) sigma.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mrsim.seeds import child


def noise_std(signal: float, snr: float) -> float:
    """Return the standard deviation of a sample's complex noise, real and imaginary part together.

    Parameters
    ----------
    signal
        Magnitude of the target's signal in an image.
    snr
        Signal over the standard deviation of one part; infinite for none.
    """
    return 0.0 if math.isinf(snr) else math.sqrt(2) * signal / snr


class LineNoise:
    """Draw the noise of any line, the same bits whichever lines are drawn with it.

    The line's number is the top word of the counter of a Philox generator, so that every line has 2^192
    blocks of its own.

    Parameters
    ----------
    seed
        Seed of the scan.
    std
        Standard deviation of a sample's complex noise.
    coils, samples
        Shape of a line.
    """

    def __init__(self, seed: int, std: float, coils: int, samples: int) -> None:
        self._key = child(seed, "noise").generate_state(2, np.uint64)
        self._sigma, self._shape = std / math.sqrt(2), (coils, samples, 2)

    def lines(self, first: int, count: int) -> NDArray[np.complex128]:
        """Draw the noise of lines in a row, shape (count, coils, samples), complex128."""
        out = np.zeros((count, *self._shape))
        if self._sigma > 0:
            counter = np.zeros(4, np.uint64)
            for i in range(count):
                counter[3] = first + i
                bits = np.random.Philox(key=self._key, counter=counter)
                np.random.Generator(bits).standard_normal(out=out[i])
            out *= self._sigma
        return out.view(np.complex128)[..., 0]
