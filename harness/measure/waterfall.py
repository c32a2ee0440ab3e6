"""What M95 is made of: cadence, lines of different age, computing, and the error of the image itself.

Each step is M95 of a display that is perfect in all that follows. First every image shows the target as it
was at the image's last line, and comes as soon as that line is due: what is left is the cadence. Then each
shows it as much earlier as the apparent lag says, since it is made of older lines, too. Then each comes when
it came. What M95 has beyond that is the error of the image. The truth at every line and the run's own stamps
suffice. Two more figures say what M95 would be of the same images, had they come sooner or more often.
"""

from __future__ import annotations

import dataclasses
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
        M95 of the same images if each took half its time.
    tenfold_m
        M95 at an acceleration of 10, if images took the same time, lagged as far behind their lines, and
        erred as the nearest of these; None if the scan has that already, or nothing came.
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
        # An image that lost the target adds no millimetres.
        image = f"{self.image_m * 1e3:z.1f} mm" if math.isfinite(self.image_m) else "the target lost"
        told = [f"{name} {'-' if value is None else f'{value * 1e3:z.1f}'}" for name, value in parts]
        return f"{', '.join(told)}, image {image}"


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

    def perfect(age: int, shown_ns: NDArray[np.int64]) -> float:
        return _margin(displayed, truth, header, newest, shown_ns, age)

    cadence = perfect(0, due_ns)
    shared = perfect(age_ns, due_ns)
    computed = perfect(age_ns, due_ns + took_ns)
    return Waterfall(
        cadence_m=cadence,
        sharing_m=None if lag_ns is None else shared - cadence,
        computing_m=computed - shared,
        image_m=_m95(displayed) - computed,
        half_compute_m=_m95(displayed.coming_at(due_ns + took_ns // 2)),
        tenfold_m=_tenfold(displayed, stream, took_ns, age_ns),
    )


def _m95(displayed: Displayed) -> float:
    error = displayed.error_m[displayed.judged]
    return float(nearest_rank(error, SHARE)) if len(error) else math.inf


def _tenfold(displayed: Displayed, stream: Stream, took_ns: NDArray[np.int64], age_ns: int) -> float | None:
    """Return M95 of images of a tenth of the lines, each with the error of that which is nearest in time."""
    truth, header, emissions = stream.truth, stream.header, displayed.emissions
    assert truth is not None
    fewer = math.ceil(header.matrix[0] / TENFOLD)
    if fewer >= header.lines_per_frame or header.window or not len(emissions.newest):
        return None
    lines = np.arange(fewer - 1, len(stream), fewer, dtype=np.int64)
    newest, earliest = np.unique(emissions.newest, return_index=True)
    after = np.clip(np.searchsorted(newest, lines), 1, max(len(newest) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(newest) - 1)
    nearest = earliest[np.where(lines - newest[before] <= newest[after] - lines, before, after)]

    def shows(line: NDArray[np.int64]) -> NDArray[np.float64]:
        return truth.centroid_at(line * header.tr_ns + header.te_ns - age_ns, header)

    error = emissions.centre_m[nearest] - shows(emissions.newest[nearest])
    more = dataclasses.replace(
        emissions,
        newest=lines,
        frame=emissions.frame[nearest],
        centre_m=shows(lines) + error,
        hold=emissions.hold[nearest],
        mask=emissions.mask[nearest],
    )
    shown_ns = (lines + 1) * header.tr_ns + took_ns[nearest]
    return _m95(dataclasses.replace(displayed, emissions=more).coming_at(shown_ns))


def _margin(
    displayed: Displayed,
    truth: Truth,
    header: Header,
    newest: NDArray[np.int64],
    shown_ns: NDArray[np.int64],
    age_ns: int,
) -> float:
    """Return M95 of a display that shows the true centre of some time before each line, metres."""
    open_ = displayed.judged
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
