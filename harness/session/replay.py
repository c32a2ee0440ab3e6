"""`harness.replay`: a scan and a candidate in, a result out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.audits.invariants import Evidence, check_invariants
from harness.candidates.objects import Given
from harness.judge.evaluate import MakeFeed, evaluate
from harness.judge.measures import BEAMS
from harness.judge.profiles import Profile
from harness.judge.repetitions import Repetitions
from harness.judge.result import RunResult
from harness.realtime.clock import VirtualClock
from harness.realtime.copies import OneProcess
from harness.realtime.faults import CANDIDATE_KINDS, apply_faults
from harness.realtime.feed import Feed
from harness.realtime.replay import replay as play
from harness.realtime.scenarios import LOCKSTEP
from harness.realtime.schedule import Schedule
from harness.realtime.service import ConstantService
from harness.realtime.sliding import slide, warmup_of
from harness.session.again import again
from harness.session.given import Prepared, prepare
from harness.session.result import Faulted, Result
from mrsim.argument_types import checked
from mrsim.errors import Option, OptionError
from mrsim.stream import Stream

MAX_REPEAT = 100


@checked
@OneProcess()
def replay(
    scan: Stream | str | Path,
    candidate: Given,
    *,
    clock: str = "real",
    claim: float | None = None,
    frames: int | None = None,
    warmup: int | None = None,
    profile: str | Profile = "keep-up",
    downstream_ms: float | None = None,
    policy: str = "keep-all",
    scenario: str = "constant-stream",
    faults: str = "",
    stride: int | None = None,
    repeat: int = 1,
    seed: int = 0,
    service: str | Path | None = None,
    isolate: bool = False,
    limit_s: float | None = None,
    quality: bool = True,
    keep_images: bool | None = None,
    beams: Sequence[str] = BEAMS,
    allow_seen: bool = False,
    name: str | None = None,
) -> Result:
    """Play a scan to a reconstructor at the scanner's pace, measure, and judge.

    Parameters
    ----------
    scan
        A stream, or the folder of one.
    candidate
        A string as on the command line, a class or factory, an object with open, push and close, a function
        of (kspace, mask), a `torch.nn.Module`, or trained weights. An object is opened again for every run.
    clock
        "real", or "virtual": modelled, so that a scan takes no time but that of the candidate.
    claim
        Share of images that must meet the deadline; None for the profile's.
    frames
        Replay only so many first frames; None for all.
    warmup
        First images that are reported apart; None for 8, or a quarter of a short scan.
    profile
        Latency limits: a name, a .toml file, or a profile.
    downstream_ms
        Delay of what comes after the image, milliseconds, for a profile that limits the total.
    policy
        Of a queue that grows: "keep-all", "latest" or "bounded:N".
    scenario
        "constant-stream", "burst" or "lockstep"; `find_peak` and `find_stride` search.
    faults
        What goes wrong, such as "drop:p=0.01,burst=4;nan:every=500"; the verdict is then on the promises.
    stride
        An image of the newest lines after every so many; images are then not measured.
    repeat
        Number of replays, judged together.
    seed
        Seed of faults.
    service
        Service times of an earlier run (`Result.save_samples`), played on the virtual clock.
    isolate
        Whether the candidate, which is then a string, runs in a process of its own.
    limit_s
        Time for one line where isolated, else for one replay, seconds.
    quality
        Whether to measure the images; needs a scan with truth and scikit-image.
    keep_images
        Whether the result holds the images where they are not measured; None where there is no `stride`.
    beams
        Beams that are run along with what was on display: names of shipped ones, or .toml files.
    allow_seen
        Whether a candidate may be judged on lines that it was made from.
    name
        The candidate's name in the result; None for its own.

    Returns
    -------
    result
        With a verdict, whatever the candidate did.

    Raises
    ------
    InputError
        If the scan, the candidate or an option is wrong, or an image is not one.
    MissingExtraError
        If images are to be measured and scikit-image is not installed.
    """
    options = dict(locals())
    if not 1 <= repeat <= MAX_REPEAT:
        raise OptionError("{}: expected 1 to {}", Option("repeat", repeat), MAX_REPEAT)
    if warmup is not None and warmup < 0:
        raise OptionError("{}: expected 0 or more", Option("warmup", warmup))
    if scenario == "find-peak":
        raise OptionError(
            "{}: a search is a call of its own: find_peak or find_stride", Option("scenario", scenario)
        )
    given = prepare(
        scan, candidate, clock=clock, frames=frames, profile=profile, downstream_ms=downstream_ms,
        policy=policy, service=service, isolate=isolate, limit_s=limit_s, seed=seed, name=name, faults=faults,
        scenario=scenario, stride=stride, allow_seen=allow_seen,
    )  # fmt: skip
    once_more = again(replay, given.stream, candidate, options)
    if given.faults and stride is not None:
        raise OptionError("{} goes without {}", Option("stride"), Option("faults"))
    if given.faults and repeat != 1:
        raise OptionError(
            "{} takes no {}: the same seed gives the same faults", Option("faults"), Option("repeat")
        )
    played = given.stream
    if stride is not None:
        played = played if frames is None else played.first_frames(frames)
        frames, quality = None, False
        warmup = warmup_of(played, stride) if warmup is None else warmup
        played = slide(played, stride)
    how: dict[str, Any] = {
        "frames": frames,
        "claim": claim,
        "warmup": warmup,
        "scenario": scenario,
        "quality": quality,
        "beams": tuple(beams),
        "keep_images": stride is None if keep_images is None else keep_images,
    }
    if given.faults:
        result, found = _with_faults(given, played, how, seed, once_more)
        return Result(Repetitions((result,), exact=False), once_more, found, overlap=given.overlap)
    results = tuple(_once(given, played, number, how) for number in range(repeat))
    exact = scenario == LOCKSTEP or bool(given.services)
    return Result(Repetitions(results, exact), once_more, overlap=given.overlap)


def _once(
    given: Prepared, stream: Stream, number: int, how: dict[str, Any], make_feed: MakeFeed | None = None
) -> RunResult:
    return evaluate(
        stream,
        given.name,
        given.build,
        clock=given.make_clock(),
        service=given.services[number % len(given.services)] if given.services else None,
        policy=given.policy,
        criterion=given.criterion,
        make_feed=make_feed,
        limit_ns=given.limit_ns,
        **how,
    )


def _with_faults(
    given: Prepared, stream: Stream, how: dict[str, Any], seed: int, once_more: str
) -> tuple[RunResult, Faulted]:
    """Replay with faults, and check the promises on what arrived and what a clean run shows."""
    feeds: list[Feed] = []

    def make_feed(played: Stream, schedule: Schedule) -> Feed:
        feeds.append(apply_faults(Feed.of(played, schedule), given.faults, seed))
        return feeds[-1]

    result = _once(given, stream, 0, how, make_feed)
    kinds = [fault.kind for fault in given.faults]
    clean = None
    if not set(kinds) & set(CANDIDATE_KINDS):
        clean = play(result.stream, given.build(), VirtualClock(), ConstantService(0))
    broken = check_invariants(Evidence(feeds[0], result.run, clean), kinds)
    touched = {kind: len(lines) for kind, lines in feeds[0].touched.items()}
    return result, Faulted(given.faults, touched, tuple(broken), once_more, seed)
