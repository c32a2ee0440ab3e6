"""What is on display at each instant, beside what is true then.

*Displayed at t* is the newest image that was completed by t (streaming perception: Li et al. 2020,
10.48550/arXiv.2005.10420). At every TR the displayed target is compared with the target at that TR, so that
time without a new image, time spent computing and old lines all count.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.measure.image_quality import FrameScore, nmse
from harness.measure.ruler import loses_target
from harness.measure.timing import Timing
from harness.measure.true_masks import TrueMasks
from harness.realtime.run import Run
from mrsim.errors import StreamError
from mrsim.stream import Header, Stream, Truth

NOTHING = -1
INSTANTS = 4
"""Instants for each image at which what is on display is compared with the true image."""
CHUNK = 4096
"""TRs whose masks are held at a time."""
MAX_STEP_PX = 1.0
"""Motion from frame to frame up to which true images between them are interpolated."""


@dataclass(frozen=True)
class Emissions:
    """Hold everything that was shown, in the order in which it was completed.

    Parameters
    ----------
    shown_ns
        When each was completed, from the start of the scan, ascending, shape (n,), int64, nanoseconds.
    newest
        Line that completes what each shows, shape (n,), int64; the greater replaces the smaller.
    frame
        Frame of an image, shape (n,), int64; -1 for a position.
    centre_m
        Centre (x, y) of the target in each, shape (n, 2), float64, metres; NaN where none was found.
    hold
        Which say that they must not be followed, shape (n,), bool.
    mask
        Row of `masks`, shape (n,), int64; -1 where there is none.
    masks
        Pixels of the target in the judge's window, shape (m, rows, columns), bool.
    """

    shown_ns: NDArray[np.int64]
    newest: NDArray[np.int64]
    frame: NDArray[np.int64]
    centre_m: NDArray[np.float64]
    hold: NDArray[np.bool_]
    mask: NDArray[np.int64]
    masks: NDArray[np.bool_]

    def on_display(self, t_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return which of them is on display at each instant, shape of `t_ns`; -1 before the first."""
        # A late image of an older frame does not replace a newer one.
        best = np.maximum.accumulate(self.newest) if len(self.newest) else self.newest
        first = np.searchsorted(best, best, side="left")
        at = np.searchsorted(self.shown_ns, t_ns, side="right") - 1
        shown: NDArray[np.int64] = np.where(at < 0, NOTHING, first[at] if len(first) else NOTHING)
        return shown

    def coming_at(self, shown_ns: NDArray[np.int64]) -> Emissions:
        """Return the same, had each come at another time.

        Parameters
        ----------
        shown_ns
            When each comes, from the start of the scan, shape (n,), int64, nanoseconds.
        """
        order = np.lexsort((self.newest, shown_ns))
        columns = ("newest", "frame", "centre_m", "hold", "mask")
        sorted_ = {name: getattr(self, name)[order] for name in columns}
        return dataclasses.replace(self, shown_ns=shown_ns[order], **sorted_)


