"""Silent failures: images that nobody should follow, shown without a word.

An image can be late, wrong or of nothing at all. What counts here is whether the reconstructor said so: an
image that is blank, frozen, without a target, an average or of another anatomy, and has no HOLD, is a silent
failure for as long as it is on display.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.measure.displayed import NOTHING, Displayed
from harness.measure.exact_statistics import clusters
from mrsim.stream import Stream

KINDS = ("blank", "frozen", "stale", "another anatomy", "average anatomy", "no target", "target gone")
"""What can be wrong, the first that applies naming it."""

FROZEN_NMSE = 1e-9
"""Two images of a scan with noise or motion differ by more than this share of their energy."""
OTHER_SHARE = 0.25
"""An image is of something else if more than this share of its energy is unlike the truth at any scale."""
AVERAGE_SHARE = 0.25
"""An image this much nearer to the mean of all true images than to its own is an average."""
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
        Share of the judged time for each kind that occurred.
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
    lost = shown & (code == NOTHING) & ~np.isfinite(displayed.centre_m).all(axis=1) & ~displayed.gone
    code[lost] = KINDS.index("no target")
    code[shown & displayed.gone & np.isfinite(displayed.centre_m).all(axis=1)] = KINDS.index("target gone")
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
        kinds={
            kind: float((silent & (code == number)).mean())
            for number, kind in enumerate(KINDS)
            if (silent & (code == number)).any()
        },
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
    before: NDArray[np.float64] | None = None
    for row, frame in enumerate(emissions.frame):
        if frame == NOTHING:
            continue
        image, true = (
            np.abs(pixels[frame]).astype(np.float64),
            np.abs(stream.truth.image[frame]).astype(np.float64),
        )
        kind = _kind(image, true, mean, before)
        if kind is not None:
            labels[row] = KINDS.index(kind)
        before = image
    return labels


def _kind(
    image: NDArray[np.float64],
    true: NDArray[np.float64],
    mean: NDArray[np.float64],
    before: NDArray[np.float64] | None,
) -> str | None:
    energy = float(np.sum(image**2))
    if not energy or float(np.ptp(image)) <= 1e-6 * float(image.max()):
        return "blank"
    if before is not None and float(np.sum((image - before) ** 2)) <= FROZEN_NMSE * energy:
        return "frozen"
    unlike = _unlike(image, true)
    if unlike > OTHER_SHARE:
        return "another anatomy"
    moved = _unlike(true, mean)
    if _unlike(image, mean) < AVERAGE_SHARE * min(unlike, moved):
        return "average anatomy"
    return None


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
