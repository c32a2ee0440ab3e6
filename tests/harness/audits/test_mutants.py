"""Planted mutants: wrong reconstructors, gates and metrics, each caught by name.

A bench that passes everything proves nothing. Every class here is wrong in one way that has been seen in
the field, and the test names what catches it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

import harness.measure.image_quality
import harness.measure.timing
import harness.realtime.gate
from harness.audits.audits import audit_candidate
from harness.audits.bench import default_stream
from harness.candidates.registry import Null
from harness.measure.image_quality import assess
from harness.measure.timing import measure
from harness.realtime.clock import VirtualClock
from harness.realtime.gate import Gate
from harness.realtime.replay import Run, replay
from harness.realtime.service import ConstantService, TableService
from mrsim.stream import Header, Readout, Stream
from recon.classical.zero_filled import ViewSharing, ZeroFilled
from recon.line_memory import LineMemory
from recon.protocol import Emit, Image, Reconstructor
from tests.harness.synthetic import Blank, Drawn, draw_target, make_header, make_stream, moving_stream

pytestmark = pytest.mark.slow

MS = 1_000_000


@pytest.fixture(scope="module")
def scan() -> Stream:
    return default_stream(seed=3, frames=130, matrix=(16, 16))


def broken(scan: Stream, build: Callable[[], Reconstructor]) -> tuple[str, ...]:
    return audit_candidate(scan, build, "a mutant", seed=5).broken


class PeeksAtTheNextLine(ZeroFilled):
    """Climbs the stack to the gate and puts the line that is to come into its image."""

    def push(self, readout: Readout) -> None:
        frame = sys._getframe(1)
        while frame is not None and "feed" not in frame.f_locals:
            frame = frame.f_back  # type: ignore[assignment]
        samples, following = readout.samples, readout.index + 1
        if frame is not None and following < len(frame.f_locals["feed"].stream):
            samples = samples + frame.f_locals["feed"].stream.samples[following]
        super().push(Readout(readout.index, readout.frame, readout.ky, readout.t_ns, samples))


class ReturnsThePreviousImage(ViewSharing):
    """Shows frame f - 1 as frame f, which is quick: it was ready long ago."""

    def open(self, header: Header, emit: Emit) -> None:
        self._last = np.zeros(header.matrix, np.complex64)

        def delayed(image: Image) -> None:
            shown, self._last = self._last, image.pixels
            emit(Image(shown, image.frame, image.last_line))

        super().open(header, delayed)


class AnswersWithoutTheLastLine(ViewSharing):
    """Has its image ready a line early, and hands it out when the last line comes."""

    def open(self, header: Header, emit: Emit) -> None:
        self._ready = np.zeros(header.matrix, np.complex64)
        self._out, self._lines = emit, header.lines_per_frame
        super().open(header, self._hold)

    def _hold(self, image: Image) -> None:
        self._ready = image.pixels

    def push(self, readout: Readout) -> None:
        place = readout.index % self._lines
        if place < self._lines - 1:
            # The last but one is given out as the last, so that the memory makes its image.
            index = readout.index + 1 if place == self._lines - 2 else readout.index
            super().push(Readout(index, readout.frame, readout.ky, readout.t_ns, readout.samples))
        else:
            self._out(Image(self._ready, readout.frame, readout.index))


class DropsEveryHundredthFrame(ViewSharing):
    def open(self, header: Header, emit: Emit) -> None:
        def passed(image: Image) -> None:
            if image.frame % 100 != 99:
                emit(image)

        super().open(header, passed)


class WritesIntoItsInput(ViewSharing):
    def push(self, readout: Readout) -> None:
        super().push(readout)
        readout.samples[...] *= 2


class Leaks(ViewSharing):
    kept: ClassVar[list[np.ndarray]] = []

    def push(self, readout: Readout) -> None:
        self.kept.append(readout.samples)
        super().push(readout)


class RemembersImagesByFrame(ViewSharing):
    """Keeps its images for the next scan of the same protocol."""

    known: ClassVar[dict[int, np.ndarray]] = {}

    def open(self, header: Header, emit: Emit) -> None:
        def cached(image: Image) -> None:
            pixels = self.known.setdefault(image.frame, image.pixels)
            emit(Image(pixels, image.frame, image.last_line))

        super().open(header, cached)


class RemembersImagesByContent(ViewSharing):
    """Works hard the first time; a scan that it has seen costs nothing, so that repetitions look fast."""

    known: ClassVar[dict[bytes, np.ndarray]] = {}

    def open(self, header: Header, emit: Emit) -> None:
        def cached(image: Image) -> None:
            key = image.pixels.tobytes()
            if key not in self.known:
                for _ in range(400):
                    np.fft.fft2(image.pixels)
                self.known[key] = image.pixels
            emit(Image(self.known[key], image.frame, image.last_line))

        super().open(header, cached)


class KeepsANaN(ViewSharing):
    """Averages every line into what it has, whatever it is."""

    def open(self, header: Header, emit: Emit) -> None:
        super().open(header, emit)
        self._sum = np.zeros(header.matrix, np.complex64)

    def push(self, readout: Readout) -> None:
        self._sum[readout.ky + len(self._sum) // 2] += readout.samples[0]
        if self._memory.push(readout):
            self._emit(Image(self._sum, readout.frame, readout.index))


class RollsDice(ViewSharing):
    def open(self, header: Header, emit: Emit) -> None:
        rng = np.random.default_rng()

        def noisy(image: Image) -> None:
            pixels = image.pixels + rng.normal(0, 1e-3, image.pixels.shape).astype(np.float32)
            emit(Image(pixels.astype(np.complex64), image.frame, image.last_line))

        super().open(header, noisy)


class RemembersTheScanBefore(ViewSharing):
    """Keeps its rows when it is opened again."""

    def open(self, header: Header, emit: Emit) -> None:
        memory = getattr(self, "_memory", None)
        super().open(header, emit)
        self._memory = memory or LineMemory(header, mean=False)


class LooksAtTheClock(ViewSharing):
    """Leaves the work out when lines come fast."""

    def push(self, readout: Readout) -> None:
        now = time.perf_counter()
        hurried = 5e-4 < now - getattr(self, "_before", now) < 1.0
        self._before = now
        if self._memory.push(readout):
            image = np.zeros_like(self._memory.shared[0]) if hurried else self._memory.shared[0].copy()
            self._emit(Image(image, readout.frame, readout.index))


@pytest.mark.parametrize(
    ("mutant", "audit"),
    [
        (PeeksAtTheNextLine, "causality"),
        (ReturnsThePreviousImage, "consumption"),
        (AnswersWithoutTheLastLine, "consumption"),
        (DropsEveryHundredthFrame, "conformance"),
        (WritesIntoItsInput, "no write into the input"),
        (Leaks, "flat memory"),
        (RemembersImagesByFrame, "no caching"),
        (RemembersImagesByContent, "no caching"),
        (KeepsANaN, "recovery after a bad line"),
        (RollsDice, "determinism"),
        (RemembersTheScanBefore, "determinism"),
        (LooksAtTheClock, "accuracy under load"),
    ],
)
def test_the_audits_catch(mutant: type[ViewSharing], audit: str, scan: Stream) -> None:
    for name in ("known", "kept"):
        getattr(mutant, name, {}).clear()
    assert audit in broken(scan, mutant)


@pytest.mark.parametrize("honest", [ZeroFilled, ViewSharing])
def test_the_audits_find_nothing_where_nothing_is(honest: type[ViewSharing], scan: Stream) -> None:
    report = audit_candidate(scan, honest, "honest", seed=5)
    assert report.broken == (), report.findings
    assert report.verdict.outcome.name == "PASS"


def test_a_finding_carries_its_evidence(scan: Stream) -> None:
    report = audit_candidate(scan, DropsEveryHundredthFrame, "it", seed=5)
    (found,) = [f for f in report.findings if not f.kept]
    evidence = "k-space line 399 (frame 99): no image came (1 of 130)"
    assert (found.audit, found.evidence) == ("conformance", evidence)
    assert "seed 5" in report.verdict.reason
    assert report.verdict.outcome.value == 3
    assert report.to_json()["audits"][0]["kept"] is False


# Gates that are wrong. Each is played with the stall of DESIGN.md, whose queue has a closed form.


def stall_of(gate: type[Gate], monkeypatch: pytest.MonkeyPatch) -> tuple[int, int, list[tuple[int, int]]]:
    """Return misses, p99 in ms and episodes of one 400 ms stall in 2,000 lines, TR 4 ms, service 2 ms."""
    monkeypatch.setattr("harness.realtime.replay.Gate", gate)
    service = np.full(2000, 2 * MS)
    service[1000] = 400 * MS
    stream = make_stream(2000, header=make_header(lines_per_frame=1, tr_ns=4 * MS))
    timing = measure(replay(stream, Null(), VirtualClock(), TableService(service), keep_images=False))
    p99 = timing.summary("response").p99
    assert p99 is not None
    return timing.misses, p99 // MS, timing.episodes


TRUE_QUEUE = (198, 362, [(1000, 198)])


def mutated(change: Callable[[Any], None]) -> type[Gate]:
    class Mutant(Gate):
        def play(self) -> None:
            change(self)
            super().play()

    return Mutant


def test_the_closed_form_catches_a_gate_that_closes_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line is due when the candidate is ready for it: the stall shows once."""

    class Closed(Gate):
        def play(self) -> None:
            super().play()
            wait = self.delivered_ns - self.t0_ns - self._feed.offset_ns
            self.delivered_ns -= wait
            self.started_ns -= wait
            self.finished_ns -= wait
            self._collector._completed_ns -= wait

    assert stall_of(Gate, monkeypatch) == TRUE_QUEUE
    assert stall_of(Closed, monkeypatch) == (1, 2, [(1000, 1)])


