"""The scanner: a phantom, a protocol and a seed make a stream, line by line at each one's own time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mrsim
from mrsim.anatomy.body import Body
from mrsim.errors import Option, ProtocolError
from mrsim.motion.courses import MAX_TIME_NS
from mrsim.reception.noise import LineNoise, noise_std
from mrsim.sampling import Sampler
from mrsim.scanner.oracle import Oracle, truth_of
from mrsim.scanner.protocol import ScanProtocol
from mrsim.scanner.quantised import Quantiser, Release
from mrsim.scanner.receiver import Receiver
from mrsim.seeds import check_seed
from mrsim.stream import Header, Provenance, Stream, Truth
from mrsim.stream.layout import expected_arrays, expected_truth
from mrsim.stream.storage import StreamWriter, check_new_stream

__all__ = ["Oracle", "ScanProtocol", "scan", "scan_to", "truth_of"]

MAX_MEMORY_BYTES = 4 << 30
_CHUNK_LINES = 2048
PRESCAN_SIDE = 32
"""Rows and columns of the prescan of several coils, where the matrix has so many."""
_PRESCAN_LINE = 1 << 33  # its noise is keyed by numbers that no line of a scan has

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Chunk:
    """Carry some whole frames of a scan; shapes as in `Stream` and `Truth`."""

    ky: NDArray[np.int32]
    frame: NDArray[np.int32]
    t_ns: NDArray[np.int64]
    samples: NDArray[np.complex64]
    truth: Truth | None


class Scanner:
    """Hold a scan that is set up; nothing is computed before lines are asked for.

    Parameters
    ----------
    phantom
        What is scanned.
    protocol
        How.
    seed
        Reproduces everything: motion, sampling and noise.
    frames
        Length of the scan.
    release
        What was released of a quantised scan, so that it is the same here; None to make it anew.

    Raises
    ------
    ProtocolError
        If the phantom does not fit in the field of view at some instant, a tissue is unknown at this
        field, or a value is out of range.
    """

    def __init__(
        self,
        phantom: Body,
        protocol: ScanProtocol,
        seed: int,
        frames: int,
        release: Release | None = None,
    ) -> None:
        header = protocol.header()
        self.frames = _check_frames(frames, header.frame_ns)
        self.oracle = Oracle(phantom, header, check_seed(seed))
        scene = self.oracle.scene
        scene.check(self.frames * header.frame_ns)
        self._sampler: Sampler = protocol.sampling(seed)
        self.receiver = Receiver.around(phantom, protocol, None if release is None else release.filters)
        self._quantiser = Quantiser(protocol.adc_step, release) if protocol.adc_step else None
        self.oracle.quantiser = self._quantiser
        self._source = scene.source(protocol, self.receiver.fitted)
        self._retrospective = protocol.timing == "retrospective"
        std = noise_std(scene.target_signal, protocol.target_snr)
        if scene.target_signal == 0 and math.isfinite(protocol.target_snr):
            raise ProtocolError(
                f"{phantom.name}: target {phantom.target!r} gives no signal, so target_snr has no "
                "meaning; set it to infinity"
            )
        self._noise = LineNoise(seed, std, protocol.coils, protocol.matrix[1])
        self.provenance = Provenance(
            phantom.name,
            phantom.text,
            int(seed),
            mrsim.__version__,
            protocol.engine,
            std,
            protocol.target_snr,
        )

    @cached_property
    def header(self) -> Header:
        """Return the protocol as a reconstructor gets it, with the prescan of several coils."""
        plain = self.oracle.header
        return plain if plain.coils == 1 else dataclasses.replace(plain, prescan=self._prescan(plain))

    def _prescan(self, header: Header) -> NDArray[np.complex64]:
        """Scan the middle of k-space, all of it as it is at the scan's first instant."""
        rows, columns = (min(PRESCAN_SIDE, side) for side in header.matrix)
        ky = np.arange(rows, dtype=np.int32) - rows // 2
        noise = self.receiver.coloured(self._noise.lines(_PRESCAN_LINE, rows))
        lines = self._source.lines(ky, np.zeros(rows, np.int64)) + noise
        first = header.matrix[1] // 2 - columns // 2
        middle = np.ascontiguousarray(lines[:, :, first : first + columns].transpose(1, 0, 2))
        return self._stored("prescan", 0, middle)

    def _stored(self, name: str, first: int, exact: NDArray[np.complex128]) -> NDArray[np.complex64]:
        """Return values as they are stored: quantised, or in single precision."""
        return (
            exact.astype(np.complex64)
            if self._quantiser is None
            else self._quantiser.values(name, first, exact)
        )

    @property
    def release(self) -> Release | None:
        """Return what makes the same scan elsewhere, of what was scanned so far; None if not quantised."""
        fitted = self.receiver.fitted
        if self._quantiser is None:
            return None
        return Release(self._quantiser.edges, None if fitted is None else fitted.coefficients)

    @property
    def lines(self) -> int:
        """Return the number of lines of the scan."""
        return self.frames * self.oracle.header.lines_per_frame

    def chunk(self, first_frame: int, frames: int, truth: bool) -> Chunk:
        """Scan some frames; each line is the same bits in whatever chunk it comes.

        Parameters
        ----------
        first_frame, frames
            Which frames.
        truth
            Whether to compute what was true, too.
        """
        header, per_frame = self.oracle.header, self.oracle.header.lines_per_frame
        first, count = first_frame * per_frame, frames * per_frame
        line = np.arange(first, first + count, dtype=np.int64)
        t_ns = line * header.tr_ns + header.te_ns
        ky = self._sampler.rows(first_frame, frames)
        seen = t_ns
        if self._retrospective:  # the last echo of each line's frame
            seen = t_ns + (per_frame - 1 - line % per_frame) * header.tr_ns
        samples = self._source.lines(ky, seen) + self.receiver.coloured(self._noise.lines(first, count))
        return Chunk(
            ky,
            (line // per_frame).astype(np.int32),
            t_ns,
            self._stored("samples", first, samples),
            self.oracle.truth(first, count) if truth else None,
        )

    def chunks(self, truth: bool, progress: Progress | None, chunk_frames: int | None) -> Iterator[Chunk]:
        """Scan everything, some frames at a time."""
        size = chunk_frames or max(1, _CHUNK_LINES // self.oracle.header.lines_per_frame)
        for first in range(0, self.frames, size):
            count = min(size, self.frames - first)
            yield self.chunk(first, count, truth)
            if progress is not None:
                progress(first + count, self.frames)


def scan(
    phantom: Body,
    protocol: ScanProtocol | None = None,
    *,
    seed: int,
    seconds: float | None = None,
    frames: int | None = None,
    truth: bool = True,
    progress: Progress | None = None,
    chunk_frames: int | None = None,
) -> Stream:
    """Scan a phantom into memory.

    Parameters
    ----------
    phantom
        What is scanned.
    protocol
        How; the default is `ScanProtocol()`.
    seed
        Reproduces everything: motion, sampling and noise.
    seconds, frames
        Length of the scan, one of the two: seconds, rounded up to whole frames, or frames.
    truth
        Whether to store what was true, too.
    progress
        Called with the frames that are done and their total.
    chunk_frames
        Frames that are computed at a time; it changes no bit.

    Returns
    -------
    stream
        The scan, with its provenance.

    Raises
    ------
    ProtocolError
        If something does not fit together, or the scan is too large for memory (use `scan_to`).
    """
    scanner = _set_up(phantom, protocol, seed, seconds, frames)
    layout = expected_arrays(scanner.header, scanner.lines)
    if truth:
        layout |= expected_truth(scanner.header, scanner.lines, len(phantom.region_names))
    size = sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in layout.values())
    if size > MAX_MEMORY_BYTES:
        raise ProtocolError(
            f"{scanner.frames} frames need {size >> 20} MiB, above {MAX_MEMORY_BYTES >> 20}: "
            "write the scan to a folder, or make it shorter"
        )
    arrays: dict[str, NDArray[Any]] = {
        name: np.empty(shape, dtype) for name, (shape, dtype) in layout.items()
    }
    line = frame = 0
    for chunk in scanner.chunks(truth, progress, chunk_frames):
        stop, stop_frame = line + len(chunk.ky), frame + len(chunk.ky) // scanner.header.lines_per_frame
        for name in Stream.COLUMNS:
            arrays[name][line:stop] = getattr(chunk, name)
        if chunk.truth is not None:
            for name in Truth.ARRAYS:
                at = slice(line, stop) if name in ("displacement", "centroid") else slice(frame, stop_frame)
                arrays[name][at] = getattr(chunk.truth, name)
        line, frame = stop, stop_frame
    columns: dict[str, Any] = {name: arrays[name] for name in Stream.COLUMNS}
    stored = None
    if truth:
        stored = Truth(phantom.region_names, phantom.target, **{name: arrays[name] for name in Truth.ARRAYS})
    return Stream(scanner.header, **columns, provenance=scanner.provenance, truth=stored)


def scan_to(
    path: str | Path,
    phantom: Body,
    protocol: ScanProtocol | None = None,
    *,
    seed: int,
    seconds: float | None = None,
    frames: int | None = None,
    truth: bool = True,
    progress: Progress | None = None,
    chunk_frames: int | None = None,
    overwrite: bool = False,
    release: Release | None = None,
) -> Path:
    """Scan a phantom into a folder, in bounded memory; other parameters as for `scan`.

    A quantised scan has what a release ships of it beside its columns: `edges.npy` and `filters.npy`.

    Parameters
    ----------
    path
        Folder to make.
    overwrite
        Whether an earlier stream that stands there is replaced.
    release
        What was released of a quantised scan, so that it is the same here.

    Returns
    -------
    path
        The folder; it appears when the scan is whole.

    Raises
    ------
    ProtocolError
        If something does not fit together, or the folder cannot be made.
    """
    check_new_stream(path, overwrite=overwrite)
    scanner = _set_up(phantom, protocol, seed, seconds, frames, release)
    layout = (phantom.region_names, phantom.target) if truth else None
    with StreamWriter(
        path, scanner.header, scanner.lines, scanner.provenance, layout, overwrite=overwrite
    ) as writer:
        for chunk in scanner.chunks(truth, progress, chunk_frames):
            writer.append(chunk.ky, chunk.frame, chunk.t_ns, chunk.samples)
            if chunk.truth is not None:
                writer.append_truth(*(getattr(chunk.truth, name) for name in Truth.ARRAYS))
            del chunk  # or it is held while the next one is made
        if (made := scanner.release) is not None:
            for name, array in made.to_arrays().items():
                writer.attach(name, array)
    return Path(path)


def _set_up(
    phantom: Body,
    protocol: ScanProtocol | None,
    seed: int,
    seconds: float | None,
    frames: int | None,
    release: Release | None = None,
) -> Scanner:
    protocol = protocol or ScanProtocol()
    return Scanner(phantom, protocol, seed, frames_of(protocol.header(), seconds, frames), release)


def frames_of(header: Header, seconds: float | None, frames: int | None) -> int:
    """Return the number of frames of a scan whose length is given in one of two ways.

    Parameters
    ----------
    header
        The protocol.
    seconds, frames
        Seconds, rounded up to whole frames, or frames; the other is None.

    Raises
    ------
    ProtocolError
        If both or neither are given, or the time is not a positive number.
    """
    if (seconds is None) == (frames is None):
        raise ProtocolError("scan: give its length in seconds or in frames, one of the two")
    if frames is not None:
        return frames
    if not (seconds is not None and math.isfinite(seconds) and seconds > 0):
        raise ProtocolError("{}: expected a positive number of seconds", Option("seconds", seconds))
    if seconds * 1e9 > MAX_TIME_NS:
        raise ProtocolError("{}: expected at most 86400 (24 h)", Option("seconds", seconds))
    return math.ceil(seconds * 1e9 / header.frame_ns - 1e-9)


def _check_frames(frames: int, frame_ns: int) -> int:
    limit = MAX_TIME_NS // frame_ns
    if isinstance(frames, bool) or not isinstance(frames, int | np.integer) or not 1 <= frames <= limit:
        raise ProtocolError("{}: expected 1 to {} (24 h)", Option("frames", frames), limit)
    return int(frames)
