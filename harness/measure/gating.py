"""Gating: what the delays of a run would do to a gated beam.

The beam is on while the newest image that has reached it shows the target within a window around its planned
position. An image reaches the beam after the delay downstream. The truth states where the target is
meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.measure.image_quality import Quality
from mrsim.stream import Stream

PLAN_POINTS = 200


@dataclass(frozen=True, slots=True)
class Gating:
    """Hold what a gated beam would have done; times have a resolution of one TR.

    Parameters
    ----------
    window_m
        Half width of the window, metres.
    planned_m
        Planned position (x, y), metres: the one within whose window the target stays longest.
    downstream_ns
        Delay from image to beam, nanoseconds.
    duty
        Share of the time for which the beam was on.
    ideal_duty
        Share of the time for which the target was inside: the duty of a beam without delay or error.
    outside_share
        Share of the beam's time for which the target was outside; None if the beam was never on.
    outside_longest_ns
        Longest time for which the beam was on and the target outside, nanoseconds.
    missed_share
        Share of the target's time inside for which the beam was off; None if the target was never inside.
    """

    window_m: float
    planned_m: tuple[float, float]
    downstream_ns: int
    duty: float
    ideal_duty: float
    outside_share: float | None
    outside_longest_ns: int
    missed_share: float | None


def simulate_gating(stream: Stream, quality: Quality, window_m: float, downstream_ns: int) -> Gating | None:
    """Gate a beam by the images of a run.

    Parameters
    ----------
    stream
        The scan that was played, with its truth.
    quality
        Centroids of the run's steady images, and when they were shown.
    window_m
        Half width of the window, metres.
    downstream_ns
        Delay from image to beam, nanoseconds.

    Returns
    -------
    gating
        None if no image reaches the beam before the scan ends, or there is no truth.
    """
    truth, header = stream.truth, stream.header
    if truth is None:
        return None
    at_beam_ns = quality.shown_ns + downstream_ns
    order = np.argsort(at_beam_ns, kind="stable")
    at_beam_ns, centroid, newest = at_beam_ns[order], quality.centroid_m[order], quality.frames[order]
    # A late image of an older frame does not replace a newer one.
    current = np.maximum.accumulate(newest) == newest
    at_beam_ns, centroid = at_beam_ns[current], centroid[current]
    t_ns = np.arange(len(stream), dtype=np.int64) * header.tr_ns + header.te_ns
    steady = t_ns >= at_beam_ns[0]
    if not steady.any():
        return None
    planned = _planned(truth.centroid, window_m)
    shown = centroid[np.searchsorted(at_beam_ns, t_ns[steady], side="right") - 1]
    on = np.hypot(*(shown - planned).T) <= window_m  # false if no target was found
    inside = np.hypot(*(truth.centroid[: len(stream)][steady] - planned).T) <= window_m
    stray = on & ~inside
    edges = np.flatnonzero(np.diff(np.concatenate(([0], stray.astype(np.int8), [0]))))
    longest = int((edges[1::2] - edges[::2]).max()) if len(edges) else 0
    return Gating(
        window_m=window_m,
        planned_m=(float(planned[0]), float(planned[1])),
        downstream_ns=downstream_ns,
        duty=float(on.mean()),
        ideal_duty=float(inside.mean()),
        outside_share=float(stray.sum() / on.sum()) if on.any() else None,
        outside_longest_ns=longest * header.tr_ns,
        missed_share=float((inside & ~on).sum() / inside.sum()) if inside.any() else None,
    )


def _planned(path_m: NDArray[np.float64], window_m: float) -> NDArray[np.float64]:
    """Return the point of a path, shape (lines, 2), whose window contains most of the path."""
    points = path_m[:: max(1, len(path_m) // PLAN_POINTS)]
    near = [float(np.mean(np.hypot(*(path_m - point).T) <= window_m)) for point in points]
    best: NDArray[np.float64] = points[int(np.argmax(near))]
    return best
