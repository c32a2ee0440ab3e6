"""One pass of a candidate over a part of a scan: images are judged as they come, and one alone is kept."""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from harness.console import Report
from harness.judge.evaluate import refuse_broken
from harness.measure.bootstrap import breath_blocks, breath_starts
from harness.measure.floor import floor_image, full_image
from harness.measure.image_quality import FrameJudge, FrameScore, overlap
from harness.measure.timing import measure
from harness.realtime.clock import VirtualClock
from harness.realtime.replay import replay
from harness.realtime.service import ConstantService, MeasuredService
from mrsim.errors import InputError
from mrsim.stream import Header, Readout, Stream, Truth
from recon.protocol import Emit, Image, Reconstructor

UNTIMED = -1.0
"""Instead of the milliseconds of a push: images are judged, and nothing is said of when they were shown."""

PICTURE_WITHIN_S = 8.0
"""The picture is of the fastest instant in so many first seconds of what is judged."""


@dataclass(frozen=True)
class Series:
    """Hold what was measured of every judged image; arrays have shape (images,).

    Parameters
    ----------
    frame
        Frame of the part that was played, int64.
    t_ns, shown_ns
        Echo of its last line and when it was shown, from the start of the part, int64, nanoseconds; the
        second -1 where no time was taken.
    response_ns
        Shown less due, int64, nanoseconds; -1 where nothing was played.
    nmse, ssim, dice
        Against the truth.
    dice_full
        Overlap with the target as it is segmented in the fully sampled image; NaN where none is found there.
    dice_own
        Overlap of that segmentation with the true target: the segmentation's own error.
    own_error_m
        Centroid error of that segmentation, metres; infinite where none is found.
    x_m, y_m
        Centroid of the segmented target, metres; NaN where none was found.
    error_last_m, error_shown_m
        Distance to the true centroid at the last line and when shown, metres; infinite where none was found,
        and the second NaN where the scan had ended or no time was taken.
    block
        Number of the breath, int64.
    """

    frame: NDArray[np.int64]
    t_ns: NDArray[np.int64]
    shown_ns: NDArray[np.int64]
    response_ns: NDArray[np.int64]
    nmse: NDArray[np.float64]
    ssim: NDArray[np.float64]
    dice: NDArray[np.float64]
    dice_full: NDArray[np.float64]
    dice_own: NDArray[np.float64]
    own_error_m: NDArray[np.float64]
    x_m: NDArray[np.float64]
    y_m: NDArray[np.float64]
    error_last_m: NDArray[np.float64]
    error_shown_m: NDArray[np.float64]
    block: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.frame)

    def part(self, chosen: NDArray[np.bool_]) -> Series:
        """Return the series of some of the images."""
        return Series(*(getattr(self, f.name)[chosen] for f in dataclasses.fields(self)))


class Ground:
    """Hold the part of a scan that is judged, and what every candidate on it is judged by.

    Parameters
    ----------
    stream
        The part, from where the candidate sees its first line; its truth is what images are judged against.
    first, stop
        First frame that is judged, and the one past the last.
    seed
        Of the noise in fully sampled images.

    Raises
    ------
    InputError
        If the stream has no truth, or the target is in none of its frames.
    """

    def __init__(self, stream: Stream, first: int, stop: int, seed: int) -> None:
        self.stream, self.first, self.stop, self.seed = stream, first, stop, seed
        self.judge = FrameJudge(self.truth, stream.header)
        self._own: dict[int, FrameScore] = {}

    @property
    def truth(self) -> Truth:
        """Return what was true."""
        if self.stream.truth is None:
            raise InputError("the table needs scans with truth")
        return self.stream.truth

    def own(self, frame: int) -> FrameScore:
        """Return the score of a fully sampled image; each is made once."""
        if frame not in self._own:
            self._own[frame] = self.judge.score(frame, full_image(self.stream, frame, self.seed))
        return self._own[frame]

    @property
    def picture(self) -> int:
        """Return the judged frame, among the first, in which the target moves fastest."""
        header = self.stream.header
        stop = min(self.stop, self.first + max(1, int(PICTURE_WITHIN_S * 1e9 / header.frame_ns)))
        last = (np.arange(self.first, stop) + 1) * header.lines_per_frame - 1
        speed = np.linalg.norm(self.truth.centroid[last] - self.truth.centroid[last - 1], axis=1)
        return self.first + int(np.argmax(speed))


