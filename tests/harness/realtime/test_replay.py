"""The gate: never early, private copies, every breach recorded."""

from __future__ import annotations

import dataclasses
import gc
import threading
import time
import tracemalloc
import types
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.realtime.clock import Clock, RealClock, VirtualClock
from harness.realtime.collector import Collector
from harness.realtime.feed import Feed
from harness.realtime.replay import Fate, Schedule, replay
from harness.realtime.service import ConstantService, TableService
from mrsim.errors import InputError
from mrsim.stream import Header, Readout
from recon.protocol import Emit, Image
from tests.harness.synthetic import Blank, long_stream, make_header, make_stream, private_bytes


@pytest.mark.parametrize("clock", [RealClock(), VirtualClock(17)])
def test_no_line_is_handed_out_before_it_is_due(clock: Clock) -> None:
    stream = make_stream(60, header=make_header(tr_ns=300_000))
    seen: list[int] = []
    run = replay(stream, Blank(lambda readout: seen.append(clock.now_ns())), clock)
    due = run.t0_ns + (np.arange(60) + 1) * 300_000  # its TR is over
    assert (np.array(seen) >= due).all()
    assert (run.delivered_ns >= due).all()
    assert (np.diff(run.delivered_ns) >= 0).all()
    assert (run.started_ns >= run.delivered_ns).all()
    assert (run.finished_ns >= run.started_ns).all()
    assert run.images.shown.all()
    if clock.name == "virtual":
        assert (run.delivered_ns == due).all()


def test_a_slow_candidate_cannot_slow_the_schedule() -> None:
    """Open loop: on the real clock, too, a line is due when its TR is over, whatever went before."""
    stream = make_stream(20, header=make_header(tr_ns=1_000_000))
    clock = RealClock()

    def stall(readout: Readout) -> None:
        if readout.index == 3:
            clock.sleep_until_ns(clock.now_ns() + 8_000_000)

    run = replay(stream, Blank(stall), clock)
    assert (np.diff(run.due_ns) == 1_000_000).all()
    assert run.delivered_ns[4] - run.due_ns[4] >= 7_000_000  # it waited
    assert run.images.completed_ns[0] - run.due_ns[3] >= 8_000_000


def test_lines_arrive_whole_and_in_order() -> None:
    stream = make_stream(20, header=make_header(coils=3))
    candidate = Blank()
    replay(stream, candidate, VirtualClock())
    assert [r.index for r in candidate.pushed] == list(range(20))
    for readout, original in zip(candidate.pushed, stream, strict=True):
        assert np.array_equal(readout.samples, original.samples)
        assert (readout.ky, readout.frame, readout.t_ns) == (original.ky, original.frame, original.t_ns)
    assert candidate.closed == 1


