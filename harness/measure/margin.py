"""The margin: how far around the displayed centre one must reach to hold the target for most of the time.

M95 (M99) is the smallest radius such that the displayed centre is within it of the true one for 95 (99) % of
the time. Time without a displayed target counts as infinitely far. Time that is held, or for which the target
is out of the slice, is *unavailable* and counts apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.measure.breaths import breath_blocks, breath_starts
from harness.measure.displayed import NOTHING, Displayed
from harness.measure.exact_statistics import clusters, nearest_rank
from harness.measure.failures import SilentFailures
from harness.measure.intervals import MARGIN_BREATHS, MarginBounds, margin_interval
from harness.measure.waterfall import Waterfall
from mrsim.stream import Stream
from mrsim.summary import Summarised, counted

RATE_BREATHS = 5
"""Fewer breaths than this do not tell how long one takes: the first and the last are seen in part."""
BEYOND_M = 3e-3
"""Distance of which it is told for how long it is passed: a usual margin for a target that is tracked."""


@dataclass(frozen=True, repr=False)
class Margin(Summarised):
    """Hold the accuracy of what was on display at each instant of the judged time.

    Parameters
    ----------
    m95_m, m99_m
        Margins, metres; infinite if the target is lost for longer, None if it was never available.
    bounds
        What whole breaths say about M95: its interval, and the bound that a PASS needs; None for too few.
    offline_m95_m
        The same share of single images, each against the truth at its own last line, metres: what is found
        where time does not count. None if no image came.
    rms_m
        Root mean square distance while a target was displayed, metres; None if none was.
    availability
        Share of the time that is available.
    held_share, gone_share
        Share of the time that was held, and for which the target was out of the slice.
    unseen_share
        Share of the time for which the judge loses the target in the noise-free truth of the image that is on
        display; it is in none of the figures below.
    lost_share
        Share of the judged time without a target on display.
    beyond_share, beyond_longest_ns
        Share of the judged time, and the longest time, beyond 3 mm.
    dice, nmse
        Means over the time of what was on display; None where it cannot be told.
    breaths, judged_ns
        Number of breaths of the judged time, and its length, nanoseconds.
    medians_m
        The distance that was passed for half of the available time of each breath, metres.
    silent
        What was shown and should not have been followed, without HOLD.
    waterfall
        What M95 is made of.
    """

    m95_m: float | None
    m99_m: float | None
    bounds: MarginBounds | None
    offline_m95_m: float | None
    rms_m: float | None
    availability: float
    held_share: float
    gone_share: float
    unseen_share: float
    lost_share: float
    beyond_share: float
    beyond_longest_ns: int
    dice: float | None
    nmse: float | None
    breaths: int
    judged_ns: int
    medians_m: tuple[float, ...]
    silent: SilentFailures
    waterfall: Waterfall

    @property
    def unsure(self) -> str:
        """Return why there are no bounds; empty if there are."""
        if self.bounds is not None:
            return ""
        said = f"{counted(self.breaths, 'breath')}, its bound takes {MARGIN_BREATHS}"
        if self.breaths < RATE_BREATHS:
            return f"{said}: scan for a minute or longer (--seconds)"
        # A fifth more, since breaths differ and the first images are not judged.
        longer = 1.2 * MARGIN_BREATHS * self.judged_ns / self.breaths * 1e-9
        return f"{said}: scan for some {math.ceil(longer / 5) * 5} s (--seconds)"

    @property
    def m95_mm(self) -> float | None:
        """Return M95 in millimetres."""
        return None if self.m95_m is None else self.m95_m * 1e3

    @property
    def m99_mm(self) -> float | None:
        """Return M99 in millimetres."""
        return None if self.m99_m is None else self.m99_m * 1e3

    @property
    def gap_m(self) -> float | None:
        """Return by how much M95 on display exceeds that of single images, metres."""
        if self.m95_m is None or self.offline_m95_m is None or not math.isfinite(self.m95_m):
            return None
        return self.m95_m - self.offline_m95_m

    @property
    def sentence(self) -> str:
        """Return what the reconstructor costs, in one sentence that needs no other page."""
        who = "this reconstructor"
        if self.m95_m is None:
            return f"{who} never had a target that could be followed"
        lag = f"{self.waterfall.lag_m * 1e3:.1f}"
        if not math.isfinite(self.m95_m):
            return (
                f"{who} has no margin that holds the target: it is lost for {self.lost_share:.0%} of the time"
            )
        few = f" (seen for {counted(self.breaths, 'breath')}, too few for an interval)"
        interval = few if self.bounds is None else f" ({mm(self.bounds.low_m)} to {mm(self.bounds.high_m)})"
        cost = f"{who} costs {mm(self.m95_m)} mm of margin{interval}"
        if self.waterfall.lag_m > self.m95_m:  # what an image shows may stray less than what it is late for
            return f"{cost}; a perfect image as late as this would cost {lag}"
        return f"{cost}, of which {lag} is lag"

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        return f"Margin: M95 {mm(self.m95_m)} mm", [
            ("it", self.sentence),
            ("available", f"{self.availability:.1%} of the time; beyond 3 mm for {self.beyond_share:.1%}"),
            ("image by image", f"M95 {mm(self.offline_m95_m)} mm"),
            ("made of", str(self.waterfall)),
        ]


def mm(metres: float | None) -> str:
    """Return a length in millimetres, to a tenth."""
    if metres is None:
        return "-"
    return "infinite" if not math.isfinite(metres) else f"{metres * 1e3:.1f}"


def measure_margin(
    displayed: Displayed,
    stream: Stream,
    offline_m: NDArray[np.float64] | None,
    silent: SilentFailures,
    waterfall: Waterfall,
) -> Margin:
    """Measure what was on display.

    Parameters
    ----------
    displayed
        What was on display at every TR.
    stream
        The scan that was played, with truth.
    offline_m
        Centre error of each steady image at its last line, shape (n,), metres, infinite where no target was
        found; None if no image came.
    silent, waterfall
        What was found of the same display.
    """
    assert stream.truth is not None
    open_ = displayed.judged
    error = displayed.error_m
    blocks = breath_blocks(displayed.t_ns, breath_starts(stream.truth, stream.header))
    followed, found = error[open_], error[np.isfinite(error) & open_]
    beyond = open_ & (error > BEYOND_M)
    dice = displayed.dice[open_]
    offline = None if offline_m is None or not len(offline_m) else float(nearest_rank(offline_m, 0.95))
    return Margin(
        m95_m=percentile(followed, 0.95),
        m99_m=percentile(followed, 0.99),
        bounds=margin_interval(followed, blocks[open_]) if len(followed) else None,
        offline_m95_m=offline,
        rms_m=float(np.sqrt(np.mean(found**2))) if len(found) else None,
        availability=float(displayed.available.mean()),
        held_share=float(displayed.held.mean()),
        gone_share=float(displayed.gone.mean()),
        unseen_share=float((displayed.available & displayed.unseen).mean()),
        lost_share=float(np.isinf(followed).mean()) if len(followed) else 0.0,
        beyond_share=float(beyond.sum() / max(int(open_.sum()), 1)),
        beyond_longest_ns=max((n for _, n in clusters(beyond)), default=0) * displayed.tr_ns,
        dice=float(dice.mean()) if len(dice) and np.isfinite(dice).all() else None,
        nmse=float(displayed.nmse.mean()) if len(displayed.nmse) else None,
        breaths=len(np.unique(blocks)),
        judged_ns=len(blocks) * displayed.tr_ns,
        medians_m=tuple(float(np.median(followed[blocks[open_] == n])) for n in np.unique(blocks[open_])),
        silent=silent,
        waterfall=waterfall,
    )


def percentile(error_m: NDArray[np.float64], share: float) -> float | None:
    """Return the smallest radius that holds at least a share of the errors, metres; None of no errors."""
    return float(nearest_rank(error_m, share)) if len(error_m) else None


def nothing_shown(displayed: Displayed) -> bool:
    """Return whether nothing was on display for the whole judged time."""
    return bool((displayed.index == NOTHING).all())
