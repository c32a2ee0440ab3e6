"""What was true during a scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrsim.stream.header import Header
from mrsim.summary import Summarised, array_facts, counted, listed


@dataclass(frozen=True, repr=False)
class Truth(Summarised):
    """Hold what was true during a scan; only the harness and the training see it.

    Parameters
    ----------
    regions
        Names of the phantom's regions.
    target
        Name of the region that is tracked.
    displacement
        Displacement (x, y) of every region at every line's echo, shape (lines, regions, 2), float64, metres.
    centroid
        Centroid (x, y) of the target at every line's echo, shape (lines, 2), float64, metres.
    image
        Noise-free image at the echo of each frame's last line, shape (frames, ny, nx), complex64.
    mask
        Pixels of the target at that instant, shape (frames, ny, nx), bool.
    """

    regions: tuple[str, ...]
    target: str
    displacement: NDArray[np.float64]
    centroid: NDArray[np.float64]
    image: NDArray[np.complex64]
    mask: NDArray[np.bool_]

    ARRAYS = ("displacement", "centroid", "image", "mask")

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        title = f"Truth: {counted(len(self.image), 'frame')}, target {self.target}"
        facts = array_facts(**{name: getattr(self, name) for name in self.ARRAYS})
        return title, [("regions", f"{len(self.regions)}: {listed(self.regions)}"), *facts]

    def centroid_at(self, t_ns: NDArray[np.int64] | int, header: Header) -> NDArray[np.float64]:
        """Interpolate the target's centroid at any instant within the scan.

        Linear between echoes: over one TR of 2.2 ms the path of 15 mm in 4 s bends by less than a micrometre.

        Parameters
        ----------
        t_ns
            Times from the start of the scan, nanoseconds; held at the ends outside of it.
        header
            The scan's protocol.

        Returns
        -------
        centroid
            Shape (..., 2), float64, metres.
        """
        line = (np.asarray(t_ns, dtype=np.float64) - header.te_ns) / header.tr_ns
        at = np.arange(len(self.centroid), dtype=np.float64)
        return np.stack([np.interp(line, at, self.centroid[:, i]) for i in range(2)], axis=-1)
