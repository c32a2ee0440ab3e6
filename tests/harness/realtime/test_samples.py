"""Times that were recorded are played again to the nanosecond, and those of something else are refused."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness.realtime.replay
from harness.judge.evaluate import evaluate
from harness.judge.result import RunResult
from harness.judge.search import at_tr
from harness.realtime.clock import VirtualClock
from harness.realtime.recorded import RecordedService
from harness.realtime.samples import How, fingerprint, read_service, write_samples
from harness.realtime.scenarios import Pace
from harness.realtime.schedule import Policy
from harness.realtime.service import ConstantService
from mrsim.errors import InputError
from mrsim.stream import Header, Readout, Stream
from recon.classical.zero_filled import ZeroFilled
from recon.protocol import Emit, Image, Position
from tests.harness.synthetic import Blank, make_header, make_stream, moving_stream

MS = 1_000_000
HERE = {"host", "environment", "gc", "null_latency_ms", "clock", "times", "repetitions"}
"""What a result says of the host that played it, and of that it was played again."""


class Busy:
    """A clock as the real one: time passes with every look at it, and waits end late, now and then more."""

    name = "real"

    def __init__(self, seed: int = 1) -> None:
        self._now_ns, self._rng, self._lock = 10**9, np.random.default_rng(seed), threading.Lock()

    def now_ns(self) -> int:
        with self._lock:
            self._now_ns += int(self._rng.integers(100, 3_000))
            return self._now_ns

    def sleep_until_ns(self, t_ns: int) -> None:
        with self._lock:
            late = int(self._rng.integers(0, 20_000)) + (2 * MS if self._rng.random() < 0.005 else 0)
            self._now_ns = max(self._now_ns, t_ns) + late

    def works(self, ns: int) -> None:
        with self._lock:
            self._now_ns += ns


class Threaded(ZeroFilled):
    """Emit from a thread, which comes to it in the push after, and a band of columns at once."""

    def __init__(self, clock: Busy | None) -> None:
        super().__init__()
        self._clock, self._rng = clock, np.random.default_rng(2)

    def open(self, header: Header, emit: Emit) -> None:
        self._thread: threading.Thread | None = None
        self._go = threading.Event()
        self._out = emit
        super().open(header, self._later)

    def _later(self, image: Any) -> None:
        self._work(12 * MS if self._rng.random() < 0.9 else 200 * MS)
        self._out(dataclasses.replace(image, pixels=image.pixels[:, 8:24], columns=(8, 24)))
        self._go.clear()
        self._thread = threading.Thread(target=self._emit_when_told, args=(image,))
        self._thread.start()

    def _emit_when_told(self, image: Image) -> None:
        self._go.wait()
        self._out(image)

    def push(self, readout: Readout) -> None:
        self._work(int(self._rng.integers(10_000, 300_000)))
        self._finish()
        self._work(50_000)
        super().push(readout)

    def close(self) -> None:
        self._finish()

    def _finish(self) -> None:
        if self._thread is not None:
            self._go.set()
            self._thread.join()
            self._thread = None

    def _work(self, ns: int) -> None:
        if self._clock is not None:
            self._clock.works(ns)


class Tracker(Blank):
    """Emit a position after every third line, and one that stands for the image with the last."""

    def __init__(self, clock: Busy | None) -> None:
        super().__init__()
        self._clock, self._rng = clock, np.random.default_rng(3)

    def push(self, readout: Readout) -> None:
        lines = self.header.lines_per_frame
        if self._clock is not None:
            self._clock.works(int(self._rng.integers(10_000, 5 * MS)))
        if readout.index % 3 == 0 or (readout.index + 1) % lines == 0:
            where = 20 * np.sin(readout.index / 40)
            self.emit(Position(float(where), 3.0, readout.frame, readout.index))


def record(tmp_path: Path, make: Any, scan: Stream, how: How, **options: Any) -> tuple[Path, RunResult]:
    clock = Busy()
    policy = Policy.parse(how.policy)
    run = evaluate(
        scan, "it", lambda: make(clock), clock=clock, scenario=how.scenario, policy=policy, **options
    )
    write_samples(tmp_path / "s.npz", [run.run], "it", run.stream, how)
    return tmp_path / "s.npz", run


def figures(result: RunResult) -> Any:
    return {key: value for key, value in result.to_json().items() if key not in HERE}


@pytest.mark.parametrize("scenario", ["constant-stream", "burst"])
@pytest.mark.parametrize("policy", ["keep-all", "latest"])
@pytest.mark.parametrize("make", [Threaded, Tracker])
def test_every_figure_is_the_same_when_times_are_played_again(
    make: Any, policy: str, scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness.realtime.replay.host, "changes_since", lambda *_: None)  # a quiet host
    scan, how = moving_stream(60), How(scenario, policy)
    file, first = record(tmp_path, make, scan, how)
    (service,) = read_service(file, "it", scan, len(scan), how)
    again = evaluate(
        scan, "it", lambda: make(None), clock=VirtualClock(), service=service, scenario=scenario,
        policy=Policy.parse(policy),
    )  # fmt: skip
    assert figures(again) == figures(first)
    for name in ("delivered_ns", "started_ns", "finished_ns"):
        then, now = (getattr(r.run, name) - r.run.t0_ns for r in (first, again))
        assert np.array_equal(then[first.run.fate == 1], now[again.run.fate == 1]), name
    for name in ("response_ns", "service_ns", "missed", "shown"):
        assert np.array_equal(getattr(first.timing, name), getattr(again.timing, name)), name
    if make is Threaded:
        assert first.timing.service_ns.max() > first.run.service_ns.max()  # images came after their push
        if policy == "latest" and scenario != "burst":
            assert first.run.dropped_frames > 0
    else:
        assert again.run.images.positions is not None
        assert len(again.run.images.positions.last_line) > 300 or policy == "latest"
    assert (first.run.times, again.run.times) == ("measured", f"played from {file}")
    assert (first.to_json()["times"], again.to_json()["times"]) == (first.run.times, again.run.times)
    assert f"times played from {file}" in repr(again)
    assert again.null is None


def test_modelled_times_are_called_so() -> None:
    assert Pace.of("lockstep", None).service is not None
    result = evaluate(moving_stream(12), "it", Blank, scenario="lockstep", quality=False)
    assert result.to_json()["times"] == "modelled"
    assert ", deadline" not in repr(result)  # nothing is ever late
    fixed = evaluate(
        moving_stream(12), "it", Blank, clock=VirtualClock(), service=ConstantService(5), quality=False
    )
    assert fixed.to_json()["times"] == "modelled"


def test_another_queue_has_the_candidates_times_and_not_those_of_the_bench(tmp_path: Path) -> None:
    """At half the pace: a push takes what it took, an image comes as long after its line, no line is late."""
    scan = moving_stream(60)
    file, first = record(tmp_path, Threaded, scan, How(), quality=False)
    slow = at_tr(scan, 40 * MS)
    (service,) = read_service(file, "it", scan, len(scan), How("find-peak"))
    again = evaluate(slow, "it", lambda: Threaded(None), clock=VirtualClock(), service=service, quality=False)
    assert np.array_equal(first.run.service_ns, again.run.service_ns)
    assert np.array_equal(first.timing.service_ns, again.timing.service_ns)
    assert first.timing.injector_ns.max() > 2 * MS
    assert again.timing.injector_ns.max() == 0


def test_a_position_that_stands_for_an_image_stays_with_it_in_another_queue(tmp_path: Path) -> None:
    """It holds a line more than its frame has, whose push took another time than that of the frame's last."""

    class Late(Tracker):
        def push(self, readout: Readout) -> None:
            if self._clock is not None:
                self._clock.works(int(self._rng.integers(10_000, 9 * MS)))
            if readout.index % 16 == 0 and readout.frame:
                self.emit(Position(float(readout.frame), 3.0, readout.frame - 1, readout.index))

    scan = moving_stream(12)
    file, first = record(tmp_path, Late, scan, How())
    (service,) = read_service(file, "it", scan, len(scan), How("find-peak"))
    again = evaluate(scan, "it", lambda: Late(None), clock=VirtualClock(), service=service)
    for result in (first, again):
        images, positions = result.run.images, result.run.images.positions
        assert positions is not None
        assert images.shown.sum() == 11
        assert np.array_equal(images.completed_ns[images.shown], positions.completed_ns)
        assert np.array_equal(images.last_line[images.shown], positions.last_line)