@settings(max_examples=60)
@given(st.integers(1, 10), st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_virtual_run_is_the_queue_in_closed_form(tr: int, service: list[int]) -> None:
    """Lindley's recursion unrolled: line i ends at the largest of due_j + service_j + ... + service_i."""
    lines = len(service)
    stream = make_stream(lines, header=make_header(lines_per_frame=1, tr_ns=tr))
    run = replay(stream, Blank(), VirtualClock(), TableService(np.array(service)))
    due = (np.arange(lines) + 1) * tr
    total = np.concatenate(([0], np.cumsum(service)))
    finished = [max(due[j] + total[i + 1] - total[j] for j in range(i + 1)) for i in range(lines)]
    assert run.finished_ns.tolist() == finished
    assert run.images.completed_ns.tolist() == finished
    assert run.started_ns.tolist() == [f - s for f, s in zip(finished, service, strict=True)]


@pytest.mark.parametrize("load", [0.5, 1.0, 1.5])
def test_constant_service_is_d_d_1(load: float) -> None:
    """Response is the service where the load is below one, else it grows by service - TR a line."""
    tr, service = 1000, int(1000 * load)
    stream = make_stream(50, header=make_header(lines_per_frame=1, tr_ns=tr))
    run = replay(stream, Blank(), VirtualClock(), ConstantService(service))
    response = run.images.completed_ns - run.due_ns
    assert response.tolist() == [service + i * max(0, service - tr) for i in range(50)]


def test_the_header_and_the_lines_lead_nowhere() -> None:
    """Walk from all that a candidate is handed: no array of the stream, no seed, phantom, path or truth."""
    prescan = np.ones((1, 4, 4), np.complex64)
    stream = make_stream(8, header=dataclasses.replace(make_header(), prescan=prescan))
    reached: list[str] = []

    class Spy(Blank):
        def open(self, header: Header, emit: Emit) -> None:
            assert set(Header.__slots__) - {"window", "adc_step", "prescan"} == set(header.to_dict())
            assert header.prescan is not None
            assert header.prescan.flags.owndata
            assert not np.shares_memory(header.prescan, stream.header.prescan)
            assert not {"seed", "phantom", "path", "truth", "provenance"} & set(header.to_dict())
            assert header == stream.header
            self.handed: list[object] = [header, emit]
            super().open(header, emit)

        def push(self, readout: Readout) -> None:
            assert type(readout.samples) is np.ndarray
            assert readout.samples.base is None
            assert readout.samples.flags.owndata
            assert not np.shares_memory(readout.samples, stream.samples)
            reached.extend(_secrets_within([readout, *self.handed], stream))
            for holder in gc.get_referrers(self.handed[0]):
                reached.extend(_secrets_within([holder], stream, depth=2))
            super().push(readout)

    run = replay(stream, Spy(), VirtualClock())
    assert run.failure is None  # an assertion that fails within the candidate ends up here
    assert run.handed == len(stream)
    assert reached == []


def test_the_walk_finds_a_view() -> None:
    """The test above can fail: a gate that hands out views is caught by it."""
    stream = make_stream(8)
    assert _secrets_within([stream.readout(0)], stream) == ["samples"]
    assert {"truth.image", "provenance", "ky"} <= set(_secrets_within([stream], stream))


def _secrets_within(roots: Iterable[object], stream: Any, depth: int = 12) -> list[str]:
    """Name the arrays of a stream that can be reached from some objects, modules and types apart."""
    arrays = {name: getattr(stream, name) for name in stream.COLUMNS}
    arrays |= {f"truth.{name}": getattr(stream.truth, name) for name in stream.truth.ARRAYS}
    found, seen, layer = [], set(), list(roots)
    for _ in range(depth):
        following: list[object] = []
        for item in layer:
            if id(item) in seen or isinstance(item, types.ModuleType | type | types.FunctionType):
                continue
            seen.add(id(item))
            if item is stream.provenance:
                found.append("provenance")
            if isinstance(item, np.ndarray):
                found += [name for name, array in arrays.items() if np.may_share_memory(item, array)]
            following.extend(gc.get_referents(item))
        layer = following
    return found


def test_writing_into_a_line_leaves_the_stream_alone() -> None:
    stream = make_stream(8)
    before = stream.samples.copy()

    def scribble(readout: Readout) -> None:
        readout.samples[:] = 7

    replay(stream, Blank(scribble), VirtualClock())
    assert np.array_equal(stream.samples, before)


def test_an_image_is_copied_so_a_buffer_may_be_reused() -> None:
    buffer = np.zeros((8, 8), np.complex64)

    class Reuse(Blank):
        def push(self, readout: Readout) -> None:
            buffer[:] = readout.frame + 1
            if readout.index % 4 == 3:
                self.emit(Image(buffer, readout.frame, readout.index))

    run = replay(make_stream(40), Reuse(), VirtualClock())
    assert run.images.pixels is not None
    assert (run.images.pixels == (np.arange(10) + 1)[:, None, None]).all()


def emitting(make: Callable[[Readout], object], at: int = 7) -> Blank:
    """Return a candidate that also emits what `make` returns, at one line."""

    class Emitting(Blank):
        def push(self, readout: Readout) -> None:
            super().push(readout)
            if readout.index == at:
                self.emit(make(readout))  # type: ignore[arg-type]

    return Emitting()


def pixels(*shape: int, dtype: Any = np.complex64) -> Any:
    return np.zeros(shape or (8, 8), dtype)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda r: "an image", "contract", "emitted str"),
        (lambda r: Image(pixels(8, 7), r.frame, r.index), "contract", r"shape \(8, 7\), expected \(8, 8\)"),
        (lambda r: Image([[0j]], r.frame, r.index), "contract", "pixels are list"),  # type: ignore[arg-type]
        (lambda r: Image(pixels(dtype=object), r.frame, r.index), "contract", "pixels are object"),
        (lambda r: Image(pixels(8, 3), r.frame, r.index, columns=(6, 9)), "contract", "columns"),
        (lambda r: Image(pixels(8, 3), r.frame, r.index, columns=(1, 3)), "contract", "shape"),
        (lambda r: Image(pixels(), r.frame, r.index, columns=5), "contract", "columns"),  # type: ignore[arg-type]
        (lambda r: Image(pixels(), -1, r.index), "contract", "start at 0"),
        (lambda r: Image(pixels(), 1.5, r.index), "contract", "integers"),  # type: ignore[arg-type]
        (
            lambda r: Image(pixels(), r.frame, r.index + 1),
            "causality",
            "k-space line 8 went into",
        ),
        (
            lambda r: Image(pixels(), r.frame + 1, r.index),
            "causality",
            "7 is the newest, frame 2 has not begun",
        ),
    ],
)
def test_a_breach_of_the_protocol_stops_the_run(
    make: Callable[[Readout], object], kind: str, message: str
) -> None:
    candidate = emitting(make)
    run = replay(make_stream(40), candidate, VirtualClock())
    assert run.violation is not None
    assert (run.violation.kind, run.violation.line) == (kind, 7)
    assert run.failure is None
    with pytest.raises(ValueError, match=message):
        raise ValueError(run.violation.message)
    assert run.handed == 8
    assert candidate.closed == 1