@dataclass(frozen=True)
class Displayed:
    """Hold what was on display at every TR of the judged time; arrays have a row for each TR.

    Parameters
    ----------
    t_ns
        Echo of the line, from the start of the scan, shape (n,), int64, nanoseconds.
    tr_ns
        Repetition time, nanoseconds.
    emissions
        Everything that was shown.
    index
        Which of `emissions` is on display, shape (n,), int64; -1 for nothing.
    centre_m, true_m
        Displayed and true centre of the target, shape (n, 2), float64, metres; NaN where none is displayed.
    held
        Whether what is on display says that it must not be followed, shape (n,), bool.
    gone
        Whether the target is out of the slice, shape (n,), bool.
    misled
        In which frames the judge loses the target in the noise-free truth, shape (frames,), bool.
    dice
        Overlap of the displayed and the true mask, shape (n,), float64; 0 without a target on display, NaN
        where a position has no mask.
    nmse
        Error of the displayed image at four instants for each image, shape (m,), float64; empty if no image
        came, or if frames are too far apart to tell the truth between them.
    exact
        Whether `dice` and `gone` come of the exact mask at each TR, not of a stored one that was moved.
    """

    t_ns: NDArray[np.int64]
    tr_ns: int
    emissions: Emissions
    index: NDArray[np.int64]
    centre_m: NDArray[np.float64]
    true_m: NDArray[np.float64]
    held: NDArray[np.bool_]
    gone: NDArray[np.bool_]
    misled: NDArray[np.bool_]
    dice: NDArray[np.float64]
    nmse: NDArray[np.float64]
    exact: bool

    @property
    def available(self) -> NDArray[np.bool_]:
        """Return when the target can be followed: in the slice, and nobody says hold; shape (n,), bool."""
        return ~(self.held | self.gone)

    @property
    def unseen(self) -> NDArray[np.bool_]:
        """Return when an image is on display in which the judge could not find the target, shape (n,), bool.

        A position says itself where the target is.
        """
        frame = np.full(len(self.index), NOTHING)
        shown = self.index != NOTHING
        frame[shown] = self.emissions.frame[self.index[shown]]
        unseen: NDArray[np.bool_] = (frame != NOTHING) & self.misled[frame]
        return unseen

    @property
    def judged(self) -> NDArray[np.bool_]:
        """Return when the target can be followed and the judge can see whether it is; shape (n,), bool."""
        return self.available & ~self.unseen

    @property
    def error_m(self) -> NDArray[np.float64]:
        """Return how far the displayed centre is from the true one, metres; infinite without a target."""
        distance = np.hypot(*(self.centre_m - self.true_m).T)
        return np.where(np.isfinite(distance), distance, np.inf)

    def coming_at(self, shown_ns: NDArray[np.int64]) -> Displayed:
        """Return the same images on display, had each come at another time.

        Masks and whole images are not compared anew: `dice` and `nmse` are those of the first.

        Parameters
        ----------
        shown_ns
            When each of `emissions` comes, from the start of the scan, shape (n,), int64, nanoseconds.
        """
        emissions = self.emissions.coming_at(shown_ns)
        centre, held, index = _shown(emissions, self.t_ns)
        return dataclasses.replace(self, emissions=emissions, index=index, centre_m=centre, held=held)


