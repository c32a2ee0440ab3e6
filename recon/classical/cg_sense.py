"""CG-SENSE: the image that explains the lines of all coils, by conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mrsim.errors import CandidateError
from mrsim.stream import Header, Readout
from recon.classical.encoding import EncodingOperator
from recon.coils.sensitivities import Autocalibration
from recon.line_memory import LineMemory
from recon.protocol import ROOT_SUM, Emit, Image

MAX_ITERATIONS = 1000


def conjugate_gradients(normal: Callable[[Tensor], Tensor], data: Tensor, iterations: int) -> Tensor:
    """Solve A x = b for a Hermitian A that is not negative, in so many steps from zero.

    Parameters
    ----------
    normal
        Applies A.
    data
        b, complex64.
    iterations
        Steps at most; fewer where the residual has come down to rounding.

    Returns
    -------
    x
        Shape and dtype of `data`.
    """
    x, residual = torch.zeros_like(data), data.clone()
    direction = residual
    power = first = _energy(residual)
    for _ in range(iterations):
        if power <= 1e-13 * first:
            break
        moved = normal(direction)
        curvature = float(torch.vdot(direction.flatten(), moved.flatten()).real)
        if curvature <= 0:
            break
        step = power / curvature
        x = x + step * direction
        residual = residual - step * moved
        before, power = power, _energy(residual)
        direction = residual + (power / before) * direction
    return x


def _energy(values: Tensor) -> float:
    flat = values.flatten()
    return float(torch.vdot(flat, flat).real)


class CgSense:
    """Solve for the image whose lines, seen through the coils, are those of the present frame.

    Sensitivities come from the running mean of the lines so far, so the first frames are poor. The image is
    on the scale of a combination by the root of the sum of squares (see `recon.coils.sensitivities`).

    Parameters
    ----------
    iterations
        Steps of conjugate gradients, 1 to 1,000: few leave aliasing, many amplify noise.
    damping
        Weight of |x|^2 against the data.

    Raises
    ------
    CandidateError
        If a value is out of range.

    References
    ----------
    Pruessmann et al. 2001, 10.1002/mrm.1241.
    """

    combination = ROOT_SUM

    def __init__(self, iterations: int = 8, damping: float = 0.01) -> None:
        if not 1 <= iterations <= MAX_ITERATIONS:
            raise CandidateError(f"cg-sense: {iterations} iterations: expected 1 to {MAX_ITERATIONS}")
        if not 0 <= damping < float("inf"):
            raise CandidateError(f"cg-sense: damping = {damping}: expected 0 or more")
        self._iterations, self._damping = iterations, damping

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan.

        Raises
        ------
        CandidateError
            If it has one coil only.
        """
        if header.coils < 2:
            raise CandidateError(
                "cg-sense: the stream has 1 coil: it takes 2 or more (mrsim simulate --coils 8)"
            )
        self._memory, self._emit = LineMemory(header), emit
        self._coils = Autocalibration(header)
        self._threads = torch.get_num_threads()
        torch.set_num_threads(1)  # an image is too small for several threads

    def push(self, readout: Readout) -> None:
        """Take one line; the frame's last one emits its image."""
        if not self._memory.push(readout):
            return
        memory = self._memory
        with torch.inference_mode():
            encoding = EncodingOperator(
                torch.from_numpy(memory.mask.astype(np.float32)), self._coils.maps(memory)
            )
            data = encoding.adjoint(torch.from_numpy(memory.acquired))
            image = conjugate_gradients(
                lambda x: encoding.normal(x) + self._damping * x, data, self._iterations
            )
        self._emit(Image(np.array(image.numpy()), readout.frame, readout.index))

    def close(self) -> None:
        """End the scan, and give torch back the threads that it had."""
        torch.set_num_threads(self._threads)
