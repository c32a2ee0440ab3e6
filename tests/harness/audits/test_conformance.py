"""Conformance: what is shipped conforms, and every check has a candidate that does not pass it."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from harness.audits.bench import default_stream
from harness.audits.conformance import CHECKS, Candidate, NotConforming, conformance, fault_text
from harness.candidates.registry import Null
from harness.realtime.faults import STREAM_KINDS
from harness.testing.kit import as_candidate, figures, parametrize_with_checks, replay_in_real_time
from mrsim.errors import InputError
from mrsim.stream import Header, Readout, Stream
from recon.classical.zero_filled import ZeroFilled
from recon.protocol import Emit, FrameAdapter, Image, Reconstructor
from tests.harness.synthetic import moving_stream

BY_NAME = {check.name: check for check in CHECKS}


@pytest.fixture(scope="module")
def scan() -> Stream:
    return default_stream(seed=3, frames=48, matrix=(16, 16))


@parametrize_with_checks(
    [ZeroFilled, "view-sharing"], stream=default_stream(seed=3, frames=48, matrix=(16, 16))
)
def test_what_is_shipped_conforms(candidate: Candidate, check: Callable[[Candidate], None]) -> None:
    check(candidate)


def found(check: str, build: Callable[[], Reconstructor], scan: Stream) -> str:
    with pytest.raises(NotConforming) as caught:
        BY_NAME[check](Candidate("mine", build, scan, seed=5))
    assert "\n" not in str(caught.value)
    assert "(seed 5)" in str(caught.value)
    return str(caught.value)


class Plain:
    """Take every line as it comes, what is not a number too."""

    def push(self, readout: Readout) -> None:
        self._kspace[:, readout.ky + self._header.matrix[0] // 2] = readout.samples
        if (readout.index + 1) % self._header.lines_per_frame == 0:
            self._emit(Image(self._kspace[0].copy(), readout.frame, readout.index))

    def open(self, header: Header, emit: Emit) -> None:
        self._header, self._emit = header, emit
        self._kspace = np.zeros((header.coils, *header.matrix), np.complex64)

    def close(self) -> None:
        pass


class KeepsItsRows(Plain):
    """Forgets nothing when it is opened again."""

    def open(self, header: Header, emit: Emit) -> None:
        before = getattr(self, "_kspace", None)
        super().open(header, emit)
        if before is not None:
            self._kspace = before


class CountsItsLines(Plain):
    """Goes by the number of lines that it was given, not by what they say."""

    def open(self, header: Header, emit: Emit) -> None:
        super().open(header, emit)
        self._count = 0

    def push(self, readout: Readout) -> None:
        super().push(Readout(self._count, readout.frame, readout.ky, readout.t_ns, readout.samples))
        self._count += 1


class StopsAtAGap(Plain):
    def open(self, header: Header, emit: Emit) -> None:
        super().open(header, emit)
        self._next = 0

    def push(self, readout: Readout) -> None:
        if readout.index != self._next:
            raise ValueError(f"expected line {self._next}, got {readout.index}")
        self._next += 1
        super().push(readout)


class EmitsWhenItCloses(Null):
    def close(self) -> None:
        self._emit(Image(self._blank, 0, 0))


class Transposed(Plain):
    def open(self, header: Header, emit: Emit) -> None:
        super().open(header, lambda image: emit(Image(image.pixels[:, :3], image.frame, image.last_line)))


class Lists(Plain):
    def open(self, header: Header, emit: Emit) -> None:
        def passed(image: Image) -> None:
            emit(Image(image.pixels.tolist(), image.frame, image.last_line))  # type: ignore[arg-type]

        super().open(header, passed)


@pytest.mark.parametrize(
    ("check", "build", "told"),
    [
        ("shape and type", Transposed, r"shape \(16, 3\)"),
        ("shape and type", Lists, "pixels are list"),
        ("nothing from nothing", EmitsWhenItCloses, "without a line it emitted 1"),
        ("reopening after a torn scan", KeepsItsRows, "still holds lines"),
        ("consumption", Null, "whatever it holds"),
        ("fault nan", Plain, "nan:at=26,burst=3: broke 'finite' at k-space line 27"),
        ("fault drop", StopsAtAGap, "broke 'survives'.*expected line 26, got 29"),
        ("fault drop", CountsItsLines, "broke"),
        ("fault truncate", CountsItsLines, "broke"),
        ("fault header", StopsAtAGap, "broke 'survives'"),
        ("fault reorder", StopsAtAGap, "broke 'survives'"),
    ],
)
def test_each_is_found_by_name(
    check: str, build: Callable[[], Reconstructor], told: str, scan: Stream
) -> None:
    assert re.search(told, found(check, build, scan))


def test_a_candidate_that_raises_is_told_in_one_line(scan: Stream) -> None:
    def broken(kspace: np.ndarray, mask: np.ndarray) -> np.ndarray:
        raise RuntimeError("no\nmemory")

    told = conformance(Candidate("mine", lambda: FrameAdapter(broken), scan))
    assert len(told) > 10
    assert all("\n" not in line for line in told)
    assert "RuntimeError: no memory" in told[0]


def test_one_that_refuses_the_scan_says_so_in_every_check(scan: Stream) -> None:
    class Refuses(Null):
        def open(self, header: Header, emit: Emit) -> None:
            raise InputError(f"the weights are for 128 x 128, not {header.matrix}")

    told = conformance(Candidate("mine", Refuses, scan))
    assert len(told) == len(CHECKS)
    assert all("the weights are for 128 x 128" in line for line in told)
    with pytest.raises(NotConforming, match="4 frames, a check takes 12"):
        CHECKS[0](Candidate("mine", Null, scan.first_frames(4)))


def test_every_fault_strikes_and_leaves_time_to_recover() -> None:
    stream = default_stream(frames=48)
    for kind in STREAM_KINDS:
        assert fault_text(kind, stream).startswith(kind)
    assert {f"fault {kind}" for kind in STREAM_KINDS} <= set(BY_NAME)
    # Every row is visited again after the fault: else recovery would be promised of nothing.
    after = np.asarray(stream.ky)[7 * stream.header.lines_per_frame :]
    assert len(np.unique(after)) == stream.header.matrix[0]


def test_what_is_given_may_be_a_string_a_factory_or_a_candidate() -> None:
    one = as_candidate("null")
    assert as_candidate(one) is one
    assert as_candidate(ZeroFilled).name == "ZeroFilled"
    with pytest.raises(InputError, match="unknown"):
        as_candidate("nothing")


def test_the_figures_of_a_replay_are_flat_and_none_where_nothing_carries_them() -> None:
    result = replay_in_real_time("zero-filled", moving_stream(12), quality=False, claim=0.9)
    told = figures(result)
    assert (told["images"], told["response_p99_ms"], told["lag_ms"]) == (9, None, None)
    assert told["response_max_ms"] > 0
    assert told["deadline_ms"] == 64.0
