"""What is kept of a scan: its time, and hashes by which its lines are found again in another file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrsim.stream.stream import Stream

PIECES = 4
LEAST_SAMPLES = 16
STEP = 1 / 4096
MOST_HASHES = 4096
_ZERO = -(1 << 20)  # the code of a sample that is 0
_CHUNK = 1 << 18  # samples at a time
_PIECE_SEED = 20190715


def span_s(stream: Stream) -> tuple[float, float]:
    """Return start and stop of the time in which the lines of a scan were taken, seconds."""
    start = int(stream.t_ns[0]) - stream.header.te_ns
    return start / 1e9, (int(stream.t_ns[-1]) - stream.header.te_ns + stream.header.tr_ns) / 1e9


def line_hashes(stream: Stream) -> NDArray[np.uint64]:
    """Return hashes of the pieces of each line, the same in a scan that is cut, sorted or scaled otherwise.

    A line is cut into up to four pieces along the readout, each of 16 samples or more. Of a piece the
    logarithms of the magnitudes over their mean are hashed, in steps of 1/4096. A complex factor and another
    order of lines or frames leave the hashes as they are, a wrong sample all but that of its piece. Noise
    that is added, resampling, and coils that are combined or left out do not. Lines that are the same but for
    a factor have the same hashes, whoever took them: of two scans without noise those where both stand still.

    Parameters
    ----------
    stream
        The scan.

    Returns
    -------
    hashes
        Shape (lines, pieces), uint64; 0 for a piece whose samples do not differ in magnitude.
    """
    coils, columns = stream.samples.shape[1:]
    pieces = max(1, min(PIECES, coils * columns // LEAST_SAMPLES))
    width = columns // pieces
    size = coils * width
    weight = np.random.default_rng(_PIECE_SEED).integers(0, 1 << 63, size, dtype=np.uint64) * np.uint64(2)
    weight += np.uint64(1)
    out = np.zeros((len(stream), pieces), np.uint64)
    step = max(1, _CHUNK // (coils * columns))
    for first in range(0, len(stream), step):
        part = np.abs(stream.samples[first : first + step, :, : width * pieces].astype(np.complex128))
        part = part.reshape(-1, coils, pieces, width).swapaxes(1, 2).reshape(-1, pieces, size)
        part[~np.isfinite(part)] = 0
        there = part > 0
        level = np.log(part, out=np.zeros_like(part), where=there)
        count = np.maximum(there.sum(axis=-1, keepdims=True), 1)
        code = np.rint((level - level.sum(axis=-1, keepdims=True) / count) / STEP)
        code[~there] = _ZERO
        told = (there & (code != code.max(axis=-1, keepdims=True))).any(axis=-1)
        hashed = _mixed((code.astype(np.int64).view(np.uint64) * weight).sum(axis=-1, dtype=np.uint64))
        out[first : first + step] = np.where(told, hashed, np.uint64(0))
    return out


def kept_hashes(stream: Stream) -> list[str]:
    """Return the hashes of a scan's lines that a record keeps: the smallest 4096, hexadecimal.

    The smallest are those of lines by chance, and the same lines in whichever scan they are.
    """
    found = np.unique(line_hashes(stream))
    return [f"{value:016x}" for value in found[found > 0][:MOST_HASHES].tolist()]


def _mixed(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the values with all bits spread (the finaliser of SplitMix64: Steele et al. 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(value ^ (value >> np.uint64(31)), np.uint64)
