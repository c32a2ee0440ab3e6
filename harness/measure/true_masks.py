"""Where the target truly is in the pixels, at any instant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import InputError
from mrsim.stream import Header, Stream, Truth

if TYPE_CHECKING:
    from mrsim.scanner.oracle import Oracle

GONE_SHARE = 0.3
"""Below this share of its median area the target counts as out of the slice."""
CHECKED, SAME_M = 64, 1e-6
"""Instants at which a scan's own account of the target is set against the stored one, and to within what."""


class TrueMasks:
    """Give the target's true mask at any instant: exact where the scan says how it was made.

    Elsewhere the stored mask of the nearest frame is moved by whole pixels with the true centroid.

    Parameters
    ----------
    stream
        A scan with truth.
    window
        Rows and columns of the masks.
    start_ns
        Start of the stream in the scan that its provenance tells of, nanoseconds.
    """

    def __init__(self, stream: Stream, window: tuple[slice, slice], start_ns: int) -> None:
        assert stream.truth is not None
        self._truth: Truth = stream.truth
        self._header: Header = stream.header
        self._window, self._start_ns = window, start_ns
        lines = self._header.lines_per_frame
        self._last_ns = np.asarray(stream.t_ns)[lines - 1 :: lines]
        oracle = None if self._header.window else _oracle_of(stream)
        self._oracle = oracle if oracle and self._agrees(oracle, np.asarray(stream.t_ns)) else None

    @property
    def exact(self) -> bool:
        """Return whether the masks are exact."""
        return self._oracle is not None

    def _agrees(self, oracle: Oracle, t_ns: NDArray[np.int64]) -> bool:
        """Return whether what is stored is what the oracle tells; of a part of a scan it need not be."""
        lines = np.linspace(0, len(t_ns) - 1, CHECKED).astype(np.int64)
        told = oracle.centroid(self._truth.target, t_ns[lines] + self._start_ns)
        return bool(np.allclose(told, self._truth.centroid[lines], rtol=0.0, atol=SAME_M))

    def at(self, t_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return the masks in the window.

        Parameters
        ----------
        t_ns
            Instants from the start of the stream, shape (n,), int64, nanoseconds.

        Returns
        -------
        masks
            Shape (n, rows, columns), bool.
        """
        truth, header = self._truth, self._header
        if self._oracle is not None:
            return self._oracle.masks(truth.target, t_ns + self._start_ns, self._window)
        frame = self._nearest(t_ns)
        moved = truth.centroid_at(t_ns, header) - truth.centroid_at(self._last_ns[frame], header)
        pixel = np.array([header.fov_m[1] / header.matrix[1], header.fov_m[0] / header.matrix[0]])
        shift = np.rint(moved / pixel).astype(int)
        return np.stack(
            [
                np.roll(truth.mask[f], (int(s[1]), int(s[0])), axis=(0, 1))[self._window]
                for f, s in zip(frame, shift, strict=True)
            ]
        )

    def gone(self, t_ns: NDArray[np.int64], area: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return when the target is out of the slice; one that has but left the window is not.

        Parameters
        ----------
        t_ns
            Instants from the start of the stream, shape (n,), int64, nanoseconds.
        area
            Number of pixels of the target in the window at each, shape (n,), int64.

        Returns
        -------
        gone
            Shape (n,), bool.
        """
        whole = self._truth.mask.sum(axis=(1, 2))
        small = whole < GONE_SHARE * np.median(whole)
        gone: NDArray[np.bool_] = (area < GONE_SHARE * np.median(area)) & small[self._nearest(t_ns)]
        return gone

    def _nearest(self, t_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the frame whose last line is nearest to each instant."""
        after = np.minimum(np.searchsorted(self._last_ns, t_ns), len(self._last_ns) - 1)
        before = np.maximum(after - 1, 0)
        return np.where(t_ns - self._last_ns[before] <= self._last_ns[after] - t_ns, before, after)


def _oracle_of(stream: Stream) -> Oracle | None:
    try:
        from mrsim.scanner.oracle import truth_of
    except ImportError:  # a stored scan is judged without numba, too
        return None
    try:
        return truth_of(stream)
    except InputError:  # what made it is not known here, or was changed by hand
        return None