def test_the_closed_form_catches_a_gate_that_stamps_at_the_wrong_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The image is stamped when its push began, not when it was emitted."""

    def early(gate: Any) -> None:
        gate._collector._stamp_ns = gate._clock.now_ns

    wrong = stall_of(mutated(early), monkeypatch)
    assert wrong != TRUE_QUEUE
    assert wrong[0] < TRUE_QUEUE[0]


def test_a_gate_that_is_early_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line handed out an echo time before its TR is over breaks the promise of order."""
    from harness.audits.invariants import Evidence, check_invariants
    from harness.realtime.feed import Feed
    from harness.realtime.schedule import Schedule

    class Early(VirtualClock):
        def sleep_until_ns(self, t_ns: int) -> None:
            super().sleep_until_ns(t_ns - 2 * MS)

    stream = make_stream(40)
    feed = Feed.of(stream, Schedule.of(stream))
    for clock, found in ((VirtualClock(10 * MS), []), (Early(10 * MS), ["ordered"])):
        run = replay(stream, Blank(), clock, ConstantService(0), feed=feed)
        assert [b.invariant for b in check_invariants(Evidence(feed, run, None), [])] == found


def test_a_gate_that_loses_a_line_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that are silently skipped break the promise that all are accounted for."""
    from harness.audits.invariants import Evidence, check_invariants
    from harness.realtime.feed import Feed
    from harness.realtime.schedule import Schedule

    class Skipping(Feed):
        def events(self):  # type: ignore[no-untyped-def]
            return (event for event in super().events() if event[0] != 17)

    stream = make_stream(40)
    schedule = Schedule.of(stream)
    feed = Feed.of(stream, schedule)
    skipping = Skipping(**{name: getattr(feed, name) for name in feed.__dataclass_fields__})
    run = replay(stream, Blank(), VirtualClock(), ConstantService(0), feed=skipping)
    broken = check_invariants(Evidence(skipping, run, None), [])
    assert [(b.invariant, b.line) for b in broken] == [("accounted", 17)]


# Metrics that are wrong.


def centroid_error(stream: Stream, run: Run) -> float:
    quality = assess(stream, run, measure(run))
    assert quality is not None
    assert quality.last_line.rms is not None
    return quality.last_line.rms


def test_the_perfect_candidate_catches_an_off_by_one_frame_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of the truth itself have no error; against the truth of the next frame they have one."""
    stream = moving_stream(60)
    truth = stream.truth
    assert truth is not None
    run = replay(stream, Drawn(lambda frame: truth.image[frame]), VirtualClock())
    right = assess(stream, run, measure(run))
    assert right is not None
    assert right.nmse.max() == 0
    judge = harness.measure.image_quality.FrameJudge

    class OffByOne(judge):
        def score(self, frame: int, pixels: np.ndarray) -> Any:
            return super().score(min(frame + 1, len(truth.image) - 1), pixels)

    monkeypatch.setattr(harness.measure.image_quality, "FrameJudge", OffByOne)
    wrong = assess(stream, run, measure(run))
    assert wrong is not None
    assert wrong.nmse.mean() > 0.001


def test_the_drawn_delay_catches_a_centroid_of_the_wrong_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of the truth at the last line have no lag; judged at the frame's first line they seem to."""
    stream = moving_stream(150)
    header, truth = stream.header, stream.truth
    assert truth is not None
    run = replay(stream, Drawn(lambda f: draw_target(header, truth.centroid[16 * f + 15])), VirtualClock())
    right = assess(stream, run, measure(run))
    assert right is not None
    assert right.lag.claimed_ns is not None
    assert abs(right.lag.claimed_ns) < 3 * MS
    real = harness.measure.image_quality.apparent_lag

    def at_the_first_line(t_ns: np.ndarray, *args: Any) -> Any:
        return real(t_ns - 15 * header.tr_ns, *args)

    monkeypatch.setattr(harness.measure.image_quality, "apparent_lag", at_the_first_line)
    wrong = assess(stream, run, measure(run))
    assert wrong is not None
    assert wrong.lag.claimed_ns is not None
    assert wrong.lag.claimed_ns < -50 * MS