def test_what_did_not_come_then_does_not_come_now(tmp_path: Path) -> None:
    class Skips(Blank):
        skipped = (3, 4)

        def push(self, readout: Readout) -> None:
            if readout.frame not in self.skipped:
                super().push(readout)

    class SkipsOthers(Skips):
        skipped = (4, 7)

    scan = moving_stream(12)
    file, first = record(tmp_path, lambda _: Skips(), scan, How())
    (service,) = read_service(file, "it", scan, len(scan), How())
    again = evaluate(scan, "it", SkipsOthers, clock=VirtualClock(), service=service)
    assert np.flatnonzero(~first.run.images.shown).tolist() == [3, 4]
    assert np.flatnonzero(~again.run.images.shown).tolist() == [3, 4, 7]
    assert again.run.images.last_line[3] == -1


@pytest.fixture
def scan() -> Stream:
    return make_stream(40, header=make_header())


@pytest.fixture
def file(tmp_path: Path, scan: Stream) -> Path:
    return record(tmp_path, lambda _: Blank(), scan, How(), quality=False)[0]


def read(file: Path, scan: Stream, candidate: str = "it", how: How | None = None) -> list[RecordedService]:
    return read_service(file, candidate, scan, len(scan), how or How())


def test_times_of_another_candidate_or_scan_are_refused(file: Path, scan: Stream) -> None:
    assert len(read(file, scan)) == 1
    with pytest.raises(InputError, match=r"s\.npz: it has the times of candidate 'it', not of 'other'"):
        read(file, scan, "other")
    samples = scan.samples.copy()
    samples[39, 0, 7] += 1e-3
    ky = scan.ky.copy()
    ky[[0, 1]] = ky[[1, 0]]
    header = dataclasses.replace(scan.header, te_ns=scan.header.te_ns + 1)
    for changed in ({"samples": samples}, {"ky": ky}, {"header": header}):
        with pytest.raises(InputError, match=r"s\.npz: it has the times of another scan"):
            read(file, dataclasses.replace(scan, **changed))
    with pytest.raises(InputError, match="of a scan of 40 lines, this one has 20"):
        read(file, scan.first_frames(5))
    # The first part of the scan is of the scan, and so are frames that slide over it.
    assert read_service(file, "it", scan, 20, How())
    longer = make_stream(48, header=make_header())
    with pytest.raises(InputError, match=r"the times of 40 lines, 48 are played|of another scan"):
        read(file, longer)
    with pytest.raises(InputError, match=r"an image was due every frame .* now every 2"):
        read(file, scan, how=How(stride=2))