@dataclass(frozen=True)
class Passed:
    """Hold what a pass leaves: the series and the picture's magnitude, shape (ny, nx), float32."""

    series: Series
    picture: NDArray[np.float32] | None


class _Judging(MeasuredService):
    """Take the processor time of each push, without what the table spends on judging.

    A candidate runs on one thread here, so its processor time is what it takes on a core of its own: other
    work on the host, another share of the table say, does not enter.
    """

    timer = staticmethod(time.thread_time_ns)

    def __init__(self) -> None:
        self.spent_ns = 0

    def cost_ns(self, line: int, wall_ns: int) -> int:
        """Return the time less what was spent since the push began."""
        return max(0, wall_ns - self.spent_ns)


class _Tap:
    """Stand between gate and candidate, and judge each image once the candidate's push is over.

    The candidate is handed a box to emit into, nothing from which the truth could be reached.
    """

    def __init__(
        self, inner: Reconstructor, ground: Ground, stop: int, service: _Judging, report: Report | None
    ) -> None:
        self._inner, self._ground, self._stop, self._service, self._report = (
            inner,
            ground,
            stop,
            service,
            report,
        )
        self._newest, self._picture_frame = -1, ground.picture
        self._box: list[Image] = []
        self.scores: dict[int, FrameScore] = {}
        self.picture: NDArray[np.float32] | None = None

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan."""
        box = self._box

        def take(image: Image) -> None:
            emit(image)  # the stamp is taken first
            if isinstance(image, Image) and image.columns is None:
                box.append(dataclasses.replace(image, pixels=np.array(image.pixels)))

        self._lines = header.lines_per_frame
        self._inner.open(header, take)

    def push(self, readout: Readout) -> None:
        """Take one line."""
        self._newest = readout.index
        self._service.spent_ns = 0
        self._inner.push(readout)
        if self._box:
            self._judge()

    def close(self) -> None:
        """End the scan."""
        self._service.spent_ns = 0
        self._inner.close()
        self._judge()

    def _judge(self) -> None:
        began = self._service.timer()
        ground = self._ground
        for image in self._box:
            frame = int(image.frame)
            late = self._newest < (frame + 1) * self._lines - 1
            if late or frame in self.scores or not ground.first <= frame < self._stop:
                continue
            if image.pixels.shape != ground.stream.header.matrix or not np.isfinite(image.pixels).all():
                continue
            self.scores[frame] = ground.judge.score(frame, image.pixels)
            ground.own(frame)
            if frame == self._picture_frame:
                self.picture = np.abs(image.pixels).astype(np.float32)
            if self._report is not None:
                self._report(frame - ground.first + 1, self._stop - ground.first)
        self._box.clear()
        self._service.spent_ns += self._service.timer() - began


def play(
    ground: Ground,
    candidate: Reconstructor,
    name: str,
    service_ms: float | None,
    stop: int | None = None,
    report: Report | None = None,
) -> Passed:
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
        Time of a push, milliseconds; None for its processor time, `UNTIMED` to leave time out.
    stop
        Frame past the last one that is judged; None for the ground's.
    report
        Told how far it is.

    Raises
    ------
    InputError
        If the candidate refuses the scan, fails, or an image is not one.
    """
    stop = ground.stop if stop is None else stop
    part = ground.stream.first_frames(stop)
    judging = _Judging()
    tap = _Tap(candidate, ground, stop, judging, report)
    untimed = service_ms == UNTIMED
    service = judging if service_ms is None else ConstantService(0 if untimed else round(service_ms * 1e6))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run = replay(part, tap, VirtualClock(), service, keep_images=False)
    finally:
        torch.set_num_threads(threads)
    refuse_broken(run, name)
    if run.violation is not None or run.failure is not None:
        broken = run.violation.message if run.violation is not None else ""
        failed = f"{run.failure.stage} raised {run.failure.error}" if run.failure is not None else ""
        raise InputError(f"{name}: {broken or failed}")
    timing = measure(run, 0)
    frames = np.array(sorted(f for f in tap.scores if timing.shown[f]), np.int64)
    if not len(frames):
        raise InputError(f"{name}: no image came in what is judged")
    shown, response = run.images.completed_ns[frames] - run.t0_ns, timing.response_ns[frames]
    if untimed:
        shown, response = np.full_like(shown, -1), np.full_like(response, -1)
    scores = [tap.scores[int(f)] for f in frames]
    return Passed(series_of(ground, frames, shown, response, scores), tap.picture)


