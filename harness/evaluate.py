"""One replay from start to verdict: what the command line, the demo and the tests share."""

from __future__ import annotations

from harness import environment
from harness.candidates import Builder, Null
from harness.clock import Clock, RealClock, VirtualClock
from harness.quality import assess
from harness.replay import Run, Schedule, replay
from harness.result import Result
from harness.segmentation import eval_library
from harness.service import MeasuredService, ServiceModel
from harness.statistics import samples_needed
from harness.timing import Timing, measure
from harness.verdict import judge
from mrsim.errors import InputError
from mrsim.stream import Stream

# How much of the scan the null reconstructor is shown on the real clock, nanoseconds.
NULL_NS = 1_000_000_000


def evaluate(
    stream: Stream,
    candidate: str,
    build: Builder,
    *,
    clock: Clock | None = None,
    service: ServiceModel | None = None,
    frames: int | None = None,
    claim: float = 0.99,
    warmup: int | None = None,
    seed: int = 0,
    quality: bool = True,
) -> Result:
    """Replay a stream into a fresh reconstructor, measure and judge.

    Parameters
    ----------
    stream
        The scan.
    candidate
        Name for the report.
    build
        Makes the reconstructor.
    clock
        The real clock (default) or a virtual one.
    service
        What a push takes on a virtual clock; None for its measured time.
    frames
        Replay only so many first frames; None for all.
    claim
        Share of images that must meet the deadline.
    warmup
        First images that are reported apart; None for `timing.default_warmup`.
    seed
        Seed of the bootstrap intervals.
    quality
        Whether to measure the images; needs a stream with truth and scikit-image.

    Returns
    -------
    result
        With a verdict, whatever the candidate did.

    Raises
    ------
    InputError
        If the stream is not usable, the candidate refuses it, or an image is not one.
    MissingExtraError
        If quality is asked for and scikit-image is not installed.
    """
    clock = clock or RealClock()
    if service is None and isinstance(clock, VirtualClock):
        service = MeasuredService()
    samples_needed(claim)  # refuses an impossible claim before anything runs
    played = stream if frames is None else stream.first_frames(frames)
    schedule = Schedule.of(played)
    played.check_finite()
    if quality:
        if stream.truth is None:
            raise InputError(f"{stream.path or 'stream'}: it has no truth: measure time alone (--no-quality)")
        eval_library("skimage", "measuring the quality of images (or measure time alone: --no-quality)")
    floor = _null(played, clock)
    run = replay(played, build(), clock, service, schedule, keep_images=quality)
    refuse_broken(run, candidate)
    timing = measure(run, warmup)
    return Result(
        candidate,
        played,
        run,
        timing,
        assess(stream, run, timing, seed) if quality else None,
        judge(run, timing, claim),
        floor,
        claim,
        environment.describe(),
    )


def refuse_broken(run: Run, candidate: str) -> None:
    """Raise an error that names the candidate and the line if an image broke the contract.

    Raises
    ------
    InputError
        If one did.
    """
    if run.violation is not None and run.violation.kind == "contract":
        raise InputError(f"{candidate}: line {run.violation.line}: {run.violation.message}")


def _null(stream: Stream, clock: Clock) -> Timing:
    """Return the times of the null reconstructor on the first second of the scan, as they really are."""
    frames = max(1, min(stream.frames, NULL_NS // stream.header.frame_ns))
    part = stream.first_frames(frames)
    if clock.name == "real":
        return measure(replay(part, Null(), clock, keep_images=False))
    return measure(replay(part, Null(), VirtualClock(), MeasuredService(), keep_images=False))
