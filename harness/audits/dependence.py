"""Dependence: the image is of what is scanned, so that it moves, brightens and changes with it.

Bits that differ do not show that: zeros plus a tiny sum of the lines in one pixel differ for every line. So
the scan's content is changed in a way whose image is known, and the change is measured by the image's own
size. A shift by 10 mm is a phase ramp on every line. Another contrast is a weight across columns, since each
line is complete along x. Another patient is other content of the same size.

Positions in place of images must move by the shift, to half of it. No more is asked of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harness.audits.bench import SHORT, Bench
from harness.audits.finding import Seen
from harness.realtime.run import Run
from mrsim.stream import Header, Stream

SHIFT_M = 0.01
LEAST_CHANGE, LEAST_OTHER = 0.01, 0.1
"""Change of an image as a share of its own size that a shift or contrast must make, and another patient."""
LEAST_SPREAD = 0.01
"""Share of the pixels that a change must reach: (sum |c|)^2 / (pixels sum c^2), 1 / pixels for one."""
LEAST_FOLLOWED = 0.25
"""Exponent by which the columns' brightness must follow the weight; 1 if it follows wholly."""
WEIGHTS = (0.6, 1.4)
"""Weight of the first and the last column where the contrast is changed."""


def audit_dependence(bench: Bench) -> Seen:
    """Check that the images move with the anatomy, follow its contrast, and are others of another one.

    Parameters
    ----------
    bench
        The bench.
    """
    compared, least, what = 0, 2 * SHORT, "pairs of images"
    header = bench.short.header
    ways = {
        "moved by 10 mm along y": (moved(bench.short, y_m=SHIFT_M), LEAST_CHANGE),
        "moved by 10 mm along x": (moved(bench.short, x_m=SHIFT_M), LEAST_CHANGE),
        "of another contrast": (weighted(bench.short), LEAST_CHANGE),
        "of another anatomy": (bench.altered(np.arange(len(bench.short)), "another"), LEAST_OTHER),
    }
    for way, (stream, share) in ways.items():
        run = bench.images(stream)
        both = np.flatnonzero(bench.telling(bench.base) & bench.telling(run))
        compared += len(both)
        drawn = both[bench.base.images.drawn[both] & run.images.drawn[both]]
        placed = both[~(bench.base.images.drawn[both] | run.images.drawn[both])]
        if len(placed) and way.startswith("moved"):
            at, then = (np.array([one.images.centre_m(f) for f in placed]) for one in (bench.base, run))
            fault = _not_displaced(at, then, along_y=way.endswith("y"))
            if fault is not None:
                return Seen(compared, least, what, f"frame {placed[0]}: scanned {way}, {fault}")
        if not len(drawn):
            continue  # a position need not know of contrast or of other anatomy
        before, after = (_magnitudes(one, drawn) for one in (bench.base, run))
        fault = _unmoved(before, after, share)
        if fault is None and way.startswith("moved"):
            fault = _not_shifted(before, after, header, along_y=way.endswith("y"))
        if fault is None and way.endswith("contrast"):
            fault = _not_followed(before, after)
        if fault is not None:
            return Seen(compared, least, what, f"frame {drawn[0]}: scanned {way}, {fault}")
    return Seen(compared, least, what)


