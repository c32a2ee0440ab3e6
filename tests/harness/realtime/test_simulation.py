"""Deterministic simulation: thousands of scans in virtual time, every fault under every policy, all promises.

`MRSIM_SIM_SCANS` sets how many (10,000 in CI; by hand, ten or a hundred times that), `MRSIM_SIM_FIRST` the
first seed. A failure prints the one command that plays the scan again.
"""

from __future__ import annotations

import os
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from harness.audits.invariants import Evidence
from harness.measure.timing import measure, queue_depth
from harness.realtime.faults import STREAM_KINDS, format_faults, parse_faults
from harness.realtime.run import Fate
from harness.realtime.schedule import Policy
from tests.harness.realtime.simulation import LINES, POLICIES, STREAMS, TR_NS, Drawn, draw, log_hash, scan

SCANS = int(os.environ.get("MRSIM_SIM_SCANS", "10000"))
FIRST = int(os.environ.get("MRSIM_SIM_FIRST", "0"))
AGAIN = 53  # one scan in so many is played twice


def command(seed: int) -> str:
    """Return the one command that plays a scan again."""
    test = "tests/harness/realtime/test_simulation.py::test_every_promise_is_kept"
    return f"MRSIM_SIM_FIRST={seed} MRSIM_SIM_SCANS=1 python -m pytest {test}"


@pytest.mark.slow
def test_every_promise_is_kept() -> None:
    """At least two million line events over ten thousand scans, in CI."""
    events, met, fates = 0, Counter[tuple[str, str]](), np.zeros(len(Fate), np.int64)
    for seed in range(FIRST, FIRST + SCANS):
        drawn = draw(seed)
        evidence, broken = drawn.play()
        told_of = (
            f"seed {seed}, {drawn.policy}, {format_faults(drawn.faults)}: {broken}; again: {command(seed)}"
        )
        assert not broken, told_of
        events += len(evidence.feed)
        fates += np.bincount(evidence.run.fate, minlength=len(Fate))
        for fault in drawn.faults:
            touched = len(evidence.feed.touched[fault.kind]) or fault.kind == "wrap"
            met[fault.kind, str(drawn.policy)] += bool(touched)
        if seed % AGAIN == 0:
            assert log_hash(drawn.play()[0]) == log_hash(evidence), f"not the same again: {command(seed)}"
    if SCANS >= 10_000:
        assert events >= 2_000_000
        assert fates[[Fate.HANDED, Fate.DROPPED, Fate.REJECTED, Fate.LOST]].min() > 10_000
    if SCANS >= 1000:
        met_least = min(met[kind, policy] for kind in STREAM_KINDS for policy in POLICIES)
        assert met_least >= SCANS // 200, met


def test_a_broken_promise_is_told_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: a candidate that keeps what is not a number is caught, by seed."""
    from tests.harness.realtime import simulation

    class Careless(simulation.Keeper):
        def push(self, readout):  # type: ignore[no-untyped-def]
            self._rows[readout.ky + self._half] = readout.samples[0]
            super().push(readout)

    monkeypatch.setattr(simulation, "Keeper", Careless)
    nan = next(s for s in range(1000) if {"nan"} == {f.kind for f in draw(s).faults})
    broken = draw(nan).play()[1]
    assert {b.invariant for b in broken} >= {"finite"}
    assert f"MRSIM_SIM_FIRST={nan} MRSIM_SIM_SCANS=1 python -m pytest" in command(nan)


class Scans(RuleBasedStateMachine):
    """Compose faults, a policy and a slow candidate step by step; play, and hold every invariant."""

    @initialize(number=st.integers(0, STREAMS - 1), seed=st.integers(0, 2**32), lines=st.integers(8, 200))
    def start(self, number: int, seed: int, lines: int) -> None:
        self.number, self.seed = number, seed
        self.policy, self.faults = Policy(), ()
        self.service_ns = np.zeros(lines, np.int64)
        self.evidence: Evidence | None = None

    @rule(waiting=st.none() | st.integers(1, 9))
    def choose_policy(self, waiting: int | None) -> None:
        self.policy, self.evidence = Policy(waiting), None

    @precondition(lambda self: len(self.faults) < 5)
    @rule(
        kind=st.sampled_from([k for k in STREAM_KINDS if k != "wrap"]),
        where=st.sampled_from(["p=0.03", "p=0.5", "every=17", "every=1", "at=0", "at=40"]),
        burst=st.integers(1, 20),
    )
    def add_fault(self, kind: str, where: str, burst: int) -> None:
        text = f"{kind}:{where}" + (f",burst={burst}" if kind != "disconnect" else "")
        self.faults, self.evidence = (*self.faults, *parse_faults(text)), None

    @rule(bits=st.integers(4, 16))
    def wrap_the_counter(self, bits: int) -> None:
        self.faults, self.evidence = (*self.faults[:4], *parse_faults(f"wrap:bits={bits}")), None

    @rule(service=st.integers(0, 5 * TR_NS))
    def slow_down(self, service: int) -> None:
        self.service_ns[:] = service
        self.evidence = None

    @rule(line=st.integers(0, 199), stall=st.integers(0, LINES * TR_NS))
    def stall(self, line: int, stall: int) -> None:
        self.service_ns[line % len(self.service_ns)] += stall
        self.evidence = None

    @rule()
    def play(self) -> None:
        drawn = Drawn(self.seed, self.number, self.policy, self.faults, self.service_ns)
        if scan(self.number, len(self.service_ns))[0].frames:
            self.evidence, broken = drawn.play()
            assert not broken, (format_faults(self.faults), broken)
            assert log_hash(self.evidence) == log_hash(drawn.play()[0])

    @invariant()
    def every_line_has_one_fate(self) -> None:
        if getattr(self, "evidence", None) is not None:
            run = self.evidence.run
            counts = np.bincount(run.fate, minlength=len(Fate))
            assert counts.sum() == len(self.service_ns)
            assert counts[Fate.UNREACHED] == 0
            assert counts[Fate.HANDED] == np.count_nonzero(run.delivered_ns >= 0) == run.handed

    @invariant()
    def stamps_never_go_back_and_the_queue_is_bounded(self) -> None:
        if getattr(self, "evidence", None) is not None:
            run, timing = self.evidence.run, measure(self.evidence.run)
            assert (timing.injector_ns == 0).all()  # the virtual clock is never late
            assert (timing.response_ns[timing.shown] >= 0).all()
            assert queue_depth(run).min() >= 0
            assert timing.misses >= int((~timing.shown[timing.warmup :]).sum())
            given = np.sort(run.started_ns[run.fate == Fate.HANDED])
            assert (np.diff(given) >= 0).all()


Scans.TestCase.settings = settings(
    max_examples=40, stateful_step_count=15, suppress_health_check=[HealthCheck.too_slow]
)
TestScans = Scans.TestCase
