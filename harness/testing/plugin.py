"""The tests of `pytest --reconstructor CANDIDATE`: each check is a test, and `--baseline` adds the guard.

`pytest_mrsim` declares the options. It loads this module and registers `Checks` only if one of them is
requested.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterator
from typing import Any, NoReturn

import pytest

from harness.audits.conformance import CHECKS, Candidate, NotConforming
from harness.candidates.isolation import IsolatedBuilder
from harness.candidates.registry import builder
from harness.comparison.guard import FACTOR, check_factor, guard, refuse_shared_helpers
from harness.testing.plugin_benchmark import latency_of
from mrsim.errors import InputError, MrsimError, OptionError
from mrsim.seeds import MAX_SEED, check_seed, fresh_seed
from mrsim.stream import load

Find = Callable[[Candidate], None]
PREFIX = "conformance["


class Checks:
    """Hold the requested checks and add them to the tests that pytest collects.

    Parameters
    ----------
    config
        Configuration of pytest, with the options.
    shadowed
        Returns a line that names a module of the project which stands in the way, or None.

    Raises
    ------
    pytest.UsageError
        If a number is not one, or is out of its range.
    """

    def __init__(self, config: pytest.Config, shadowed: Callable[[], str | None]) -> None:
        self.shadowed = shadowed
        option = config.getoption
        self.names = list(dict.fromkeys(option("reconstructor")))
        self.stream_path: str | None = option("reconstructor_stream")
        self.isolate = bool(option("reconstructor_isolate"))
        self.baseline: str | None = option("baseline")
        self.seed = _seed(option("reconstructor_seed"))
        self.factor = _factor(option("guard_factor"))
        self.labels = [check.name.replace(" ", "-") for check in CHECKS]
        if self.baseline:
            self.labels.append(f"no-slower-than-{self.baseline}".replace(" ", "-"))
        self._wanted = dict.fromkeys(self.names, self.labels)

    def pytest_report_header(self) -> str:
        """Return the seed, with which the same checks can be made again."""
        return f"mrsim: --reconstructor-seed {self.seed}"

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """Remove the ids of checks from the arguments, since pytest would look for files of that name.

        Parameters
        ----------
        session
            The session of pytest.
        """
        config = session.config
        ids = {arg: _own_id(arg, config) for arg in config.args}
        if not any(ids.values()):
            return
        chosen: dict[str, list[str]] = {}
        for arg, own in ids.items():
            if own:
                name, labels = self._named(arg, own)
                chosen[name] = [
                    label for label in self.labels if label in labels or label in chosen.get(name, ())
                ]
        self._wanted = {name: chosen[name] for name in self.names if name in chosen}
        config.args = [arg for arg, own in ids.items() if not own]

    def _named(self, arg: str, own: str) -> tuple[str, list[str]]:
        """Return the candidate and the checks that an id names."""
        for name in self.names:
            head = f"{PREFIX}{name}]"
            if own == head:
                return name, self.labels
            if own.startswith(f"{head}::"):
                label = own.removeprefix(f"{head}::")
                if label not in self.labels:
                    raise pytest.UsageError(
                        f"{arg}: {name} has no such check; --collect-only -q tells which there are"
                    )
                return name, [label]
        raise pytest.UsageError(f"{arg}: no --reconstructor that is given is called so")

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Append the checks of every reconstructor to the tests of the session.

        Parameters
        ----------
        collector
            Collector whose report is made.
        """
        if isinstance(collector, Conformance):
            collector.prepare()  # pytest would report a later error as one of a test's file
        report = yield
        if report.failed and (wrong := self.shadowed()):
            raise pytest.UsageError(wrong)  # instead of an error of an import
        if isinstance(collector, pytest.Session):
            for name, labels in self._wanted.items():
                label = f"{PREFIX}{name}]"
                node = Conformance.from_parent(
                    collector, name=label, nodeid=label, checks=self, candidate=name, labels=labels
                )
                report.result.append(node)
        return report

    def pytest_collection_finish(self) -> None:
        """Raise an error if a module of this package hides one of the project from its tests."""
        if wrong := self.shadowed():
            raise pytest.UsageError(wrong)


