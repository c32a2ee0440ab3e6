"""One pass of a candidate over a part of a scan: images are judged as they come, and few are kept.

So memory does not grow with the images, however long the scan.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.comparison.series import Series, series_of
from harness.console import Report
from harness.judge.evaluate import refuse_broken
from harness.judge.verdict import judge_conduct
from harness.measure.displayed import NOTHING, Emissions, emissions_of
from harness.measure.failures import is_blank
from harness.measure.floor import floor_image
from harness.measure.image_quality import FrameJudge, FrameScore
from harness.measure.ruler import full_image
from harness.measure.shown import combination_of, shown_as
from harness.measure.timing import measure
from harness.realtime.clock import VirtualClock
from harness.realtime.replay import replay
from harness.realtime.service import MEASURED, ConstantService, Unpaused
from mrsim.errors import CandidateError, InputError
from mrsim.stream import Header, Readout, Stream
from recon.convention import Convention
from recon.protocol import UNIFORM, Emission, Emit, Image, Reconstructor

FASTEST_WITHIN_S = 8.0
"""The fastest instant is looked for in so many first seconds of what is judged."""


class Ground:
    """Hold the part of a scan that is judged, and what every candidate on it is judged by.

    Parameters
    ----------
    stream
        The part, from where the candidate sees its first line; its truth is what images are judged against.
    first, stop
        First frame that is judged, and the one past the last.
    seed
        Of the noise in fully sampled images; None to make none of them.
    start_ns
        Start of the part in the scan that its provenance tells of, nanoseconds.

    Raises
    ------
    InputError
        If the stream has no truth.
    MissingExtraError
        If scikit-image is not installed.
    """

    def __init__(
        self, stream: Stream, first: int, stop: int, seed: int | None = None, start_ns: int = 0
    ) -> None:
        if stream.truth is None:
            raise InputError(f"{stream.path or 'stream'}: images are judged by scans with truth")
        self.stream, self.first, self.stop, self.truth = stream, first, stop, stream.truth
        self.seed, self.start_ns = 0 if seed is None else seed, start_ns
        self._judges: dict[str, FrameJudge] = {}
        self.judge = self.judge_of(UNIFORM)
        self._full: dict[int, FrameScore] | None = None if seed is None else {}

    def judge_of(self, combination: str) -> FrameJudge:
        """Return what measures images that show several coils so."""
        if combination not in self._judges:
            shading = shown_as(self.stream, combination).shading
            self._judges[combination] = FrameJudge(self.truth, self.stream.header, shading)
        return self._judges[combination]

    def full(self, frame: int) -> FrameScore | None:
        """Return the score of a fully sampled image, made once; None where none are made."""
        if self._full is not None and frame not in self._full:
            self._full[frame] = self.judge.score(frame, full_image(self.stream, frame, self.seed))
        return None if self._full is None else self._full[frame]

    def full_of(self, frames: NDArray[np.int64]) -> list[FrameScore] | None:
        """Return the scores of fully sampled images; None where none are made."""
        scores = [score for frame in map(int, frames) if (score := self.full(frame)) is not None]
        return None if self._full is None else scores

    @property
    def fastest(self) -> int:
        """Return the judged frame, among the first, in which the target moves fastest."""
        header = self.stream.header
        stop = min(self.stop, self.first + max(1, int(FASTEST_WITHIN_S * 1e9 / header.frame_ns)))
        last = (np.arange(self.first, stop) + 1) * header.lines_per_frame - 1
        speed = np.linalg.norm(self.truth.centroid[last] - self.truth.centroid[last - 1], axis=1)
        return self.first + int(np.argmax(speed))


@dataclass(frozen=True)
class Pass:
    """Hold what one pass leaves.

    Parameters
    ----------
    series
        What was measured of every judged image that came.
    scores
        The scores that it was made of.
    emissions
        All that was shown, from the part's first frame on; None if there is no target to look for.
    expected
        Number of images that were to be judged.
    pixels
        Images of the frames that were asked for, as far as they came, by frame: shape (ny, nx), complex64.
    telling
        Number of judged images that show something: not blank, and not the image before once more.
    broken
        What the candidate did that no candidate may; empty where it did nothing of the kind.
    ended
        Whether that ended the pass; images that are no numbers do not.
    combination
        How the images show several coils, as the candidate says.
    """

    series: Series
    scores: tuple[FrameScore, ...]
    emissions: Emissions | None
    expected: int
    pixels: dict[int, NDArray[np.complex64]]
    telling: int
    broken: str = ""
    ended: bool = False
    combination: str = UNIFORM


class _Judging(Unpaused):
    """Take the processor time of each push, without what is spent on judging.

    A candidate runs on one thread here, so its processor time is what it takes on a core of its own: other
    work on the host, another share of a table say, does not enter.
    """

    times = MEASURED

    def __init__(self) -> None:
        self.spent_ns = 0

    def mark(self) -> int:
        """Return the time when a push starts."""
        return time.thread_time_ns()

    def cost_ns(self, line: int, mark: int) -> int:
        """Return the time less what was spent since the push began."""
        return max(0, time.thread_time_ns() - mark - self.spent_ns)


class _Box:
    """Take what the candidate emits: nothing from which the truth could be reached."""

    def __init__(self, emit: Emit, matrix: tuple[int, int]) -> None:
        self._emit, self._matrix = emit, matrix
        self.newest = -1
        self.images: deque[tuple[int, int, NDArray[np.complex64]]] = deque()

    def take(self, image: Emission) -> None:
        """Stamp an image, and keep a copy with the newest line that had been handed out."""
        newest = self.newest
        self._emit(image)  # the stamp is taken first, and what is no image is told there
        if not isinstance(image, Image) or image.columns is not None:
            return
        frame, pixels = image.frame, image.pixels
        if not isinstance(frame, int | np.integer) or not isinstance(pixels, np.ndarray):
            return
        if pixels.dtype.kind in "fiuc" and pixels.shape == self._matrix:
            with np.errstate(all="ignore"):
                self.images.append((newest, int(frame), np.array(pixels, np.complex64)))


class _Tap:
    """Stand between gate and candidate, and judge each image once the candidate's push is over."""

    def __init__(
        self,
        inner: Reconstructor,
        ground: Ground,
        stop: int,
        kept: Sequence[int],
        service: _Judging,
        report: Report | None,
        name: str = "candidate",
    ) -> None:
        self._inner, self._name, self.combination = inner, name, UNIFORM
        self._ground, self._stop, self._kept, self._judge = ground, stop, kept, ground.judge
        self._service, self._report = service, report
        self.scores: dict[int, FrameScore] = {}
        self.pixels: dict[int, NDArray[np.complex64]] = {}
        self.telling, self._before = 0, b""

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan."""
        self._lines, self._box = header.lines_per_frame, _Box(emit, header.matrix)
        self._inner.open(header, self._box.take)
        self.combination = combination_of(self._inner, self._name)
        self._judge = self._ground.judge_of(self.combination)

    def push(self, readout: Readout) -> None:
        """Take one line."""
        self._box.newest = readout.index
        self._service.spent_ns = 0
        self._inner.push(readout)
        if self._box.images:
            self.judge()

    def close(self) -> None:
        """End the scan."""
        self._service.spent_ns = 0
        self._inner.close()
        self.judge()

    def judge(self) -> None:
        """Judge the images that wait for it; those of the lead-in are on display when judging begins."""
        began = time.thread_time_ns()
        ground = self._ground
        while self._box.images:
            newest, frame, pixels = self._box.images.popleft()
            early = newest < (frame + 1) * self._lines - 1
            if early or frame in self.scores or not np.isfinite(pixels).all():
                continue
            if frame in self._kept:
                self.pixels.setdefault(frame, pixels)
            if not 0 <= frame < self._stop:
                continue
            self.scores[frame] = self._judge.score(frame, pixels)
            if frame < ground.first:
                continue
            content = pixels.tobytes()
            self.telling += content != self._before and not is_blank(np.abs(pixels))
            self._before = content
            ground.full(frame)
            if self._report is not None:
                self._report(frame - ground.first + 1, self._stop - ground.first)
        self._service.spent_ns += time.thread_time_ns() - began


def play(
    ground: Ground,
    candidate: Reconstructor,
    name: str,
    *,
    service_ms: float | None,
    timed: bool = True,
    stop: int | None = None,
    kept: Sequence[int] = (),
    report: Report | None = None,
) -> Pass:
    """Play the part to a candidate on the virtual clock and judge its images.

    Parameters
    ----------
    ground
        What is played and judged.
    candidate
        A fresh reconstructor.
    name
        How errors name it.
    service_ms
        Time of a push, milliseconds; None for its processor time.
    timed
        Whether anything is said of when images were shown.
    stop
        Frame past the last one that is judged; None for the ground's.
    kept
        Frames whose pixels are handed back.
    report
        Told how far it is.

    Raises
    ------
    InputError
        If the candidate refuses the scan, or what it emits is no image.
    """
    convention = getattr(candidate, "convention", None)
    if isinstance(convention, Convention) and convention.fit:
        raise CandidateError(
            f"{name}: scale=fit: here each image is judged as it comes, and the scale is fitted at the end "
            "of a run; judge it by mrsim replay, or let the candidate scale its images"
        )
    stop = ground.stop if stop is None else stop
    part = ground.stream.first_frames(stop)
    judging = _Judging()
    tap = _Tap(candidate, ground, stop, kept, judging, report, name)
    service = judging if service_ms is None else ConstantService(round(service_ms * 1e6))
    run = replay(part, tap, VirtualClock(), service, keep_images=False)
    refuse_broken(run, name)
    tap.judge()  # what was emitted in a push that raised
    conduct, timing = judge_conduct(run), measure(run, 0)
    for frame in map(int, np.flatnonzero(timing.shown & ~run.images.drawn)):
        tap.scores[frame] = ground.judge.score_position(frame, run)
        tap.telling += frame >= ground.first
    frames = np.array(sorted(f for f in tap.scores if f >= ground.first and timing.shown[f]), np.int64)
    shown, response = run.images.completed_ns[frames] - run.t0_ns, timing.response_ns[frames]
    if not timed:
        shown, response = np.full_like(shown, -1), np.full_like(response, -1)
    scores = tuple(tap.scores[int(f)] for f in frames)
    return Pass(
        series_of(ground.stream, frames, shown, response, scores, ground.full_of(frames)),
        scores,
        emissions_of(run, tap.scores, ground.judge.window) if ground.judge.has_target else None,
        stop - ground.first,
        {frame: pixels for frame, pixels in tap.pixels.items() if timing.shown[frame]},
        tap.telling,
        "" if conduct is None else conduct.reason,
        run.violation is not None or run.failure is not None,
        tap.combination,
    )


def show(
    ground: Ground,
    reference: str,
    *,
    stop: int | None = None,
    kept: Sequence[int] = (),
    report: Report | None = None,
) -> Pass:
    """Judge a reference, each image as if shown the moment its last line is due.

    Parameters
    ----------
    ground
        What is judged.
    reference
        "truth", "fully-sampled" or "consistency-floor".
    stop
        Frame past the last one; None for the ground's.
    kept
        Frames whose pixels are handed back.
    report
        Told how far it is.
    """
    frames, stream = np.arange(ground.first, ground.stop if stop is None else stop), ground.stream

    def image(frame: int) -> NDArray[np.complex64]:
        if reference == "truth":
            return np.asarray(ground.truth.image[frame])
        full = reference == "fully-sampled"
        return full_image(stream, frame, ground.seed) if full else floor_image(stream, frame)

    scores = []
    for frame in map(int, frames):
        full = ground.full(frame) if reference == "fully-sampled" else None
        scores.append(full or ground.judge.score(frame, image(frame)))
        if report is not None:
            report(frame - ground.first + 1, len(frames))
    due_ns = (frames + 1) * stream.header.frame_ns
    never = np.full(len(frames), -1, np.int64)
    series = series_of(stream, frames, due_ns, never, scores, ground.full_of(frames))
    emissions = _each_when_due(frames, due_ns, scores, stream.header) if ground.judge.has_target else None
    kept_pixels = {frame: image(frame) for frame in kept}
    return Pass(series, tuple(scores), emissions, len(frames), kept_pixels, len(frames))


def _each_when_due(
    frames: NDArray[np.int64], due_ns: NDArray[np.int64], scores: Sequence[FrameScore], header: Header
) -> Emissions:
    """Return images that come the moment their last line is due."""
    found = [number for number, score in enumerate(scores) if score.found is not None]
    mask = np.full(len(frames), NOTHING, np.int64)
    mask[found] = np.arange(len(found))
    masks = [one.found for one in scores if one.found is not None]
    return Emissions(
        shown_ns=due_ns,
        newest=(frames + 1) * header.lines_per_frame - 1,
        frame=frames,
        centre_m=np.array([s.centroid_m or (np.nan, np.nan) for s in scores], np.float64).reshape(-1, 2),
        hold=np.zeros(len(frames), np.bool_),
        mask=mask,
        masks=np.stack(masks) if masks else np.zeros((0, 1, 1), np.bool_),
    )