def test_a_hash_is_of_all_that_is_played(scan: Stream) -> None:
    assert fingerprint(scan, 40) != fingerprint(scan, 36)
    assert fingerprint(scan, 36) == fingerprint(scan.first_frames(9), 36)
    slid = dataclasses.replace(scan.header, lines_per_frame=2, window=4)
    assert fingerprint(dataclasses.replace(scan, header=slid, truth=None), 40) == fingerprint(scan, 40)


def test_a_line_without_a_time_is_not_played_in_no_time(tmp_path: Path) -> None:
    """Frames that a queue dropped have no times for a queue that drops none."""
    scan, how = moving_stream(60), How(policy="latest")
    file, run = record(tmp_path, Threaded, scan, how, quality=False)
    assert run.run.dropped_frames
    first = int(np.flatnonzero(run.run.fate != 1)[0])
    where = rf"k-space line {first} \(frame {first // 16}\)"
    with pytest.raises(InputError, match=rf"run 1: there is no time of {where}: it was played with .*latest"):
        read(file, scan)

    def stops(_: Busy) -> Blank:
        def work(readout: Readout) -> None:
            if readout.index == 500:
                raise RuntimeError

        return Blank(work)

    file, _ = record(tmp_path, stops, scan, How(), quality=False)
    with pytest.raises(InputError, match=r"ended before it came to k-space line 501 \(frame 31\)"):
        read(file, scan)
    assert read_service(file, "it", scan, 480, How())


@pytest.mark.parametrize("key", ["service_ns", "delivered_ns", "started_ns", "emitted_ns", "open_ns"])
@pytest.mark.parametrize("value", [-2, 1 << 62])
def test_a_time_that_no_clock_can_play_is_named(key: str, value: int, file: Path, scan: Stream) -> None:
    with np.load(file) as found:
        arrays = dict(found)
    arrays[key][(0, 3)[: arrays[key].ndim]] = value
    np.savez(file, **arrays)
    where = {"emitted_ns": ", image 3", "open_ns": ""}.get(key, r", k-space line 3 \(frame 0\)")
    why = "is negative" if value < 0 else r"is above \d+ ns"
    with pytest.raises(InputError, match=rf"s\.npz: {key}, run 1{where}: {value} ns {why}"):
        read(file, scan)


def test_times_that_add_up_to_no_time_of_this_world_are_refused(tmp_path: Path) -> None:
    scan = make_stream(4000, header=make_header())
    file, _ = record(tmp_path, lambda _: Blank(), scan, How(), quality=False)
    with np.load(file) as found:
        arrays = dict(found)
    arrays["service_ns"][:] = 86_400 * 10**9
    np.savez(file, **arrays)
    with pytest.raises(InputError, match="service_ns, run 1: its pushes take more than a year"):
        read(file, scan)


@pytest.mark.parametrize(
    "key", ["about", "fate", "service_ns", "emitted_ns", "band_emitted_ns", "position_ns", "open_ns"]
)
def test_an_older_or_damaged_file_is_refused_by_name(key: str, file: Path, scan: Stream) -> None:
    with np.load(file) as found:
        arrays = dict(found)
    np.savez(file, **{name: array for name, array in arrays.items() if name != key})
    with pytest.raises(InputError, match=rf"s\.npz: it has no {key}, so it is of an older version"):
        read(file, scan)
    wrongs: list[Any] = [
        np.zeros(3),
        np.array(7),
        np.zeros((2, 2, 2), np.int64),
        np.array(["a"]),
        np.array("{}"),
    ]
    for wrong in (*wrongs, np.zeros((1, 3), np.int64), np.array("[" * 99), np.zeros((0, 40), np.int8)):
        np.savez(file, **{**arrays, key: wrong})
        with pytest.raises(InputError, match=r"s\.npz: "):
            read(file, scan)


def test_every_word_of_what_it_says_of_itself_is_checked(file: Path, scan: Stream) -> None:
    with np.load(file) as found:
        arrays = dict(found)
    about = json.loads(str(arrays["about"]))
    for key in about:
        for wrong in (None, True, 3.5, [], {}):
            if key == "stride" and wrong is None:
                continue
            np.savez(file, **{**arrays, "about": np.array(json.dumps({**about, key: wrong}))})
            with pytest.raises(InputError, match=r"s\.npz: about"):
                read(file, scan)
