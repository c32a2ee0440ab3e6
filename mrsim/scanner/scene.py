"""The one seam between the scanner and what it scans: a scene gives lines and truth at any instant."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsim.reception.coil_fit import FittedCoils
from mrsim.scanner.protocol import ScanProtocol

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


class Source(Protocol):
    """Give lines of k-space without noise."""

    def lines(self, ky: NDArray[np.int32], t_ns: NDArray[np.int64]) -> Complex:
        """Return lines, each at its own instant.

        Parameters
        ----------
        ky
            Row of each line, centred, shape (lines,), int32.
        t_ns
            Instant of each line, shape (lines,), int64, nanoseconds.

        Returns
        -------
        lines
            Shape (lines, coils, nx), complex128. The bits of a line do not depend on its company.
        """


class Scene(Protocol):
    """Answer what the scanner and the truth ask of an anatomy under one protocol and one seed."""

    @property
    def target_signal(self) -> float:
        """Return the magnitude of the target in an image."""

    def check(self, stop_ns: int) -> None:
        """Raise an `InputError` if the scene cannot be scanned up to an instant, nanoseconds."""

    @property
    def uniform(self) -> Source:
        """Return what renders lines for one coil of uniform sensitivity."""

    def source(self, protocol: ScanProtocol, fitted: FittedCoils | None) -> Source:
        """Return what renders lines for some coils; None is one coil of uniform sensitivity."""

    def instant(self, ky: NDArray[np.int32], t_ns: int) -> Complex:
        """Return lines of one instant for a uniform coil, shape (lines, nx), complex128."""

    def displacement(self, t_ns: ArrayLike) -> Array:
        """Return how far each region is from where it rests, shape (n, regions, 2), metres."""

    def centroid(self, region: str, t_ns: ArrayLike) -> Array:
        """Return the centroid (x, y) of a region, shape (n, 2), or (2,) for one instant; metres."""

    def mask(self, region: str, t_ns: int) -> NDArray[np.bool_]:
        """Return the pixels whose centre lies in a region at an instant, shape (ny, nx), bool."""

    def masks(self, region: str, t_ns: NDArray[np.int64], window: tuple[slice, slice]) -> NDArray[np.bool_]:
        """Return the same in a window at many instants, shape (n, rows, columns), bool."""

    def contour(self, region: str, t_ns: int, points: int) -> Array:
        """Return points on the outline of a region as it is seen, shape (n, 2), metres; none if it is not."""
