"""One acquired line of k-space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrsim.summary import Summarised, array_facts


@dataclass(frozen=True, slots=True, repr=False)
class Readout(Summarised):
    """Carry one acquired k-space line.

    Parameters
    ----------
    index
        Number of the line from the start of the scan.
    frame
        Frame that it belongs to.
    ky
        Phase-encode row in the centred k-space, -ny/2 to ny/2-1 (for odd ny, -(ny-1)/2 to (ny-1)/2).
    t_ns
        Time of its echo from the start of the scan, nanoseconds.
    samples
        Complex samples, shape (coils, nx), complex64, k = 0 at nx // 2.
    """

    index: int
    frame: int
    ky: int
    t_ns: int
    samples: NDArray[np.complex64]

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        which = f"k-space line {self.index} (frame {self.frame})"
        title = f"Readout: {which}, ky {self.ky}, t {self.t_ns / 1e6:g} ms"
        return title, array_facts(samples=self.samples)