def moved(stream: Stream, *, x_m: float = 0.0, y_m: float = 0.0) -> Stream:
    """Return a scan of the same anatomy elsewhere; what leaves the field of view comes in on the other side.

    Parameters
    ----------
    stream
        The scan.
    x_m, y_m
        Shift, metres.
    """
    (_, nx), (fov_y, fov_x) = stream.header.matrix, stream.header.fov_m
    turns = np.asarray(stream.ky)[:, None] * (y_m / fov_y) + (np.arange(nx) - nx // 2) * (x_m / fov_x)
    ramp = np.exp(-2j * np.pi * turns).astype(np.complex64)
    return replace(stream, samples=np.asarray(stream.samples) * ramp[:, None, :])


def weighted(stream: Stream) -> Stream:
    """Return a scan of the same anatomy in another contrast: darker on one side and brighter on the other.

    Parameters
    ----------
    stream
        The scan.
    """
    samples = np.fft.ifftshift(np.asarray(stream.samples), axes=-1)
    hybrid = np.fft.ifft(samples, axis=-1) * np.fft.ifftshift(_weights(samples.shape[-1]))
    return replace(stream, samples=np.fft.fftshift(np.fft.fft(hybrid, axis=-1), axes=-1).astype(np.complex64))


def _weights(nx: int) -> NDArray[np.float64]:
    return np.linspace(*WEIGHTS, nx)


def _magnitudes(run: Run, frames: NDArray[np.int64]) -> NDArray[np.float64]:
    assert run.images.pixels is not None
    return np.abs(run.images.pixels[frames]).astype(np.float64)


def _unmoved(before: NDArray[np.float64], after: NDArray[np.float64], share: float) -> str | None:
    """Return how little the images changed, if that is too little."""
    change = after - before
    size = np.sqrt(np.sum(before**2, axis=(1, 2)))
    moved_by = float(np.median(np.sqrt(np.sum(change**2, axis=(1, 2))) / size))
    if moved_by < share:
        return f"its image changes by {moved_by:.2g} of its size, {share:g} is the least"
    # As numbers of the order of 1: the square of a tiny one is 0.
    change = np.abs(change) / np.abs(change).max()
    reached = float(np.sum(change) ** 2 / np.sum(change**2)) / change.size
    if reached < LEAST_SPREAD:
        return f"{reached:.2g} of its pixels change, {LEAST_SPREAD:g} is the least"
    return None


def _not_shifted(
    before: NDArray[np.float64], after: NDArray[np.float64], header: Header, along_y: bool
) -> str | None:
    """Return what says that the images did not move along, if something does."""
    axis, fov_m = (1, header.fov_m[0]) if along_y else (2, header.fov_m[1])
    turns = np.fft.fftfreq(before.shape[axis]) * before.shape[axis] * (SHIFT_M / fov_m)
    ramp = np.exp(-2j * np.pi * turns)
    ramp = ramp[None, :, None] if along_y else ramp[None, None, :]
    shifted = np.fft.ifft(np.fft.fft(before, axis=axis) * ramp, axis=axis).real
    near, far = (float(np.sum((after - one) ** 2)) for one in (shifted, before))
    if near >= far:
        return "its image is nearer to where it was than to where it must be"
    return None


def _not_displaced(before: NDArray[np.float64], after: NDArray[np.float64], along_y: bool) -> str | None:
    """Return what says that positions did not move along, if something does."""
    expected = np.array([0.0, SHIFT_M] if along_y else [SHIFT_M, 0.0])
    step = np.median(after - before, axis=0)
    if np.hypot(*(step - expected)) > SHIFT_M / 2:
        x, y = 1e3 * step
        return f"its position moves by ({x:.3g}, {y:.3g}) mm: are they millimetres, x before y?"
    return None


def _not_followed(before: NDArray[np.float64], after: NDArray[np.float64]) -> str | None:
    """Return by how much the brightness of columns follows the weight, if that is too little."""
    bright, was = (np.sum(one**2, axis=(0, 1)) for one in (after, before))
    seen = (bright > 0) & (was > 0)
    weights = np.log(_weights(before.shape[2])[seen])
    level = was[seen] / was[seen].sum()
    ratio = 0.5 * np.log(bright[seen] / was[seen])
    away = weights - np.sum(level * weights)
    spread = float(np.sum(level * away**2))
    followed = float(np.sum(level * away * ratio)) / spread if spread > 0 else 0.0
    if followed < LEAST_FOLLOWED:
        return f"its columns follow the contrast by {followed:.2g}, {LEAST_FOLLOWED:g} is the least"
    return None