class Conformance(pytest.Collector):
    """Collect the checks of one reconstructor."""

    def __init__(self, *, checks: Checks, candidate: str, labels: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._checks, self._candidate, self._labels = checks, candidate, labels
        self._found: list[tuple[str, Candidate, Find]] = []
        self._timed: Callable[[Any], None] | None = None

    def prepare(self) -> None:
        """Build the candidate, once.

        Raises
        ------
        pytest.UsageError
            If there is no such candidate or stream.
        """
        if wrong := self._checks.shadowed():
            raise pytest.UsageError(wrong)
        requested = self._checks
        try:
            stream = None if requested.stream_path is None else load(requested.stream_path)
            with no_sudden_end():
                build = (
                    IsolatedBuilder(self._candidate, seed=requested.seed)
                    if requested.isolate
                    else builder(self._candidate)
                )
            candidate = Candidate(self._candidate, build, stream, requested.seed)
            checks: list[Find] = list(CHECKS)
            if requested.baseline:
                checks.append(_no_slower(requested.baseline, requested.factor))
        except MrsimError as error:
            raise pytest.UsageError("\n".join(filter(None, (str(error), error.note)))) from None
        pairs = zip(requested.labels, checks, strict=True)
        self._found = [(label, candidate, check) for label, check in pairs if label in self._labels]
        if self.config.getoption("benchmark_only", False):
            self._timed = latency_of(candidate, stream)

    def collect(self) -> Iterator[pytest.Item]:
        """Return a test for each check; with `--benchmark-only` the benchmark in their place."""
        if self._timed is not None:
            yield pytest.Function.from_parent(self, name="latency", callobj=self._timed)
            return
        for label, candidate, check in self._found:
            yield CheckItem.from_parent(self, name=label, candidate=candidate, check=check)


class CheckItem(pytest.Item):
    """Run one check of one candidate."""

    def __init__(self, *, candidate: Candidate, check: Find, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._candidate, self._check = candidate, check

    def runtest(self) -> None:
        """Run it."""
        with no_sudden_end():
            self._check(self._candidate)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return one line for a failed check, with where it raised, and a traceback for a defect of ours.

        Parameters
        ----------
        excinfo
            The exception.
        style
            Style of the traceback.
        """
        if isinstance(excinfo.value, NotConforming):
            return "\n".join([str(excinfo.value), *getattr(excinfo.value, "__notes__", ())])
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Return where the test is and what it is called; pytest needs a line for what is skipped."""
        return self.path, 0, f"{self.parent.name if self.parent else ''} {self.name}"


@contextlib.contextmanager
def no_sudden_end() -> Iterator[None]:
    """Let `os._exit` of a candidate raise, where it would end pytest with the code that it likes.

    In a process that was forked it ends that process, as ever. What was registered with `atexit` meanwhile
    does nothing. Code that calls the C library goes round this: it is for accidents.
    """
    real, process, within = os._exit, os.getpid(), True

    def raises(status: int) -> NoReturn:
        if os.getpid() != process:
            real(status)
        if within:
            raise SystemExit(f"os._exit({status})")
        return None  # type: ignore[misc]

    os._exit = raises
    try:
        yield
    finally:
        if os.getpid() != process:  # a copy of pytest that would play on
            real(1)
        os._exit, within = real, False


def _own_id(arg: str, config: pytest.Config) -> str | None:
    """Return the id of a check that an argument is; None if it is a file's.

    From a folder below the root pytest prints an id as `../conformance[...]::causality`.
    """
    head, mark, rest = arg.partition(PREFIX)
    where = config.invocation_params.dir
    if not mark or (where / arg.partition("::")[0]).exists():
        return None
    if head and os.path.normpath(where / head) != os.path.normpath(config.rootpath):
        return None
    return mark + rest


def _seed(text: str | None) -> int:
    try:
        return fresh_seed() if text in (None, "random") else check_seed(int(text))
    except ValueError:  # an InputError is a ValueError
        raise pytest.UsageError(
            f"--reconstructor-seed {text}: expected a whole number from 0 to {MAX_SEED}"
        ) from None


def _factor(text: str | None) -> float:
    try:
        return FACTOR if text is None else check_factor(float(text))
    except OptionError as error:
        raise pytest.UsageError(error.typed({"factor": "--guard-factor"})) from None
    except ValueError:
        raise pytest.UsageError(f"--guard-factor {text}: expected a number") from None


def _no_slower(baseline: str, factor: float) -> Find:
    base = builder(baseline)

    def run(candidate: Candidate) -> None:
        builds: list[Any] = [base, candidate.build]
        names, apart = (baseline, candidate.name), isinstance(candidate.build, IsolatedBuilder)
        try:
            refuse_shared_helpers(*names)
        except InputError:
            apart = True
        if apart:
            builds = [IsolatedBuilder(name, seed=candidate.seed) for name in names]
        found = guard(builds[0], builds[1], candidate.stream, names=names, factor=factor, seed=candidate.seed)
        if found.verdict.outcome.value:
            failed = NotConforming(f"{candidate.name}: {found.verdict.outcome.name}: {found.verdict.reason}")
            if found.traceback is not None:
                failed.add_note(found.traceback.text)
            raise failed

    return run
