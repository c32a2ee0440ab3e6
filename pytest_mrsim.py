"""The pytest plugin: `pytest --reconstructor python:mynet:build` tests a reconstructor in any project.

It stands alone at the top because pytest imports it in every project, wherever mrsim is installed. A
project may well have a `harness.py` or a `recon/` of its own, which would be found in the place of ours. So
nothing of ours is imported here until an option is given, or a fixture is asked for.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Generator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.comparison.guard import Guarded
    from harness.judge.result import RunResult
    from harness.realtime.clock import VirtualClock
    from harness.realtime.feed import Feed
    from mrsim.stream import Stream

OURS = ("mrsim", "recon", "harness", "phantoms")
OPTIONS = (
    "reconstructor", "reconstructor_stream", "reconstructor_seed", "reconstructor_isolate", "baseline",
    "guard_factor",
)  # fmt: skip
KEY = "mrsim"  # of an entry of `harness.testing.benchmark_table`


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options; numbers stay text, so that a bad one is refused in one line, by us."""
    group = parser.getgroup("mrsim", "reconstructors of real-time MRI (mrsim)")
    group.addoption(
        "--reconstructor", action="append", default=[], metavar="CANDIDATE",
        help="test this reconstructor, such as python:mynet:build or onnx:net.onnx; may be repeated",
    )  # fmt: skip
    group.addoption(
        "--reconstructor-stream", metavar="DIR",
        help="stream that it is tested on (default: random lines, 128 x 128 at 4x, one coil)",
    )  # fmt: skip
    group.addoption("--reconstructor-seed", metavar="N", help="seed of the checks (a fresh one)")
    group.addoption(
        "--reconstructor-isolate", action="store_const", const=True,
        help="run it in a process of its own, held as for `mrsim replay --isolate`",
    )  # fmt: skip
    group.addoption(
        "--baseline", metavar="CANDIDATE",
        help="fail where the reconstructor takes longer than this one; both run in turns",
    )  # fmt: skip
    group.addoption(
        "--guard-factor", metavar="F",
        help="with --baseline: it may take this many times as long (1.15)",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Load the checks where an option asks for them; refuse options that go nowhere."""
    given = [name for name in OPTIONS if config.getoption(name) not in (None, [])]
    if not given:
        asked = next((arg for arg in config.args if arg.startswith("conformance[")), None)
        if asked is not None and not os.path.exists(asked.partition("::")[0]):
            raise pytest.UsageError(f"{asked}: of which reconstructor? add --reconstructor CANDIDATE")
        return
    if config.getoption("baseline") and not config.getoption("reconstructor"):
        raise pytest.UsageError("--baseline: of which reconstructor? add --reconstructor CANDIDATE")
    if wrong := in_the_way():
        raise pytest.UsageError(f"--{given[0].replace('_', '-')}: {wrong}")
    from harness.testing.plugin import Checks

    config.pluginmanager.register(Checks(config, shadowed), "mrsim-checks")


def in_the_way() -> str | None:
    """Return a line that names a file found in the place of a package of ours; None where there is none."""
    for name in OURS:
        module = sys.modules.get(name)
        try:
            found = importlib.util.find_spec(name) if module is None else module.__spec__
        except (ImportError, ValueError):
            continue
        place = _place(found)
        if place is None and module is not None:
            place = getattr(module, "__file__", None)
        if place is not None and not _is_ours(name, place):
            return _refusal(name, place)
    return None


def shadowed() -> str | None:
    """Return a line that names a module which the packages of ours, now loaded, hide; None if there is none.

    Collecting puts folders of tests on the path, so that a project's own module may come to stand there.
    """
    for name in OURS:
        found = PathFinder.find_spec(name)
        place = None if found is None or found.origin is None else _place(found)
        if place is not None and not _is_ours(name, place):
            return _refusal(name, place)
    return None


def _place(spec: ModuleSpec | None) -> str | None:
    """Return the file of a module, or the folder of a package without an `__init__.py`."""
    if spec is None or spec.origin is not None:
        return None if spec is None else spec.origin
    return next(iter(spec.submodule_search_locations or ()), None)


def _is_ours(name: str, place: str) -> bool:
    ours = Path(__file__).parent / name / "__init__.py"
    return ours.is_file() and os.path.exists(place) and os.path.samefile(ours, place)


def _refusal(name: str, place: str) -> str:
    return f"{place} is in the way of mrsim's package {name!r}: rename it, or keep its folder off sys.path"


def _refuse_in_a_test() -> None:
    """Fail the test that asks for a fixture of ours where its project hides our packages."""
    if wrong := in_the_way():
        pytest.fail(wrong, pytrace=False)


@pytest.fixture(scope="session")
def make_phantom_stream() -> Callable[..., Stream]:
    """Scan a phantom: `make_phantom_stream(frames=48, matrix=(64, 64), acceleration=4.0, seed=0, ...)`."""
    _refuse_in_a_test()
    from harness.testing.kit import phantom_stream as make

    return make


@pytest.fixture(scope="session")
def phantom_stream(make_phantom_stream: Callable[..., Stream]) -> Stream:
    """A scan of the motion phantom with its truth: 48 frames, 64 x 64, 4x, seed 0."""
    return make_phantom_stream()


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """A clock that stands still until it is moved; `replay` on it takes no time and gives exact stamps."""
    _refuse_in_a_test()
    from harness.realtime.clock import VirtualClock

    return VirtualClock()


@pytest.fixture
def faulty_stream(phantom_stream: Stream) -> Callable[..., Feed]:
    """Let things go wrong: `replay(stream, one, clock, feed=faulty_stream("drop:p=0.01", seed=1))`."""
    from harness.testing.kit import faulty_feed

    def make(faults: str, seed: int = 0, stream: Stream | None = None) -> Feed:
        return faulty_feed(phantom_stream if stream is None else stream, faults, seed)

    return make


@pytest.fixture
def realtime_replay(request: pytest.FixtureRequest) -> Callable[..., RunResult]:
    """Play a candidate at the scanner's own pace: `realtime_replay("python:mynet:build").verdict`."""
    _refuse_in_a_test()
    from harness.testing.kit import Given, replay_in_real_time

    def play(given: Given, stream: Stream | None = None, **options: Any) -> RunResult:
        scan = request.getfixturevalue("phantom_stream") if stream is None else stream
        return replay_in_real_time(given, scan, **options)

    return play


@pytest.fixture
def latency_guard() -> Callable[..., Guarded]:
    """Fail the test where new takes longer than base: `latency_guard(base, new, factor=1.15)`."""
    _refuse_in_a_test()
    from harness.testing.kit import FACTOR, Given, as_candidate, guard

    def judge(
        base: Given, new: Given, stream: Stream | None = None, factor: float = FACTOR, **options: Any
    ) -> Guarded:
        one, two = as_candidate(base), as_candidate(new)
        scan = one.stream if stream is None else stream
        found = guard(one.build, two.build, scan, names=(one.name, two.name), factor=factor, **options)
        if found.verdict.outcome.value:
            told = f"{two.name}: {found.verdict.outcome.name}: {found.verdict.reason}"
            where = "" if found.traceback is None else f"\n{found.traceback.text}"
            pytest.fail(f"{told}{where}", pytrace=False)
        return found

    return judge


@pytest.fixture
def latency_benchmark(benchmark: Any, request: pytest.FixtureRequest) -> Callable[..., RunResult]:
    """Benchmark a candidate at the scanner's own pace: `latency_benchmark("python:mynet:build", stream)`.

    It needs pytest-benchmark, whose fixture `benchmark` is.
    """
    _refuse_in_a_test()
    from harness.testing.kit import Given
    from harness.testing.plugin_benchmark import measure

    def play(given: Given, stream: Stream | None = None, **options: Any) -> RunResult:
        scan = request.getfixturevalue("phantom_stream") if stream is None else stream
        return measure(benchmark, given, scan, options)

    return play


@pytest.hookimpl(optionalhook=True, wrapper=True)
def pytest_benchmark_group_stats(config: pytest.Config) -> Generator[None, Any, Any]:
    """Leave out of pytest-benchmark's own tables what stands in ours, unless it compares or draws."""
    groups = yield
    if config.getoption("benchmark_compare", None) or config.getoption("benchmark_histogram", None):
        return groups
    kept = [(name, [one for one in members if not _is_entered(one)]) for name, members in groups]
    return [(name, members) for name, members in kept if members]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table of all benchmarks that were entered into it."""
    session = getattr(config, "_benchmarksession", None)
    entries = [
        one.extra_info[KEY] for one in getattr(session, "benchmarks", ()) if KEY in (one.extra_info or {})
    ]
    if entries:
        from harness.testing.benchmark_table import table

        terminalreporter.write_line("")
        terminalreporter.write_line(table(entries))


def _is_entered(record: Any) -> bool:
    return KEY in (record.get("extra_info") or {})
