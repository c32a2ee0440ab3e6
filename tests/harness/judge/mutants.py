"""Reconstructors that are wrong in one known way, made of the truth of the scan that they are played."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.measure.breaths import breath_blocks, breath_starts
from mrsim.stream import Header, Readout, Stream
from recon.protocol import Emit, Image, Position

LATE_NS = 300_000_000
BIAS_M = 4e-3
GAIN = 0.3
TURNS_M = 8e-3
FROZEN_AT = 40


@dataclass
class Mutant:
    """Hold what a wrong reconstructor shows of each frame, and where the target truly is in it.

    Parameters
    ----------
    name
        Its name.
    images
        What it shows, shape (frames, ny, nx), complex64.
    trace_m
        Centre (x, y) of the target in each image, shape (frames, 2), metres; NaN where there is none.
    emits
        Of which frames it shows something, shape (frames,), bool.
    """

    name: str
    images: NDArray[np.complex64]
    trace_m: NDArray[np.float64]
    emits: NDArray[np.bool_]

    def build(self) -> Playing:
        """Return a reconstructor that shows the images."""
        return Playing(self, as_positions=False)

    def build_tracker(self) -> Playing:
        """Return a tracker that emits the positions."""
        return Playing(self, as_positions=True)


class Playing:
    """Emit what a mutant shows at the end of each frame."""

    def __init__(self, mutant: Mutant, as_positions: bool) -> None:
        self._mutant, self._as_positions = mutant, as_positions

    def open(self, header: Header, emit: Emit) -> None:
        self._lines, self._emit = header.lines_per_frame, emit

    def push(self, readout: Readout) -> None:
        if (readout.index + 1) % self._lines or not self._mutant.emits[readout.frame]:
            return
        if not self._as_positions:
            self._emit(Image(self._mutant.images[readout.frame], readout.frame, readout.index))
            return
        x, y = self._mutant.trace_m[readout.frame] * 1e3
        self._emit(Position(float(x), float(y), readout.frame, readout.index))

    def close(self) -> None:
        pass


def mutants(stream: Stream, other: NDArray[np.complex64]) -> dict[str, Mutant]:
    """Return every mutant of a scan, by name.

    Parameters
    ----------
    stream
        The scan, with truth.
    other
        Images of another patient, shape (n, ny, nx).
    """
    truth, header = stream.truth, stream.header
    assert truth is not None
    frames = stream.frames
    last = (np.arange(frames) + 1) * header.lines_per_frame - 1
    true_m = np.asarray(truth.centroid)[last]
    nowhere = np.full((frames, 2), np.nan)
    every = np.ones(frames, np.bool_)
    rng = np.random.default_rng(7)
    shape = (frames, *header.matrix)
    noise = rng.standard_normal((*shape, 2), np.float32).view(np.complex64)[..., 0]
    frozen = np.minimum(np.arange(frames), FROZEN_AT)
    late = np.clip(np.arange(frames) - LATE_NS / header.frame_ns, 0, frames - 1)
    gained = true_m.mean(axis=0) + GAIN * (true_m - true_m.mean(axis=0))
    near = np.array([int(np.argmin(np.hypot(*(true_m - place).T))) for place in gained])
    side = np.where(np.arange(frames) % 2, TURNS_M, -TURNS_M)
    breath = breath_blocks(np.asarray(stream.t_ns)[last], breath_starts(truth, header))
    mean = truth.image[: frames // 2].mean(axis=0)
    found = [
        Mutant("black", np.zeros(shape, np.complex64), nowhere, every),
        Mutant("constant", np.ones(shape, np.complex64), nowhere, every),
        Mutant("noise", noise, nowhere, every),
        Mutant("frozen", truth.image[frozen], true_m[frozen], every),
        Mutant("training mean", np.repeat(mean[None], frames, axis=0), nowhere, every),
        Mutant("late", between(truth.image, late), _between(true_m, late), every),
        Mutant("biased", shifted(truth.image, header, 0.0, BIAS_M), true_m + np.array([0.0, BIAS_M]), every),
        Mutant("gain", truth.image[near], true_m[near], every),
        Mutant("another patient", np.resize(other, shape), nowhere, every),
        Mutant("turns", turned(truth.image, header, side), true_m + np.stack([side, 0 * side], -1), every),
        Mutant("half the breaths", np.asarray(truth.image), true_m, breath % 2 == 0),
    ]
    return {mutant.name: mutant for mutant in found}


def truth_itself(stream: Stream) -> Mutant:
    """Return a reconstructor that shows the truth at each frame's last line."""
    assert stream.truth is not None
    last = (np.arange(stream.frames) + 1) * stream.header.lines_per_frame - 1
    centre = np.asarray(stream.truth.centroid)[last]
    return Mutant("truth", np.asarray(stream.truth.image), centre, np.ones(stream.frames, np.bool_))


def between(images: NDArray[np.complex64], at: NDArray[np.float64]) -> NDArray[np.complex64]:
    """Return images at places between frames by the cubic through four, shape (n, ny, nx)."""
    start = np.clip(np.floor(at).astype(int) - 1, 0, len(images) - 4)
    x = at - start
    out = np.zeros((len(at), *images.shape[1:]), np.complex64)
    for i in range(4):
        weight = np.prod([(x - j) / (i - j) for j in range(4) if j != i], axis=0).astype(np.float32)
        out += weight[:, None, None] * images[start + i]
    return out


def _between(path: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    where = np.arange(len(path))
    return np.stack([np.interp(at, where, path[:, axis]) for axis in range(2)], axis=-1)


def shifted(images: NDArray[np.complex64], header: Header, x_m: float, y_m: float) -> NDArray[np.complex64]:
    """Return images moved as a whole, exactly as their transforms say."""
    return turned(images, header, np.full(len(images), x_m), np.full(len(images), y_m))


def turned(
    images: NDArray[np.complex64],
    header: Header,
    x_m: NDArray[np.float64],
    y_m: NDArray[np.float64] | float = 0.0,
) -> NDArray[np.complex64]:
    """Return each image moved as a whole by its own way."""
    (ny, nx), (fov_y, fov_x) = header.matrix, header.fov_m
    ky, kx = np.fft.fftfreq(ny, fov_y / ny), np.fft.fftfreq(nx, fov_x / nx)
    ways = np.broadcast_to(np.asarray(y_m, np.float64), x_m.shape)
    out = np.empty_like(images)
    for i, (x, y) in enumerate(zip(x_m, ways, strict=True)):
        turn = np.exp(-2j * np.pi * (ky[:, None] * y + kx[None, :] * x))
        out[i] = np.fft.ifft2(np.fft.fft2(images[i]) * turn)
    return out
