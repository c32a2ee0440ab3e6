"""What the calls have in common: a scan, a candidate and the options of a run, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.candidates.build import candidate_builder
from harness.candidates.isolation import MAX_LIMIT_S
from harness.candidates.objects import Given, name_of
from harness.candidates.seen import Overlap, check_seen
from harness.judge.profiles import Criterion, Profile, load_profile
from harness.realtime.clock import Clock, RealClock, VirtualClock
from harness.realtime.faults import Fault, format_faults, parse_faults
from harness.realtime.samples import How, read_service
from harness.realtime.schedule import Policy
from harness.realtime.service import ServiceModel
from mrsim.errors import Option, OptionError
from mrsim.seeds import check_seed
from mrsim.stream import Stream, load
from recon.protocol import Builder

CLOCKS = ("real", "virtual")


@dataclass(frozen=True)
class Prepared:
    """Hold a scan and a candidate that are ready to be played.

    Parameters
    ----------
    stream
        The scan.
    name
        The candidate's name.
    build
        Makes a fresh one, with its troubles and in its own process where that is asked for.
    clock
        "real" or "virtual".
    policy, criterion, faults
        What becomes of frames that pile up, what it is judged by, and what goes wrong.
    services
        Service times of an earlier run, a table for each of its repetitions; empty for none.
    limit_ns
        Real time that one replay may take, nanoseconds.
    overlap
        What the candidate was made from of this scan.
    """

    stream: Stream
    name: str
    build: Builder
    clock: str
    policy: Policy
    criterion: Criterion
    faults: tuple[Fault, ...]
    services: tuple[ServiceModel, ...]
    limit_ns: int | None
    overlap: Overlap

    def make_clock(self) -> Clock:
        """Return a clock for one run."""
        return RealClock() if self.clock == "real" else VirtualClock()


def prepare(
    scan: Stream | str | Path,
    candidate: Given,
    *,
    clock: str,
    frames: int | None,
    profile: str | Profile,
    downstream_ms: float | None,
    policy: str,
    service: str | Path | None,
    isolate: bool,
    limit_s: float | None,
    seed: int,
    name: str | None,
    faults: str = "",
    scenario: str = "constant-stream",
    stride: int | None = None,
    allow_seen: bool = False,
) -> Prepared:
    """Read and check what a run is given.

    Parameters
    ----------
    scan, candidate, clock, frames, profile, downstream_ms, policy, service, isolate, limit_s, seed, name
        As for `harness.replay`.
    faults, scenario, stride
        What goes wrong, how the scan is played, and the lines from image to image.
    allow_seen
        Whether the candidate may be judged on what it was made from.

    Raises
    ------
    InputError
        If one of them is wrong, or they do not go together.
    """
    check_seed(seed)
    if clock not in CLOCKS:
        raise OptionError("{}: expected real or virtual", Option("clock", clock))
    stream = opened(scan)
    lines = (stream.frames if frames is None else frames) * stream.header.lines_per_frame
    troubles, queue = parse_faults(faults), Policy.parse(policy)
    limits = profile if isinstance(profile, Profile) else load_profile(profile)
    criterion = Criterion.of(limits, downstream_ms)
    check_limit(limit_s)
    if service is not None and clock == "real":
        raise OptionError(
            "{} plays measured times on the virtual clock: add {}",
            Option("service"),
            Option("clock", "virtual"),
        )
    called = name_of(candidate) if name is None else name
    judged = stream if frames is None or not 0 < frames <= stream.frames else stream.first_frames(frames)
    overlap = check_seen(candidate, judged, allow=allow_seen, name=called)
    services: tuple[ServiceModel, ...] = ()
    if service is not None:
        how = How(scenario, str(queue), format_faults(troubles), seed if troubles else 0, stride)
        services = tuple(read_service(service, called, stream, lines, how))
    return Prepared(
        stream=stream,
        name=called,
        build=candidate_builder(candidate, isolate, limit_s, troubles, seed),
        clock=clock,
        policy=queue,
        criterion=criterion,
        faults=troubles,
        services=services,
        limit_ns=None if limit_s is None or isolate else round(limit_s * 1e9),
        overlap=overlap,
    )


def opened(scan: Stream | str | Path) -> Stream:
    """Return a scan, read from its folder where that is what is given."""
    return scan if isinstance(scan, Stream) else load(scan)


def check_limit(limit_s: float | None) -> None:
    """Refuse a limit on time that is none.

    Raises
    ------
    InputError
        If it is not above 0, or longer than a day.
    """
    if limit_s is not None and not 0 < limit_s <= MAX_LIMIT_S:
        raise OptionError("{}: expected seconds, above 0 to {:g}", Option("limit_s", limit_s), MAX_LIMIT_S)
