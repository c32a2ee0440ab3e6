"""What the simulator adds to a training: targets at any instant, and new samplings of the same scan.

`recon` learns from stored scans. A scanner cannot provide images at other instants than each frame's last
line, or other lines of the same breathing. They are computed here from the scan's provenance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import DatasetError, InputError, Option, StreamError
from mrsim.reception.noise import LineNoise
from mrsim.sampling import Sampler
from mrsim.scanner.oracle import Oracle, truth_of
from mrsim.seeds import child
from mrsim.stream import Stream
from recon.target_instant import offset_ns

MAX_REDRAWS = 64
CHUNK_FRAMES = 64
Progress = Callable[[int, int], None]


def targets(stream: Stream, instant: str, progress: Progress | None = None) -> NDArray[np.complex64] | None:
    """Compute the image that should be shown at the end of every frame.

    Parameters
    ----------
    stream
        A scan of this simulator.
    instant
        `last`, `centre` or `last+MS`.
    progress
        Called with the number of frames done and the number of all.

    Returns
    -------
    images
        Shape (frames, ny, nx), complex64, noise-free; None for `last`, since the scan stores these images.

    Raises
    ------
    DatasetError
        If the instant is unknown or after what was recorded, or the scan has no provenance.
    """
    header = stream.header
    offset = offset_ns(instant, header)
    if offset == 0:
        return None
    oracle = _oracle(stream, Option("target_instant", "last"), "take")
    if offset > 0:  # what was recorded ends
        try:
            oracle.scene.check(header.echo_ns(stream.frames * header.lines_per_frame - 1) + offset)
        except InputError as error:
            raise DatasetError("{}: {}", Option("target_instant", instant), error) from None
    images = np.empty((stream.frames, *header.matrix), np.complex64)
    for frame in range(stream.frames):
        last = header.echo_ns((frame + 1) * header.lines_per_frame - 1)
        images[frame] = oracle.image(max(0, last + offset))
        if progress is not None:
            progress(frame + 1, stream.frames)
    return images


def _oracle(stream: Stream, option: Option, what: str) -> Oracle:
    try:
        return truth_of(stream)
    except StreamError as error:
        raise DatasetError("{}; {} {}", error, what, option) from None


class Redraw:
    """Sample scans anew for every epoch: the same anatomy at the same instants, with other lines and noise.

    Parameters
    ----------
    streams
        Prospective scans of this simulator, of one coil.
    count
        Number of new samplings. Epoch e uses number e modulo (count + 1); number 0 is the scan itself.
    seed
        Seed of the new samplings.

    Raises
    ------
    DatasetError
        If a scan has no provenance, or was not made by the exact prospective engine.
    """

    def __init__(self, streams: Sequence[Stream], count: int, seed: int) -> None:
        if not 0 <= count <= MAX_REDRAWS:
            raise DatasetError(f"redraw = {count}: expected 0 to {MAX_REDRAWS} new samplings")
        self._streams, self._count, self._seed = list(streams), count, seed
        self._oracles: list[Oracle] = []
        for stream in self._streams:
            self._oracles.append(_oracle(stream, Option("redraw"), "leave out"))
            assert stream.provenance is not None
            if stream.provenance.engine != "analytic" or stream.header.coils != 1:
                raise DatasetError(
                    f"{stream.path or 'stream'}: engine {stream.provenance.engine!r}, {stream.header.coils} "
                    "coils: only prospective scans of the analytic engine and one coil can be sampled anew; "
                    "leave --redraw out, or give several scans of other seeds"
                )
        self._made: dict[int, list[Stream]] = {0: self._streams}

    def __call__(self, epoch: int) -> list[Stream]:
        """Return the scans of an epoch.

        Parameters
        ----------
        epoch
            Number of the epoch, from 0.
        """
        number = epoch % (self._count + 1)
        if number not in self._made:
            pairs = zip(self._streams, self._oracles, strict=True)
            self._made[number] = [self._again(s, o, number, i) for i, (s, o) in enumerate(pairs)]
        return self._made[number]

    def _again(self, stream: Stream, oracle: Oracle, number: int, scan: int) -> Stream:
        made, header = stream.provenance, stream.header
        assert made is not None
        seed = int(child(self._seed, "redraw", made.seed, number, scan).generate_state(1, np.uint64)[0] >> 1)
        sampler = Sampler(header.sampler, header.matrix[0], header.acceleration, header.order, seed)
        noise = LineNoise(seed, made.noise_std, 1, header.matrix[1])
        ky = np.empty_like(stream.ky)
        samples = np.empty(stream.samples.shape, np.complex64)
        for first in range(0, stream.frames, CHUNK_FRAMES):
            rows = sampler.rows(first, min(CHUNK_FRAMES, stream.frames - first))
            lines = slice(first * header.lines_per_frame, first * header.lines_per_frame + len(rows))
            ky[lines] = rows
            clean = oracle.lines(rows, np.asarray(stream.t_ns[lines], np.int64))[:, None]
            samples[lines] = clean + noise.lines(lines.start, len(rows))
        return dataclasses.replace(stream, ky=ky, samples=samples, path=None)
