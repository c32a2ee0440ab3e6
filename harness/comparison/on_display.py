"""What each candidate has on display at every TR: in lockstep, or by the times that were taken at TR.

Images are those of the one pass in lockstep. Without times each comes as soon as its last line is due. With
them each comes when the candidate is done with it: it begins when that line is due and the image before is
done, and takes what the same image took in a replay at TR. Every round of replays is a display of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.comparison.order import BY_NAME, Difference, paired
from harness.comparison.single_pass import Ground, Pass
from harness.comparison.timing import Times
from harness.measure.breaths import breath_blocks, breath_starts
from harness.measure.displayed import Displayed, Emissions, display_each
from harness.measure.exact_statistics import nearest_rank
from harness.measure.image_quality import FrameJudge
from harness.measure.timing import default_warmup
from mrsim.stream import Header, Stream

NEVER_NS = 1 << 61
LOCKSTEP = "computing takes no time in lockstep: an image is on display as soon as its last line is due"
TIMED = (
    "on display is each image of the one pass once it is computed, one after the other, in the time that it "
    "took in each round of replays"
)


@dataclass(frozen=True)
class OnDisplay:
    """Hold what one candidate has on display of one stream; a row a round, a column a TR of the judged time.

    Parameters
    ----------
    error_m
        How far the displayed centre is from the true one, shape (rounds, n), float64, metres; infinite
        without a target.
    dice
        Overlap with the true mask, shape (rounds, n), float64; NaN where it cannot be told.
    open
        When the target can be followed, shape (rounds, n), bool.
    block
        Breath of each TR, shape (n,), int64.
    """

    error_m: NDArray[np.float64]
    dice: NDArray[np.float64]
    open: NDArray[np.bool_]
    block: NDArray[np.int64]

    @classmethod
    def of(cls, shown: Sequence[Displayed], stream: Stream) -> OnDisplay:
        """Return what is compared of the displays of several rounds.

        Parameters
        ----------
        shown
            What was on display in each round, at the same TRs.
        stream
            The scan, with truth.
        """
        assert stream.truth is not None
        block = breath_blocks(shown[0].t_ns, breath_starts(stream.truth, stream.header))
        error = np.stack([one.error_m for one in shown])
        return cls(
            error, np.stack([one.dice for one in shown]), np.stack([one.judged for one in shown]), block
        )

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what it is made of, by name; `OnDisplay(**arrays)` is the same."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def first(self, instants: int) -> OnDisplay:
        """Return what was on display at the first so many TRs."""
        return OnDisplay(
            self.error_m[:, :instants],
            self.dice[:, :instants],
            self.open[:, :instants],
            self.block[:instants],
        )

    def values(self, measure: str) -> NDArray[np.float64]:
        """Return a measure at every TR of every round, NaN where it cannot be told; in its unit.

        Parameters
        ----------
        measure
            "m95_mm" or "dice_shown".
        """
        values = self.error_m * 1e3 if measure == "m95_mm" else self.dice
        return np.where(self.open, values, np.nan)

    def to_json(self) -> dict[str, Any]:
        """Return the figures of this stream as JSON values."""
        return {
            **{name: figure_of(name, [self]) for name in ("m95_mm", "dice_shown")},
            "availability": float(self.open.mean()),
            "breaths": len(np.unique(self.block)),
            "rounds": len(self.error_m),
        }


Row = Sequence[OnDisplay | None]
"""What one candidate has on display of each stream; None where there is no target."""


def displays_of(
    streams: Sequence[Stream], shown: Sequence[Sequence[Emissions | None]], times: Times | None
) -> tuple[tuple[OnDisplay | None, ...], ...]:
    """Return what each candidate (row) has on display of each stream.

    Parameters
    ----------
    streams
        The scans, with truth.
    shown
        What each candidate (row) showed of each stream in lockstep; None where there is no target.
    times
        Replays at TR; None for lockstep.
    """
    columns = [
        _of_stream(stream, number, [row[number] for row in shown], times)
        for number, stream in enumerate(streams)
    ]
    return tuple(zip(*columns, strict=True))


def displayed_of(ground: Ground, one: Pass) -> Displayed | None:
    """Return what was on display in one pass, by its own times; None where there is no target.

    Parameters
    ----------
    ground
        What was played and judged.
    one
        The pass.
    """
    lines = ground.stream.header.lines_per_frame
    judged = np.arange((ground.first + 1) * lines, (ground.first + one.expected) * lines, dtype=np.int64)
    if one.emissions is None or not len(judged):
        return None
    window = ground.judge.window
    (shown,) = display_each(ground.stream, [one.emissions], judged, window, ground.start_ns)
    return shown


def display_of(ground: Ground, one: Pass) -> OnDisplay | None:
    """Return what is compared of the display in one pass; None where there is no target.

    Parameters
    ----------
    ground
        What was played and judged.
    one
        The pass.
    """
    shown = displayed_of(ground, one)
    return None if shown is None else OnDisplay.of([shown], ground.stream)


def _of_stream(
    stream: Stream, number: int, shown: Sequence[Emissions | None], times: Times | None
) -> list[OnDisplay | None]:
    assert stream.truth is not None
    header = stream.header
    first = (default_warmup(stream.frames) + 1) * header.lines_per_frame
    lines = np.arange(first, stream.frames * header.lines_per_frame, dtype=np.int64)
    rounds: list[list[Emissions]] = []
    for candidate, emissions in enumerate(shown):
        if emissions is None or not len(lines):
            return [None] * len(shown)
        taken = None if times is None else times.services(candidate, number, stream.frames)
        once = (
            [emissions]
            if taken is None
            else [emissions.coming_at(coming_ns(emissions, t, header)) for t in taken]
        )
        rounds.append(once)
    window = FrameJudge(stream.truth, header).window
    found = iter(display_each(stream, [one for once in rounds for one in once], lines, window))
    return [OnDisplay.of([next(found) for _ in once], stream) for once in rounds]


def coming_ns(emissions: Emissions, service_ns: NDArray[np.float64], header: Header) -> NDArray[np.int64]:
    """Return when each emission comes if they are computed one after the other.

    Parameters
    ----------
    emissions
        What a candidate showed.
    service_ns
        How long it takes for each frame's image, shape (frames,), float64, nanoseconds; infinite for one that
        never comes.
    header
        The protocol.

    Returns
    -------
    shown_ns
        From the start of the scan, shape (n,), int64, nanoseconds; `NEVER_NS` for what never comes.
    """
    newest, lines = emissions.newest, header.lines_per_frame
    order = np.argsort(newest, kind="stable")
    due_ns = (newest[order] + 1) * header.tr_ns
    whole = (newest[order] + 1) % lines == 0
    came = np.isfinite(service_ns)
    usual = float(np.median(service_ns[came])) if came.any() else np.inf
    # A tracker's positions between the ends of frames were not timed one by one.
    took = np.where(whole, service_ns[newest[order] // lines], usual)
    comes = np.isfinite(took)
    spent = np.rint(np.where(comes, took, 0)).astype(np.int64)
    done = np.cumsum(spent)
    # Each begins when its line is due and the one before is done; the greatest of such starts decides.
    shown = np.empty(len(newest), np.int64)
    shown[order] = np.where(comes, done + np.maximum.accumulate(due_ns - (done - spent)), NEVER_NS)
    return shown


def compare_displays(measure: str, one: Row, other: Row) -> Difference:
    """Set two candidates against each other at the instants at which both can be followed.

    Parameters
    ----------
    measure
        "m95_mm" or "dice_shown".
    one, other
        What both have on display of each stream.
    """
    pairs, blocks, offset = [np.empty((0, 2))], [np.empty(0, np.int64)], 0
    for a, b in zip(one, other, strict=True):
        if a is None or b is None:
            continue
        both = np.stack([a.values(measure).ravel(), b.values(measure).ravel()], axis=1)
        within = ~np.isnan(both).any(axis=1)
        pairs.append(both[within])
        blocks.append(np.tile(a.block, len(a.error_m))[within] + offset)
        offset += int(a.block.max()) + 1
    joined = np.concatenate(pairs)
    if not len(joined):
        return Difference(None, None, "none", "there is no instant at which both can be told")
    return paired(BY_NAME[measure], joined, np.concatenate(blocks))


def figure_of(measure: str, row: Row) -> float | None:
    """Return a candidate's M95 or mean Dice on display over all streams; None where none can be told.

    Parameters
    ----------
    measure
        "m95_mm" or "dice_shown".
    row
        What it has on display of each stream.
    """
    values = np.concatenate([np.empty(0), *(one.values(measure).ravel() for one in row if one is not None)])
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    value = float(nearest_rank(values, 0.95)) if measure == "m95_mm" else float(values.mean())
    return value if np.isfinite(value) else None
