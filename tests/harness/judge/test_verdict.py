"""Four verdicts, each for its own reason, and each claim only as strong as the samples."""

from __future__ import annotations

import numpy as np
import pytest

from harness.judge.outcome import Outcome, Verdict
from harness.judge.verdict import judge
from harness.measure.exact_statistics import samples_needed
from harness.measure.timing import measure
from harness.realtime.clock import VirtualClock
from harness.realtime.replay import Run, replay
from harness.realtime.service import TableService
from mrsim.stream import Readout
from recon.protocol import Image, Reconstructor
from tests.harness.synthetic import Blank, make_header, make_stream

TR = 1000


def run_of(images: int, late: list[int] | None = None) -> Run:
    """Replay one-line frames of which some take twice the TR."""
    service = np.zeros(images, np.int64)
    service[late or []] = 2 * TR
    stream = make_stream(images, header=make_header(lines_per_frame=1, tr_ns=TR))
    return replay(stream, Blank(), VirtualClock(), TableService(service), keep_images=False)


def verdict_of(run: Run, claim: float = 0.99) -> Verdict:
    return judge(run, measure(run), claim)


@pytest.mark.parametrize(
    ("steady", "late", "claim", "outcome"),
    [
        (4590, 0, 0.99, Outcome.PASS),
        (4589, 0, 0.99, Outcome.INSUFFICIENT),
        (1300, 1, 0.95, Outcome.PASS),
        (1299, 1, 0.95, Outcome.INSUFFICIENT),
        (1300, 10, 0.95, Outcome.PASS),
        (1300, 11, 0.95, Outcome.INSUFFICIENT),
        (662, 60, 0.99, Outcome.FAIL),
        (40, 20, 0.99, Outcome.FAIL),  # so many misses need no long run
        (2, 1, 0.99, Outcome.INSUFFICIENT),
    ],
)
def test_misses_against_the_claim(steady: int, late: int, claim: float, outcome: Outcome) -> None:
    run = run_of(steady + 8, late=[steady + 7 - 2 * i for i in range(late)])
    timing = measure(run, warmup=8)
    assert (timing.images, timing.misses) == (steady, late)
    assert judge(run, timing, claim).outcome is outcome


def test_an_insufficient_run_says_how_many_more() -> None:
    verdict = verdict_of(run_of(108))
    assert f"needs {10 * samples_needed(0.99, allowed=0) - 100} more images" in verdict.reason
    assert "10 images count as one" in verdict.reason
    late = verdict_of(run_of(500, late=[100, 101, 200]))
    assert f"{10 * samples_needed(0.99) - 492} more images" in late.reason
    assert "4 of 492 images missed" in late.reason
    assert "in 2 episodes" in late.reason


def test_a_late_bench_voids_the_run_whatever_the_candidate_did() -> None:
    class Late(VirtualClock):
        """Wakes late once in fifty times."""

        def __init__(self, late_ns: int) -> None:
            super().__init__()
            self._wakes, self._late_ns = 0, late_ns

        def sleep_until_ns(self, t_ns: int) -> None:
            self._wakes += 1
            super().sleep_until_ns(t_ns + (self._late_ns if self._wakes % 50 == 0 else 0))

    stream = make_stream(5000, header=make_header(lines_per_frame=1, tr_ns=TR))
    limit = TR // 20
    on_time, void = (verdict_of(replay(stream, Blank(), Late(ns))) for ns in (limit, limit + 1))
    assert on_time.outcome is Outcome.PASS
    assert void.outcome is Outcome.INVALID
    assert "the bench itself was late" in void.reason


def test_a_claim_to_know_the_future_fails() -> None:
    class Peeking(Blank):
        def push(self, readout: Readout) -> None:
            self.emit(Image(np.zeros((8, 8), np.complex64), readout.frame, readout.index + 1))

    verdict = verdict_of(_replay(Peeking()))
    assert verdict.outcome is Outcome.FAIL
    assert "causality: k-space line 0 (frame 0): " in verdict.reason


def test_a_candidate_that_raises_fails_with_line_and_frame() -> None:
    def work(readout: Readout) -> None:
        if readout.index == 6:
            raise ZeroDivisionError("oops")

    verdict = verdict_of(_replay(Blank(work)))
    assert verdict.outcome is Outcome.FAIL
    where = f"test_verdict.py:{work.__code__.co_firstlineno + 2}"
    assert f"ZeroDivisionError: oops ({where}) in push at k-space line 6 (frame 1)" in verdict.reason


def test_an_image_that_is_not_a_number_fails() -> None:
    class Nan(Blank):
        def push(self, readout: Readout) -> None:
            if readout.index % 4 == 3:
                self.emit(Image(np.full((8, 8), np.nan, np.complex64), readout.frame, readout.index))

    verdict = verdict_of(_replay(Nan()))
    assert verdict.outcome is Outcome.FAIL
    assert "frame 0 at k-space line 3" in verdict.reason


def _replay(candidate: Reconstructor) -> Run:
    return replay(make_stream(40), candidate, VirtualClock())


def test_exit_codes_are_the_documented_ones() -> None:
    assert {o.name: o.value for o in Outcome} == {"PASS": 0, "FAIL": 1, "INVALID": 3, "INSUFFICIENT": 4}
