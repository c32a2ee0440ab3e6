"""The test kit for authors of a reconstructor: scans, clocks, faults, conformance and latency.

    from harness.testing.kit import parametrize_with_checks

    @parametrize_with_checks(["python:mynet:build", MyReconstructor])
    def test_mine(candidate, check):
        check(candidate)

With pytest installed, the same needs no code: `pytest --reconstructor python:mynet:build`. The plugin
(`pytest_mrsim`) also provides the functions below as fixtures.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeAlias

from harness.audits.conformance import CHECKS, Candidate, Check, NotConforming, conformance
from harness.candidates import objects
from harness.candidates.build import as_builder
from harness.comparison.guard import FACTOR, Guarded, guard
from harness.judge.evaluate import evaluate
from harness.judge.result import RunResult
from harness.realtime.clock import RealClock, VirtualClock
from harness.realtime.faults import apply_faults, parse_faults
from harness.realtime.feed import Feed
from harness.realtime.replay import replay
from harness.realtime.schedule import Schedule
from mrsim.errors import MissingExtraError
from mrsim.stream import Stream

__all__ = [
    "CHECKS",
    "FACTOR",
    "Candidate",
    "Check",
    "Guarded",
    "NotConforming",
    "RealClock",
    "VirtualClock",
    "as_candidate",
    "conformance",
    "faulty_feed",
    "figures",
    "guard",
    "parametrize_with_checks",
    "phantom_stream",
    "replay",
    "replay_in_real_time",
]

Given: TypeAlias = "objects.Given | Candidate"
"""Whatever may stand for a reconstructor (`harness.candidates.objects`), or a `Candidate` itself."""


def as_candidate(given: Given, stream: Stream | None = None, seed: int | None = None) -> Candidate:
    """Return the candidate under test.

    Parameters
    ----------
    given
        Whatever may stand for a reconstructor, or a candidate, which is returned as it is.
    stream
        Scan that the checks play to it; None for the one that they make.
    seed
        Seed of the checks; None for a fresh one of 128 bits, which failures tell.

    Raises
    ------
    InputError
        If it is no candidate.
    """
    if isinstance(given, Candidate):
        return given
    name, build = as_builder(given)
    return Candidate(name, build, stream, seed)


def parametrize_with_checks(
    candidates: Iterable[Given], stream: Stream | None = None, seed: int | None = None
) -> Callable[[Any], Any]:
    """Return a decorator that runs a test function of (candidate, check) for every check of every candidate.

    Parameters
    ----------
    candidates
        The reconstructors under test.
    stream
        Scan of 12 frames or more to play to them; None for random lines, 128 x 128 at 4x, one coil.
    seed
        Seed of the checks; None for a fresh one of 128 bits for each candidate, which failures tell.

    Raises
    ------
    InputError
        If a string names no candidate.
    MissingExtraError
        If pytest is not installed.
    """
    try:
        import pytest
    except ImportError:
        raise MissingExtraError("pytest", "test", "parametrize_with_checks") from None
    made = [as_candidate(given, stream, seed) for given in candidates]
    pairs = [
        pytest.param(candidate, check, id=f"{candidate.name}-{check.name.replace(' ', '-')}")
        for candidate in made
        for check in CHECKS
    ]
    return pytest.mark.parametrize(("candidate", "check"), pairs)


@lru_cache(maxsize=16)
def phantom_stream(
    frames: int = 48,
    phantom: str = "quasar",
    matrix: tuple[int, int] = (64, 64),
    acceleration: float = 4.0,
    coils: int = 1,
    seed: int = 0,
) -> Stream:
    """Return a small scan of a moving phantom with its truth; the same arguments give the same bytes.

    Parameters
    ----------
    frames
        Number of frames.
    phantom
        Name of a shipped phantom, path of a .toml file, or a patient's folder.
    matrix
        Number of rows and columns.
    acceleration
        Undersampling factor.
    coils
        Number of receive channels.
    seed
        Seed of motion, sampling and noise.

    Raises
    ------
    InputError
        If there is no such phantom, or a value is out of its range.
    """
    from mrsim.scanner.acquisition import scan
    from mrsim.scanner.protocol import ScanProtocol
    from mrsim.scanner.scenes import load_body

    protocol = ScanProtocol(matrix=matrix, acceleration=acceleration, coils=coils)
    return scan(load_body(phantom), protocol, seed=seed, frames=frames)


def faulty_feed(stream: Stream, faults: str, seed: int = 0) -> Feed:
    """Return the feed of a scan with faults, for `replay(..., feed=...)`.

    Parameters
    ----------
    stream
        The scan.
    faults
        Fault string, such as `drop:p=0.01,burst=4;nan:every=500`.
    seed
        Seed that draws the lines that are struck.

    Raises
    ------
    InputError
        If the text is not understood.
    """
    return apply_faults(Feed.of(stream, Schedule.of(stream)), parse_faults(faults), seed)


def replay_in_real_time(given: Given, stream: Stream, **options: Any) -> RunResult:
    """Play a scan to a candidate at the scanner's own pace, measure and judge.

    Parameters
    ----------
    given
        The candidate.
    stream
        The scan; images are measured if it has truth and scikit-image is installed.
    options
        Further arguments of `harness.judge.evaluate.evaluate`.

    Raises
    ------
    InputError
        If the scan is not usable, or an image broke the contract.
    """
    candidate = as_candidate(given)
    measurable = stream.truth is not None and importlib.util.find_spec("skimage") is not None
    options = {"clock": RealClock(), "quality": measurable, **options}
    return evaluate(stream, candidate.name, candidate.build, **options)


def figures(result: RunResult) -> dict[str, Any]:
    """Return a replay's percentiles, misses and lag as one flat record; None for too few samples.

    Parameters
    ----------
    result
        The replay.
    """
    record = result.to_json()
    quality = record["quality"] or {}
    response, deadline = record["latency_ms"]["response"], record["deadline"] or {}
    return {
        **{f"response_{name}_ms": response[name] for name in ("p50", "p95", "p99", "max")},
        **{f"service_{name}_ms": record["latency_ms"]["service"][name] for name in ("p50", "p95", "p99")},
        "injector_p99_ms": record["latency_ms"]["injector"]["p99"],
        "deadline_ms": deadline.get("period_ms"),
        "misses": deadline.get("misses"),
        "images": deadline.get("images"),
        "longest_run_of_misses": deadline.get("longest_run"),
        "lag_ms": quality.get("lag_ms"),
        "gain": quality.get("gain"),
        "nmse": quality.get("nmse"),
        "dice": quality.get("dice"),
        "verdict": record["verdict"],
        "reason": record["reason"],
    }
