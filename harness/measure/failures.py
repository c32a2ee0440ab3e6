"""Silent failures: images that nobody should follow, shown without a word.

An image can be late, wrong or of nothing at all. What counts here is whether the reconstructor said so: an
image that is blank, frozen, without a target, an average or of another anatomy, and has no HOLD, is a silent
failure for as long as it is on display.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.measure.breaths import breath_blocks, breath_starts
from harness.measure.displayed import NOTHING, Displayed
from harness.measure.exact_statistics import clusters
from mrsim.stream import Stream
from recon.fourier import to_kspace

KINDS = ("blank", "frozen", "stale", "another anatomy", "average anatomy", "no target", "target gone")
"""What can be wrong, the first that applies naming it."""

FROZEN_SHARE, AT_REST_NMSE = 1e-3, 1e-6
"""An image is frozen if it changed by less than this share of what the truth did, unless that was at rest."""
OTHER_SHARE, ROUGH_SHARE = 0.025, 0.35
"""An image is of something else if its own frame's lines differ from the true ones by more of their energy.

The first holds for complex images of one coil, in which the lines stand as they were measured; the second
for magnitudes and for combined coils. Measured: the true image of 300 ms before has 0.01, another of our
patients at least 0.03; zero-filled images of eight coils have 0.18, another body 0.27 to 0.86, noise more.
"""
MIDDLE_SHARE = 0.3
"""Share of an image's energy that a frame's lines must hold to be compared."""
AVERAGE_SHARE = 0.25
"""An image this much nearer to the mean of all true images than to its own is an average."""
MOVED_M, FOLLOWS, LATENESSES = 1e-3, 0.1, 13
"""In a breath in which the target moves so far, a centre that follows less than this share of it is frozen.

