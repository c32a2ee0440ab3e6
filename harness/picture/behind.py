"""The moving picture of what is behind: the contour that is shown, and the true one, at every instant.

Shown at t is the contour that the judge finds in the image that is on display at t. True at t is where the
target is by then. Each candidate has a panel. All show the same instants of the same scan, and a second of
the picture is a second of the scan.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.judge.result import RunResult
from harness.measure.breaths import breath_starts
from harness.measure.delivery import Delivery
from harness.measure.displayed import NOTHING, Displayed
from harness.measure.finding.segmentation import finder_of
from harness.measure.margin import mm
from harness.measure.true_masks import TrueMasks
from harness.picture import canvas
from harness.picture.canvas import Canvas, Rgb, grey, outlined, shortened, text_width
from mrsim.errors import InputError
from mrsim.formats.images.moving import check_moving, write_moving
from mrsim.stream import Stream

FRAME_NS = 100_000_000
SECONDS, MOST_SECONDS = 8.0, 120.0
MOST_PANELS = 6
PANEL_PX, GAP_PX = 176, 12
HEAD_PX, NAME_PX, LAMP_PX, TRACE_PX, FOOT_PX = 26, 40, 24, 52, 22
WHITE_QUANTILE = 0.998
BEAM_ON = 0.5
"""Share of a TR from which the lamp is on."""


@dataclass(frozen=True)
class Behind:
    """Hold what the picture shows of one candidate.

    Parameters
    ----------
    name
        What it is called.
    result
        Its replay, with images, of a scan that has a target.
    displayed
        What was on display at each TR.
    beam
        What a gated beam would have done, for the lamp; None for no lamp.
    """

    name: str
    result: RunResult
    displayed: Displayed
    beam: Delivery | None

    @classmethod
    def of(cls, name: str, result: RunResult) -> Behind:
        """Return what is shown of a replay.

        Raises
        ------
        InputError
            If nothing was on display, or the scan has no target.
        """
        if result.displayed is None or result.margin is None:
            raise InputError(
                f"{name}: a moving picture needs what was on display at each instant: replay a scan with "
                "truth, and measure its images"
            )
        gated = (one.delivery for one in result.beams if one.delivery.beam.kind == "gating")
        return cls(name, result, result.displayed, next(gated, None))

    @property
    def figures(self) -> str:
        """Return M95, and how late its images are when they are shown, as the result states them."""
        margin, quality = self.result.margin, self.result.quality
        m95 = None if margin is None else margin.m95_m
        told = f"M95 {mm(m95)} mm" if m95 is None or math.isfinite(m95) else "M95 infinite"
        lag = None if quality is None else quality.total_lag_ns
        return f"{told}, {'no steady lag' if lag is None else f'{lag / 1e6:.0f} ms behind'}"

    def at(self, t_ns: int) -> int:
        """Return the row of `displayed` that holds at an instant."""
        return max(0, int(np.searchsorted(self.displayed.t_ns, t_ns, side="right")) - 1)


def write_behind(
    path: str | Path,
    results: Mapping[str, RunResult],
    *,
    seconds: float = SECONDS,
    start_s: float | None = None,
    frame_ns: int = FRAME_NS,
) -> int:
    """Write the moving picture of one scan and several candidates, whole or not at all.

    Parameters
    ----------
    path
        File to write: .gif or .mp4.
    results
        Replays of the same scan, by the name that they are shown under.
    seconds
        Length, in which it is rounded to whole frames; no longer than what was judged.
    start_s
        Where it starts, seconds from the start of the scan; None for whole breaths in which the target moves
        most.
    frame_ns
        Time of each frame, nanoseconds, which is the time that it is shown.

    Returns
    -------
    frames
        Number of frames.

    Raises
    ------
    InputError
        If there is nothing to show, the scans differ, or the file cannot be written.
    MissingExtraError
        If what draws or encodes it is not installed.
    """
    check_moving(path)
    panels = [Behind.of(name, result) for name, result in results.items()]
    times = _times(panels, seconds, start_s, frame_ns)
    return write_moving(path, _pictures(panels, times, frame_ns), frame_ns, canvas.palette())


def _times(panels: list[Behind], seconds: float, start_s: float | None, frame_ns: int) -> NDArray[np.int64]:
    """Return the instants that are shown, nanoseconds from the start of the scan."""
    if not 1 <= len(panels) <= MOST_PANELS:
        raise InputError(f"{len(panels)} candidates: a moving picture shows 1 to {MOST_PANELS}")
    first = panels[0].result.stream
    for one in panels[1:]:
        other = one.result.stream
        if other.header != first.header or other.frames != first.frames:
            raise InputError(f"{one.name}: its scan is another than that of {panels[0].name}")
    if not 0 < seconds <= MOST_SECONDS:
        raise InputError(f"seconds = {seconds}: expected above 0, at most {MOST_SECONDS:g}")
    low = max(int(one.displayed.t_ns[0]) for one in panels)
    high = min(int(one.displayed.t_ns[-1]) for one in panels)
    length = min(round(seconds * 1e9), high - low)
    if start_s is None:
        start, length = _liveliest(panels[0], low, high, length)
    else:
        start = round(start_s * 1e9)
        if not low <= start <= high - length:
            raise InputError(
                f"start_s = {start_s}: what was judged reaches from {low / 1e9:.1f} to {high / 1e9:.1f} s"
            )
    return start + np.arange(max(1, round(length / frame_ns)), dtype=np.int64) * frame_ns


def _liveliest(one: Behind, low: int, high: int, length: int) -> tuple[int, int]:
    """Return start and length of whole breaths in which the target goes the longest way."""
    truth = one.result.stream.truth
    assert truth is not None
    starts = breath_starts(truth, one.result.stream.header)
    starts = starts[(starts >= low) & (starts <= high)]
    pairs = [(int(a), int(b) - int(a)) for a in starts for b in starts if 0 < b - a <= length]
    most = max((time for _, time in pairs), default=0)
    # Nearly as long as is asked for, so that what begins anew goes on smoothly.
    whole = [(start, time) for start, time in pairs if time > most * 0.8]
    if most < length // 3:
        whole = [(start, length) for start in range(low, high - length + 1, max(1, length // 4))] or [
            (low, length)
        ]
    way = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(one.displayed.true_m, axis=0).T))])
    t_ns = one.displayed.t_ns

    def gone(stretch: tuple[int, int]) -> float:
        at = np.searchsorted(t_ns, [stretch[0], sum(stretch)])
        return float(way[min(at[1], len(way) - 1)] - way[min(at[0], len(way) - 1)]) / stretch[1]

    return max(whole, key=gone)


def _pictures(panels: list[Behind], times: NDArray[np.int64], frame_ns: int) -> Iterator[Rgb]:
    stream = panels[0].result.stream
    assert stream.truth is not None
    window = finder_of(stream.truth, stream.header).window
    true = TrueMasks(stream, window, 0).at(times)
    rows, columns = _panel_size(stream, window)
    white = _white(stream, times, window)
    width = len(panels) * columns + (len(panels) + 1) * GAP_PX
    ground = Canvas(width, HEAD_PX + NAME_PX + rows + LAMP_PX + TRACE_PX + FOOT_PX)
    _still(ground, panels, times, rows, columns, frame_ns)
    for number, t_ns in enumerate(times.tolist()):
        drawn = ground.copy()
        told = f"{(t_ns - int(times[0])) / 1e9:4.1f} s"
        drawn.text(width - GAP_PX - text_width(told), 6, told)
        for place, one in enumerate(panels):
            x = GAP_PX + place * (columns + GAP_PX)
            drawn.paste(x, HEAD_PX + NAME_PX, _panel(one, t_ns, true[number], window, white, (rows, columns)))
            _lamp(drawn, one, t_ns, x, HEAD_PX + NAME_PX + rows + 4)
            share = number / max(1, len(times) - 1)
            top = HEAD_PX + NAME_PX + rows + LAMP_PX
            at = x + share * (columns - 1)
            drawn.line(np.array([[at, top + 2.0], [at, top + TRACE_PX - 2.0]]), canvas.QUIET)
        yield drawn.pixels


def _panel_size(stream: Stream, window: tuple[slice, slice]) -> tuple[int, int]:
    """Return rows and columns of a panel: the window of the judge, in the proportions of the body."""
    header = stream.header
    height, width = (
        (part.stop - part.start) * fov / side
        for part, fov, side in zip(window, header.fov_m, header.matrix, strict=True)
    )
    # Of equal areas, and wide enough for the words above.
    columns = int(np.clip(round(PANEL_PX * math.sqrt(width / height)), PANEL_PX, 2 * PANEL_PX))
    return max(48, min(2 * PANEL_PX, round(columns * height / width))), columns


def _white(stream: Stream, times: NDArray[np.int64], window: tuple[slice, slice]) -> float:
    assert stream.truth is not None
    frame = int(np.clip(times[0] // stream.header.frame_ns, 0, stream.frames - 1))
    return float(np.quantile(np.abs(stream.truth.image[frame][window]), WHITE_QUANTILE)) or 1.0


def _still(
    ground: Canvas, panels: list[Behind], times: NDArray[np.int64], rows: int, columns: int, frame_ns: int
) -> None:
    """Draw what does not change: names, figures, the paths, and what the colours mean."""
    x = float(GAP_PX)
    for words, colour in (("where it is", canvas.TRUE), ("where it is shown", canvas.SHOWN)):
        ground.line(np.array([[x, 14.0], [x + 16, 14.0]]), colour, 3)
        ground.text(x + 21, 6, words, colour)
        x += 35 + text_width(words)
    for place, one in enumerate(panels):
        x = GAP_PX + place * (columns + GAP_PX)
        ground.text(x, HEAD_PX, shortened(one.name, columns, 14), canvas.TEXT, 14)
        ground.text(x, HEAD_PX + 19, one.figures, canvas.SHOWN)
        _paths(ground, one, times, x, HEAD_PX + NAME_PX + rows + LAMP_PX, columns)
    per_second = f"{1e9 / frame_ns:.3g} frames a second, in real time"
    made = panels[0].result.stream.header
    told = f"{per_second}; {made.acceleration:g}x, {made.frame_ns / 1e6:.0f} ms of lines an image"
    bottom = HEAD_PX + NAME_PX + rows + LAMP_PX + TRACE_PX + 5
    ground.text(GAP_PX, bottom, shortened(told, len(panels) * (columns + GAP_PX), 12), canvas.QUIET, 12)


def _paths(ground: Canvas, one: Behind, times: NDArray[np.int64], x: int, top: int, columns: int) -> None:
    """Draw along which way the target goes, and along which it is shown, on the axis of its motion."""
    shown = one.displayed
    low, high = one.at(int(times[0])), one.at(int(times[-1]))
    part = slice(low, high + 1)
    spread = np.ptp(shown.true_m[part], axis=0)
    axis = int(np.argmax(spread))
    true, found = shown.true_m[part, axis], shown.centre_m[part, axis]
    middle, half = (true.max() + true.min()) / 2, max(float(spread[axis]) / 2 * 1.35, 1e-3)
    across = x + np.linspace(0, columns - 1, len(true))
    for values, colour in ((true, canvas.TRUE), (found, canvas.SHOWN)):
        level = np.clip((values - middle) / half, -1, 1) * (TRACE_PX / 2 - 4) + top + TRACE_PX / 2
        there = np.isfinite(level)
        edges = np.flatnonzero(np.diff(np.concatenate(([0], there.astype(np.int8), [0]))))
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            ground.line(np.stack([across[start:stop], level[start:stop]], axis=1), colour, 2)


def _panel(
    one: Behind,
    t_ns: int,
    true: NDArray[np.bool_],
    window: tuple[slice, slice],
    white: float,
    size: tuple[int, int],
) -> Rgb:
    """Draw what is on display at an instant, with both contours."""
    emissions, at = one.displayed.emissions, int(one.displayed.index[one.at(t_ns)])
    frame = NOTHING if at == NOTHING else int(emissions.frame[at])
    pixels = one.result.run.images.pixels
    if frame == NOTHING or pixels is None:
        picture = np.zeros((*size, 3), np.uint8)
    else:
        picture = grey(np.abs(pixels[frame][window]), white, size)
    if at != NOTHING:
        if (row := int(emissions.mask[at])) != NOTHING:
            picture = outlined(picture, emissions.masks[row], canvas.SHOWN)
        elif np.isfinite(emissions.centre_m[at]).all():
            picture = _crossed(picture, emissions.centre_m[at], one.result.stream, window)
    return outlined(picture, true, canvas.TRUE)


def _crossed(picture: Rgb, centre_m: NDArray[np.float64], stream: Stream, window: tuple[slice, slice]) -> Rgb:
    """Draw a cross where a tracker, which has no contour, says that the target is."""
    header, drawn = stream.header, Canvas(picture.shape[1], picture.shape[0])
    drawn.paste(0, 0, picture)
    place = []
    for axis in (1, 0):  # x along columns, y along rows
        side, fov, part = header.matrix[axis], header.fov_m[axis], window[axis]
        pixel = float(centre_m[1 - axis]) / (fov / side) + side // 2 + 0.5 - part.start
        place.append(pixel / (part.stop - part.start) * picture.shape[axis])
    for arm in (np.array([7.0, 0.0]), np.array([0.0, 7.0])):
        drawn.line(np.array([place - arm, place + arm]), canvas.SHOWN, 2)
    return drawn.pixels


def _lamp(drawn: Canvas, one: Behind, t_ns: int, x: int, y: int) -> None:
    """Draw whether the beam is on and meets the target, and how far the two contours are apart now."""
    row = one.at(t_ns)
    error = float(one.displayed.error_m[row])
    if one.displayed.held[row]:
        away = "HOLD"
    else:
        away = f"{error * 1e3:.1f} mm off" if math.isfinite(error) else "not found"
    if one.beam is None:
        drawn.text(x, y, away)
        return
    on = bool(one.beam.on_share[row] > BEAM_ON)
    astray = on and not bool(one.beam.ideal_on_share[row])
    colour = canvas.QUIET if not on else canvas.BAD if astray else canvas.GOOD
    words = "beam off" if not on else "beam astray" if astray else "beam on"
    drawn.disc(x + 7, y + 8, 6, colour, filled=on)
    drawn.text(x + 19, y, words, colour)
    drawn.text(x + 102, y, away)
