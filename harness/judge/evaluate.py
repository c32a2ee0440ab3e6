"""One replay from start to verdict, for the command line, the Python interface, the demo and the tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from harness.candidates.registry import Null
from harness.judge.image import judge_image
from harness.judge.measures import BEAMS, Measures, beams_of, measure_images
from harness.judge.outcome import Answer, Outcome, Verdict
from harness.judge.profiles import SHIPPED, Criterion
from harness.judge.result import RunResult
from harness.judge.target import QUESTION as TARGET
from harness.judge.validity import why_invalid
from harness.judge.verdict import answer_time
from harness.measure.exact_statistics import samples_needed
from harness.measure.finding.plan import eval_library
from harness.measure.floor import impossible_quality
from harness.measure.image_quality import assess
from harness.measure.shown import combination_of
from harness.measure.timing import Timing, measure
from harness.realtime import environment
from harness.realtime.clock import Clock, VirtualClock
from harness.realtime.feed import Feed
from harness.realtime.recorded import RecordedService
from harness.realtime.replay import Run, Schedule, replay
from harness.realtime.scenarios import Pace, after_burst, burst_schedule
from harness.realtime.schedule import Policy
from harness.realtime.service import MeasuredService, ServiceModel
from harness.wire.transfer import Transfer
from mrsim.errors import InputError, Option, OptionError
from mrsim.stream import Stream
from recon.convention import AS_IT_IS, Convention
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
    quality: bool = True,
    scenario: str = "constant-stream",
    policy: Policy | None = None,
    criterion: Criterion | None = None,
    make_feed: MakeFeed | None = None,
    limit_ns: int | None = None,
    keep_images: bool | None = None,
    beams: Sequence[str] = BEAMS,
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
    beams
        Beams that are run along with what was on display: names of shipped ones, or .toml files.

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
    if not quality and criterion.profile.needs_quality:
        raise OptionError(
            "profile {}: it needs the images measured: leave out {}",
            criterion.profile.name,
            Option("quality", False),
        )
    beams_of(criterion, beams)  # refuses an unknown one before anything runs
    why_not = _why_not_measured(stream, quality)
    if not why_not:
        eval_library(
            "skimage",
            "measuring the quality of images (or measure time alone: quality = False, --no-quality)",
        )
    # What this host takes at least says nothing of times that were taken on another day.
    floor = None if isinstance(pace.service, RecordedService) else _null(played, pace.clock)
    reconstructor = build()
    run = replay(
        played, reconstructor, pace.clock, pace.service, schedule, not why_not or bool(keep_images),
        policy=policy, feed=feed, limit_ns=limit_ns,
    )  # fmt: skip
    if scenario == "burst":
        run = after_burst(run)
    timing, combination = measure(run, warmup), combination_of(reconstructor, candidate)
    if why_not:
        found = Measures(target=Answer(TARGET, None, why_not))
    elif scenario == "burst":
        # In a closed loop lines are not due when they were scanned, so nothing is on display at an instant.
        found = Measures(
            assess(stream, run, timing, None, combination),
            target=Answer(TARGET, None, "a burst has no time of its own"),
        )
    else:
        convention = getattr(reconstructor, "convention", AS_IT_IS)
        convention = convention if isinstance(convention, Convention) else AS_IT_IS
        spoilt = why_invalid(run, timing)
        found = measure_images(stream, run, timing, criterion, spoilt, beams, convention, combination)
    timing, time = answer_time(run, timing, found.quality, criterion, claim, played.header, scenario, why_not)
    image = judge_image(criterion.profile, found.quality, why_not or "no image came")
    alarm = None if played.truth is None else impossible_quality(played, found.quality)
    if alarm is not None:
        image = Answer(image.question, Outcome.INVALID, alarm)
    # Only a candidate behind a socket has a transfer.
    transfer = getattr(reconstructor, "transfer", None)
    transfer = transfer if isinstance(transfer, Transfer) else None
    if transfer is not None and (note := transfer.diagnosis()) is not None:
        time = dataclasses.replace(time, reason=f"{time.reason}; {note}")
    answers = [
        time,
        _hinted(found.target, found.symptom),
        _hinted(image, found.symptom),
    ]
    return RunResult(
        candidate=candidate,
        stream=played,
        run=run,
        timing=timing,
        quality=found.quality,
        verdict=Verdict.of(answers),
        null=floor,
        claim=claim,
        environment={**environment.describe(), "isolation": getattr(reconstructor, "isolation", None)},
        scenario=scenario,
        criterion=criterion,
        displayed=found.displayed,
        margin=found.margin,
        symptom=found.symptom,
        scale=found.scale,
        beams=found.beams,
        transfer=transfer,
        notes=str(getattr(reconstructor, "notes", "")),
        combination=combination,
    )


def _hinted(answer: Answer, symptom: str | None) -> Answer:
    """Return an answer that is no PASS with what simple mistake may explain it."""
    if symptom is None or answer.outcome in (None, Outcome.PASS):
        return answer
    return dataclasses.replace(answer, reason=f"{answer.reason}; {symptom}")


def _why_not_measured(stream: Stream, quality: bool) -> str:
    """Return why images are not compared with the truth; empty if they are."""
    if not quality:
        return "images were not measured"
    return "" if stream.truth is not None else "the stream has no truth, so time alone can be judged"


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
        raise InputError(f"{candidate}: {run.named(run.violation.line)}: {run.violation.message}")


def _null(stream: Stream, clock: Clock) -> Timing:
    """Return the real times of the null reconstructor on the first second of the scan."""
    frames = max(1, min(stream.frames, NULL_NS // stream.header.frame_ns))
    part = stream.first_frames(frames)
    if clock.name == "real":
        return measure(replay(part, Null(), clock, keep_images=False))
    return measure(replay(part, Null(), VirtualClock(), MeasuredService(), keep_images=False))