def test_early_extra_and_partial_images_are_counted_and_do_not_count() -> None:
    class Talkative(Blank):
        def push(self, readout: Readout) -> None:
            self.emit(Image(pixels(), readout.frame, readout.index))  # three early ones, then the image
            if readout.index % 4 == 3:
                self.emit(Image(pixels(8, 2), readout.frame, readout.index, columns=(0, 2)))
                self.emit(Image(np.ones((8, 8), np.complex64), readout.frame, readout.index))

    images = replay(make_stream(42), Talkative(), VirtualClock()).images
    assert (images.early, images.bands, images.extra) == (32, 10, 10)  # 42 lines: 10 frames, 2 lines over
    assert images.pixels is not None
    assert not images.pixels.any()  # the first whole image is the one that counts
    assert images.last_line.tolist() == list(range(3, 40, 4))
    assert images.band is not None
    assert images.band[0] == (0, 2)
    assert np.array_equal(images.band_ns, images.completed_ns)


@pytest.mark.parametrize("value", [np.nan, np.inf, complex(0, np.nan), 1e300])
def test_an_image_that_is_not_finite_is_not_an_image(value: complex) -> None:
    class Sick(Blank):
        def push(self, readout: Readout) -> None:
            if readout.index == 7:
                bad = np.zeros((8, 8), np.complex128)
                bad[2, 3] = value
                self.emit(Image(bad, readout.frame, readout.index))  # type: ignore[arg-type]
            elif readout.index % 4 == 3:
                self.emit(Image(pixels(), readout.frame, readout.index))

    images = replay(make_stream(40), Sick(), VirtualClock()).images
    assert (images.nonfinite, images.first_nonfinite) == (1, (1, 7))
    assert images.shown.tolist() == [frame != 1 for frame in range(10)]


