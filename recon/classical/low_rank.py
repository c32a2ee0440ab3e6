"""Low rank plus sparse: an oracle that reads the whole scan before it shows the first image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mrsim.errors import CandidateError
from mrsim.stream import Header, Readout
from recon.fourier import to_image
from recon.line_memory import LineMemory
from recon.protocol import ROOT_SUM, Emit, Image

BLOCK_FRAMES = 256
"""Frames that are decomposed together; the time for a block grows with their square."""
MAX_SCAN_BYTES = 2 << 30


@dataclass(frozen=True)
class Decomposition:
    """Describe the decomposition of a series of images.

    Parameters
    ----------
    low_rank
        Threshold of the singular values, as a share of the largest of the first guess.
    sparse
        Threshold of the spectrum over time, as a share of the largest value of the first guess beyond its
        mean.
    iterations
        Steps, 1 to 1,000.

    Raises
    ------
    CandidateError
        If a value is out of range.
    """

    low_rank: float = 0.003
    sparse: float = 0.01
    iterations: int = 20

    def __post_init__(self) -> None:
        if not (0 <= self.low_rank <= 1 and 0 <= self.sparse <= 1):
            raise CandidateError(
                f"low-rank-sparse: thresholds {self.low_rank}, {self.sparse}: expected shares from 0 to 1"
            )
        if not 1 <= self.iterations <= 1000:
            raise CandidateError(f"low-rank-sparse: {self.iterations} iterations: expected 1 to 1000")


def decompose(rows: Tensor, sampled: Tensor, guess: Tensor, how: Decomposition) -> tuple[Tensor, Tensor]:
    """Decompose a series into a part of low rank and a part that is sparse in its spectrum over time.

    Parameters
    ----------
    rows
        Acquired rows in the hybrid space (ky, x), zero elsewhere, shape (frames, ny, nx), complex64.
    sampled
        Which rows were acquired, shape (frames, ny), bool.
    guess
        First guess of the series, shape (frames, ny, nx), complex64.
    how
        Thresholds and steps.

    Returns
    -------
    low_rank, sparse
        Shape (frames, ny, nx), complex64 each; their sum is the series.

    References
    ----------
    Otazo et al. 2015, 10.1002/mrm.25240.
    """
    frames, ny, nx = rows.shape
    mask = torch.fft.ifftshift(sampled, (-1,))[:, :, None]
    data = to_image(rows, (-2,))
    series = guess.clone()
    first = float(_singular_values(series.reshape(frames, -1))[0].max())
    spectrum = torch.fft.fft(series, dim=0, norm="ortho")
    sparse_limit = how.sparse * float(spectrum[1:].abs().max()) if frames > 1 else 0.0
    sparse = torch.zeros_like(series)
    low = series
    for _ in range(how.iterations):
        low = _shrink_singular_values((series - sparse).reshape(frames, -1), how.low_rank * first)
        low = low.reshape(frames, ny, nx)
        sparse = _shrink_spectrum(series - low, sparse_limit)
        series = low + sparse
        # Data consistency: acquired rows replace those of the two parts.
        inside = torch.fft.fft(series, dim=-2)
        inside *= mask
        series += data - torch.fft.ifft(inside, dim=-2)
    return series - sparse, sparse


def _singular_values(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return singular values, ascending, and left vectors, from the small Gram matrix (frames x frames)."""
    power, vectors = torch.linalg.eigh(matrix @ matrix.conj().T)
    return power.clamp_min(0.0).sqrt(), vectors


def _shrink_singular_values(matrix: Tensor, threshold: float) -> Tensor:
    values, vectors = _singular_values(matrix)
    share = (1.0 - threshold / values.clamp_min(1e-30)).clamp_min(0.0)
    return (vectors * share) @ (vectors.conj().T @ matrix)


