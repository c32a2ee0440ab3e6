"""`harness.find_peak` and `harness.find_stride`: what a machine can just carry."""

from __future__ import annotations

from pathlib import Path

from harness.candidates.objects import Given
from harness.judge import search
from harness.judge.profiles import Profile
from harness.judge.search import Peak, ShortestStride
from harness.measure.exact_statistics import check_claim
from harness.realtime.copies import OneProcess
from harness.realtime.scenarios import Pace
from harness.session.given import Prepared, prepare
from mrsim.argument_types import checked
from mrsim.errors import Option, OptionError
from mrsim.stream import Stream


@checked
@OneProcess()
def find_peak(
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
    seed: int = 0,
    service: str | Path | None = None,
    isolate: bool = False,
    limit_s: float | None = None,
    allow_seen: bool = False,
    name: str | None = None,
) -> Peak:
    """Look for the shortest TR at which the cadence of images holds.

    Parameters
    ----------
    scan, candidate, clock, frames, warmup, profile, downstream_ms, policy
        As for `harness.replay`; of the profile its claim alone counts.
    seed, service, isolate, limit_s, allow_seen, name
        As for `harness.replay`.
    claim
        Share of images that must meet the cadence in a trial; None for the profile's.

    Returns
    -------
    peak
        The TR, to 2 %, every trial, and a verdict: PASS where the scan's own TR holds.

    Raises
    ------
    InputError
        If the scan, the candidate or an option is wrong.
    """
    given = prepare(
        scan, candidate, clock=clock, frames=frames, profile=profile, downstream_ms=downstream_ms,
        policy=policy, service=service, isolate=isolate, limit_s=limit_s, seed=seed, name=name,
        allow_seen=allow_seen,
        scenario="find-peak",
    )  # fmt: skip
    stream, share = _played(given, frames, claim)
    return search.find_peak(
        stream, given.build, lambda: _pace(given), share, warmup, given.policy, given.name
    )


@checked
@OneProcess()
def find_stride(
    scan: Stream | str | Path,
    candidate: Given,
    *,
    clock: str = "real",
    claim: float | None = None,
    frames: int | None = None,
    profile: str | Profile = "keep-up",
    downstream_ms: float | None = None,
    policy: str = "keep-all",
    seed: int = 0,
    service: str | Path | None = None,
    isolate: bool = False,
    limit_s: float | None = None,
    allow_seen: bool = False,
    name: str | None = None,
) -> ShortestStride:
    """Look for the fewest lines from image to image at which their cadence holds, at the scan's own TR.

    Parameters
    ----------
    scan, candidate, clock, claim, frames, profile, downstream_ms, policy
        As for `find_peak`.
    seed, isolate, limit_s, allow_seen, name
        As for `find_peak`.
    service
        Refused: service times are those of one stride.

    Returns
    -------
    shortest
        The lines, every trial, and a verdict: PASS where any stride up to a whole frame holds.

    Raises
    ------
    InputError
        If the scan, the candidate or an option is wrong.
    """
    if service is not None:
        raise OptionError("{}: times at one stride say nothing of another: leave it out", Option("service"))
    given = prepare(
        scan, candidate, clock=clock, frames=frames, profile=profile, downstream_ms=downstream_ms,
        policy=policy, service=None, isolate=isolate, limit_s=limit_s, seed=seed, name=name,
        allow_seen=allow_seen,
    )  # fmt: skip
    stream, share = _played(given, frames, claim)
    return search.find_stride(stream, given.build, lambda: _pace(given), share, given.policy, given.name)


def _played(given: Prepared, frames: int | None, claim: float | None) -> tuple[Stream, float]:
    stream = given.stream if frames is None else given.stream.first_frames(frames)
    stream.check_finite()
    share = given.criterion.profile.claim if claim is None else claim
    check_claim(share)
    return stream, share


def _pace(given: Prepared) -> Pace:
    service = given.services[0] if given.services else None
    return Pace.of("find-peak", given.make_clock(), service)
