"""Who is ahead of whom, in one measure at a time: paired, with an interval, and a tie called a tie.

Two candidates differ where the whole 95 % interval of their paired ratio or difference lies beyond a margin
that matters; else they are level. Frames that neighbour each other resemble each other, so whole blocks are
drawn: replays of one segment for times, breaths for images (Kuensch 1989, 10.1214/aos/1176347265).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.console import figure, significant
from harness.measure.exact_statistics import nearest_rank, samples_needed
from harness.measure.intervals import MIN_BREATHS, Interval, statistic_interval
from mrsim.summary import counted

Pairs = NDArray[np.float64]
"""Values of two candidates side by side, shape (n, 2)."""


def median_ratio(pairs: Pairs) -> float:
    """Return the median of first / second, pair by pair."""
    return float(np.exp(np.median(np.log(pairs[:, 0] / pairs[:, 1]))))


def ratio_of_means(pairs: Pairs) -> float:
    """Return the mean of the first over that of the second; infinite where the second alone is 0."""
    first, second = pairs.mean(axis=0)
    return float(first / second) if second else math.inf


def difference_of_means(pairs: Pairs) -> float:
    """Return the mean of the first minus that of the second."""
    first, second = pairs.mean(axis=0)
    return float(first - second)


def difference_of_p95(pairs: Pairs) -> float:
    """Return the 95th percentile (nearest rank) of the first minus that of the second."""
    return float(nearest_rank(pairs[:, 0], 0.95)) - float(nearest_rank(pairs[:, 1], 0.95))


@dataclass(frozen=True, slots=True)
class Measure:
    """Say how two candidates are told apart in one measure.

    Parameters
    ----------
    name
        Its name, with its unit.
    about
        What is set against what, in a few words.
    statistic
        What is computed of both candidates' values of the same images, shape (n, 2); None of the lag, which
        has one value a scan.
    neutral
        Value between equals: 1 of a ratio, 0 of a difference.
    margin
        Factor (of a ratio) or difference within which nothing is told apart.
    more_is_better
        Whether it is.
    digits
        Decimals that are shown.
    """

    name: str
    about: str
    statistic: Callable[[Pairs], float] | None
    neutral: float
    margin: float
    more_is_better: bool = False
    digits: int = 2

    @property
    def bounds(self) -> Interval:
        """Return the band in which two candidates are level."""
        if self.neutral == 1.0:
            return 1 / self.margin, self.margin
        return -self.margin, self.margin


MEASURES = (
    Measure("response_ms", "median ratio of the same image's response", median_ratio, 1.0, 1.05),
    Measure(
        "missed", "difference of the shares that missed the deadline", difference_of_means, 0.0, 0.005,
        digits=4,
    ),
    Measure("m95_mm", "difference of M95 on display, mm", difference_of_p95, 0.0, 0.05),
    Measure(
        "dice_shown", "difference of the mean Dice on display", difference_of_means, 0.0, 0.002,
        more_is_better=True, digits=4,
    ),
    Measure("nmse", "ratio of the mean NMSE", ratio_of_means, 1.0, 1.02),
    Measure(
        "dice", "difference of the mean Dice", difference_of_means, 0.0, 0.002, more_is_better=True, digits=4
    ),
    Measure("lag_ms", "difference of the apparent lag", None, 0.0, 5.0, digits=1),
    Measure(
        "centroid_mm", "difference of the p95 of the centroid error at the last line, mm", difference_of_p95,
        0.0, 0.05,
    ),
)  # fmt: skip
"""What `mrsim compare` orders candidates by."""
CENTROID_SHOWN = Measure(
    "centroid_shown_mm", "difference of the p95 of the centroid error when shown, mm", difference_of_p95,
    0.0, 0.05,
)  # fmt: skip
BY_NAME = {measure.name: measure for measure in (*MEASURES, CENTROID_SHOWN)}
TIMED = ("response_ms", "missed")
ON_DISPLAY = ("m95_mm", "dice_shown")
"""Measures of what is on display at each instant; those of neither kind are of single images."""
OF_TARGET = (*ON_DISPLAY, "dice", "lag_ms", "centroid_mm")
"""Measures that take a target."""
HEADINGS = {
    "response_ms": "response p50 ms",
    "missed": "missed",
    "m95_mm": "M95 on display mm",
    "dice_shown": "Dice on display",
    "nmse": "NMSE",
    "dice": "Dice",
    "lag_ms": "lag ms",
    "centroid_mm": "centroid p95 mm",
}
"""What is written above the figures of a measure."""


def shown(measure: str, value: float | None) -> str:
    """Return a candidate's figure in a measure as text, a dash for None."""
    if measure == "missed" and value is not None:
        return f"{value:.2%}"
    if measure == "nmse":
        return significant(value)
    return figure(value, {"dice": 3, "dice_shown": 3, "lag_ms": 0}.get(measure, 2))


