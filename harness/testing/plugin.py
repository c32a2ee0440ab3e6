"""The pytest plugin: `pytest --reconstructor python:mynet:build` tests a reconstructor in any project.

Every check is a test of its own; `--baseline` adds the latency guard. What `harness.testing.kit` offers
comes as fixtures. Nothing of the bench is imported before it is asked for, so that others pay nothing for
it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.audits.conformance import Candidate
    from harness.comparison.guard import Guarded
    from harness.judge.result import Result
    from harness.realtime.clock import VirtualClock
    from harness.realtime.feed import Feed
    from mrsim.stream import Stream

Find = Callable[["Candidate"], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("mrsim", "reconstructors of real-time MRI (mrsim)")
    group.addoption(
        "--reconstructor", action="append", default=[], metavar="CANDIDATE",
        help="test this reconstructor, such as python:mynet:build or onnx:net.onnx; may be repeated",
    )  # fmt: skip
    group.addoption(
        "--reconstructor-stream", metavar="DIR",
        help="stream that it is tested on (default: random lines, 128 x 128 at 4x, one coil)",
    )  # fmt: skip
    group.addoption("--reconstructor-seed", type=int, default=0, metavar="N", help="seed of the checks (0)")
    group.addoption(
        "--baseline", metavar="CANDIDATE",
        help="fail where the reconstructor takes longer than this one; both run in turns",
    )  # fmt: skip
    group.addoption(
        "--guard-factor", type=float, default=1.15, metavar="F",
        help="with --baseline: it may take this many times as long (1.15)",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Add what goes with pytest-benchmark where that is there; refuse options that go nowhere."""
    if config.getoption("baseline") and not config.getoption("reconstructor"):
        raise pytest.UsageError("--baseline: of which reconstructor? add --reconstructor CANDIDATE")
    if config.pluginmanager.hasplugin("benchmark"):
        from harness.testing import plugin_benchmark

        config.pluginmanager.register(plugin_benchmark, "mrsim-benchmark")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Append the checks of every reconstructor, early, so that -k and -m choose among them, too."""
    for name in config.getoption("reconstructor"):
        label = f"conformance[{name}]"
        items.extend(Conformance.from_parent(session, name=label, nodeid=label).collect())


class Conformance(pytest.Collector):
    """Collect the checks of one reconstructor."""

    def collect(self) -> Iterator[CheckItem]:
        """Return a test for each check; nothing is built where there is none to run.

        Raises
        ------
        pytest.UsageError
            If there is no such candidate or stream.
        """
        from harness.audits.conformance import CHECKS, Candidate
        from harness.candidates.registry import builder
        from mrsim.errors import MrsimError
        from mrsim.stream import load

        option = self.config.getoption
        name = self.name.removeprefix("conformance[").removesuffix("]")
        try:
            path = option("reconstructor_stream")
            stream = None if path is None else load(path)
            candidate = Candidate(name, builder(name), stream, option("reconstructor_seed"))
            checks: list[tuple[str, Find]] = [(check.name, check) for check in CHECKS]
            if option("baseline"):
                guarded = _no_slower(option("baseline"), option("guard_factor"))
                checks.append((f"no slower than {option('baseline')}", guarded))
        except MrsimError as error:
            raise pytest.UsageError(str(error)) from None
        for called, check in checks:
            label = called.replace(" ", "-")
            yield CheckItem.from_parent(self, name=label, candidate=candidate, check=check)


class CheckItem(pytest.Item):
    """Run one check of one candidate."""

    def __init__(self, *, candidate: Candidate, check: Find, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._candidate, self._check = candidate, check

    def runtest(self) -> None:
        """Run it."""
        self._check(self._candidate)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return one line for what a candidate does wrong; a traceback for what we do."""
        from harness.audits.conformance import NotConforming

        if isinstance(excinfo.value, NotConforming):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Return where the test is and what it is called."""
        return self.path, None, f"{self.parent.name if self.parent else ''} {self.name}"


def _no_slower(baseline: str, factor: float) -> Find:
    from harness.audits.conformance import NotConforming
    from harness.candidates.isolation import Isolated
    from harness.candidates.registry import builder
    from harness.comparison.guard import guard, refuse_shared_helpers
    from mrsim.errors import InputError

    base = builder(baseline)

    def run(candidate: Candidate) -> None:
        builds: list[Any] = [base, candidate.build]
        names = (baseline, candidate.name)
        try:
            refuse_shared_helpers(*names)
        except InputError:
            builds = [lambda name=name: Isolated(name) for name in names]
        found = guard(builds[0], builds[1], candidate.stream, names=names, factor=factor, seed=candidate.seed)
        if found.verdict.outcome.value:
            raise NotConforming(f"{candidate.name}: {found.verdict.outcome.name}: {found.verdict.reason}")

    return run


@pytest.fixture(scope="session")
def make_phantom_stream() -> Callable[..., Stream]:
    """Scan a phantom: `make_phantom_stream(frames=48, matrix=(64, 64), acceleration=4.0, seed=0, ...)`."""
    from harness.testing.kit import phantom_stream as make

    return make


@pytest.fixture(scope="session")
def phantom_stream(make_phantom_stream: Callable[..., Stream]) -> Stream:
    """A scan of the motion phantom with its truth: 48 frames, 64 x 64, 4x, seed 0."""
    return make_phantom_stream()


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """A clock that stands still until it is moved; `replay` on it takes no time and gives exact stamps."""
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
def realtime_replay(request: pytest.FixtureRequest) -> Callable[..., Result]:
    """Play a candidate at the scanner's own pace: `realtime_replay("python:mynet:build").verdict`."""
    from harness.testing.kit import Given, replay_in_real_time

    def play(given: Given, stream: Stream | None = None, **options: Any) -> Result:
        scan = request.getfixturevalue("phantom_stream") if stream is None else stream
        return replay_in_real_time(given, scan, **options)

    return play


@pytest.fixture
def latency_guard() -> Callable[..., Guarded]:
    """Fail the test where new takes longer than base: `latency_guard(base, new, factor=1.15)`."""
    from harness.testing.kit import FACTOR, Given, as_candidate, guard

    def judge(
        base: Given, new: Given, stream: Stream | None = None, factor: float = FACTOR, **options: Any
    ) -> Guarded:
        one, two = as_candidate(base), as_candidate(new)
        scan = one.stream if stream is None else stream
        found = guard(one.build, two.build, scan, names=(one.name, two.name), factor=factor, **options)
        if found.verdict.outcome.value:
            pytest.fail(f"{two.name}: {found.verdict.outcome.name}: {found.verdict.reason}", pytrace=False)
        return found

    return judge
