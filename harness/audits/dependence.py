"""Dependence: the image is of what is scanned, so that it moves, brightens and changes with it.

Bits that differ do not show that: zeros plus a tiny sum of the lines in one pixel differ for every line. So
the scan's content is changed in a way whose image is known, and the change is measured by the image's own
size. A shift by 10 mm is a phase ramp on every line. Another contrast is a weight across columns, since each
line is complete along x. Another patient is other content of the same size. A bright spot at a random
place must be seen there: a picture that is moved and shaded as the lines say has none.

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
from recon.classical.zero_filled import combine_coils
from recon.fourier import to_image

SHIFT_M = 0.01
LEAST_CHANGE, LEAST_OTHER = 0.01, 0.1
"""Change of an image as a share of its own size that a shift or contrast must make, and another patient."""
LEAST_SPREAD = 0.01
"""Share of the pixels that a change must reach: (sum |c|)^2 / (pixels sum c^2), 1 / pixels for one."""
LEAST_FOLLOWED = 0.25
"""Exponent by which the columns' brightness must follow the weight; 1 if it follows wholly."""
WEIGHTS = (0.6, 1.4)
"""Weight of the first and the last column where the contrast is changed."""
SPOT, NEAR, AROUND = 1.5, 2, 6
"""Sigma of the bright spot, how near it is looked for, and how far away its surroundings are: pixels."""
LEAST_CONTRAST, POSSIBLE = {"columns": 3.0, "rows": 2.0}, 0.7
"""Mean change at the spot over that elsewhere in its columns, and in its rows; or this share of what the
plain transform of the lines shows, if that is less. A picture shaded column by column reaches 2.5 in columns.
A small network of few epochs falls to 2.3 in rows: so bright a spot changes what it makes of all the rest."""


