"""TGRAPPA: missing rows from their neighbours in all coils, with weights fitted to earlier frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import CandidateError
from mrsim.stream import Header, Readout
from recon.classical.zero_filled import combine_coils
from recon.coils.sensitivities import Autocalibration
from recon.fourier import to_image, to_kspace
from recon.line_memory import LineMemory
from recon.protocol import ROOT_SUM, Emit, Image

NEIGHBOURS = 4
"""Acquired rows, in all coils, whose weighted sum is a missing row."""
WIDTH = 3
"""Samples along kx of each of those rows."""
CALIBRATION_ROWS = 64
RENEW_FRAMES = 16
"""Frames for which weights are kept; a frame renews at most one set of them."""
MAX_PATTERNS = 256

Complex = NDArray[np.complex64]
Pattern = tuple[int, ...]


def neighbours(mask: NDArray[np.bool_]) -> dict[Pattern, NDArray[np.intp]]:
    """Group the missing rows by the offsets of their nearest acquired rows.

    Parameters
    ----------
    mask
        Acquired rows, shape (ny,), bool, at least `NEIGHBOURS` of them.

    Returns
    -------
    groups
        Missing rows of each pattern of offsets, which ascend: half from below where the edge of k-space
        allows it.
    """
    acquired, groups = np.flatnonzero(mask), dict[Pattern, list[int]]()
    for row in np.flatnonzero(~mask):
        above = int(np.searchsorted(acquired, row))
        first = min(max(above - NEIGHBOURS // 2, 0), len(acquired) - NEIGHBOURS)
        offsets = tuple(int(a - row) for a in acquired[first : first + NEIGHBOURS])
        groups.setdefault(offsets, []).append(int(row))
    return {pattern: np.array(rows) for pattern, rows in groups.items()}


def _shifted(kspace: Complex) -> Complex:
    """Return the samples around each sample along kx, shape (ny, nx, WIDTH * coils)."""
    half = WIDTH // 2
    copies = [np.roll(kspace, shift, axis=-1) for shift in range(-half, half + 1)]
    return np.ascontiguousarray(np.concatenate(copies).transpose(1, 2, 0))


def calibrate(calibration: Complex, pattern: Pattern, damping: float = 1e-4) -> Complex:
    """Fit the weights with which a row is the sum of its neighbours.

    Parameters
    ----------
    calibration
        A full k-space, shape (coils, ny, nx), complex64.
    pattern
        Offsets of the neighbours.
    damping
        Tikhonov regularization of the weights, as a share of the mean power of the neighbours.

    Returns
    -------
    weights
        Shape (len(pattern) * WIDTH * coils, coils), complex64.

    References
    ----------
    Griswold et al. 2002, 10.1002/mrm.10171.
    """
    coils, ny, _ = calibration.shape
    first = max(ny // 2 - CALIBRATION_ROWS // 2, -min(pattern), 0)
    stop = min(ny // 2 + CALIBRATION_ROWS // 2, ny - max(pattern), ny)
    if stop <= first:  # neighbours as far away as k-space is wide: there is nothing to fit
        return np.zeros((len(pattern) * WIDTH * coils, coils), np.complex64)
    around, rows = _shifted(calibration), np.arange(first, stop)
    sources = np.concatenate([around[rows + offset] for offset in pattern], axis=-1)
    sources = sources.reshape(-1, sources.shape[-1])
    targets = calibration[:, rows].transpose(1, 2, 0).reshape(-1, coils)
    adjoint = sources.conj().T
    gram = (adjoint @ sources).astype(np.complex128)
    gram[np.diag_indices_from(gram)] += damping * gram.trace().real / len(gram) + 1e-30
    return np.asarray(np.linalg.solve(gram, adjoint @ targets), np.complex64)


class Tgrappa:
    """Fill the rows between those of the present frame by weights from a running mean of earlier lines.

    It takes a uniform, interleaved pattern: the frames of one turn together make a full k-space, to which
    the weights are fitted throughout the scan. Until every row has been read once it shows the zero-filled
    image. Coils are combined by their sensitivities, on the scale of a combination by
    the root of the sum of squares (see `recon.coils.sensitivities`).

    References
    ----------
    Breuer et al. 2005, 10.1002/mrm.20430.
    """

    combination = ROOT_SUM

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan.

        Raises
        ------
        CandidateError
            If it has one coil only, its rows are not uniform, or a frame has too few of them.
        """
        if header.coils < 2:
            raise CandidateError(
                "tgrappa: the stream has 1 coil: it takes 2 or more (mrsim simulate --coils 8)"
            )
        if header.sampler not in ("uniform", "full"):
            raise CandidateError(
                f"tgrappa: the stream's sampler is {header.sampler!r}: it takes 'uniform' "
                "(mrsim simulate --sampler uniform)"
            )
        if header.lines_per_frame < NEIGHBOURS:
            raise CandidateError(
                f"tgrappa: {header.lines_per_frame} lines a frame: it takes {NEIGHBOURS} or more"
            )
        self._memory, self._emit = LineMemory(header), emit
        self._coils = Autocalibration(header)
        self._weights: dict[Pattern, tuple[int, Complex]] = {}

    def push(self, readout: Readout) -> None:
        """Take one line; the frame's last one emits its image."""
        if not self._memory.push(readout):
            return
        memory = self._memory
        maps = self._coils.maps(memory)
        ready = bool((memory.newest >= 0).all()) and np.count_nonzero(memory.mask) >= NEIGHBOURS
        if maps is None or not ready:
            pixels = combine_coils(to_image(memory.acquired, (-2,)))
        else:
            images = to_image(self._filled(readout.frame))
            pixels = np.asarray((maps.numpy().conj() * images).sum(0), np.complex64)
        self._emit(Image(pixels, readout.frame, readout.index))

    def close(self) -> None:
        """End the scan and let go of the weights."""
        self._weights.clear()

    def _filled(self, frame: int) -> Complex:
        """Return the present frame's k-space with its missing rows filled, shape (coils, ny, nx)."""
        groups = neighbours(self._memory.mask)
        self._learn(list(groups), frame)
        kspace = to_kspace(self._memory.acquired, (-1,))
        around = _shifted(kspace)
        for pattern, rows in groups.items():
            sources = np.concatenate([around[rows + offset] for offset in pattern], axis=-1)
            kspace[:, rows] = (sources @ self._weights[pattern][1]).transpose(2, 0, 1)
        return kspace

    def _learn(self, patterns: list[Pattern], frame: int) -> None:
        """Fit the weights of patterns that are new, and of the oldest if it is due."""
        if len(self._weights) > MAX_PATTERNS:
            self._weights.clear()  # lost lines give ever more patterns
        wanted = [p for p in patterns if p not in self._weights]
        if not wanted and patterns:
            oldest = min(patterns, key=lambda p: self._weights[p][0])
            if frame - self._weights[oldest][0] >= RENEW_FRAMES:
                wanted = [oldest]
        if wanted:
            calibration = to_kspace(self._memory.mean, (-1,))
            for pattern in wanted:
                self._weights[pattern] = (frame, calibrate(calibration, pattern))