def test_images_may_come_from_another_thread_and_until_close_returns() -> None:
    class Threaded(Blank):
        def open(self, header: Header, emit: Emit) -> None:
            super().open(header, emit)
            self.threads: list[threading.Thread] = []

        def push(self, readout: Readout) -> None:
            if readout.index % 4 == 3:
                image = Image(pixels(), readout.frame, readout.index)
                self.threads.append(threading.Thread(target=self.emit, args=(image,)))

        def close(self) -> None:
            for thread in self.threads:
                thread.start()
            for thread in self.threads:
                thread.join()

    candidate = Threaded()
    run = replay(make_stream(400), candidate, VirtualClock())
    assert run.images.shown.all()
    candidate.emit(Image(pixels(), 0, 3))  # after the end: ignored
    assert run.images.extra == 0


def test_without_pixels_the_images_are_still_checked() -> None:
    run = replay(make_stream(40), Blank(), VirtualClock(), keep_images=False)
    assert run.images.pixels is None
    assert run.images.shown.all()


def test_a_scan_without_a_whole_frame_is_refused() -> None:
    with pytest.raises(InputError, match="3 lines, a frame has 4"):
        Schedule.of(make_stream(3))


@pytest.mark.parametrize("change", [lambda t: t * 1000, lambda t: t + 1, lambda t: np.r_[t[:5], t[5:] + 9]])
def test_lines_that_do_not_follow_each_other_at_tr_are_refused(change: Callable[[Any], Any]) -> None:
    """A line is handed out at its TR: where its echo says another time, one of both is wrong."""
    scan = make_stream(8)
    off = dataclasses.replace(scan, t_ns=change(scan.t_ns))
    line = int(np.flatnonzero(off.t_ns != scan.t_ns)[0])
    with pytest.raises(InputError, match=rf"k-space line {line} is at {off.t_ns[line]} ns: expected"):
        Schedule.of(off)


def test_images_that_would_not_fit_are_refused_before_they_are_allocated() -> None:
    with pytest.raises(InputError, match="replay fewer frames"):
        Collector(make_header(matrix=(4096, 4096)), np.arange(100_000), lambda: 0)


def test_collections_of_garbage_are_timed() -> None:
    run = replay(make_stream(8), Blank(lambda readout: gc.collect()), VirtualClock())
    assert run.pauses.count == 8
    assert 0 < run.pauses.longest_ns <= run.pauses.total_ns
    assert not [c for c in gc.callbacks if "GcWatch" in repr(c)]


def test_memory_stays_flat_over_a_long_scan() -> None:
    """Between a fifth and the end of 60,000 lines nothing is added: what is needed is reserved before."""
    stream, weights = long_stream(60_000), []

    class Weighed(Blank):
        def push(self, readout: Readout) -> None:
            if readout.index in (12_000, 59_999):
                weights.append(private_bytes())
            self.pushed.clear()
            super().push(readout)

    tracemalloc.start()
    replay(stream, Weighed(), VirtualClock(), ConstantService(0), keep_images=False)
    grown = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert weights[1] - weights[0] < 4 << 20
    # Ten columns of 8 bytes a line, an image, and a piece of the columns as integers.
    assert grown < 60_000 * 8 * 10 + (8 << 20)


def test_a_run_that_passes_its_limit_has_failed() -> None:
    candidate = Blank(lambda readout: time.sleep(0.02))
    run = replay(make_stream(400), candidate, VirtualClock(), ConstantService(0), limit_ns=100_000_000)
    assert run.failure is not None
    at = f"in push at k-space line {run.handed - 1} (frame {(run.handed - 1) // 4})"
    assert str(run.failure).endswith(f"the run passed its limit (limit_s) {at}")
    assert 2 <= run.handed < 20
    assert candidate.closed == 1
    counts = np.bincount(run.fate, minlength=len(Fate))
    assert counts[Fate.UNREACHED] == 400 - run.handed


def test_a_feed_of_another_stream_is_refused() -> None:
    stream, other = make_stream(8), make_stream(8, seed=2)
    with pytest.raises(InputError, match="another stream"):
        replay(stream, Blank(), VirtualClock(), feed=Feed.of(other, Schedule.of(other)))