def audit_dependence(bench: Bench) -> Seen:
    """Check that the images move with the anatomy, follow its contrast, and are others of another one.

    Parameters
    ----------
    bench
        The bench.
    """
    compared, least, what = 0, 2 * SHORT, "pairs of images"
    header, spot = bench.short.header, _place(bench)
    ways = {
        "moved by 10 mm along y": (moved(bench.short, y_m=SHIFT_M), LEAST_CHANGE),
        "moved by 10 mm along x": (moved(bench.short, x_m=SHIFT_M), LEAST_CHANGE),
        "of another contrast": (weighted(bench.short), LEAST_CHANGE),
        "of another anatomy": (bench.altered(np.arange(len(bench.short)), "another"), LEAST_OTHER),
        "with a bright spot in it": (spotted(bench.short, *spot), LEAST_CHANGE),
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
        spread = 0.0 if way.endswith("in it") else LEAST_SPREAD  # a spot is small
        fault = _unmoved(before, after, share, spread)
        if fault is None and way.startswith("moved"):
            fault = _not_shifted(before, after, header, along_y=way.endswith("y"))
        if fault is None and way.endswith("contrast"):
            fault = _not_followed(before, after)
        if fault is None and way.endswith("in it"):
            fault = _not_spotted(before, after, spot, (bench.short, stream))
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


def spotted(stream: Stream, row: int, column: int) -> Stream:
    """Return a scan of the same anatomy with a bright spot in it, of as much energy as all the rest.

    Parameters
    ----------
    stream
        The scan.
    row, column
        Where it is, pixels.
    """
    ny, nx = stream.header.matrix
    ky, kx = np.asarray(stream.ky)[:, None] / ny, (np.arange(nx) - nx // 2) / nx
    turns = ky * (row - ny // 2) + kx * (column - nx // 2)
    spot = np.exp(-2j * np.pi * turns - 2 * np.pi**2 * SPOT**2 * (ky**2 + kx**2))
    samples = np.asarray(stream.samples)
    # Each coil sees it as it sees the anatomy there, so that they still agree.
    seen = np.einsum("lcx,lx->c", samples.astype(np.complex128), spot.conj())
    size = float(np.sqrt(np.sum(np.abs(seen) ** 2)))
    seen = seen / size if size else np.full(len(seen), len(seen) ** -0.5)
    added = seen[:, None] * spot[:, None, :]
    energies = (np.sum(np.square(np.abs(one), dtype=np.float64)) for one in (samples, added))
    added *= np.sqrt(next(energies) / next(energies))
    return replace(stream, samples=(samples + added).astype(np.complex64))


def _place(bench: Bench) -> tuple[int, int]:
    """Return a random place in the middle of what the images show, row and column."""
    ny, nx = bench.short.header.matrix
    columns = np.arange(nx)
    drawn = np.flatnonzero(bench.telling(bench.base) & bench.base.images.drawn)
    if len(drawn):  # an image may be of some columns only
        columns = np.flatnonzero(_magnitudes(bench.base, drawn).any(axis=(0, 1)))
    quarter, rng = len(columns) // 4, bench.rng("spot")
    row = int(rng.integers(ny // 4, max(ny - ny // 4, ny // 4 + 1)))
    return row, int(rng.choice(columns[quarter : max(len(columns) - quarter, quarter + 1)]))


def _not_spotted(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    spot: tuple[int, int],
    plain: tuple[Stream, Stream],
) -> str | None:
    """Return what says that a bright spot is not seen where it is, if something does."""
    # By chance missing rows put much of the spot elsewhere. No more is asked than the plain transform shows.
    without, within = (_zero_filled(one) for one in plain)
    possible = _contrasts(without, within, spot)
    for what, ratio in _contrasts(before, after, spot).items():
        least = min(LEAST_CONTRAST[what], POSSIBLE * possible[what])
        if ratio < least:
            where = f"row {spot[0]} and column {spot[1]}"
            there = f"its image at {where} changes {ratio:.2g} times as much as elsewhere in these {what}"
            return f"{there}, {least:.2g} is the least"
    return None


def _contrasts(
    before: NDArray[np.float64], after: NDArray[np.float64], spot: tuple[int, int]
) -> dict[str, float]:
    """Return the mean change at a spot over that elsewhere in its columns, and in its rows."""
    away = [_away(size, at) for size, at in zip(before.shape[1:], spot, strict=True)]
    (rows, columns), (above, beside) = (
        [np.flatnonzero(one) for one in kind]
        for kind in ([a <= NEAR for a in away], [a > AROUND for a in away])
    )
    # Images may be scaled to their brightest pixel: what is far from the spot says by how much.
    was, now = (one[:, above[:, None], beside] for one in (before, after))
    size = np.sum(now**2, axis=(1, 2))
    scale = np.divide(np.sum(was * now, axis=(1, 2)), size, out=np.ones(len(size)), where=size > 0)
    # Frames together: what missing rows put elsewhere is another thing in each of them.
    change = np.abs(np.mean(scale[:, None, None] * after - before, axis=0))
    there = float(change[np.ix_(rows, columns)].mean())
    places = {"columns": np.ix_(above, columns), "rows": np.ix_(rows, beside)}
    elsewhere = {what: float(np.mean(change[where])) for what, where in places.items() if change[where].size}
    return {what: there / mean if mean else np.inf for what, mean in elsewhere.items()}


def _zero_filled(stream: Stream) -> NDArray[np.float64]:
    """Return the plain transform of each frame's lines, shape (frames, ny, nx)."""
    (ny, nx), frame = stream.header.matrix, np.asarray(stream.frame)
    kspace = np.zeros((stream.frames, stream.header.coils, ny, nx), np.complex64)
    kspace[frame, :, np.asarray(stream.ky) + ny // 2] = stream.samples
    return np.array([np.abs(combine_coils(to_image(one))) for one in kspace], np.float64)


def _away(size: int, at: int) -> NDArray[np.int64]:
    """Return how far each pixel of a row or column is from one of them, round the edge."""
    return np.abs((np.arange(size) - at + size // 2) % size - size // 2)


def _weights(nx: int) -> NDArray[np.float64]:
    return np.linspace(*WEIGHTS, nx)


def _magnitudes(run: Run, frames: NDArray[np.int64]) -> NDArray[np.float64]:
    assert run.images.pixels is not None
    return np.abs(run.images.pixels[frames]).astype(np.float64)


def _unmoved(
    before: NDArray[np.float64], after: NDArray[np.float64], share: float, spread: float
) -> str | None:
    """Return how little the images changed, if that is too little."""
    change = after - before
    size = np.sqrt(np.sum(before**2, axis=(1, 2)))
    moved_by = float(np.median(np.sqrt(np.sum(change**2, axis=(1, 2))) / size))
    if moved_by < share:
        return f"its image changes by {moved_by:.2g} of its size, {share:g} is the least"
    # As numbers of the order of 1: the square of a tiny one is 0.
    change = np.abs(change) / np.abs(change).max()
    reached = float(np.sum(change) ** 2 / np.sum(change**2)) / change.size
    if reached < spread:
        return f"{reached:.2g} of its pixels change, {spread:g} is the least"
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
