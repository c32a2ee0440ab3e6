"""One replay from start to verdict, for the command line, the Python interface, the demo and the tests."""

from __future__ import annotations

from collections.abc import Callable

from harness.candidates.registry import Null
from harness.judge.outcome import Outcome, Verdict
from harness.judge.profiles import SHIPPED, Criterion
from harness.judge.result import RunResult
from harness.judge.verdict import judge
from harness.measure.exact_statistics import samples_needed
from harness.measure.gating import simulate_gating
from harness.measure.image_quality import Quality, assess
from harness.measure.segmentation import eval_library
from harness.measure.timing import Timing, measure
from harness.realtime import environment
from harness.realtime.clock import Clock, VirtualClock
from harness.realtime.feed import Feed
from harness.realtime.replay import Run, Schedule, replay
from harness.realtime.scenarios import Pace, after_burst, burst_schedule
from harness.realtime.schedule import Policy
from harness.realtime.service import MeasuredService, ServiceModel
from harness.wire.transfer import Transfer
from mrsim.errors import InputError, Option, OptionError
from mrsim.stream import Stream
from recon.protocol import Builder

# Length of the scan that the null reconstructor is played, nanoseconds.
NULL_NS = 1_000_000_000

MakeFeed = Callable[[Stream, Schedule], Feed]


def evaluate(
    stream: Stream,
    candidate: str,
    build: Builder,
    *,
    clock: Clock | None = None,
    service: ServiceModel | None = None,
    frames: int | None = None,
    claim: float | None = None,
    warmup: int | None = None,
    seed: int = 0,
    quality: bool = True,
    scenario: str = "constant-stream",
    policy: Policy | None = None,
    criterion: Criterion | None = None,
    make_feed: MakeFeed | None = None,
    limit_ns: int | None = None,
    keep_images: bool | None = None,
) -> RunResult:
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
        Model of the time of a push on a virtual clock; None for its measured time.
    frames
        Number of first frames to replay; None for all.
    claim
        Share of images that must meet the deadline; None for the profile's.
    warmup
        Number of first images that are reported separately; None for `timing.default_warmup`.
    seed
        Seed of the bootstrap intervals.
    quality
        Whether to measure the images; needs a stream with truth and scikit-image.
    scenario
        "constant-stream", "burst" or "lockstep".
    policy
        Which frames to drop when the candidate falls behind; None to keep all.
    criterion
        Profile to judge by; None for `keep-up`.
    make_feed
        Makes the feed, with its faults; None for every line unchanged, when it is due.
    limit_ns
        Real time that the replay may take, nanoseconds.
    keep_images
        Whether to keep images that are not measured; None for no.

    Returns
    -------
    result
        It has a verdict whatever the candidate did.

    Raises
    ------
    InputError
        If the stream is not usable, the candidate refuses it, or an image broke the contract.
    MissingExtraError
        If quality is asked for and scikit-image is not installed.
    """
    pace = Pace.of(scenario, clock, service)
    criterion = criterion or Criterion.of(SHIPPED["keep-up"], None)
    claim = criterion.profile.claim if claim is None else claim
    samples_needed(claim)  # refuses an impossible claim before anything runs
    played = stream if frames is None else stream.first_frames(frames)
    schedule = Schedule.of(played) if scenario != "burst" else burst_schedule(played)
    if scenario == "burst" and make_feed is not None:
        raise OptionError(
            "{} plays no faults: nothing is late where nothing is due", Option("scenario", scenario)
        )
    feed = None if make_feed is None else make_feed(played, schedule)
    played.check_finite()
    if quality:
        if stream.truth is None:
            raise OptionError(
                "{}: it has no truth: measure time alone ({})",
                stream.path or "stream",
                Option("quality", False),
            )
        eval_library(
            "skimage",
            "measuring the quality of images (or measure time alone: quality = False, --no-quality)",
        )
    elif criterion.profile.needs_quality:
        raise OptionError(
            "profile {}: it needs the images measured: leave out {}",
            criterion.profile.name,
            Option("quality", False),
        )
    floor = _null(played, pace.clock)
    reconstructor = build()
    run = replay(
        played, reconstructor, pace.clock, pace.service, schedule, quality or bool(keep_images),
        policy=policy, feed=feed, limit_ns=limit_ns,
    )  # fmt: skip
    refuse_broken(run, candidate)
    if scenario == "burst":
        run = after_burst(run)
    timing = measure(run, warmup)
    measured = assess(stream, run, timing, seed) if quality else None
    timing, verdict = _judge(run, timing, measured, criterion, claim, played)
    # Only a candidate behind a socket has a transfer.
    found = getattr(reconstructor, "transfer", None)
    transfer = found if isinstance(found, Transfer) else None
    if transfer is not None and transfer.diagnosis() is not None:
        verdict = Verdict(verdict.outcome, f"{verdict.reason}; {transfer.diagnosis()}")
    gating = None
    if criterion.profile.window_mm is not None and measured is not None:
        downstream_ns = round(criterion.downstream_ms * 1e6)
        gating = simulate_gating(played, measured, criterion.profile.window_mm * 1e-3, downstream_ns)
    return RunResult(
        candidate=candidate,
        stream=played,
        run=run,
        timing=timing,
        quality=measured,
        verdict=verdict,
        null=floor,
        claim=claim,
        environment=environment.describe(),
        scenario=scenario,
        criterion=criterion,
        gating=gating,
        transfer=transfer,
        notes=str(getattr(reconstructor, "notes", "")),
    )


def _judge(
    run: Run, timing: Timing, quality: Quality | None, criterion: Criterion, claim: float, stream: Stream
) -> tuple[Timing, Verdict]:
    """Return the times measured against the profile's deadline, and the verdict."""
    lag = None if quality is None else quality.lag
    allowed = criterion.deadline_ns(stream.header, run.schedule.deadline_ns, lag)
    if isinstance(allowed, Verdict):
        verdict = judge(run, timing, claim)
        if run.failure is None and run.violation is None and verdict.outcome is not Outcome.INVALID:
            verdict = allowed
        return timing, verdict
    if allowed != timing.deadline_ns:
        timing = measure(run, timing.warmup, allowed)
    return timing, judge(run, timing, claim)


def refuse_broken(run: Run, candidate: str) -> None:
    """Raise an error that names the candidate and the line if an image broke the contract.

    Parameters
    ----------
    run
        The run.
    candidate
        Name of the candidate.

    Raises
    ------
    InputError
        If an image broke the contract.
    """
    if run.violation is not None and run.violation.kind == "contract":
        raise InputError(f"{candidate}: line {run.violation.line}: {run.violation.message}")


def _null(stream: Stream, clock: Clock) -> Timing:
    """Return the real times of the null reconstructor on the first second of the scan."""
    frames = max(1, min(stream.frames, NULL_NS // stream.header.frame_ns))
    part = stream.first_frames(frames)
    if clock.name == "real":
        return measure(replay(part, Null(), clock, keep_images=False))
    return measure(replay(part, Null(), VirtualClock(), MeasuredService(), keep_images=False))