It is looked for at so many delays, of up to half the breath.
"""
STALE_NS, STALE_FRAMES = 500_000_000, 4
"""An image may show what is so old, or so many frames, before it counts as stale (AAPM TG-76: 500 ms)."""


@dataclass(frozen=True, slots=True)
class SilentFailures:
    """Hold what was shown and should not have been followed.

    Parameters
    ----------
    share
        Share of the judged time with such an image on display and no HOLD.
    longest_ns
        The longest such time, nanoseconds.
    kinds
        Share of the judged time for each kind.
    count
        Number of failures, flagged or not.
    unflagged
        Number of failures of which no HOLD told until they were over.
    first_sign_ns
        The longest time from a failure's start to its first HOLD, nanoseconds; None if none was flagged.
    """

    share: float
    longest_ns: int
    kinds: dict[str, float]
    count: int
    unflagged: int
    first_sign_ns: int | None

    @property
    def told(self) -> str:
        """Return the kinds that occurred with their shares, in words; empty if none did."""
        return ", ".join(f"{kind} {share:.0%}" for kind, share in self.kinds.items() if share)


def silent_failures(
    displayed: Displayed, stream: Stream, pixels: NDArray[np.complex64] | None
) -> SilentFailures:
    """Find what was on display without being fit to be followed.

    Parameters
    ----------
    displayed
        What was on display at every TR.
    stream
        The scan that was played, with truth.
    pixels
        Images by frame, shape (frames, ny, nx), complex64; None if none were kept.
    """
    labels = label_images(displayed, stream, pixels)
    code = np.full(len(displayed.index), NOTHING, np.int64)
    shown = displayed.index != NOTHING
    code[shown] = labels[displayed.index[shown]]
    stale = shown & (code == NOTHING) & (_age_ns(displayed, stream) > _oldest_ns(stream))
    code[stale] = KINDS.index("stale")
    nowhere = ~np.isfinite(displayed.centre_m).all(axis=1)
    lost = shown & (code == NOTHING) & nowhere & ~displayed.gone & ~displayed.unseen
    code[lost] = KINDS.index("no target")
    code[shown & displayed.gone & np.isfinite(displayed.centre_m).all(axis=1)] = KINDS.index("target gone")
    code[shown & (code == NOTHING) & ~displayed.unseen & _idle(displayed, stream)] = KINDS.index("frozen")
    failing = code != NOTHING
    silent = failing & ~displayed.held
    signs, unflagged = [], 0
    stretches = clusters(failing)
    for start, length in stretches:
        held = np.flatnonzero(displayed.held[start : start + length])
        if len(held):
            signs.append(int(held[0]) * displayed.tr_ns)
        else:
            unflagged += 1
    return SilentFailures(
        share=float(silent.mean()),
        longest_ns=max((length for _, length in clusters(silent)), default=0) * displayed.tr_ns,
        kinds={kind: float((silent & (code == number)).mean()) for number, kind in enumerate(KINDS)},
        count=len(stretches),
        unflagged=unflagged,
        first_sign_ns=max(signs, default=None),
    )


def label_images(
    displayed: Displayed, stream: Stream, pixels: NDArray[np.complex64] | None
) -> NDArray[np.int64]:
    """Return the kind of failure of each emission, -1 for none that an image shows by itself.

    Parameters
    ----------
    displayed
        What was on display, with all that was emitted.
    stream
        The scan that was played, with truth.
    pixels
        Images by frame; None if none were kept.
    """
    emissions = displayed.emissions
    labels = np.full(len(emissions.frame), NOTHING, np.int64)
    labels[_still(emissions.centre_m, emissions.frame, emissions.newest, stream)] = KINDS.index("frozen")
    if pixels is None or stream.truth is None:
        return labels
    mean = np.abs(stream.truth.image).mean(axis=0, dtype=np.float64)
    before: int | None = None
    for row, frame in enumerate(emissions.frame.tolist()):
        if frame == NOTHING:
            continue
        kind = _kind(pixels, frame, before, stream, mean)
        if kind is not None:
            labels[row] = KINDS.index(kind)
        before = frame
    return labels


def is_blank(magnitude: NDArray[np.float64]) -> bool:
    """Return whether an image shows nothing: every pixel is the same.

    Parameters
    ----------
    magnitude
        Magnitude of its pixels, shape (ny, nx), finite.
    """
    return float(np.ptp(magnitude)) <= 1e-6 * float(magnitude.max())


def _kind(
    pixels: NDArray[np.complex64],
    frame: int,
    before: int | None,
    stream: Stream,
    mean: NDArray[np.float64],
) -> str | None:
    assert stream.truth is not None
    image, truth = pixels[frame], stream.truth.image
    magnitude, true = (np.abs(i).astype(np.float64) for i in (image, truth[frame]))
    if is_blank(magnitude):
        return "blank"
    if before is not None:
        moved = _change(truth[frame], truth[before])
        if moved > AT_REST_NMSE and _change(image, pixels[before]) <= FROZEN_SHARE * moved:
            return "frozen"
    unlike = _unlike(magnitude, true)
    # An image that is as a whole like the truth is of the same anatomy: its lines need no look.
    if unlike > OTHER_SHARE / 10 and _is_other(image, frame, stream):
        return "another anatomy"
    if _unlike(magnitude, mean) < AVERAGE_SHARE * min(unlike, _unlike(true, mean)):
        return "average anatomy"
    return None


def _change(image: NDArray[np.complex64], before: NDArray[np.complex64]) -> float:
    """Return the energy of the change from one image to another as a share of the image's."""
    return _energy(image.astype(np.complex128) - before) / _energy(image)


def _energy(values: NDArray[Any]) -> float:
    # Not as float32: the squares of small values would all be 0.
    return float(np.sum(np.abs(values.astype(np.complex128)) ** 2))