def _shown(
    emissions: Emissions, t_ns: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Return the centre, the HOLD and the number of what is on display at each instant."""
    index = emissions.on_display(t_ns)
    shown = index != NOTHING
    centre, held = np.full((len(t_ns), 2), np.nan), np.zeros(len(t_ns), np.bool_)
    centre[shown], held[shown] = emissions.centre_m[index[shown]], emissions.hold[index[shown]]
    return centre, held, index


def display(
    stream: Stream,
    run: Run,
    timing: Timing,
    scores: Mapping[int, FrameScore],
    window: tuple[slice, slice],
    shading: NDArray[np.float32] | None = None,
) -> Displayed | None:
    """Find what was on display at every TR from the first steady image being due to the end of the scan.

    Parameters
    ----------
    stream
        The scan that was played, with truth.
    run, timing
        The run and its times.
    scores
        Measures of every image that came, by frame.
    window
        Rows and columns of the masks in `scores`.
    shading
        Factor by which they show the truth, shape (ny, nx), float32; None for the truth itself.

    Returns
    -------
    displayed
        None if the scan ends before the first steady image is due.

    Raises
    ------
    InputError
        If the stream has no truth.
    """
    if stream.truth is None:
        raise StreamError(
            f"{stream.path or 'stream'}: it has no truth, so what is displayed cannot be judged"
        )
    completing = run.schedule.completing
    first = int(completing[min(timing.warmup, len(completing) - 1)]) + 1
    lines = np.arange(first, int(completing[-1]) + 1, dtype=np.int64)
    if not len(lines):
        return None
    emissions = emissions_of(run, scores, window)
    (displayed,) = display_each(stream, [emissions], lines, window)
    return dataclasses.replace(displayed, nmse=_errors(stream, run, emissions, timing.warmup, shading))


def display_each(
    stream: Stream,
    shown: Sequence[Emissions],
    lines: NDArray[np.int64],
    window: tuple[slice, slice],
    start_ns: int = 0,
) -> list[Displayed]:
    """Find what each of several would have had on display at the same TRs; whole images are not compared.

    Parameters
    ----------
    stream
        The scan that was played, with truth.
    shown
        Everything that each showed.
    lines
        Lines at whose echo it is judged, ascending, shape (n,), int64.
    window
        Rows and columns of the masks.
    start_ns
        Start of the stream in the scan that its provenance tells of, nanoseconds.
    """
    assert stream.truth is not None
    t_ns = np.asarray(stream.t_ns)[lines].astype(np.int64)
    found = [_shown(emissions, t_ns) for emissions in shown]
    indices = [index for _, _, index in found]
    true_masks = TrueMasks(stream, window, start_ns)
    dice, area = _overlaps(true_masks, shown, indices, t_ns)
    gone = true_masks.gone(t_ns, area)
    drawn = np.unique(np.concatenate([one.frame for one in shown]))
    drawn = drawn[drawn != NOTHING]
    misled = np.zeros(stream.frames, np.bool_)
    misled[drawn] = loses_target(stream, drawn)
    return [
        Displayed(
            t_ns=t_ns,
            tr_ns=stream.header.tr_ns,
            emissions=emissions,
            index=index,
            centre_m=centre,
            true_m=np.asarray(stream.truth.centroid)[lines],
            held=held,
            gone=gone,
            misled=misled,
            dice=overlap,
            nmse=np.empty(0),
            exact=true_masks.exact,
        )
        for emissions, (centre, held, index), overlap in zip(shown, found, dice, strict=True)
    ]


def emissions_of(run: Run, scores: Mapping[int, FrameScore], window: tuple[slice, slice]) -> Emissions:
    """Return everything that a run showed, in the order of completion.

    Parameters
    ----------
    run
        The run.
    scores
        Measures of every image that came, by frame; an image that has none is left out.
    window
        Rows and columns of the masks in `scores`.
    """
    images, positions, completing = run.images, run.images.positions, run.schedule.completing
    drawn = np.array([f for f in np.flatnonzero(images.drawn) if int(f) in scores], np.int64)
    found = [scores[int(f)] for f in drawn]
    rows = [s.found for s in found if s.found is not None]
    row = iter(range(len(rows)))
    columns: list[tuple[NDArray[np.int64], ...]] = [
        (
            images.completed_ns[drawn],
            completing[drawn],
            drawn,
            np.array([NOTHING if s.found is None else next(row) for s in found], np.int64),
        )
    ]
    centres = [np.array([s.centroid_m or (np.nan, np.nan) for s in found], np.float64).reshape(-1, 2)]
    holds = [images.hold[drawn]]
    if positions is not None:
        keys = zip(images.completed_ns.tolist(), images.last_line.tolist(), strict=True)
        whole = {key: frame for frame, key in enumerate(keys)}
        mask = np.full(len(positions.completed_ns), NOTHING, np.int64)
        if positions.mask is not None:
            for i, key in enumerate(zip(positions.completed_ns, positions.last_line, strict=True)):
                frame = whole.get((int(key[0]), int(key[1])))
                if frame is not None and positions.mask[frame].any():
                    mask[i] = len(rows)
                    rows.append(positions.mask[frame][window])
        columns.append((positions.completed_ns, positions.last_line, np.full(len(mask), NOTHING), mask))
        centres.append(positions.centre_m)
        holds.append(positions.hold)
    together = (np.concatenate(column).astype(np.int64) for column in zip(*columns, strict=True))
    shown_ns, newest, frame_of, mask_of = together
    order = np.lexsort((newest, shown_ns))
    shape = tuple(part.stop - part.start for part in window)
    return Emissions(
        shown_ns[order] - run.t0_ns,
        newest[order],
        frame_of[order],
        np.concatenate(centres)[order],
        np.concatenate(holds)[order],
        mask_of[order],
        np.stack(rows) if rows else np.zeros((0, *shape), np.bool_),
    )


def _overlaps(
    true_masks: TrueMasks,
    shown: Sequence[Emissions],
    indices: Sequence[NDArray[np.int64]],
    t_ns: NDArray[np.int64],
) -> tuple[list[NDArray[np.float64]], NDArray[np.int64]]:
    """Return the Dice coefficient of each display, and the area of the true mask, at each TR."""
    dice, area = [np.zeros(len(t_ns)) for _ in shown], np.zeros(len(t_ns), np.int64)
    for start in range(0, len(t_ns), CHUNK):
        part = slice(start, start + CHUNK)
        true = true_masks.at(t_ns[part])
        area[part] = true.sum(axis=(1, 2))
        for values, emissions, index in zip(dice, shown, indices, strict=True):
            values[part] = _overlap(emissions, index[part], true, area[part])
    return dice, area


def _overlap(
    emissions: Emissions, index: NDArray[np.int64], true: NDArray[np.bool_], area: NDArray[np.int64]
) -> NDArray[np.float64]:
    dice = np.zeros(len(index))
    row = np.where(index == NOTHING, NOTHING, emissions.mask[index] if len(emissions.mask) else NOTHING)
    has = row != NOTHING
    mask = emissions.masks[row[has]]
    both = np.logical_and(mask, true[has]).sum(axis=(1, 2))
    dice[has] = 2 * both / np.maximum(mask.sum(axis=(1, 2)) + area[has], 1)
    # A position that has no mask says nothing about the overlap.
    bare = (index != NOTHING) & ~has
    if bare.any():
        dice[bare] = np.where(emissions.frame[index[bare]] == NOTHING, np.nan, 0.0)
    return dice


def _errors(
    stream: Stream, run: Run, emissions: Emissions, warmup: int, shading: NDArray[np.float32] | None
) -> NDArray[np.float64]:
    """Return the NMSE of what is displayed at four instants from each steady image being due to the next."""
    truth, header, pixels = stream.truth, stream.header, run.images.pixels
    if truth is None or pixels is None or not (emissions.frame != NOTHING).any():
        return np.empty(0)
    if header.window or len(truth.image) < INSTANTS or _step_px(stream) > MAX_STEP_PX:
        return np.empty(0)
    due_ns = run.schedule.offset_ns[run.schedule.completing]
    out = []
    for frame in range(warmup, len(due_ns) - 1):
        t_ns = due_ns[frame] + np.arange(INSTANTS) * header.frame_ns // INSTANTS
        for t, at in zip(t_ns, emissions.on_display(t_ns), strict=True):
            if at == NOTHING or emissions.frame[at] == NOTHING:
                continue
            shown = np.abs(pixels[emissions.frame[at]])
            true = np.abs(_image_at(truth, header, int(t)))
            out.append(nmse(shown, true if shading is None else true * shading))
    return np.array(out)


def _step_px(stream: Stream) -> float:
    """Return how far any region moves from frame to frame, in pixels (99 % of the time)."""
    assert stream.truth is not None
    header = stream.header
    ends = np.asarray(stream.truth.displacement)[header.lines_per_frame - 1 :: header.lines_per_frame]
    pixel = min(f / n for f, n in zip(header.fov_m, header.matrix, strict=True))
    step = np.linalg.norm(np.diff(ends, axis=0), axis=-1).max(axis=1)
    return float(np.quantile(step, 0.99)) / pixel if len(step) else 0.0


def _image_at(truth: Truth, header: Header, t_ns: int) -> NDArray[np.complex64]:
    """Interpolate the true image between frames by the cubic through the four nearest."""
    place = (t_ns - header.te_ns) / header.tr_ns
    place = (place - (header.lines_per_frame - 1)) / header.lines_per_frame
    start = int(np.clip(np.floor(place) - 1, 0, len(truth.image) - 4))
    x = place - start
    weights = [np.prod([(x - j) / (i - j) for j in range(4) if j != i]).astype(np.float32) for i in range(4)]
    image: NDArray[np.complex64] = sum(w * truth.image[start + i] for i, w in enumerate(weights))
    return image
