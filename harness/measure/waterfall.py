"""What M95 is made of: cadence, lines of different age, computing, and the error of the image itself.

Each step is M95 of a display that is perfect in all that follows. First every image shows the target as it
was at the image's last line, and comes as soon as that line is due: what is left is the cadence. Then each
shows it as much earlier as the apparent lag says, since it is made of older lines, too. Then each comes when
it came. What M95 has beyond that is the error of the image. The truth at every line and the run's own stamps
suffice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.measure.displayed import NOTHING, Displayed
from harness.measure.exact_statistics import nearest_rank
from mrsim.stream import Header, Stream, Truth

SHARE = 0.95
TENFOLD = 10


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Hold the parts of M95, metres; they add up to it.

    Parameters
    ----------
    cadence_m
        Of images that show their last line's instant and take no time: one stays until the next comes.
    sharing_m
        What the age of the lines adds: the apparent lag. None if no lag can be claimed; it is then part of
        the image's error.
    computing_m
        What the time from the last line to the image adds.
    image_m
        The rest: the error of the image, and what the finder of the target adds; infinite for a lost target.
    half_compute_m
        M95 if every image took half its time.
    tenfold_m
        M95 at an acceleration of 10, with the same lag behind the lines and the same time to compute; None if
        the scan has that already.
    """

    cadence_m: float
    sharing_m: float | None
    computing_m: float
    image_m: float
    half_compute_m: float
    tenfold_m: float | None

    @property
    def lag_m(self) -> float:
        """Return what is due to time alone, metres: cadence, lines and computing."""
        return self.cadence_m + (self.sharing_m or 0.0) + self.computing_m

    def __str__(self) -> str:
        parts = [
            ("cadence", self.cadence_m),
            ("age of lines", self.sharing_m),
            ("computing", self.computing_m),
        ]
        image = "lost" if not math.isfinite(self.image_m) else f"{self.image_m * 1e3:.1f}"
        told = [f"{name} {'-' if value is None else f'{value * 1e3:.1f}'}" for name, value in parts]
        return f"{', '.join(told)}, image {image} mm"


def waterfall_of(displayed: Displayed, stream: Stream, lag_ns: float | None) -> Waterfall:
    """Part M95 into what time costs and what the image costs.

    Parameters
    ----------
    displayed
        What was on display at every TR.
    stream
        The scan that was played, with truth.
    lag_ns
        Apparent lag of the images behind their last line, nanoseconds; None if none can be claimed.
    """
    truth, header = stream.truth, stream.header
    assert truth is not None
    newest = displayed.emissions.newest
    due_ns = (newest + 1) * header.tr_ns
    took_ns = displayed.emissions.shown_ns - due_ns
    age_ns = 0 if lag_ns is None else round(lag_ns)

    def m95(age: int, share_of_time: float, lines: NDArray[np.int64] = newest) -> float:
        shown_ns = (lines + 1) * header.tr_ns
        if lines is newest:
            shown_ns = due_ns + np.round(took_ns * share_of_time).astype(np.int64)
        elif len(took_ns):
            shown_ns = shown_ns + int(np.median(took_ns) * share_of_time)
        return _margin(displayed, truth, header, lines, shown_ns, age)

    cadence = m95(0, 0.0)
    shared = m95(age_ns, 0.0)
    computed = m95(age_ns, 1.0)
    error = displayed.error_m[displayed.available]
    whole = float(nearest_rank(error, SHARE)) if len(error) else math.inf
    fewer = math.ceil(header.matrix[0] / TENFOLD)
    tenfold = None
    if fewer < header.lines_per_frame and not header.window:
        lines = np.arange(fewer - 1, len(stream), fewer, dtype=np.int64)
        tenfold = m95(age_ns, 1.0, lines)
    return Waterfall(
        cadence_m=cadence,
        sharing_m=None if lag_ns is None else shared - cadence,
        computing_m=computed - shared,
        image_m=whole - computed,
        half_compute_m=m95(age_ns, 0.5),
        tenfold_m=tenfold,
    )


def _margin(
    displayed: Displayed,
    truth: Truth,
    header: Header,
    newest: NDArray[np.int64],
    shown_ns: NDArray[np.int64],
    age_ns: int,
) -> float:
    """Return M95 of a display that shows the true centre of some time before each line, metres."""
    open_ = displayed.available
    if not open_.any() or not len(newest):
        return 0.0
    order = np.lexsort((newest, shown_ns))
    shown_ns, best = shown_ns[order], np.maximum.accumulate(newest[order])
    t_ns = displayed.t_ns[open_]
    at = np.searchsorted(shown_ns, t_ns, side="right") - 1
    at = at[at != NOTHING]
    if not len(at):
        return 0.0
    t_ns = t_ns[len(t_ns) - len(at) :]
    shown = truth.centroid_at(best[at] * header.tr_ns + header.te_ns - age_ns, header)
    true = truth.centroid_at(t_ns, header)
    return float(nearest_rank(np.hypot(*(shown - true).T), SHARE))
