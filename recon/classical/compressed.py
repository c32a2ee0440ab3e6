"""Compressed sensing, a frame at a time: total variation or wavelets, with or without a prior."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mrsim.errors import CandidateError
from mrsim.stream import Header, Readout
from recon.classical.encoding import EncodingOperator
from recon.classical.sparsity import FILTERS, TotalVariation, Wavelets, fista
from recon.coils.sensitivities import Autocalibration
from recon.line_memory import LineMemory
from recon.protocol import ROOT_SUM, Emit, Image

MAX_ITERATIONS = 10_000


@dataclass(frozen=True)
class Sparsity:
    """Describe the sparse part of the cost, and the number of steps.

    Parameters
    ----------
    transform
        "tv", or the name of a wavelet: "daubechies" or "haar".
    weight
        Weight of the sparse part, as a share of the root mean square of the zero-filled image.
    iterations
        FISTA steps for each image, 1 to 10,000.
    prior
        Weight of a row's prior against that of a row that was read in this frame, 0 to 1.

    Raises
    ------
    CandidateError
        If a value is out of range.
    """

    transform: str = "tv"
    weight: float = 0.01
    iterations: int = 40
    prior: float = 0.0

    def __post_init__(self) -> None:
        if self.transform != "tv" and self.transform not in FILTERS:
            known = ", ".join(("tv", *FILTERS))
            raise CandidateError(f"compressed sensing: transform {self.transform!r}: expected one of {known}")
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise CandidateError(f"compressed sensing: lambda = {self.weight}: expected 0 or more")
        if not 1 <= self.iterations <= MAX_ITERATIONS:
            raise CandidateError(
                f"compressed sensing: {self.iterations} iterations: expected 1 to {MAX_ITERATIONS}"
            )
        if not 0 <= self.prior <= 1:
            raise CandidateError(f"compressed sensing: prior = {self.prior}: expected 0 to 1")

    @classmethod
    def of(cls, transform: str, *, assisted: bool = False, **given: Any) -> Sparsity:
        """Return the settings that measured best for a transform, with some of them given.

        Parameters
        ----------
        transform
            As above.
        assisted
            Whether earlier lines assist as a prior.
        given
            Settings that replace the measured ones.
        """
        return cls(transform, **{**(_ASSISTED if assisted else _MEASURED[transform]), **given})


# Measured on one short scan of one patient at 5x, with the figures in docs/opponents.md.
_MEASURED: dict[str, dict[str, Any]] = {
    "tv": {"weight": 0.01, "iterations": 40},
    "daubechies": {"weight": 0.001, "iterations": 40},
    "haar": {"weight": 0.001, "iterations": 40},
}
_ASSISTED: dict[str, Any] = {"prior": 0.1, "weight": 0.003, "iterations": 25}

TV_STEPS = 2
"""Steps on the dual of the total variation for each of FISTA's."""


class CompressedSensing:
    """Find the sparsest image that agrees with the lines of the present frame, and with a prior.

    It minimises |M (F x - y)|^2 / 2 + mu |(1 - M) (F x - p)|^2 / 2 + lambda g(x): y the lines of this
    frame, p the prior of all other rows, g the total variation or the sum of the wavelet coefficients.
    lambda is a share of the scale of the data, so a scan in other units gives the same image in those units.
    Each image starts from the one before it (a causal warm start). The number of iterations is fixed, so some
    of what this frame does not determine is carried over. With several coils F holds their sensitivities,
    calibrated on earlier lines. The row of a lost line, or of one that is not finite, has the prior, or
    stays unknown.

    With mu = 0 it is compressed sensing as Lustig proposed it. With mu > 0 it is compressed sensing
    assisted by prior data: as in its sliding-window form, the prior of a row is what was read of it last.

    Parameters
    ----------
    sparsity
        What is sparse, with which weights.

    References
    ----------
    Lustig et al. 2007, 10.1002/mrm.21391 (compressed sensing). Yip et al. 2014, 10.1118/1.4885960 (assisted
    by prior data).
    """

    combination = ROOT_SUM

    def __init__(self, sparsity: Sparsity | None = None) -> None:
        self.sparsity = sparsity or Sparsity()

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan."""
        self._memory, self._emit = LineMemory(header, mean=header.coils > 1), emit
        self._coils = Autocalibration(header)
        self._proximal: TotalVariation | Wavelets
        if self.sparsity.transform == "tv":
            self._proximal = TotalVariation(header.matrix, TV_STEPS)
        else:
            self._proximal = Wavelets(header.matrix, self.sparsity.transform)
        self._image: Tensor | None = None
        self._threads = torch.get_num_threads()
        # An image is too small for several threads: to start them takes longer than a step.
        torch.set_num_threads(1)

    def push(self, readout: Readout) -> None:
        """Take one line; the frame's last one emits its image."""
        if self._memory.push(readout):
            with torch.inference_mode():
                pixels = self._reconstruct()
            self._emit(Image(pixels, readout.frame, readout.index))

    def close(self) -> None:
        """End the scan, and give torch back the threads that it had."""
        torch.set_num_threads(self._threads)

    def _reconstruct(self) -> NDArray[np.complex64]:
        memory, sparsity = self._memory, self.sparsity
        weights = torch.from_numpy(memory.mask.astype(np.float32))
        known = torch.from_numpy(memory.newest >= 0)
        weights = torch.where((weights == 0) & known, sparsity.prior, weights)
        maps = self._coils.maps(memory)
        encoding = EncodingOperator(weights, maps)
        # The newest value of a row is this frame's where the frame read it, and the prior elsewhere.
        rows = torch.from_numpy(memory.shared)
        data = encoding.adjoint(weights.sqrt()[:, None] * rows)
        norm = float(np.linalg.norm(memory.shared[:, memory.mask]))
        scale = norm / math.sqrt(math.prod(memory.shared.shape[1:]))
        if scale == 0.0:
            self._image = None
            return np.zeros(memory.shared.shape[1:], np.complex64)
        if isinstance(self._proximal, TotalVariation):
            self._proximal.reset()
        start = data / encoding.lipschitz if self._image is None else self._image
        if maps is not None:  # zero where no coil sees anything, because no data would correct it
            start = start * maps.abs().sum(0).gt(0)
        image = fista(
            start,
            lambda x: encoding.normal(x) - data,
            self._proximal,
            encoding.lipschitz,
            sparsity.weight * scale,
            sparsity.iterations,
        )
        self._image = image
        return np.array(image.numpy())