def show(ground: Ground, reference: str, stop: int | None = None, report: Report | None = None) -> Passed:
    """Judge a reference, each image as if shown the moment its last line is due.

    Parameters
    ----------
    ground
        What is judged.
    reference
        "fully-sampled" or "consistency-floor".
    stop
        Frame past the last one; None for the ground's.
    report
        Told how far it is.
    """
    frames = np.arange(ground.first, ground.stop if stop is None else stop)
    full, stream = reference == "fully-sampled", ground.stream
    scores = []
    for frame in map(int, frames):
        scores.append(ground.own(frame) if full else ground.judge.score(frame, floor_image(stream, frame)))
        if report is not None:
            report(frame - ground.first + 1, len(frames))
    due = (frames + 1) * stream.header.frame_ns
    seen = ground.picture
    picture = np.abs(full_image(stream, seen, ground.seed) if full else floor_image(stream, seen))
    return Passed(series_of(ground, frames, due, np.full(len(frames), -1, np.int64), scores), picture)


def series_of(
    ground: Ground,
    frames: NDArray[np.int64],
    shown_ns: NDArray[np.int64],
    response_ns: NDArray[np.int64],
    scores: list[FrameScore],
) -> Series:
    """Put the scores of single images into columns; `frames` ascend."""
    truth, header = ground.truth, ground.stream.header
    last = (frames + 1) * header.lines_per_frame - 1
    t_ns = np.asarray(ground.stream.t_ns)[last]
    own = [ground.own(int(f)) for f in frames]
    nowhere = (math.nan, math.nan)
    centroid = np.array([s.centroid_m or nowhere for s in scores], np.float64)
    own_centroid = np.array([s.centroid_m or nowhere for s in own], np.float64)
    shown_error = _distance(centroid, truth.centroid_at(shown_ns, header))
    shown_error[(shown_ns < 0) | (shown_ns > (len(ground.stream) + 1) * header.tr_ns)] = math.nan
    return Series(
        frame=frames,
        t_ns=t_ns,
        shown_ns=shown_ns,
        response_ns=response_ns,
        nmse=np.array([s.nmse for s in scores]),
        ssim=np.array([s.ssim for s in scores]),
        dice=np.array([s.dice for s in scores]),
        dice_full=np.array([_against(s, o) for s, o in zip(scores, own, strict=True)]),
        dice_own=np.array([o.dice for o in own]),
        own_error_m=_distance(own_centroid, truth.centroid[last]),
        x_m=centroid[:, 0],
        y_m=centroid[:, 1],
        error_last_m=_distance(centroid, truth.centroid[last]),
        error_shown_m=shown_error,
        block=breath_blocks(t_ns, breath_starts(truth, header)),
    )


def _against(score: FrameScore, own: FrameScore) -> float:
    if own.found is None:
        return math.nan
    return 0.0 if score.found is None else overlap(score.found, own.found)


def _distance(measured: NDArray[np.float64], true: NDArray[np.float64]) -> NDArray[np.float64]:
    error = np.hypot(*(measured - true).T)
    return np.where(np.isfinite(error), error, np.inf)