@dataclass(frozen=True, slots=True)
class Difference:
    """Hold what sets the first of two candidates apart from the second in one measure.

    Parameters
    ----------
    value, interval
        Ratio or difference, first to second, and its 95 % interval; None where it cannot be had.
    standing
        "ahead", "behind" or "tie"; "undecided" where there are too few blocks for an interval; "none" where
        there is nothing to compare, however long the scan.
    note
        Why a figure is missing; empty where none is.
    """

    value: float | None
    interval: Interval | None
    standing: str
    note: str = ""

    @property
    def reversed_standing(self) -> str:
        """Return where the second stands."""
        return {"ahead": "behind", "behind": "ahead"}.get(self.standing, self.standing)

    def to_json(self) -> dict[str, Any]:
        """Return the difference as JSON values."""
        interval = None if self.interval is None else list(self.interval)
        return {"value": self.value, "interval": interval, "standing": self.standing, "note": self.note}


def standing_of(measure: Measure, interval: Interval | None) -> str:
    """Return where the first stands, by the interval of its ratio or difference to the second."""
    if interval is None:
        return "undecided"
    low, high = measure.bounds
    if interval[0] > high:
        return "ahead" if measure.more_is_better else "behind"
    if interval[1] < low:
        return "behind" if measure.more_is_better else "ahead"
    return "tie"


def paired(
    measure: Measure,
    pairs: Pairs,
    blocks: NDArray[np.int64],
    block: str = "breath",
) -> Difference:
    """Set two candidates against each other in a measure that each frame has a value of.

    Parameters
    ----------
    measure
        The measure; not the lag.
    pairs
        Values of both, of the same frames, shape (n, 2); an image without a target has an infinite error.
    blocks
        Block of each pair, shape (n,).
    block
        What a block is.
    """
    if not len(pairs):
        return Difference(None, None, "undecided", "there is no frame of which both have an image")
    if np.array_equal(pairs[:, 0], pairs[:, 1]):
        return Difference(measure.neutral, (measure.neutral, measure.neutral), "tie")
    assert measure.statistic is not None
    if measure.statistic is difference_of_p95:
        if len(pairs) < samples_needed(0.95):
            return Difference(None, None, "undecided", f"a p95 takes {samples_needed(0.95)} images")
        lost = [not math.isfinite(float(nearest_rank(pairs[:, i], 0.95))) for i in (0, 1)]
        if any(lost):
            standing = "tie" if all(lost) else ("behind" if lost[0] else "ahead")
            return Difference(None, None, standing, "the target is lost for 5 % or more")
    value = measure.statistic(pairs)
    if math.isinf(value):
        return Difference(None, None, "behind", "the other's are all 0")
    interval = statistic_interval(pairs, blocks, measure.statistic)
    note = "" if interval is not None else too_few(len(np.unique(blocks)), block)
    if interval is not None and measure.neutral == 1.0 and interval[0] < 0:
        longer = "take longer streams, or more of them"
        return Difference(value, None, "undecided", f"its interval reaches ratios below 0: {longer}")
    return Difference(value, interval, standing_of(measure, interval), note)


def too_few(count: int, block: str = "breath") -> str:
    """Return, in words, why there is no interval, and what to do."""
    what = "take longer streams, or more of them" if block == "breath" else "take more rounds (repeat)"
    return f"{counted(count, block)}, an interval takes {MIN_BREATHS}: {what}"


def of_intervals(
    measure: Measure, first: float | None, second: float | None, one: Interval | None, other: Interval | None
) -> Difference:
    """Set two lags against each other by their own intervals, which is the stricter way.

    Parameters
    ----------
    measure
        The measure.
    first, second
        Both values; None where none can be stated, which is behind any that can.
    one, other
        Their intervals; None of too few breaths.
    """
    if first is None or second is None:
        standing = "tie" if first is second else ("behind" if first is None else "ahead")
        return Difference(None, None, standing, "no lag can be stated")
    if first == second and one == other:
        return Difference(0.0, (0.0, 0.0), "tie")
    if one is None or other is None:
        note = f"too few breaths, an interval takes {MIN_BREATHS}: take longer streams"
        return Difference(first - second, None, "undecided", note)
    interval = (one[0] - other[1], one[1] - other[0])
    return Difference(first - second, interval, standing_of(measure, interval))


def ranks(count: int, ahead: Callable[[int, int], bool]) -> list[int]:
    """Return the rank of each candidate: one more than the number of those that are ahead of it.

    Levelness does not carry over: a may be level with b and b with c, and a still be ahead of c.
    """
    return [1 + sum(ahead(other, one) for other in range(count) if other != one) for one in range(count)]


def order_in_words(names: Sequence[str], rank: Sequence[int]) -> str:
    """Return an order in words, best first, those level side by side: `a = b, then c`."""
    groups = [[names[i] for i in range(len(names)) if rank[i] == r] for r in sorted(set(rank))]
    return ", then ".join(" = ".join(group) for group in groups)