def _shrink_spectrum(series: Tensor, threshold: float) -> Tensor:
    spectrum = torch.fft.fft(series, dim=0, norm="ortho")
    modulus = (spectrum.real.square() + spectrum.imag.square()).sqrt_()
    spectrum *= (1.0 - threshold / modulus.clamp_min_(1e-30)).clamp_min_(0.0)
    shrunk: Tensor = torch.fft.ifft(spectrum, dim=0, norm="ortho")
    return shrunk


def interpolated(rows: NDArray[np.complex64], sampled: NDArray[np.bool_]) -> NDArray[np.complex64]:
    """Fill each row, linearly in time between its visits; shapes as in `decompose`."""
    out = np.zeros_like(rows)
    at = np.arange(len(rows))
    for row in range(rows.shape[1]):
        visits = np.flatnonzero(sampled[:, row])
        if not len(visits):
            continue
        place = np.clip(np.searchsorted(visits, at, side="right") - 1, 0, len(visits) - 1)
        after = np.minimum(place + 1, len(visits) - 1)
        gap = np.maximum(visits[after] - visits[place], 1)
        share = np.clip((at - visits[place]) / gap, 0, 1).astype(np.float32)[:, None]
        out[:, row] = (1 - share) * rows[visits[place], row] + share * rows[visits[after], row]
    return out


class LowRankSparse:
    """Reconstruct with a model of the whole series: **not causal**, for comparison only.

    Every image comes at `close`, with the last line of its block as its newest line. So an audit of causality
    and a timed run fail, as they should.

    Parameters
    ----------
    how
        Thresholds and steps.

    References
    ----------
    Otazo et al. 2015, 10.1002/mrm.25240.
    """

    combination = ROOT_SUM

    causal = False
    """A reconstructor without this attribute counts as causal."""

    def __init__(self, how: Decomposition | None = None) -> None:
        self._how = how or Decomposition()

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan.

        Raises
        ------
        CandidateError
            If it has several coils.
        """
        if header.coils != 1:
            raise CandidateError(f"low-rank-sparse: the stream has {header.coils} coils: it takes 1")
        self._header, self._emit = header, emit
        self._memory = LineMemory(header, mean=False)
        self._frames: list[tuple[int, int, NDArray[np.bool_], NDArray[np.complex64]]] = []

    def push(self, readout: Readout) -> None:
        """Take one line and show nothing.

        Raises
        ------
        CandidateError
            If the scan is too long to be kept.
        """
        if self._memory.push(readout):
            mask = self._memory.mask.copy()
            self._frames.append((readout.frame, readout.index, mask, self._memory.shared[0, mask]))
            size = len(self._frames) * self._header.lines_per_frame * self._header.matrix[1] * 8
            if size > MAX_SCAN_BYTES:
                raise CandidateError(
                    f"low-rank-sparse: {len(self._frames)} frames are above {MAX_SCAN_BYTES >> 30} GiB: "
                    "replay fewer (--frames)"
                )

    def close(self) -> None:
        """Decompose the scan, a block of frames at a time, and emit every image."""
        frames, self._frames = self._frames, []
        blocks = math.ceil(len(frames) / BLOCK_FRAMES)
        for block in np.array_split(np.arange(len(frames)), blocks) if blocks else []:
            self._show([frames[i] for i in block])

    def _show(self, block: list[tuple[int, int, NDArray[np.bool_], NDArray[np.complex64]]]) -> None:
        rows = np.zeros((len(block), *self._header.matrix), np.complex64)
        sampled = np.array([mask for _, _, mask, _ in block])
        for n, (_, _, mask, lines) in enumerate(block):
            rows[n, mask] = lines
        with torch.inference_mode():
            guess = to_image(torch.from_numpy(interpolated(rows, sampled)), (-2,))
            low, sparse = decompose(torch.from_numpy(rows), torch.from_numpy(sampled), guess, self._how)
            series = (low + sparse).numpy()
        for (frame, _, _, _), pixels in zip(block, series, strict=True):
            self._emit(Image(pixels, frame, block[-1][1]))