def _is_other(image: NDArray[np.complex64], frame: int, stream: Stream) -> bool:
    """Return whether the lines of an image's own frame are not those of the anatomy that was scanned."""
    assert stream.truth is not None
    header, true = stream.header, stream.truth.image[frame]
    own = slice(frame * header.lines_per_frame, (frame + 1) * header.lines_per_frame)
    rows, last = np.unique(np.asarray(stream.ky[own])[::-1] + header.matrix[0] // 2, return_index=True)
    lines = to_kspace(true)[rows]
    # Lines far from the middle hold edges alone, which a little lag moves.
    if _energy(lines) < MIDDLE_SHARE * _energy(true):
        return False
    limit = OTHER_SHARE if header.coils == 1 and bool(np.any(image.imag)) else ROUGH_SHARE
    if stream.provenance is not None:
        # Twice the noise that these lines have, so that a noisy scan raises no alarm.
        limit += 2 * stream.provenance.noise_std**2 * lines.size / _energy(lines)
    # A reconstructor may give another phase, or none.
    phase = true / np.maximum(np.abs(true), np.finfo(np.float32).tiny)
    shown = [to_kspace(one)[rows] for one in (image, (np.abs(image) * phase).astype(np.complex64))]
    references = [lines]
    if header.coils == 1:
        # What was acquired counts as well: a scan can be poorer than its truth, as a drawing in pixels is.
        references.append(np.asarray(stream.samples[own, 0])[::-1][last])
    return all(_unlike_lines(one, reference) > limit for one in shown for reference in references)


def _unlike_lines(shown: NDArray[np.complex64], true: NDArray[np.complex64]) -> float:
    """Return the share of the energy of true lines that no multiple of the shown ones explains."""
    a, b = shown.astype(np.complex128), true.astype(np.complex128)
    norm = float(np.sum(np.abs(a) ** 2)) * float(np.sum(np.abs(b) ** 2))
    return 1 - float(np.abs(np.sum(np.conj(a) * b))) ** 2 / norm if norm else 1.0


def _unlike(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the share of the energy of one image that no multiple of the other explains."""
    norm = float(np.sum(a**2)) * float(np.sum(b**2))
    return 1 - float(np.sum(a * b)) ** 2 / norm if norm else 1.0


def _still(
    centre_m: NDArray[np.float64], frame: NDArray[np.int64], newest: NDArray[np.int64], stream: Stream
) -> NDArray[np.bool_]:
    """Return which positions have not changed for longer than an image may be old, shape (n,), bool."""
    still = np.zeros(len(frame), np.bool_)
    rows = np.flatnonzero(frame == NOTHING)
    if not len(rows):
        return still
    changed = np.ones(len(rows), np.bool_)
    changed[1:] = (centre_m[rows[1:]] != centre_m[rows[:-1]]).any(axis=1)
    since = newest[rows][np.maximum.accumulate(np.where(changed, np.arange(len(rows)), 0))]
    still[rows] = (newest[rows] - since) * stream.header.tr_ns > _oldest_ns(stream)
    return still


def _idle(displayed: Displayed, stream: Stream) -> NDArray[np.bool_]:
    """Return when a centre is displayed that follows nothing of a whole breath, shape (n,), bool.

    Noise makes each image differ from the one before, and each position, so a change alone is no motion.
    """
    assert stream.truth is not None
    idle = np.zeros(len(displayed.t_ns), np.bool_)
    true = np.asarray(stream.truth.centroid, np.float64)
    line = (displayed.t_ns - stream.header.te_ns) // displayed.tr_ns
    for breath in _runs(breath_blocks(displayed.t_ns, breath_starts(stream.truth, stream.header))):
        own = breath[np.isfinite(displayed.centre_m[breath]).all(axis=1)]
        path = true[line[breath]]
        if len(breath) * displayed.tr_ns <= _oldest_ns(stream):
            continue  # one image may be on display for all of it
        if 2 * len(own) < len(breath) or float(np.ptp(path, axis=0).max()) < MOVED_M:
            continue
        shown = displayed.centre_m[own] - displayed.centre_m[own].mean(axis=0)
        late = np.linspace(0, len(breath) / 2, LATENESSES).astype(np.int64)
        followed = 0.0
        for lines in late[line[own[0]] >= late]:
            then = true[line[own] - lines]
            then = then - then.mean(axis=0)
            followed = max(followed, float(np.sum(then * shown) / max(float(np.sum(then**2)), 1e-30)))
        idle[breath] = followed < FOLLOWS
    return idle


def _runs(blocks: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the rows of each block."""
    return [np.flatnonzero(blocks == number) for number in np.unique(blocks)]


def _oldest_ns(stream: Stream) -> int:
    return max(STALE_NS, STALE_FRAMES * stream.header.frame_ns)


def _age_ns(displayed: Displayed, stream: Stream) -> NDArray[np.int64]:
    """Return the age of the newest line on display at each TR; 0 where nothing is."""
    newest = displayed.emissions.newest
    if not len(newest):
        return np.zeros(len(displayed.t_ns), np.int64)
    best = np.maximum.accumulate(newest)
    echo = best[displayed.index] * displayed.tr_ns + stream.header.te_ns
    age: NDArray[np.int64] = np.where(displayed.index == NOTHING, 0, displayed.t_ns - echo)
    return age
