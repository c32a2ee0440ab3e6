"""Nothing is shown by nothing: a candidate of which too little is seen never passes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import numpy as np
import pytest

from harness.audits import course, memory
from harness.audits.audits import AUDITS, audit_candidate
from harness.audits.bench import Bench, default_stream
from harness.audits.conformance import CHECKS, Candidate, NotConforming, NotShown
from harness.audits.finding import AuditReport, Finding, Seen, State
from harness.candidates.registry import Null
from harness.judge.outcome import Outcome
from mrsim.stream import Header, Readout, Stream
from recon.classical.zero_filled import ViewSharing, ZeroFilled
from recon.protocol import Emit, Image, Reconstructor

PAIRS = ("determinism", "causality", "accuracy under load", "no write into the input", "flat memory")


@pytest.fixture(scope="module")
def scan() -> Stream:
    return default_stream(seed=3, frames=64, matrix=(16, 16))


class Silent(Null):
    def push(self, readout: Readout) -> None:
        pass


class RaisesInOpen(Null):
    def open(self, header: Header, emit: Emit) -> None:
        raise RuntimeError("no weights")


class Crashes(Null):
    def push(self, readout: Readout) -> None:
        raise RuntimeError("no memory")


class Constant(ZeroFilled):
    """Show one fixed picture, which is not blank."""

    def open(self, header: Header, emit: Emit) -> None:
        picture = np.arange(header.matrix[0] * header.matrix[1], dtype=np.complex64).reshape(header.matrix)
        super().open(header, lambda image: emit(Image(picture, image.frame, image.last_line)))


@pytest.mark.parametrize("empty", [Silent, RaisesInOpen, Crashes, Null, Constant])
def test_an_empty_candidate_keeps_nothing_but_what_it_shows(
    empty: Callable[[], Reconstructor], scan: Stream
) -> None:
    report = audit_candidate(scan, empty, "it", seed=5)
    state = {found.audit: found.state for found in report.findings}
    for audit in PAIRS:
        assert state[audit] is State.NOT_SHOWN, (audit, report.findings)
    allowed = {"conformance"} if empty in (Null, Constant) else set()
    assert {audit for audit, found in state.items() if found is State.KEPT} == allowed
    assert report.verdict.outcome is Outcome.INVALID
    for found in report.findings:
        if found.state is State.NOT_SHOWN:
            assert found.evidence == f"{found.seen.what}: {found.seen.count}, it takes {found.seen.least}"


@pytest.mark.parametrize("empty", [Silent, RaisesInOpen, Crashes])
def test_no_check_passes_an_empty_candidate(empty: Callable[[], Reconstructor], scan: Stream) -> None:
    candidate = Candidate("it", empty, scan, seed=5)
    for check in CHECKS:
        with pytest.raises(NotConforming):
            check(candidate)


def test_what_is_not_shown_is_told_with_how_much_it_takes(scan: Stream) -> None:
    check = next(check for check in CHECKS if check.name == "determinism")
    with pytest.raises(NotShown, match="not shown: pairs of images: 0, it takes 12"):
        check(Candidate("it", Silent, scan))


def test_every_audit_says_how_much_it_saw(scan: Stream) -> None:
    bench = Bench(scan, ViewSharing, 5)
    seen = {audit: check(bench) for audit, check in AUDITS.items()}
    assert {audit for audit, found in seen.items() if found.state is not State.KEPT} == set()
    assert all(found.count >= found.least >= 1 for found in seen.values())
    assert (seen["conformance"].count, seen["determinism"].count) == (64, 24)
    assert seen["consumption"].count == scan.header.lines_per_frame
    assert seen["no write into the input"].count == 12 * scan.header.lines_per_frame


def test_a_verdict_passes_only_what_is_kept() -> None:
    def verdict(*states: State) -> Outcome:
        found = tuple(Finding("a", state, "", Seen(0, 1, "pairs")) for state in states)
        return AuditReport("it", 0, found).verdict.outcome

    assert verdict(State.KEPT, State.KEPT) is Outcome.PASS
    assert verdict(State.KEPT, State.NOT_SHOWN) is Outcome.INSUFFICIENT
    assert verdict(State.NOT_SHOWN, State.BROKEN) is Outcome.INVALID
    assert verdict() is Outcome.INSUFFICIENT


class Interrupts(Null):
    """Raise what the bench would take for its user's, were it not seen who raises it."""

    def push(self, readout: Readout) -> None:
        raise KeyboardInterrupt


class Exits(Null):
    def push(self, readout: Readout) -> None:
        raise SystemExit(0)


class Skips(Null):
    def push(self, readout: Readout) -> None:
        pytest.skip("no GPU")


def skips_when_it_is_built() -> Reconstructor:
    pytest.skip("no GPU")


@pytest.mark.parametrize("raises", [Interrupts, Exits, Skips, skips_when_it_is_built])
def test_whatever_a_candidate_raises_is_its_failure(
    raises: Callable[[], Reconstructor], scan: Stream
) -> None:
    candidate = Candidate("it", raises, scan, seed=5)
    for check in CHECKS[:4]:
        with pytest.raises(NotConforming) as caught:
            check(candidate)
        assert "test_not_shown.py" in caught.value.__notes__[0]


class Interrupted(Null):
    def push(self, readout: Readout) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass


def test_ctrl_c_is_the_users(scan: Stream) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for check in CHECKS[:3]:
            with pytest.raises(KeyboardInterrupt):
                check(Candidate("it", Interrupted, scan))
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_audit_tells_how_far_it_is_and_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "FRAMES", 64)
    monkeypatch.setattr(course, "EVERY_S", 0.0)
    told: list[tuple[int, int, str]] = []

    def take(done: int, total: int, now: str = "") -> None:
        told.append((done, total, now))

    audit_candidate(default_stream(4, 24, (16, 16)), ViewSharing, "it", progress=take)
    shares = [done / total for done, total, _ in told]
    assert all(0 <= share <= 1 for share in shares)
    assert (shares[0], shares[-1]) == (pytest.approx(0, abs=0.05), 1.0)
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    names = list(dict.fromkeys(now.removeprefix("audit: ") for _, _, now in told))
    assert names == [course.FIRST, *AUDITS]
    # What is expected is about what is played: the bar stands still in none of them.
    for name in AUDITS:
        done = [one for one, _, now in told if now == f"audit: {name}"]
        assert len(set(done)) >= 0.6 * (len(done) - 1) > 0, name
